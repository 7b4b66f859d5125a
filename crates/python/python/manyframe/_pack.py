"""What a pack holds, and where training is."""

from __future__ import annotations

from typing import Any, TypedDict


class State(TypedDict):
    """Where training is: an epoch, and how many of its packs all ranks together have trained on."""

    epoch: int
    packs: int


class Pack(TypedDict, total=False):
    """A training sequence.

    Arrays are NumPy's, or PyTorch's with ``tensors="torch"``; both show the same memory.

    Attributes
    ----------
    pack
        Its number in the pack index.
    state
        What ``load_state_dict`` takes to go on after this pack: on all ranks, those of the same step give the same.
    input_ids
        Ids of tokens, a placeholder for each visual token: the model's own, or −200.
    labels
        The id to be predicted at each position, not shifted, as models of ``transformers`` take it; −100 where there
        is no loss.
    shift_labels
        The same, shifted within each sample: what is to be predicted from each position. Where a rank has only a part
        of the sequence, nobody could shift them later.
    position_ids
        Positions within each sample.
    mm_token_type_ids
        What each token is part of: 0 text, 1 an image, 2 a video.
    cu_seqlens
        Tokens of the sequence before each sample, and of all (32 bits, as FlashAttention takes them). Padding at the
        end is a sample of its own.
    max_seqlen
        Tokens of the longest sample.
    chunks
        Start and end of each chunk of the sequence that is here: all of it without sequence parallelism.
    cu_images
        Images of the sequence before each sample, and of all.
    image_range
        The first image that is here, and one past the last. A step of a video is not divided where it makes values.
    images
        With ``images="pixels"``: arrays of height, width and 3 channels, of bytes. With ``"encoded"``: their files.
    pixel_values, pixel_values_videos
        With ``images="values"``: what the vision tower of the dataset's model family takes, of images and of videos.
        LongLLaVA: (images, 3, 336, 336). Qwen: (patches, 3 · 2 · side²), in the order of the grids of the rank.
        LLaVA-1.5, LLaVA-NeXT, LLaVA-OneVision, InternVL, Idefics3, SmolVLM, NVILA, LongVILA: (tiles, 3, side, side),
        image after image, and (frames, 3, side, side).
    rank_image_grid_thw, rank_video_grid_thw
        Of Qwen's values: patches in time, height and width of each image and each video that is here, or of the part
        of it that is.
    image_tiles, image_sizes, video_frames
        Of values that are tiles: tiles of each image, its overview included; height and width of each image; frames of
        each video.
    image_grid_thw, video_grid_thw
        Patches in time, height and width of each image and each video of the whole sequence.
    frame_times_s
        Times of the frames of videos in seconds, as far as known.
    sample_ids, sources
        Ids and sources of the samples.
    """

    pack: int
    state: State
    input_ids: Any
    labels: Any
    shift_labels: Any
    position_ids: Any
    mm_token_type_ids: Any
    cu_seqlens: Any
    max_seqlen: int
    chunks: Any
    cu_images: Any
    image_range: tuple[int, int]
    images: list[Any]
    pixel_values: Any
    pixel_values_videos: Any
    rank_image_grid_thw: Any
    rank_video_grid_thw: Any
    image_tiles: Any
    image_sizes: Any
    video_frames: Any
    image_grid_thw: Any
    video_grid_thw: Any
    frame_times_s: Any
    sample_ids: list[str]
    sources: list[str]
