#!/usr/bin/env python3
"""Writes what the processors of transformers make of sizes, videos and conversations: the references of `manyframe-vision` and
`manyframe-format`.

Usage: make_vision.py OUT CACHE [--seed N] [--fresh]
OUT gets images.jsonl, videos.jsonl and prompts.jsonl, a line for each table `[model]`, and `pixels` with PNGs. CACHE keeps packages.
Without --fresh: what is committed under tests/golden/vision (seed 0). With --fresh: other sizes, videos and texts, drawn by the seed.
Needs the packages of requirements.txt.

A row that a processor refuses ends with the name of its error. Longer lists and texts are the first 16 digits of their SHA-256.
"""

import argparse
import hashlib
import json
import logging
import math
import os
import pathlib
import random
import tempfile
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "critical")

import numpy  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from transformers.image_processing_utils import select_best_resolution  # noqa: E402
from transformers.image_utils import SizeDict  # noqa: E402
from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas  # noqa: E402

import families  # noqa: E402

IMAGES = [
    {"family": "qwen2.5-vl"},
    {"family": "qwen2.5-vl", "min_pixels": 200704, "max_pixels": 1003520},
    {"family": "qwen2.5-vl", "min_pixels": 784, "max_pixels": 31400},
    {"family": "qwen3-vl"},
    {"family": "qwen3-vl", "min_pixels": 1024, "max_pixels": 40000},
    {"family": "qwen3.5", "max_pixels": 262144},
    {"family": "internvl"},
    {"family": "internvl", "min_tiles": 3, "max_tiles": 20},
    {"family": "llava-1.5"},
    {"family": "llava-1.5", "pad": True},
    {"family": "llava-next"},
    {"family": "llava-onevision"},
    {"family": "llava-onevision", "max_tiles": 4},
    {"family": "idefics3"},
    {"family": "idefics3", "split": False},
    {"family": "smolvlm"},
    {"family": "smolvlm", "longest_edge_px": 1536, "tile_px": 384, "tokens_per_tile": 81},
    {"family": "nemotron-3-nano-omni"},
    {"family": "nemotron-3-nano-omni", "min_patches": 64, "max_patches": 1030, "max_model_len": 4096},
    {"family": "nemotron-3-nano-omni", "min_patches": 256, "max_patches": 0, "max_model_len": 2048},
    {"family": "granite-4-vision"},
    {"family": "granite-4-vision", "patch_px": 14, "downsample": [3, 8]},
    {"family": "nvila"},
    {"family": "nemotron-nano-vl"},
]
VIDEOS = [
    {"family": "qwen2.5-vl"},
    {"family": "qwen2.5-vl", "video": {"frames": {"num_frames": 14}, "budget": "capped", "max_video_tokens": 16384}},
    {"family": "qwen2.5-vl", "video": {"frames": "all", "min_pixels": 3136, "max_pixels": 12845056}},
    {"family": "qwen2.5-vl", "video": {"frames": {"fps": 4.0}, "min_frames": 8, "max_frames": 96}},
    {"family": "qwen3-vl", "video": {"wrapping": "none"}},
    {"family": "qwen3-vl", "video": {"wrapping": "none", "frames": {"num_frames": 9}, "budget": "capped", "max_video_tokens": 128}},
    {"family": "qwen3-vl", "video": {"wrapping": "none", "frames": "all", "max_pixels": 2097152}},
    {"family": "qwen3.5", "video": {"wrapping": "none", "frames": {"fps": 0.5}, "budget": "capped"}},
    {"family": "internvl"},
    {"family": "internvl", "frames": {"fps": 1.0}},
    {"family": "llava-next"},
    {"family": "llava-onevision"},
    {"family": "llava-onevision", "frames": {"fps": 1.0}},
    {"family": "smolvlm"},
    {"family": "smolvlm", "fps": 2.0, "max_frames": 8},
    {"family": "nemotron-3-nano-omni"},
    {"family": "nemotron-3-nano-omni", "video": {"frames": "all", "target_patches": 300, "keep_aspect_ratio": False}},
]
PROMPTS = [
    {"family": "qwen2.5-vl", "min_pixels": 200704, "max_pixels": 1003520, "video": {"frames": "all", "budget": "capped"}},
    {"family": "qwen3-vl"},
    {"family": "qwen3.5", "video": {"budget": "capped"}},
    {"family": "internvl", "frames": "all"},
    {"family": "llava-1.5"},
    {"family": "llava-next", "frames": "all"},
    {"family": "llava-onevision", "frames": "all"},
    {"family": "idefics3", "longest_edge_px": 728},
    {"family": "smolvlm", "longest_edge_px": 1024, "max_frames": 8},
    {"family": "nemotron-3-nano-omni", "min_patches": 64, "max_patches": 1030, "max_model_len": 4096, "video": {"frames": "all"}},
]
# Families with a size that depends on the image's: media are delivered at that size.
DYNAMIC = {"qwen2.5-vl", "qwen3-vl", "qwen3.5", "nemotron-3-nano-omni"}
IMAGES_ONLY = {"llava-1.5", "llava-next", "idefics3", "granite-4-vision"}

