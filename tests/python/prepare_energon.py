"""Lets Energon prepare a copy of a directory of tars, and compares every file with those of manyframe.

    prepare_energon.py DIR COPY     needs: pip install megatron-energon

Exits with 1 at the first file that differs. `index.uuid` is random there; of `index.sqlite`, if manyframe wrote one, definitions
and rows are compared.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import uuid

directory, copy = sys.argv[1:]


def files(root):
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, root)] = file.read()
    return found


ours = files(directory)
for name, content in ours.items():
    if name.endswith(".tar"):
        path = os.path.join(copy, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
os.makedirs(os.path.join(copy, ".nv-meta"))
shutil.copy(os.path.join(directory, ".nv-meta", "dataset.yaml"), os.path.join(copy, ".nv-meta", "dataset.yaml"))
energon = os.path.join(os.path.dirname(sys.executable), "energon")
command = [energon, "prepare", copy, "--non-interactive", "--split-parts", "train:.*", "--skip-dataset-yaml", "--num-workers", "1"]
subprocess.run(command, check=True, stdout=sys.stderr)
def rows(folder):
    """The definitions of a database, and the rows of its tables."""
    with sqlite3.connect(os.path.join(folder, ".nv-meta", "index.sqlite")) as database:
        definitions = {name: " ".join(sql.split()).replace("IF NOT EXISTS ", "") for name, sql in database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")}
        assert definitions["samples"] and definitions["sample_parts"]
        return definitions, {table: sorted(database.execute(f"SELECT * FROM {table}")) for table in ("samples", "sample_parts")}


if os.path.exists(os.path.join(directory, ".nv-meta", "index.sqlite")) and rows(directory) != rows(copy):
    sys.exit(f"{directory}: index.sqlite is other than what Energon prepares: {rows(directory)}, {rows(copy)}")
theirs = files(copy)
for name in [name for name in theirs if name.startswith(".nv-meta/index.")]:
    theirs.pop(name)
ours.pop(".nv-meta/index.sqlite", None)
uuid.UUID(ours.pop(".nv-meta/index.uuid").decode(), version=4)
if ours != theirs:
    differ = [name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)]
    sys.exit(f"{directory}: other than what Energon prepares: {sorted(differ)}")
print(len(ours))
