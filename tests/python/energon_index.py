"""Writes what Megatron-Energon needs to know of a directory of tars, read with Python's `tarfile`: a line of JSON.

    energon_index.py DIR     prints {"SHARD": [first byte of each sample, …, end of the last]}
"""

import glob
import json
import os
import re
import sys
import tarfile

# How webdataset and Energon divide a name into the key of its sample and the rest.
NAME = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")

index = {}
for path in sorted(glob.glob(os.path.join(sys.argv[1], "*", "*.tar"))):
    offsets, last = [], None
    with tarfile.open(path) as tar:
        for member in tar:
            key, _ = NAME.match(member.name).groups()
            if key != last:
                offsets.append(member.offset)
                last = key
            end = member.offset_data + (member.size + 511) // 512 * 512
    index[os.path.relpath(path, sys.argv[1])] = [*offsets, end]
print(json.dumps(index))
