"""Reads evaluation sets as the loaders of lmms-eval and VLMEvalKit do, and compares them with the dataset.

usage: read_needle_exports.py DATASET LMMS_EVAL VLMEVALKIT

Written after the public loaders; none of their code is used.

* Loaders of VNBench take the file that `video_name` ends with, and know nine `task_type`s.
* VLMEvalKit reads a table of custom multiple choice by pandas, with `index`, `question`, a column for each option, `answer` and `image_path`,
  which is a path or a list as Python writes it. One that is circular has groups of indices that are equal modulo 1,000,000, the least of which
  is below it.

Prints how many questions, frames and images were compared; exits with 1 at the first fault.
"""

import ast
import csv
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

import av
from webdataset_samples import samples_of

TASK_TYPES = {kind + number for kind in ("ret_insert", "cnt_edit", "ord_insert") for number in "12"}
TASK_TYPES |= {"ret_edit1", "cnt_insert1", "ord_edit1"}
LETTERS = "ABCD"


def fail(message: str) -> None:
    sys.exit(f"read_needle_exports: {message}")


def images_of_samples(dataset: Path) -> dict[str, list[bytes]]:
    return {sample["id"]: images for sample, images in samples_of(dataset)}


def read_lmms_eval(directory: Path, lines: list[dict], images: dict) -> int:
    docs = json.loads((directory / "vnbench.json").read_text())
    lines = [line for line in lines if not line["task"].startswith("image_")]
    if [doc["sample"] for doc in docs] != [line["sample"] for line in lines]:
        fail("vnbench.json has other questions than the videos of the dataset")
    num_frames, right, frames_of = 0, Counter(), {}
    for doc, line in zip(docs, lines):
        path = directory / "videos" / doc["video_name"].split("/")[-1]
        if path not in frames_of:
            with av.open(str(path)) as video:
                stream = video.streams.video[0]
                rate = stream.average_rate
                packets = [bytes(packet) for packet in video.demux(stream) if packet.size]
            with av.open(str(path)) as video:
                decoded = sum(1 for _ in video.decode(video=0))
            frames_of[path] = packets
            num_frames += decoded
            if decoded != line["num_shown"] or not 0.1 < rate < 100:
                fail(f"{path} has {decoded} frames at {rate} a second, {line['num_shown']} are shown")
        if [packet.rstrip(b"\0") for packet in frames_of[path]] != [image.rstrip(b"\0") for image in images[doc["sample"]]]:
            fail(f"{path} has other frames than its sample")
        options = dict(text.split(". ", 1) for text in doc["question"].split("\n")[1:])
        if doc["task_type"] not in TASK_TYPES or options[doc["answer"]] != line["answer_text"]:
            fail(f"the answer of {doc} is not {line['answer_text']!r}")
        right[path] += doc["answer"] in LETTERS
    if set(right.values()) != {4}:
        fail(f"a video has other numbers of questions than 4: {set(right.values())}")
    return num_frames


def read_vlmevalkit(directory: Path, lines: list[dict], images: dict) -> int:
    with open(directory / "needles_circular.tsv", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    if len(rows) != len(lines):
        fail(f"the table has {len(rows)} questions, expected {len(lines)}")
    groups = defaultdict(set)
    for row, line in zip(rows, lines):
        groups[int(row["index"]) % 1_000_000].add((line["group"], int(row["index"]) // 1_000_000))
    if any({place for _, place in group} != set(range(4)) or len({name for name, _ in group}) > 1 for group in groups.values()):
        fail(f"indices do not group permutations: {dict(groups)}")
    num_images = 0
    for row, line in zip(rows, lines):
        text = row["image_path"]
        paths = ast.literal_eval(text) if text.startswith("[") and text.endswith("]") else [text]
        if [Path(path).read_bytes() for path in paths] != images[line["sample"]]:
            fail(f"the images of {row['index']} are not those of its sample")
        if row["question"] != line["question"] or row[row["answer"]] != line["answer_text"] or row["category"] != line["task"]:
            fail(f"{row} is not {line}")
        num_images += len(paths)
    return num_images


def main() -> None:
    dataset, lmms_eval, vlmevalkit = map(Path, sys.argv[1:])
    lines = [json.loads(line) for line in (dataset / "needles.jsonl").read_text().splitlines()]
    images = images_of_samples(dataset)
    num_frames = read_lmms_eval(lmms_eval, lines, images)
    num_images = read_vlmevalkit(vlmevalkit, lines, images)
    print(f"{len(lines)} questions, {num_frames} frames, {num_images} images")


if __name__ == "__main__":
    main()
