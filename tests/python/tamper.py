"""Writes copies of a file of a dataset, in each of which one value is another one.

usage: tamper.py FILE DIRECTORY

A Parquet table gets a copy for each field of its columns, a tar one for each field of the JSON of its samples and one for the first image
of each of their pickles, an MDS shard one
for each column of its samples and each field of those that are JSON, whatever fields there are; in lists and in rows, the first value that is not absent is changed. What is JSON within a column is
changed field by field, too. Prints a line of JSON for each copy: the field, and the file.
"""

import io
import json
import pickle
import struct
import sys
import tarfile
from pathlib import Path

import pyarrow
import pyarrow.parquet


def other(value):
    """A value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return value + (b"x" if isinstance(value, bytes) else "x")


def leaves(value, path=()):
    """Every value below a value that has no parts, with its path."""
    if isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    elif value is not None:
        yield path, value


def name(path):
    return ".".join("[]" if isinstance(step, int) else step for step in path)


def changed(value, path):
    """The value with another one at a path. Nothing else is copied."""
    if not path:
        return other(value)
    copy = value.copy()
    copy[path[0]] = changed(value[path[0]], path[1:])
    return copy


def first_leaves(rows):
    """The first value of each field: its name, and its path."""
    found = {}
    for path, _ in leaves(rows):
        found.setdefault(name(path), path)
    return found


def tampered_rows(rows):
    """Copies of rows, each with one value changed, and the name of its field."""
    for field, path in first_leaves(rows).items():
        yield field, changed(rows, path)
    for index, row in enumerate(rows):
        if "metadata" in row:
            metadata = json.loads(row["metadata"])
            for field, path in first_leaves(metadata).items():
                text = json.dumps(changed(metadata, path), separators=(",", ":"))
                yield f"metadata.{field}", rows[:index] + [row | {"metadata": text}] + rows[index + 1 :]


def tamper_parquet(source):
    table = pyarrow.parquet.read_table(source)
    rows = table.to_pylist()
    absent = [column for column in table.column_names if all(row[column] is None for row in rows)]
    for field, copy in tampered_rows(rows):
        yield field, lambda path: write_parquet(copy, table.schema, path)
    for column in absent:
        value = "x" if pyarrow.types.is_string(table.schema.field(column).type) else 1
        yield column, lambda path: write_parquet([rows[0] | {column: value}] + rows[1:], table.schema, path)


def write_parquet(rows, schema, path):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), path)


def tamper_tar(source):
    with tarfile.open(source) as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]
    for index, (member, content) in enumerate(members):
        if member.endswith(".json"):
            sample = json.loads(content)
            for field, path in first_leaves(sample).items():
                text = json.dumps(changed(sample, path), separators=(",", ":")).encode()
                copy = members[:index] + [(member, text)] + members[index + 1 :]
                yield field, lambda path: write_tar(copy, path)
        elif member.endswith((".jpgs", ".videos")):
            for field, path in first_leaves(pickle.loads(content)).items():
                image = pickle.loads(content)
                for step in path:
                    image = image[step]
                # In the middle of its pixels, so that it stays an image.
                at = content.index(image) + len(image) // 2
                changed_bytes = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
                copy = members[:index] + [(member, changed_bytes)] + members[index + 1 :]
                yield f"{Path(member).suffix}{field}", lambda path: write_tar(copy, path)


def write_tar(members, path):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member, content in members:
            header = tarfile.TarInfo(member)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))


def tamper_mds(source):
    """The layout is that of MosaicML Streaming: offsets, then the JSON of the columns, then samples."""
    data = source.read_bytes()
    (num_samples,) = struct.unpack_from("<I", data)
    offsets = struct.unpack_from(f"<{num_samples + 1}I", data, 4)
    head = data[4 + 4 * (num_samples + 1) : offsets[0]]
    columns = json.loads(head)
    names, encodings, sizes = (columns[f"column_{key}"] for key in ("names", "encodings", "sizes"))
    samples = []
    for begin, end in zip(offsets, offsets[1:]):
        num_variable = sizes.count(None)
        lengths = iter(struct.unpack_from(f"<{num_variable}I", data, begin))
        at, values = begin + 4 * num_variable, []
        for size in sizes:
            length = next(lengths) if size is None else size
            values.append(data[at : at + length])
            at += length
        assert at == end
        samples.append(values)

    def write(copy, path):
        bodies = []
        for values in copy:
            lengths = [len(value) for value, size in zip(values, sizes) if size is None]
            bodies.append(struct.pack(f"<{len(lengths)}I", *lengths) + b"".join(values))
        ends = [4 + 4 * (num_samples + 1) + len(head)]
        for body in bodies:
            ends.append(ends[-1] + len(body))
        path.write_bytes(struct.pack(f"<I{len(ends)}I", num_samples, *ends) + head + b"".join(bodies))

    write(samples, check := source.with_name("as-it-is"))
    assert check.read_bytes() == data
    check.unlink()
    # All samples have the same columns.
    for index, values in enumerate(samples[:1]):
        for column, (name, encoding) in enumerate(zip(names, encodings)):
            if encoding == "json":
                value = json.loads(values[column])
                copies = [
                    (f"{name}.{field}", json.dumps(changed(value, path), separators=(",", ":")).encode())
                    for field, path in first_leaves(value).items()
                ]
            elif encoding == "int":
                copies = [(name, struct.pack("<q", struct.unpack("<q", values[column])[0] + 1))]
            else:
                copies = [(name, values[column] + b"x")]
            for field, bytes_of_copy in copies:
                copy = values[:column] + [bytes_of_copy] + values[column + 1 :]
                yield field, lambda path: write(samples[:index] + [copy] + samples[index + 1 :], path)


def main():
    source, target = map(Path, sys.argv[1:])
    target.mkdir()
    tamper = {".tar": tamper_tar, ".mds": tamper_mds}.get(source.suffix, tamper_parquet)
    for number, (field, write) in enumerate(tamper(source)):
        path = target / str(number)
        write(path)
        print(json.dumps({"field": field, "file": str(path)}))


if __name__ == "__main__":
    main()
