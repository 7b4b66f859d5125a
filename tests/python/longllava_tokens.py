"""Makes ids and labels from exported records as LongLLaVA's own dataset class does, and compares them with those of the
Parquet shards that the records were exported from.

usage: longllava_tokens.py TOKENIZER EXPORT DATASET

Written from the description of that class; none of its code is used: a record with images loses the white space at both
ends of every turn that contains `<image>` (Python's `str.strip`). What the template and the labels are is written down in
`reference_tokens.py`.

Prints how many records were compared and how many differ; exits with 1 if one does.
"""

import json
import sys
from pathlib import Path

import pyarrow.parquet
from reference_tokens import IMAGE, reference, sentencepiece_model, tokenizer_json

ROLES = {"human": "user", "gpt": "assistant"}


def messages(record: dict) -> list[dict]:
    """The turns as the class writes them into its template."""
    turns = []
    for turn in record["conversations"]:
        text = turn["value"]
        if "image" in record and IMAGE in text:
            text = text.strip()
        turns.append({"role": ROLES[turn["from"]], "content": text})
    return turns


def main() -> None:
    tokenizer, export, dataset = sys.argv[1:]
    encode = tokenizer_json(tokenizer) if tokenizer.endswith(".json") else sentencepiece_model(tokenizer)
    stored = {}
    for shard in sorted(Path(dataset).glob("parquet/*/*.parquet")):
        for row in pyarrow.parquet.read_table(shard, columns=["id", "input_ids", "labels"]).to_pylist():
            stored[row["id"]] = row["input_ids"], row["labels"]
    records = json.loads((Path(export) / "data.json").read_text())
    differ = [record["id"] for record in records if reference(messages(record), encode) != stored[record["id"]]]
    for record in differ:
        print(f"record {record} differs")
    print(f"{len(records)} records, {len(differ)} differ")
    sys.exit(bool(differ))


if __name__ == "__main__":
    main()
