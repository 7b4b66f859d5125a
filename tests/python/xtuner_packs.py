"""Reads exported packs with XTuner's own classes, and compares the tokens that it trains on with those of the dataset.

usage: xtuner_packs.py REPOSITORY EXPORT DATASET TOKENIZER MAX_TOKENS

REPOSITORY is a checkout of github.com/InternLM/xtuner. Of its code, what reads a file of records, tokenizes them by its template
`qwen3` and packs them by a given table is run; packages that it imports besides are stand-ins (logs, command line, clusters).
DATASET is of texts, with Parquet shards, packs of at most MAX_TOKENS tokens and `template = "chatml"`, which makes the same tokens.

Prints one line of JSON with counts; exits with 1 at the first pack that differs. Needs: pip install numpy pyarrow torch transformers xxhash
"""

import glob
import json
import os
import sys
import types
from pathlib import Path
from unittest.mock import MagicMock

import pyarrow.parquet
import transformers


def preset_packs(repository: Path, export: str, tokenizer: str, max_tokens: int):
    """XTuner's packs, each a list of samples."""
    sys.path.insert(0, str(repository))
    for name in ("addict", "cyclopts", "loguru", "mmengine", "mmengine.dist", "ray"):
        sys.modules[name] = MagicMock()
    # These packages import models and engines.
    for name in ("xtuner.v1", "xtuner.v1.datasets"):
        package = types.ModuleType(name)
        package.__path__ = [str(repository / name.replace(".", "/"))]
        sys.modules[name] = package
    from xtuner.v1.datasets.jsonl import JsonlDataset
    from xtuner.v1.datasets.preset_pack import PresetPackDataset
    from xtuner.v1.datasets.sft_tokenize_fn.openai import OpenaiTokenizeFunction

    with open(os.path.join(export, "paths.json")) as file:
        [path] = json.load(file)
    tokenize = OpenaiTokenizeFunction(transformers.PreTrainedTokenizerFast(tokenizer_file=tokenizer), "qwen3", hash="qwen3")
    records = JsonlDataset(path, tokenize_fn=tokenize)
    return PresetPackDataset([records], export, max_tokens, short_pack_strategy="padding")


repository, export, dataset, tokenizer, max_tokens = *sys.argv[1:5], int(sys.argv[5])
rows = {}
for path in glob.glob(os.path.join(dataset, "parquet", "*", "*.parquet")):
    rows |= {row["id"]: row for row in pyarrow.parquet.read_table(path).to_pylist()}
with open(os.path.join(dataset, "manifest.json")) as file:
    index = json.load(file)["pack"]["path"]
expected = pyarrow.parquet.read_table(os.path.join(dataset, index)).to_pylist()
packs = preset_packs(Path(repository), export, tokenizer, max_tokens)
assert len(packs) == len(expected), (len(packs), len(expected))
num_samples = num_tokens = 0
for number, pack in enumerate(expected):
    *samples, padding = [*packs[number], {"num_tokens": 0}]
    if num := max_tokens - sum(len(rows[key]["input_ids"]) for key in pack["samples"]):
        padding = samples.pop()
        assert padding["num_tokens"] == num and set(padding["labels"]) == {-100}, padding
    assert len(samples) == len(pack["samples"]), (number, len(samples))
    for key, sample in zip(pack["samples"], samples):
        assert sample["input_ids"] == rows[key]["input_ids"], (key, sample["input_ids"], rows[key]["input_ids"])
        assert sample["labels"] == rows[key]["labels"], (key, sample["labels"], rows[key]["labels"])
        num_samples, num_tokens = num_samples + 1, num_tokens + sample["num_tokens"]
print(json.dumps({"num_packs": len(packs), "num_samples": num_samples, "num_tokens": num_tokens}))
