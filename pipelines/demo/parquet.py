"""Writes records as the Parquet files of Mantis-Instruct have them, with the standard library alone.

The columns are upstream's: `id: string`, `images: list<struct<bytes: binary, path: string>>`,
`conversation: list<struct<role: string, content: string>>`, `source: string`, all of them nullable. One row group, one
page per column, plain values, no compression; that is all a demo needs, and any Parquet reader reads it.

It is no general Parquet writer, and reads nothing. Layout and field numbers: the Apache Parquet format specification
(`parquet.thrift`), Thrift compact protocol.
"""

import json
import struct
from collections.abc import Iterable
from pathlib import Path

MAGIC = b"PAR1"
BYTE_ARRAY = 6
OPTIONAL, REPEATED = 1, 2
UTF8, LIST = 0, 3
PLAIN, RLE = 0, 3


def mantis_parquet(annotations: Path, images: dict[str, bytes]) -> bytes:
    """A Parquet file of the records in a JSON array, their images embedded by path."""
    rows = json.loads(annotations.read_text())
    for row in rows:
        row["images"] = row["images"] and [{"bytes": images[path], "path": path} for path in row["images"]]
    columns = [
        flat_column("id", [row["id"] for row in rows]),
        list_column("images", "bytes", [row["images"] for row in rows]),
        list_column("images", "path", [row["images"] for row in rows]),
        list_column("conversation", "role", [row["conversation"] for row in rows]),
        list_column("conversation", "content", [row["conversation"] for row in rows]),
        flat_column("source", [row["source"] for row in rows]),
    ]
    body, chunks = bytearray(MAGIC), []
    for path, num_values, page in columns:
        offset = len(body)
        levels = thrift({1: i32(num_values), 2: i32(PLAIN), 3: i32(RLE), 4: i32(RLE)})
        body += thrift({1: i32(0), 2: i32(len(page)), 3: i32(len(page)), 5: (12, levels)}) + page
        size = len(body) - offset
        metadata = {
            1: i32(BYTE_ARRAY),
            2: thrift_list(5, [zigzag(PLAIN), zigzag(RLE)]),
            3: thrift_list(8, [binary(name) for name in path]),
            4: i32(0),
            5: i64(num_values),
            6: i64(size),
            7: i64(size),
            9: i64(offset),
        }
        chunks.append(thrift({2: i64(offset), 3: (12, thrift(metadata))}))
    row_group = thrift({1: thrift_list(12, chunks), 2: i64(len(body) - len(MAGIC)), 3: i64(len(rows))})
    footer = thrift({
        1: i32(1),
        2: thrift_list(12, schema()),
        3: i64(len(rows)),
        4: thrift_list(12, [row_group]),
        6: (8, binary("manyframe demo")),
    })
    return bytes(body) + footer + struct.pack("<I", len(footer)) + MAGIC


def schema() -> list[bytes]:
    def leaf(name: str, converted: int | None = UTF8) -> bytes:
        kind = {} if converted is None else {6: i32(converted)}
        return thrift({1: i32(BYTE_ARRAY), 3: i32(OPTIONAL), 4: (8, binary(name))} | kind)

    def group(name: str, repetition: int, num_children: int, converted: int | None = None) -> bytes:
        kind = {} if converted is None else {6: i32(converted)}
        return thrift({3: i32(repetition), 4: (8, binary(name)), 5: i32(num_children)} | kind)

    def list_of(name: str, *leaves: bytes) -> list[bytes]:
        outer = [group(name, OPTIONAL, 1, LIST), group("list", REPEATED, 1)]
        return [*outer, group("element", OPTIONAL, len(leaves)), *leaves]

    return [
        thrift({4: (8, binary("schema")), 5: i32(4)}),
        leaf("id"),
        *list_of("images", leaf("bytes", None), leaf("path")),
        *list_of("conversation", leaf("role"), leaf("content")),
        leaf("source"),
    ]


def flat_column(name: str, values: list[str | None]) -> tuple[list[str], int, bytes]:
    levels = level_runs([int(value is not None) for value in values], 1)
    return [name], len(values), levels + plain(value for value in values if value is not None)


def list_column(name: str, field: str, lists: list[list[dict] | None]) -> tuple[list[str], int, bytes]:
    """Definition levels: 0 no list, 1 empty list, 3 element without a value, 4 value. Repetition: 1 inside a list."""
    repetition, definition, values = [], [], []
    for elements in lists:
        for index, element in enumerate(elements or [None]):
            repetition.append(int(index > 0))
            if element is None:
                definition.append(0 if elements is None else 1)
            else:
                definition.append(3 if element[field] is None else 4)
                values += [] if element[field] is None else [element[field]]
    page = level_runs(repetition, 1) + level_runs(definition, 3) + plain(values)
    return [name, "list", "element", field], len(definition), page


def plain(values: Iterable[str | bytes]) -> bytes:
    encoded = (value.encode() if isinstance(value, str) else value for value in values)
    return b"".join(struct.pack("<I", len(value)) + value for value in encoded)


def level_runs(levels: list[int], bit_width: int) -> bytes:
    """Levels as runs of equal values, each level in one byte: enough for widths up to eight bits."""
    assert bit_width <= 8
    runs = bytearray()
    for start, level in enumerate(levels):
        if start == 0 or level != levels[start - 1]:
            end = next((i for i in range(start, len(levels)) if levels[i] != level), len(levels))
            runs += varint((end - start) << 1) + bytes([level])
    return struct.pack("<I", len(runs)) + bytes(runs)


# Thrift compact protocol: a field is (type, bytes); types 5 i32, 6 i64, 8 binary, 9 list, 12 struct.


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def zigzag(number: int) -> bytes:
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def i32(number: int) -> tuple[int, bytes]:
    return 5, zigzag(number)


def i64(number: int) -> tuple[int, bytes]:
    return 6, zigzag(number)


def binary(text: str) -> bytes:
    return varint(len(text.encode())) + text.encode()


def thrift_list(kind: int, elements: list[bytes]) -> tuple[int, bytes]:
    size = bytes([len(elements) << 4 | kind]) if len(elements) < 15 else bytes([0xF0 | kind]) + varint(len(elements))
    return 9, size + b"".join(elements)


def thrift(fields: dict[int, tuple[int, bytes]]) -> bytes:
    out, last = bytearray(), 0
    for number, (kind, value) in sorted(fields.items()):
        out += bytes([(number - last) << 4 | kind]) + value
        last = number
    return bytes(out) + b"\0"