# Height and width: around multiples of patches and tiles, halves, strips, ties between grids, and what cameras and screens have.
SIZES = [
    (1, 1), (3, 5), (27, 28), (31, 33), (42, 70), (98, 126), (48, 80), (112, 144), (55, 57), (224, 224), (336, 336), (384, 768),
    (448, 447), (448, 896), (512, 512), (480, 640), (1080, 1920), (4032, 3024), (28, 5600), (28, 5601), (1, 200), (201, 1),
    (20, 4000), (40, 8000), (1001, 1003), (3585, 3584), (8000, 8000), (1344, 448), (1000, 300), (364, 1456), (365, 364), (512, 2049),
    (352, 748), (205, 656), (60, 90),
]
# Frames, frames a second, height, width.
CLIPS = [
    (1, 25.0, 240, 320), (2, 24.0, 336, 336), (3, 30.0, 64, 96), (7, 2.0, 360, 640), (8, 2.0, 28, 28), (15, 5.0, 20, 30), (31, 15.0, 480, 854),
    (60, 30.0, 720, 1280), (61, 29.97, 1080, 1920), (90, 24.0, 1920, 1080), (121, 23.976, 360, 640), (300, 30.0, 480, 640),
    (301, 25.0, 500, 501), (450, 12.5, 40, 4000), (512, 10.0, 336, 336), (769, 25.0, 100, 20100), (900, 50.0, 300, 4),
    (1537, 24.0, 720, 1280), (2048, 60.0, 42, 70),
]


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def refused(error):
    return type(error).__name__


def drawn_sizes(rng):
    def side():
        return round(math.exp(rng.uniform(math.log(8), math.log(5000))))

    return [(side(), side()) for _ in range(90)]


def drawn_clips(rng):
    def clip():
        num_frames = round(math.exp(rng.uniform(0, math.log(2500))))
        rate = rng.choice([1.0, 2.0, 5.0, 10.0, 12.5, 15.0, 24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60.0])
        return num_frames, rate, rng.randint(16, 1200), rng.randint(16, 2000)

    return [clip() for _ in range(50)]


def image_row(model, made, height, width):
    """What becomes of an image, and whether it is left as it is when it comes at the size to which it was brought."""
    row = image_plan(model, made, height, width)
    if model["family"] in DYNAMIC and len(row) > 3:
        row.append(image_plan(model, made, *row[3])[2:] == row[2:])
    return row


def image_plan(model, made, height, width):
    """Tokens, the size to which the image is brought, and how many images of it the vision tower sees."""
    family, processor = model["family"], made.processor
    images = processor.image_processor
    pixels = [torch.empty((3, height, width), dtype=torch.uint8, device="meta")]
    try:
        out = images.preprocess([pixels] if family in ("idefics3", "smolvlm") else pixels, return_tensors="pt", **made.images)
        tokens = processor.replace_image_token({key: families.hollow(value) for key, value in out.items()}, 0).count(processor.image_token)
        tiles = 1
        if family.startswith("qwen"):
            size = [int(side) * images.patch_size for side in out["image_grid_thw"][0][1:]]
        elif family in ("internvl", "nvila", "nemotron-nano-vl"):
            side = images.size["height"]
            columns, rows = get_optimal_tiled_canvas((height, width), (side, side), images.min_patches, images.max_patches)
            size, tiles = [rows * side, columns * side], int(out["num_patches"][0])
        elif family in ("llava-next", "llava-onevision", "granite-4-vision"):
            size = list(select_best_resolution((height, width), images.image_grid_pinpoints))
            tiles = out["pixel_values"].shape[1]
        elif family in ("idefics3", "smolvlm"):
            side = images.max_image_size["longest_edge"]
            size = [max(int(out[key][0][0]), 1) * side for key in ("rows", "cols")]
            tiles = out["pixel_values"].shape[1]
        elif family == "nemotron-3-nano-omni":
            size = [16 * side for side in out["image_grid_hw"][0].tolist()]
        else:
            size = list(out["pixel_values"].shape[-2:])
        return [height, width, tokens, size, tiles]
    except Exception as error:  # noqa: BLE001 a refusal is a part of the reference, whatever its type
        return [height, width, refused(error)]


