"""Compares Megatron-Energon's database of a directory of tars with the tars, as Python's `tarfile` reads them.

    energon_database.py DIR     prints the number of samples; needs nothing
"""

import json
import os
import re
import sqlite3
import sys
import tarfile

# How webdataset and Energon divide a name into the key of its sample and the rest.
NAME = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")

directory = sys.argv[1]
with open(os.path.join(directory, ".nv-meta", ".info.json")) as file:
    shards = list(json.load(file)["shard_counts"])
samples, parts = [], []
for number, shard in enumerate(shards):
    keys = []
    with tarfile.open(os.path.join(directory, shard)) as tar:
        for member in tar:
            key, field = NAME.match(member.name).groups()
            if key not in keys:
                keys.append(key)
                samples.append([number, key, len(keys) - 1, member.offset, 0])
            parts.append((number, len(keys) - 1, field, member.offset_data, member.size))
            samples[-1][4] = member.offset_data + (member.size + 511) // 512 * 512 - samples[-1][3]
with sqlite3.connect(os.path.join(directory, ".nv-meta", "index.sqlite")) as database:
    assert list(database.execute("SELECT * FROM samples ORDER BY rowid")) == [tuple(sample) for sample in samples]
    assert list(database.execute("SELECT * FROM sample_parts ORDER BY rowid")) == parts
    indexes = [name for name, in database.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")]
    assert sorted(indexes) == ["idx_sample_parts_full", "idx_sample_parts_seq", "idx_samples_by_tar_and_idx"]
    assert list(database.execute("PRAGMA integrity_check")) == [("ok",)]
print(len(samples))
