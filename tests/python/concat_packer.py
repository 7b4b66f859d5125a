"""Packs an export as LongLLaVA's released packer does, and prints what that loses.

usage: concat_packer.py TOKENIZER EXPORT DATASET LIMIT SEQUENCE

Written from the description of that packer; none of its code is used. Records come in the order of delivery. A record's
length is, for each of its turns, the text without `<image>`, tokenized with the start token that Jamba's tokenizer adds,
and 144 for each image of the record. A record that does not fit into the open pack closes it and is dropped; a pack
without an image is discarded; a trainer keeps SEQUENCE tokens of a pack. Tokens that are lost are those of the dataset.
"""

import json
import sys
from pathlib import Path

import pyarrow.parquet
from reference_tokens import sentencepiece_model, tokenizer_json

tokenizer, export, dataset, limit, sequence = sys.argv[1:]
limit, sequence = int(limit), int(sequence)
encode = tokenizer_json(tokenizer) if tokenizer.endswith(".json") else sentencepiece_model(tokenizer)
ledger = pyarrow.parquet.read_table(Path(dataset) / "ledger.parquet", columns=["id", "position", "num_tokens"]).to_pylist()
rows = {row["id"]: row for row in ledger}
records = json.loads((Path(export) / "data.json").read_text())
records.sort(key=lambda record: rows[record["id"]]["position"])

lost = {"samples": 0, "tokens": 0}
num_packs, pack, length = 0, [], 0


def lose(tokens, samples=1):
    lost["samples"] += samples
    lost["tokens"] += tokens


def close():
    global num_packs, pack, length
    if any(num_images for _, num_images in pack):
        num_packs += 1
        left = sequence
        for tokens, _ in pack:
            kept = min(tokens, left)
            left -= kept
            if kept < tokens:
                lose(tokens - kept, samples=int(kept == 0))
    else:
        for tokens, _ in pack:
            lose(tokens)
    pack, length = [], 0


for record in records:
    num_images = len(record.get("image", []))
    texts = [turn["value"].replace("<image>", "") for turn in record["conversations"]]
    counted = sum(1 + len(encode(text)) + 144 * num_images for text in texts)
    tokens = rows[record["id"]]["num_tokens"]
    if length + counted > limit:
        close()
        lose(tokens)
    else:
        pack.append((tokens, num_images))
        length += counted
close()
print(json.dumps({"num_packs": num_packs, **lost}))
