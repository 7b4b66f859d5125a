#!/usr/bin/env python3
"""Compares the pixel values of `manyframe.PackDataset(images="values")` with those of the processors of transformers, on datasets of
the demo's photographs and clips.

Usage: pixel_values.py MANYFRAME OUT CACHE [FAMILY...]
A value is a level between 0 and 255 that was normalised. No level may differ by more than MOST_LEVELS, and no more than MOST_UNEQUAL of them
by half a level or more; those of Qwen are equal, whether images are delivered at its processor's size or at their own. Idefics3 and SmolVLM
scale an image up to three times, by Lanczos' filter. torchvision has it from 0.27 on, and every value is equal; with an older one, the processor
that uses Pillow is called, whose weights have 22 bits in place of 15, so that levels differ by up to MOST_OF_PILLOW. CACHE keeps packages. Needs
the packages of requirements.txt, npm, and the package `manyframe` on the path.
"""

import io
import json
import logging
import os
import pathlib
import subprocess
import sys
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "critical")

import numpy  # noqa: E402
import torch  # noqa: E402
import torchvision  # noqa: E402
import transformers  # noqa: E402
from PIL import Image  # noqa: E402

import families  # noqa: E402
import manyframe  # noqa: E402
import read_families  # noqa: E402

MOST_LEVELS = 2
MOST_OF_PILLOW = 3
MOST_UNEQUAL = 0.02

VILA = families.CHATML + ["<image>", "<video>"]
families.TOKENS |= {"nvila": VILA, "longvila": VILA}
read_families.NPM |= {"nvila": "qwen3", "longvila": "qwen3"}
QWEN = ("qwen2.5-vl", "qwen3-vl", "qwen3.5")
LANCZOS = ("idefics3", "smolvlm")
HAS_LANCZOS = tuple(int(part) for part in torchvision.__version__.split(".")[:2]) >= (0, 27)
# Images keep their size, so that both sides scale them.
ORIGINAL = "images.resize=original"


def processors(family, model):
    """The processor of images, and that of videos; without one, a frame is an image."""
    if family == "longvila":
        # Not in transformers: a whole image is SigLIP's. NVILA's tiles are cut by InternVL's law, but for frames.
        return transformers.SiglipImageProcessor(size=dict(height=384, width=384), **families.HALF), None
    _, parts, _, _ = families.FAMILIES[family](model)
    images = parts["image_processor"]
    if family in LANCZOS and not HAS_LANCZOS:
        backend = dict(idefics3="Idefics3ImageProcessorPil", smolvlm="SmolVLMImageProcessorPil")[family]
        made = getattr(transformers, backend)(**{name: value for name, value in images.to_dict().items() if name in SETTINGS})
        return made, None
    return images, None if family == "nvila" or family in LANCZOS else parts.get("video_processor")


SETTINGS = ("size", "max_image_size", "do_image_splitting", "image_mean", "image_std")
# How the processor of images is called for images, and for frames.
CALLS = {
    "internvl": (dict(crop_to_patches=True), {}),
    "nvila": (dict(crop_to_patches=True), dict(crop_to_patches=False)),
    "smolvlm": ({}, dict(do_image_splitting=False, size=dict(longest_edge=512))),
}


def media(row):
    """The images, and the frames of each video, of a sample."""
    images = [Image.open(io.BytesIO(image["bytes"])).convert("RGB") for image in row["images"]]
    photos, clips = [], []
    for visual in json.loads(row["metadata"])["visuals"]:
        shown = images[visual["first_image"] : visual["first_image"] + visual["num_images"]]
        if visual["kind"] == "video":
            clips.append(numpy.stack([numpy.asarray(frame) for frame in shown]))
        else:
            photos += shown
    return photos, clips


def expected(family, model, photos, clips, at_size):
    """The values of the images and of the videos of a sample. Those that are delivered at the processor's size are not scaled again."""
    images, videos = processors(family, model)
    for_images, for_frames = CALLS.get(family, (at_size, {}))
    of_images, of_videos = [], []
    # These take all images of a sample together.
    together = [photos] if family in ("llava-onevision", "idefics3", "smolvlm") else photos
    if photos:
        made = images(together, return_tensors="pt", **for_images)["pixel_values"]
        # Images with fewer tiles than others are filled up.
        of_images = [made[place, :count] for place, count in enumerate(tiles(family, images, photos))] if "llava-" in family and made.ndim == 5 else [made]
    for clip in clips:
        if videos is None:
            of_videos += [images([frame], return_tensors="pt", **for_frames)["pixel_values"] for frame in clip]
        else:
            call = dict(do_sample_frames=False) | at_size
            made = videos(videos=[clip.transpose(0, 3, 1, 2)], return_tensors="pt", input_data_format="channels_first", **call)
            of_videos.append(made["pixel_values_videos"])
    return [flat(family, values) for values in (of_images, of_videos)]


