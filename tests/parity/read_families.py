#!/usr/bin/env python3
"""Builds small datasets for each model family from the demo's photographs and clips, in the template that is built in and in that
of the processor as a file, and reads them with the processor.

Usage: read_families.py MANYFRAME OUT CACHE [FAMILY...]
For each sample, the processor's chat template and tokenizer have to make exactly the `input_ids` of the sample from its messages
and its media, with the same `mm_token_type_ids` and grids. Where media are delivered at the processor's own size, it is called
with `do_resize=False`, and once more as a trainer who does not know that would: it must not resize them again.
CACHE keeps packages. Needs the packages of requirements.txt, and npm.
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
import pyarrow.parquet  # noqa: E402
import tokenizers  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

import families  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
ANNOTATIONS = ROOT / "pipelines/demo/annotations"
MEDIA = ROOT / ".env/demo"
# The text tokenizer of each family, as far as a package has it; the special tokens of the family are appended.
NPM = {
    "qwen2.5-vl": "qwen3",
    "qwen3-vl": "qwen3",
    "qwen3.5": "qwen3",
    "internvl": "qwen3",
    "llava-onevision": "qwen3",
    "nemotron-3-nano-omni": "qwen3",
    "llava-1.5": "llama2",
    "llava-next": "llama2",
    "idefics3": "llama3",
    "smolvlm": "llama3",
    "granite-4-vision": "qwen3",
}
SETTINGS = {
    "qwen2.5-vl": ["max_pixels = 401408", "video.max_pixels = 50176", "video.min_pixels = 12544", "video.max_frames = 16"],
    "qwen3-vl": ["max_pixels = 262144", "video.max_pixels = 524288", "video.max_frames = 17"],
    "qwen3.5": ["max_pixels = 262144", "video.budget = \"capped\"", "video.max_video_tokens = 64", "video.max_frames = 16"],
    "internvl": ["max_tiles = 6"],
    "llava-onevision": ["frames = { num_frames = 8 }"],
    "nemotron-3-nano-omni": ["min_patches = 64", "max_patches = 1030", "video.frames = { num_frames = 6 }", "video.target_patches = 256"],
    "smolvlm": ["max_frames = 12"],
    "llava-next": ["frames = { num_frames = 4 }"],
}
WITHOUT_VIDEOS = {"llava-1.5", "idefics3", "granite-4-vision"}
DELIVERED_AT_SIZE = {"qwen2.5-vl", "qwen3-vl", "qwen3.5", "nemotron-3-nano-omni"}

PIPELINE = """
name = "parity"
[output]
directory = "{out}"
formats = ["parquet"]
[format]
tokenizer = "{tokenizer}"
max_tokens = 200000
{template}
[model]
family = "{family}"
{settings}
[[source]]
name = "mantis"
kind = "mantis"
annotations = "{annotations}/mantis/train.json"
media = "{media}/mantis/train_images.zip"
max_rejects = "100 %"
[[source]]
name = "llava"
kind = "llava"
annotations = "{annotations}/llava/llava_v1_5_mix665k.json"
media = "{media}"
max_rejects = "100 %"
"""
VIDEOS = """
[[source]]
name = "sharegpt4video"
kind = "sharegpt4video"
annotations = "{annotations}/sharegpt4video/*.json*"
media = ["{media}/sharegpt4video", "{media}"]
max_rejects = "100 %"
"""


def tokenizer_of(family, cache):
    """The path of a tokenizer.json with the tokens of the family."""
    path = cache / "tokenizers" / f"{family}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizers.Tokenizer.from_file(str(families.text_tokenizer(cache, NPM[family])))
    tokenizer.add_special_tokens([tokenizers.AddedToken(token, special=True, normalized=False) for token in families.TOKENS[family]])
    tokenizer.save(str(path))
    return path


def build(manyframe, family, out, tokenizer, template, more=()):
    """The dataset of a family in a template of its own, or in the one that is built in; and all settings of the family. `more` are settings
    outside of `[model]`."""
    out.mkdir(parents=True, exist_ok=True)
    text = PIPELINE + ("" if family in WITHOUT_VIDEOS else VIDEOS)
    values = dict(family=family, out=out / "dataset", tokenizer=tokenizer, template="", annotations=ANNOTATIONS, media=MEDIA)
    if template:
        (out / "chat_template.jinja").write_text(template)
        values["template"] = f'template = {{ jinja = "{out / "chat_template.jinja"}" }}'
    (out / "pipeline.toml").write_text(text.format(settings="\n".join(SETTINGS.get(family, [])), **values))
    more = [argument for setting in more for argument in ("--set", setting)]
    subprocess.run([manyframe, "build", str(out / "pipeline.toml"), "--fresh", "--quiet", *more], check=True, stdout=subprocess.DEVNULL)
    settings = [argument for setting in SETTINGS.get(family, []) for argument in ("--set", setting.replace(" = ", "=", 1))]
    said = subprocess.run([manyframe, "tokens", "--json", "--family", family, *settings, "64x64"], check=True, capture_output=True)
    return json.loads(said.stdout)["settings"]


def rows(dataset):
    for shard in sorted(dataset.glob("parquet/*/*.parquet")):
        yield from pyarrow.parquet.read_table(shard).to_pylist()


def media(row, visuals):
    """The images, or the frames and their metadata, of each visual, in order."""
    images = [Image.open(io.BytesIO(image["bytes"])).convert("RGB") for image in row["images"]]
    for visual in visuals:
        shown = images[visual["first_image"] : visual["first_image"] + visual["num_images"]]
        if visual["kind"] != "video":
            yield "image", shown[0], None
            continue
        frames = visual["model"]["frames"]
        yield "video", numpy.stack([numpy.asarray(frame) for frame in shown]), families.metadata(frames["num_frames"], frames["fps"], frames["taken"])


def conversation(row, visuals, shown):
    """The messages as a chat template takes them: texts, and between them images and videos."""
    told = []
    placed = list(zip(visuals, shown))
    for place, message in enumerate(row["messages"]):
        content, at = [], 0
        for visual, (kind, medium, _) in placed:
            if visual["message"] == place:
                content += [{"type": "text", "text": message["content"][at : visual["start"]]}] if at < visual["start"] else []
                content.append({"type": kind, kind: medium})
                at = visual["end"]
        content += [{"type": "text", "text": message["content"][at:]}] if at < len(message["content"]) else []
        told.append({"role": message["role"], "content": content})
    return told


def processed(made, family, told, metadata, resize):
    call = dict(do_resize=False) if not resize else {}
    if metadata:
        call |= dict(do_sample_frames=False, video_metadata=metadata[0] if family == "nemotron-3-nano-omni" else metadata)
    if family != "nemotron-3-nano-omni":
        call["return_mm_token_type_ids"] = True
    return made.processor.apply_chat_template(told, tokenize=True, return_dict=True, return_tensors="pt", processor_kwargs=call)


def differences(row, out):
    """What a processor makes otherwise than the sample says."""
    ids = out["input_ids"][0].tolist()
    if ids != row["input_ids"]:
        at = next((at for at, pair in enumerate(zip(ids, row["input_ids"])) if pair[0] != pair[1]), min(len(ids), len(row["input_ids"])))
        yield f"{len(ids)} ids, {len(row['input_ids'])} in the sample, unequal from {at} on: {ids[at:at + 8]}, {row['input_ids'][at:at + 8]}"
    if len(ids) != row["num_tokens"]:
        yield f"{len(ids)} tokens, {row['num_tokens']} in the sample"
    for key in ("image_grid_thw", "video_grid_thw"):
        stated = row.get(key) or []
        if key in out and out[key].flatten().tolist() != numpy.asarray(stated).flatten().tolist():
            yield f"{key} {out[key].tolist()}, {stated} in the sample"
    if "mm_token_type_ids" in out and out["mm_token_type_ids"][0].tolist() != row["mm_token_type_ids"]:
        yield "other mm_token_type_ids"


def compare(manyframe, family, out, cache, is_built_in):
    """The number of samples and of videos, and what differs."""
    tokenizer, template = tokenizer_of(family, cache), families.template(family, cache)
    model = build(manyframe, family, out, tokenizer, None if is_built_in else template)
    made = families.make(model, families.tokenizer(tokenizer, family), template)
    num_samples, num_videos, faults = 0, 0, []
    for row in rows(out / "dataset"):
        visuals = json.loads(row["metadata"])["visuals"]
        shown = list(media(row, visuals))
        metadata = [metadata for kind, _, metadata in shown if kind == "video"]
        is_at_size = family in DELIVERED_AT_SIZE
        # Once as the sample is to be read, and once more by a trainer that lets the processor resize.
        again = not is_at_size or not any(visual["model"].get("resizes_again") for visual in visuals)
        for resize in [False, True] if is_at_size and again else [not is_at_size]:
            try:
                told = processed(made, family, conversation(row, visuals, shown), metadata, resize)
                faults += [f"{row['id']}, do_resize={resize}: {difference}" for difference in differences(row, told)]
            except Exception as error:  # noqa: BLE001 the processor refuses what was delivered
                faults.append(f"{row['id']}, do_resize={resize}: {type(error).__name__}: {error}")
        num_samples += 1
        num_videos += len(metadata)
    return num_samples, num_videos, faults


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    manyframe, out, cache, *wanted = sys.argv[1:]
    out, cache = pathlib.Path(out).resolve(), pathlib.Path(cache).resolve()
    cache.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    is_different = False
    manyframe = str(pathlib.Path(manyframe).resolve())
    for family, form in [(family, form) for family in wanted or families.TEMPLATES for form in ("built-in", "jinja")]:
        if form == "built-in" and family in families.WITHOUT_BUILT_IN:
            continue
        num_samples, num_videos, faults = compare(manyframe, family, out / family / form, cache, form == "built-in")
        print(f"{family}, {form} template: {num_samples} samples with {num_videos} videos, {len(faults)} differences", flush=True)
        for fault in faults[:5]:
            print(f"  {fault}")
        is_different |= bool(faults) or num_samples == 0
    sys.exit(1 if is_different else 0)


if __name__ == "__main__":
    main()
