"""Reads an evaluation set as VLMEvalKit does, and compares it with the dataset: read_vlmevalkit.py DATASET VLMEVALKIT

Written after the public loader; none of its code is used. It reads a table of custom multiple choice by pandas, with `index`, `question`, a
column for each option, `answer` and `image_path`, which is a path or a list as Python writes it. An option that pandas takes for a missing value
is not shown. A table that is circular has groups of indices that are equal modulo 1,000,000, the least of which is below it.

Prints how many questions and images were compared; exits with 1 at the first fault.
"""

import ast
import json
import string
import sys
from collections import defaultdict
from pathlib import Path

import pandas
from webdataset_samples import samples_of

# At the end of options that pandas would take for something else.
NO_BREAK_SPACE = "\u00a0"


def fail(message: str) -> None:
    sys.exit(f"read_vlmevalkit: {message}")


def read_table(directory: Path, lines: list[dict], images: dict) -> int:
    table = pandas.read_csv(directory / "needles_circular.tsv", sep="\t")
    rows = [row for _, row in table.iterrows()]
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
        options = {letter: row[letter] for letter in string.ascii_uppercase if letter in row and not pandas.isna(row[letter])}
        expected = {option["letter"]: option["text"] for option in line["options"]}
        if {letter: str(text).removesuffix(NO_BREAK_SPACE) for letter, text in options.items()} != expected:
            fail(f"the options {options} are not {expected}")
        if row["question"] != line["question"] or expected[row["answer"]] != line["answer_text"] or row["category"] != line["task"]:
            fail(f"{row} is not {line}")
        num_images += len(paths)
    return num_images


def main() -> None:
    dataset, directory = map(Path, sys.argv[1:])
    lines = [json.loads(line) for line in (dataset / "needles.jsonl").read_text().splitlines()]
    images = {sample["id"]: images for sample, images in samples_of(dataset)}
    print(f"{len(lines)} questions, {read_table(directory, lines, images)} images")


if __name__ == "__main__":
    main()
