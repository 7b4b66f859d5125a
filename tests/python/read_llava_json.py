"""Reads an export the way LLaVA's trainers do, up to the point where pixels become tensors.

    read_llava_json.py longllava  DIR     started in DIR, as LongLLaVA must be
    read_llava_json.py llava_next DIR
    read_llava_json.py llava      DIR     records with several images are skipped: LLaVA-1.5 cannot read them

What each loader does with `image` and with the turns is written down here once more; none of their code is used.
Prints one line of JSON with counts; exits with 1 at the first record that would not be read, or that has more or fewer
placeholders than images.
"""

import json
import os
import sys

from PIL import Image

PLACEHOLDER = "<image>"


def longllava(record):
    # There is no image folder; a string would be taken for a list of letters.
    assert isinstance(record["image"], list)
    return [Image.open(path) for path in record["image"]]


def llava_next(record):
    files = record["image"] if type(record["image"]) is list else [record["image"]]
    return [Image.open(os.path.join(FOLDER, file)) for file in files]


def llava(record):
    return [Image.open(os.path.join(FOLDER, record["image"]))]


def check_turns(turns):
    """Questions and answers in turn, none of them empty; no other speaker is known."""
    assert [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2) and turns, turns
    assert all(turn["value"] for turn in turns), turns
    assert not any(PLACEHOLDER in turn["value"] for turn in turns[1::2]), turns


kind, FOLDER = sys.argv[1], sys.argv[2]
load = {"longllava": longllava, "llava_next": llava_next, "llava": llava}[kind]
if kind == "longllava":
    os.chdir(FOLDER)
records = json.load(open(os.path.join(FOLDER, "data.json"), "r"))
counts = {"num_records": 0, "num_images": 0, "num_skipped": 0, "num_text_only": 0}
for record in records:
    check_turns(record["conversations"])
    num_placeholders = sum(turn["value"].count(PLACEHOLDER) for turn in record["conversations"])
    if kind == "llava" and num_placeholders > 1:
        counts["num_skipped"] += 1
        continue
    images = [image.convert("RGB") for image in load(record)] if "image" in record else []
    if len(images) != num_placeholders:
        sys.exit(f"record {record['id']}: {num_placeholders} placeholders for {len(images)} images")
    counts["num_records"] += 1
    counts["num_images"] += len(images)
    counts["num_text_only"] += "image" not in record
if len({record["id"] for record in records}) != len(records):
    sys.exit("ids repeat")
print(json.dumps(counts))