def video_row(model, made, num_frames, rate, height, width):
    """What becomes of a video, and whether its frames are left as they are when they come at the size to which they were brought."""
    row, taken = video_plan(model, made, made.videos, num_frames, rate, height, width)
    if model["family"] in DYNAMIC and taken:
        again, _ = video_plan(model, made, {"do_sample_frames": False}, len(taken), rate, *row[5])
        row.append(again[4:6] == row[4:6])
    return row


def video_plan(model, made, arguments, num_frames, rate, height, width):
    """Tokens, the size of each frame, the frames that are taken, and the text in place of the video; and these frames again."""
    family, processor, videos = model["family"], made.processor, made.processor.video_processor
    given = metadata = families.metadata(num_frames, rate)
    call = dict(arguments, return_metadata=True) | ({} if family == "nemotron-3-nano-omni" else {"return_tensors": "pt"})
    taken = list(range(num_frames))
    if call["do_sample_frames"] is False:
        # The processor pads this list.
        metadata.frames_indices = list(taken)
    own = type(videos).sample_frames

    def sample_frames(metadata, **arguments):
        nonlocal taken
        indices = own(videos, metadata=metadata, **arguments)
        torch.empty(num_frames)[indices]  # Tensors without content are indexed beyond their end without an error.
        taken = [int(index) for index in indices]
        return indices

    videos.sample_frames = sample_frames
    pixels = torch.empty((num_frames, 3, height, width), dtype=torch.uint8, device="meta")
    try:
        # Nemotron's makes two tensors on the default device.
        with torch.device("meta" if family == "nemotron-3-nano-omni" else "cpu"):
            out = videos.preprocess([pixels], video_metadata=[given], **call)
        metadata = out["video_metadata"][0]
        if family.startswith("qwen"):
            size = [int(side) * videos.patch_size for side in out["video_grid_thw"][0][1:]]
        else:
            size = list(out["pixel_values" if family == "smolvlm" else "pixel_values_videos"].shape[-2:])
        data = {key: families.hollow(value) for key, value in out.items()} | {"video_metadata": [metadata]}
        nemotron = dict(num_frames=sum(out["num_patches"]), video_metadata=metadata) if family == "nemotron-3-nano-omni" else {}
        text = processor.replace_video_token(data, 0, **nemotron)
        repeated = processor.image_token if family in ("internvl", "smolvlm", "nemotron-3-nano-omni") else processor.video_token
        row = [num_frames, rate, height, width, text.count(repeated), size]
        row.append(taken if len(taken) <= 8 else digest(",".join(map(str, taken))))
        # The others write nothing but placeholders.
        is_labelled = family in ("qwen3-vl", "qwen3.5", "internvl", "smolvlm", "nemotron-3-nano-omni")
        return row + [digest(text) if is_labelled else None], taken
    except Exception as error:  # noqa: BLE001
        return [num_frames, rate, height, width, refused(error)], []
    finally:
        del videos.sample_frames


WORDS = "a small red harbour boat near the old stone bridge with three people under grey clouds and two dogs beside market stalls".split()
ODD = ["naïve café", "日本語のテスト", "🙂👩‍👧", "3.14159 × 10²", "مرحبا", "ﬁnal", "a  b", "tab\tand\nline"]


