"""Reads evaluation sets as the loaders of lmms-eval and VNBench do, and compares them with the dataset: read_needle_exports.py DATASET LMMS_EVAL

Written after the public loaders; none of their code is used. Loaders of VNBench take the file that `video_name` ends with. Their scoring knows
nine `task_type`s, counts the right answers of each video, and takes four for a right one.

Prints how many questions and frames were compared, and how many videos VNBench's scoring finds right of each type; exits with 1 at the first
fault.
"""

import json
import sys
from collections import Counter
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
    docs = json.loads((directory / "needles.json").read_text())
    if [doc["sample"] for doc in docs] != [line["sample"] for line in lines]:
        fail("needles.json has other questions than the dataset")
    num_frames, frames_of = 0, {}
    for doc, line in zip(docs, lines):
        options = dict(text.split(". ", 1) for text in doc["question"].split("\n")[1:])
        if options[doc["answer"]] != line["answer_text"]:
            fail(f"the answer of {doc} is not {line['answer_text']!r}")
        if line["task"].startswith("image_"):
            if doc["video_name"] or doc["task_type"] or [Path(path).read_bytes() for path in doc["images"]] != images[doc["sample"]]:
                fail(f"{doc} has other images than its sample")
            continue
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
        if doc["task_type"] not in TASK_TYPES or doc["images"]:
            fail(f"{doc} is none of VNBench's")
    return num_frames


def score_as_vnbench(path: Path) -> dict[str, tuple[int, int]]:
    """Of each type, how many videos are right if every answer is, and how many there are."""
    videos: dict[str, tuple[str, int]] = {}
    for doc in json.loads(path.read_text()):
        kind, num_right = videos.get(doc["video_name"].split("/")[-1], (doc["task_type"], 0))
        videos[doc["video_name"].split("/")[-1]] = kind, num_right + (doc["answer"] in LETTERS)
    scores = dict.fromkeys(TASK_TYPES, (0, 0))
    for kind, num_right in videos.values():
        scores[kind] = scores[kind][0] + (num_right == 4), scores[kind][1] + 1
    return {kind: score for kind, score in sorted(scores.items()) if score[1]}


def main() -> None:
    dataset, lmms_eval = map(Path, sys.argv[1:])
    lines = [json.loads(line) for line in (dataset / "needles.jsonl").read_text().splitlines()]
    num_frames = read_lmms_eval(lmms_eval, lines, images_of_samples(dataset))
    print(f"{len(lines)} questions, {num_frames} frames")
    for name in ("vnbench.json", "vnbench_both.json"):
        if (lmms_eval / name).is_file():
            scores = [f"{kind} {right}/{number}" for kind, (right, number) in score_as_vnbench(lmms_eval / name).items()]
            print(f"{name}: {', '.join(scores)}")


if __name__ == "__main__":
    main()