def tiles(family, images, photos):
    """Tiles of each image, its overview included."""
    if family == "llava-onevision" and len(photos) > 1:
        return [1] * len(photos)
    side = images.crop_size["height"] if images.crop_size else images.size["height"]
    best = transformers.image_processing_utils.select_best_resolution
    canvases = [best((photo.height, photo.width), images.image_grid_pinpoints) for photo in photos]
    return [1 + height * width // side**2 for height, width in canvases]


def flat(family, values):
    if not values:
        return None
    values = [made.flatten(0, -2) if family in QWEN else made.flatten(0, -4) for made in values]
    return torch.cat(values).numpy()


def deviation(family, model):
    images, _ = processors(family, model)
    return numpy.asarray(images.image_std, numpy.float32)


def compare(program, case, out, cache):
    """Samples, and the difference of each level."""
    family, settings, *more = case
    read_families.SETTINGS[family] = settings
    at_size = dict(do_resize=False) if family in QWEN and ORIGINAL not in more else {}
    tokenizer, template = read_families.tokenizer_of(family, cache), families.template(family, cache)
    model = read_families.build(program, family, out, tokenizer, None if family not in families.WITHOUT_BUILT_IN else template, more)
    dataset = out / "dataset"
    longest = max(row["num_tokens"] for row in read_families.rows(dataset))
    command = [program, "pack", str(dataset), "--set", f"max_tokens={longest}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    rows = {row["id"]: row for row in read_families.rows(dataset)}
    scale = deviation(family, model) * 255
    differences = []
    for pack in manyframe.PackDataset(dataset, images="values"):
        made = []
        for sample in pack["sample_ids"]:
            made.append(expected(family, model, *media(rows[sample]), at_size))
        for name, values in zip(("pixel_values", "pixel_values_videos"), zip(*made)):
            values = [value for value in values if value is not None]
            if not values:
                assert len(pack[name]) == 0, (name, pack[name].shape)
                continue
            theirs = numpy.concatenate(values)
            assert theirs.shape == pack[name].shape and pack[name].dtype == numpy.float32, (name, theirs.shape, pack[name].shape)
            by_channel = (pack[name] - theirs).reshape(len(theirs), 3, -1) * scale[:, None]
            differences.append(numpy.abs(by_channel).ravel())
    return len(rows), numpy.concatenate(differences)


CASES = [
    ("qwen2.5-vl", read_families.SETTINGS["qwen2.5-vl"]),
    ("qwen2.5-vl", read_families.SETTINGS["qwen2.5-vl"], ORIGINAL),
    ("qwen3-vl", read_families.SETTINGS["qwen3-vl"]),
    ("qwen3-vl", read_families.SETTINGS["qwen3-vl"], ORIGINAL),
    ("internvl", ["max_tiles = 6"]),
    ("llava-1.5", []),
    ("llava-1.5", ["pad = true"]),
    ("llava-next", ["frames = { num_frames = 4 }"]),
    ("llava-onevision", ["frames = { num_frames = 4 }"]),
    ("idefics3", []),
    ("idefics3", ["split = false"]),
    ("smolvlm", ["max_frames = 4"]),
    ("nvila", ["frames = { num_frames = 4 }"]),
    ("longvila", []),
]


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    program, out, cache, *wanted = sys.argv[1:]
    out, cache = pathlib.Path(out).resolve(), pathlib.Path(cache).resolve()
    cache.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    is_different = False
    for number, case in enumerate(CASES):
        family, settings, *more = case
        if wanted and family not in wanted:
            continue
        samples, differences = compare(str(pathlib.Path(program).resolve()), case, out / f"{number}-{family}", cache)
        most, unequal = float(differences.max()), (differences >= 0.5).mean()
        title = " ".join([family, *settings, *more])
        print(f"{title}: {samples} samples, {len(differences)} values, at most {most:.2f} levels apart, {unequal:.4%} by a half or more", flush=True)
        is_exact = family in QWEN or family in LANCZOS and HAS_LANCZOS
        allowed = 0 if is_exact else MOST_OF_PILLOW if family in LANCZOS else MOST_LEVELS
        is_different |= bool(round(most) > allowed or unequal > MOST_UNEQUAL)
    sys.exit(1 if is_different else 0)


if __name__ == "__main__":
    main()