def conversations(rng):
    """Names and messages, with sizes in place of images and videos."""

    def text():
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 4))).capitalize() + "."

    def image(height=None, width=None):
        return {"type": "image", "h": height or rng.randint(40, 260), "w": width or rng.randint(40, 260)}

    def video(num_frames=None):
        num_frames, rate = num_frames or rng.randint(6, 18), rng.choice([2.0, 4.0, 8.0])
        return {"type": "video", "frames": num_frames, "fps": rate, "h": rng.randint(40, 120), "w": rng.randint(40, 120)}

    def said(role, *parts):
        return {"role": role, "content": [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]}

    def asked(*parts):
        return said("user", *parts)

    def answer(words=None):
        return said("assistant", words or text())

    clip = video(8)
    return {
        "image": [asked(image(), text()), answer()],
        "image at the end": [asked(text(), image()), answer()],
        "image between texts": [asked(text(), image(), text()), answer()],
        "several images and texts": [asked(text(), image(), text(), image(), text(), image(), text()), answer()],
        "several images first": [asked(image(), image(), image(), text()), answer()],
        "system": [said("system", text()), asked(image(), text()), answer()],
        "text": [said("system", text()), asked(text()), answer(), asked(text()), answer()],
        "rounds": [asked(image(), text()), answer(), asked(text()), answer(), asked(text(), image()), answer()],
        "video": [asked(video(), text()), answer()],
        "odd video": [asked(video(rng.choice([7, 9, 11])), text()), answer()],
        "image and video": [asked(image(), video(), text()), answer()],
        "video before image": [asked(video(), text(), image()), answer()],
        "two videos": [asked(clip, text(), clip, text()), answer()],
        "text of all kinds": [asked(image(), " ".join(ODD)), answer(" | ".join(ODD))],
        "white space": [asked(image(), "  leading and trailing \n\n"), answer("\n\nAfter two newlines \t \n")],
        "strip": [asked(image(4, 1000), text()), answer()],
        "small and large": [asked(image(1, 1), image(28, 28), image(448, 448), image(333, 77), text()), answer()],
    }


def with_media(messages):
    """The messages with pixels in place of sizes, and the metadata of the videos."""
    told, metadata = [], []
    for message in messages:
        content = []
        for part in message["content"]:
            height, width = part.get("h"), part.get("w")
            if part["type"] == "image":
                part = {"type": "image", "image": Image.new("RGB", (width, height), (120, 90, 60))}
            elif part["type"] == "video":
                metadata.append(families.metadata(part["frames"], part["fps"]))
                part = {"type": "video", "video": numpy.zeros((part["frames"], height, width, 3), numpy.uint8)}
            content.append(part)
        told.append({"role": message["role"], "content": content})
    return told, metadata


def folded(ids):
    """Ids, of which a run of at least four is `[id, length]`."""
    out, start = [], 0
    while start < len(ids):
        end = start
        while end < len(ids) and ids[end] == ids[start]:
            end += 1
        out.extend([[ids[start], end - start]] if end - start >= 4 else ids[start:end])
        start = end
    return out


def prompt_row(model, made, messages):
    """The ids of the expanded prompt, of which the text follows; `mm_token_type_ids` folded in the same way, if there are any."""
    try:
        told, metadata = with_media(messages)
        call = dict(made.videos) if metadata else {}
        if model["family"] != "nemotron-3-nano-omni":
            call["return_mm_token_type_ids"] = True
        if metadata:
            call["video_metadata"] = metadata[0] if model["family"] == "nemotron-3-nano-omni" else metadata
            for each in metadata if call.get("do_sample_frames") is False else ():
                each.frames_indices = list(range(each.total_num_frames))
        out = made.processor.apply_chat_template(told, tokenize=True, return_dict=True, return_tensors="pt", processor_kwargs=call)
        types = out.get("mm_token_type_ids")
        return {"ids": folded(out["input_ids"][0].tolist())} | ({} if types is None else {"types": folded(types[0].tolist())})
    except Exception as error:  # noqa: BLE001
        return {"error": refused(error)}


