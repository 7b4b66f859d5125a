"""Writes needles as pandas has them in Parquet: write_needle_table.py NEEDLES.jsonl TABLE.parquet

Numbers of frames become fractions, because other needles have none. Prints the type of that column.
"""

import sys

import pandas
import pyarrow.parquet

pandas.read_json(sys.argv[1], lines=True).to_parquet(sys.argv[2])
print(pyarrow.parquet.read_schema(sys.argv[2]).field("num_frames").type)
