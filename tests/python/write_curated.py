"""Writes interleaved documents as NeMo Curator does, with its schema (`nemo_curator/tasks/interleaved.py`, version 26.04).

    write_curated.py FILE IMAGE IMAGE IMAGE       needs: pip install pyarrow
"""

import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("modality", pa.string(), nullable=False),
        pa.field("content_type", pa.string()),
        pa.field("text_content", pa.string()),
        pa.field("binary_content", pa.large_binary()),
        pa.field("source_ref", pa.string()),
        pa.field("materialize_error", pa.string()),
        pa.field("quality", pa.float64()),
    ]
)


def main():
    path, images = sys.argv[1], [open(name, "rb").read() for name in sys.argv[2:]]
    rows = []

    def add(sample, position, modality, text=None, image=None, quality=None):
        content_type = {"text": "text/plain", "image": "image/jpeg", "metadata": "application/json"}[modality]
        reference = json.dumps({"path": "shard-0.tar", "member": f"{sample}.{position}", "byte_offset": 512, "byte_size": 9})
        rows.append(
            {
                "sample_id": sample,
                "position": position,
                "modality": modality,
                "content_type": content_type,
                "text_content": text,
                "binary_content": image,
                "source_ref": reference,
                "materialize_error": None,
                "quality": quality,
            }
        )

    add("doc-1", -1, "metadata", quality=0.9)
    add("doc-1", 0, "text", "Once.")
    # Rows of a document may be in any order.
    add("doc-1", 4, "image", image=images[1])
    add("doc-1", 1, "image", image=images[0])
    add("doc-1", 2, "text", "Then.")
    add("doc-1", 3, "text", "Later.")
    add("doc-2", 0, "image", image=images[2], quality=0.8)
    add("doc-2", 1, "text", "A boat.")
    add("doc-3", 0, "text", "Only text.", quality=0.1)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path, row_group_size=4)


main()
