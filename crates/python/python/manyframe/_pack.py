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
    """

    #: Its number in the pack index.
    pack: int
    #: What ``load_state_dict`` takes to go on after this pack: on all ranks, those of the same step give the same.
    state: State
    #: Ids of tokens, a placeholder for each visual token: the model's own, or −200.
    input_ids: Any
    #: The id to be predicted at each position, not shifted, as models of ``transformers`` take it; −100 where there is no loss.
    labels: Any
    #: The same, shifted within each sample: what is to be predicted from each position. Where a rank has only a part of the
    #: sequence, nobody could shift them later.
    shift_labels: Any
    #: Positions within each sample.
    position_ids: Any
    #: What each token is part of: 0 text, 1 an image, 2 a video.
    mm_token_type_ids: Any
    #: Tokens of the sequence before each sample, and of all (32 bits, as FlashAttention takes them). Padding at the end is a
    #: sample of its own.
    cu_seqlens: Any
    #: Tokens of the longest sample.
    max_seqlen: int
    #: Start and end of each chunk of the sequence that is here: all of it without sequence parallelism.
    chunks: Any
    #: Images of the sequence before each sample, and of all.
    cu_images: Any
    #: The first image that is here, and one past the last.
    image_range: tuple[int, int]
    #: With ``images="pixels"``: arrays of height, width and 3 channels, of bytes. With ``"encoded"``: their files.
    images: list[Any]
    #: With ``images="values"``: what the vision tower of the dataset's model family takes, of images and of videos. LongLLaVA:
    #: (images, 3, 336, 336). Qwen: (patches, 3 · 2 · side²), in the order of the grids below. LLaVA-1.5, LLaVA-NeXT,
    #: LLaVA-OneVision, InternVL, Idefics3, SmolVLM, NVILA, LongVILA: (tiles, 3, side, side), image after image, and (frames, 3,
    #: side, side).
    pixel_values: Any
    pixel_values_videos: Any
    #: Of these last families: tiles of each image, its overview included; height and width of each image; frames of each video.
    image_tiles: Any
    image_sizes: Any
    video_frames: Any
    #: Patches in time, height and width of each image and each video of the sequence.
    image_grid_thw: Any
    video_grid_thw: Any
    #: Times of the frames of videos in seconds, as far as known.
    frame_times_s: Any
    #: Ids and sources of the samples.
    sample_ids: list[str]
    sources: list[str]
