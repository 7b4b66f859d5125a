"""A plan over an index in Python, pyarrow and numpy: plan.py INDEX_DIRECTORY OUTPUT_DIRECTORY TAKE SEED

What a careful user would write over the very index files that manyframe reads: filter by length, leave out rows whose content
is there already, draw by hashed rank, shuffle by hashed rank, cut into shards, and write the decision about every record
(Parquet) and the list of each shard's samples (JSON lines).
"""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SHARD = 10_000


def mixed(values, seed):
    """SplitMix64 of each value."""
    z = values ^ np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def main():
    index, output, take, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    files = sorted(file for file in index.glob("*.parquet") if not file.name.endswith(".media.parquet"))
    tables = [pq.read_table(file) for file in files]
    source = np.repeat(np.arange(len(files)), [len(table) for table in tables])
    table = pa.concat_tables(tables)
    ids = np.frombuffer(b"".join(table["id"].to_pylist()), dtype=np.uint64)[::2]
    tokens = table["text_tokens"].to_numpy() + table["visual_tokens"].to_numpy()
    decision = np.full(len(table), "not_drawn", dtype=object)
    fits = tokens <= 40_960
    decision[~fits] = "too_long"
    _, first = np.unique(table["signature"].to_numpy(), return_index=True)
    is_first = np.zeros(len(table), dtype=bool)
    is_first[first] = True
    decision[fits & ~is_first] = "duplicate"
    eligible = np.flatnonzero(fits & is_first)
    rank = mixed(ids, seed)
    drawn = []
    for number in range(len(files)):
        rows = eligible[source[eligible] == number]
        drawn.append(rows if len(rows) <= take else rows[np.argpartition(rank[rows], take)[:take]])
    drawn = np.concatenate(drawn)
    decision[drawn] = "drawn"
    ordered = drawn[np.argsort(mixed(ids[drawn], seed + 1))]
    output.mkdir(parents=True, exist_ok=True)
    columns = ["id", "subset", "upstream_id", "file", "line", "offset", "num_bytes", "row", "text_tokens", "visual_tokens", "num_images"]
    records = table.select(columns).append_column("decision", pa.array(decision)).append_column("source", pa.array(source))
    pq.write_table(records, output / "records.parquet", compression="zstd")
    place = table.select(["id", "file", "line", "offset", "num_bytes", "text_tokens", "visual_tokens"])
    for task, start in enumerate(range(0, len(ordered), SHARD)):
        rows = place.take(ordered[start : start + SHARD]).to_pylist()
        with (output / f"{task:06}.jsonl").open("w") as file:
            for row in rows:
                row["id"] = row["id"].hex()
                file.write(json.dumps(row) + "\n")
    print(len(ordered), int(tokens[ordered].sum()))


main()
