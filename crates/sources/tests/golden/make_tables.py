"""Writes the Parquet files beside it, in the schemas in which upstream publishes: `pip install pyarrow`, then run it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
ROLE_LAST = pa.list_(pa.struct([("content", pa.string()), ("role", pa.string())]))
ROLE_FIRST = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
FROM_VALUE = pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def roles(question, answer):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def values(question, answer):
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def write(name, columns):
    table = pa.table({column: pa.array(rows, type=kind) for column, (kind, rows) in columns.items()})
    pq.write_table(table, HERE / f"{name}.parquet", row_group_size=3)


# Mantis-Instruct, with bytes in the table; images are null for text.
write("mantis_bytes", {
    "id": (pa.string(), ["two", "path", "text", "nameless"]),
    "images": (pa.list_(IMAGE), [
        [{"bytes": b"first", "path": "a.png"}, {"bytes": b"second", "path": "b.png"}],
        [{"bytes": None, "path": "c.png"}],
        None,
        [{"bytes": b"third", "path": None}],
    ]),
    "conversation": (ROLE_LAST, [roles("<image> <image> same?", "no"), roles("<image>what?", "it"),
                                 roles("hi", "ho"), roles("what?<image>", "that")]),
    "source": (pa.string(), ["nlvr2", "nlvr2", None, "iconqa"]),
})

# A derived set in which no row has bytes: their type is null.
write("mantis_null", {
    "id": (pa.string(), ["a"]),
    "images": (pa.list_(pa.struct([("path", pa.string()), ("bytes", pa.null())])), [[{"path": "a.png", "bytes": None}]]),
    "conversation": (ROLE_FIRST, [roles("<image>", "it")]),
    "source": (pa.null(), [None]),
})

# LLaVA-NeXT-Data: a single image; null for text.
write("llava_next", {
    "id": (pa.string(), ["1", "2"]),
    "conversations": (FROM_VALUE, [values("<image>\nwhat?", "it"), values("hi", "ho")]),
    "data_source": (pa.string(), ["coco", "sg40k"]),
    "image": (IMAGE, [{"bytes": b"only", "path": "a.jpg"}, None]),
})

# Magpie: a field inside of a struct has the type null.
write("magpie", {
    "uuid": (pa.string(), ["u"]),
    "gen_input_configs": (pa.struct([("temperature", pa.float64()), ("seed", pa.null())]), [{"temperature": 1.0, "seed": None}]),
    "instruction": (pa.string(), ["hi"]),
    "response": (pa.string(), ["ho"]),
    "conversations": (FROM_VALUE, [values("hi", "ho")]),
})

# Bytes without a path: lists of them, and one.
write("binary_lists", {
    "images": (pa.list_(pa.binary()), [[b"x", b"y"], []]),
    "image": (pa.large_binary(), [None, b"z"]),
    "messages": (ROLE_FIRST, [roles("<image><image>", "xy"), roles("<image>", "z")]),
})

# llava-instruct-mix-vsft: parts of turns name images of the list beside them by their index.
PART = pa.struct([("index", pa.int64()), ("text", pa.string()), ("type", pa.string())])


def parts(*names):
    texts = {"A": "first ", "B": " second "}
    return [{"index": name if isinstance(name, int) else None, "text": texts.get(name),
             "type": "image" if isinstance(name, int) else "text"} for name in names]


def asked(*names):
    answer = [{"index": None, "text": "it", "type": "text"}]
    return [{"content": parts(*names), "role": "user"}, {"content": answer, "role": "assistant"}]


TWO = [{"bytes": b"x", "path": None}, {"bytes": b"y", "path": None}]
write("llava_vsft", {
    "messages": (pa.list_(pa.struct([("content", pa.list_(PART)), ("role", pa.string())])),
                 [asked("A", 0, "B", 1), asked("A", 1, "B", 0), asked("A", 1, "B", 1), asked("A", 1, "B", 2)]),
    "images": (pa.list_(IMAGE), [TWO] * 4),
})

# Answers that are numbers; truth values cannot be told from bytes.
write("numbers", {
    "question": (pa.string(), ["many?", "few?"]),
    "answer": (pa.int32(), [3, 0]),
})
write("truths", {
    "question": (pa.string(), ["is it?", "or?"]),
    "answer": (pa.bool_(), [True, False]),
})

# Bytes in a column that no reader knows, beside truth values, which are none.
write("bytes_beside", {
    "question": (pa.string(), ["what?", "hi"]),
    "answer": (pa.string(), ["it", "ho"]),
    "safe": (pa.bool_(), [True, True]),
    "pic": (pa.binary(), [b"x", None]),
})
write("bytes_within", {
    "conversations": (FROM_VALUE, [values("what?", "it"), values("hi", "ho")]),
    "shown": (pa.struct([("seen", pa.bool_()), ("inner", pa.list_(pa.binary()))]),
              [{"seen": None, "inner": [b"x"]}, {"seen": None, "inner": []}]),
})
# Those of a digest or an embedding show nothing.
write("bytes_of_digests", {
    "image": (pa.binary(), [b"x", b"y"]),
    "caption": (pa.string(), ["it", "that"]),
    "sha256": (pa.binary(), [b"0123", None]),
    "image_phash": (pa.binary(), [b"01", None]),
    "clip_embedding": (pa.binary(), [b"0123", None]),
    "mask": (pa.binary(), [None, b"z"]),
})