def tokenizer_with(tokens):
    """The tokenizer of bytes of the tests of manyframe-format, with more special tokens."""
    small = pathlib.Path(__file__).parents[2] / "crates/format/tests/golden/bytes.json"
    tokenizer = json.loads(small.read_text())
    first = len(tokenizer["model"]["vocab"])
    flags = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    tokenizer["added_tokens"] += [dict(id=first + place, content=token, **flags) for place, token in enumerate(tokens)]
    if "<s>" in tokens:
        # Llama's put this before every text.
        start = {"id": "<s>", "ids": [first + tokens.index("<s>")], "tokens": ["<s>"]}
        single = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
        pair = single + [{"Sequence": {"id": "B", "type_id": 0}}]
        tokenizer["post_processor"] = {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": {"<s>": start}}
    return tokenizer


def made_of(model, folder, cache):
    family = model["family"]
    path = pathlib.Path(folder) / f"{family}.json"
    path.write_text(json.dumps(tokenizer_with(families.TOKENS[family])))
    return families.make(model, families.tokenizer(path, family), families.template(family, cache))


def pictures(folder, cases):
    """What the processor makes of noise of one size when it resizes it to another."""
    folder.mkdir(parents=True, exist_ok=True)
    images = families.transformers.Qwen2VLImageProcessor()
    for height, width, to_height, to_width in cases:
        source = torch.from_numpy(noise(height, width)).permute(2, 0, 1)[None]
        # Its own method chooses the size, and passes it on to this one.
        resized = super(type(images), images).resize(source, SizeDict(height=to_height, width=to_width), resample=images.resample)
        path = folder / f"{height}x{width}-{to_height}x{to_width}.png"
        Image.fromarray(resized[0].permute(1, 2, 0).numpy()).save(path, optimize=True)


def noise(height, width):
    """Edges and noise, which every language computes to the same bytes."""
    index = numpy.arange(height * width * 3, dtype=numpy.uint64).reshape(height, width, 3)
    rows, columns = numpy.indices((height, width), dtype=numpy.uint64)
    edges = ((rows // 9 + columns // 7) % 2 * 200)[..., None]
    return ((index * 2654435761 % 2**32 >> 24) % 56 + edges).astype(numpy.uint8)


def write(path, lines):
    with open(path, "w") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("cache", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    rng = random.Random(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    arguments.cache.mkdir(parents=True, exist_ok=True)
    sizes = drawn_sizes(rng) if arguments.fresh else SIZES
    clips = drawn_clips(rng) if arguments.fresh else CLIPS
    with tempfile.TemporaryDirectory() as folder:
        def made(model):
            return made_of(model, folder, arguments.cache)

        def images(model):
            processor = made(model)
            return {"model": model, "rows": [image_row(model, processor, *size) for size in sizes]}

        def videos(model):
            processor = made(model)
            return {"model": model, "rows": [video_row(model, processor, *clip) for clip in clips]}

        def prompts(model):
            processor = made(model)
            told = conversations(rng).items()
            if model["family"] in IMAGES_ONLY:
                told = [(name, messages) for name, messages in told if "video" not in name]
            rows = [{"name": name, "messages": messages} | prompt_row(model, processor, messages) for name, messages in told]
            tokenizer = tokenizer_with(families.TOKENS[model["family"]])
            added = {key: tokenizer[key] for key in ("added_tokens", "post_processor")}
            return {"model": model, "tokenizer": added, "rows": rows}

        write(arguments.out / "images.jsonl", map(images, IMAGES))
        write(arguments.out / "videos.jsonl", map(videos, VIDEOS))
        write(arguments.out / "prompts.jsonl", map(prompts, PROMPTS))
    cases = [(60, 90, 28, 56), (28, 20, 56, 84), (97, 31, 32, 64), (64, 64, 96, 64), (200, 150, 56, 28), (333, 500, 64, 96)]
    if arguments.fresh:
        cases = [tuple(rng.randint(10, 400) for _ in range(2)) + tuple(28 * rng.randint(1, 12) for _ in range(2)) for _ in range(20)]
    pictures(arguments.out / "pixels", cases)
    for name in ("images", "videos", "prompts"):
        lines = [json.loads(line) for line in open(arguments.out / f"{name}.jsonl")]
        rows = [row for line in lines for row in line["rows"]]
        num_refused = sum("error" in row if isinstance(row, dict) else isinstance(row[-1], str) and len(row) in (3, 5) for row in rows)
        print(f"{name}: {len(rows)} rows of {len(lines)} models, {num_refused} refused")


if __name__ == "__main__":
    main()
