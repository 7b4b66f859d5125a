"""Removes columns of a Parquet file, which an earlier version did not write.

    older.py FILE COLUMN …     needs: pip install pyarrow
"""

import sys

import pyarrow.parquet as pq

path, *columns = sys.argv[1:]
pq.write_table(pq.read_table(path).drop_columns(columns), path)
