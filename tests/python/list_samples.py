"""Lists the samples of a dataset as a reader of its users gives them: one line of JSON each, with id, texts, and SHA-256 of images.

    list_samples.py webdataset DIR        needs: pip install webdataset
    list_samples.py hugging_face DIR      needs: pip install datasets pillow
    list_samples.py streaming DIR         the same, without a copy in a cache

DIR is a dataset that manyframe built. Readers get what their users give them, and nothing more.
"""

import glob
import hashlib
import json
import os
import sys
import tempfile


def show(key, texts, images):
    """A sample; `images` are encoded."""
    print(json.dumps({"id": key, "texts": texts, "images": [hashlib.sha256(image).hexdigest() for image in images]}))


def webdataset(folder):
    from webdataset import WebDataset

    paths = sorted(glob.glob(os.path.join(folder, "webdataset", "*", "*.tar")))
    for sample in WebDataset(paths, shardshuffle=False, empty_check=False):
        fields = json.loads(sample["json"])
        show(sample["__key__"], [turn["value"] for turn in fields["conversations"]], [sample[n] for n in fields["images"]])


def load(folder, **options):
    """A dataset as `datasets` loads it by the data card, its images left encoded."""
    import datasets

    dataset = datasets.load_dataset(folder, split="train", **options)
    # As it would be used, once: images are decoded.
    first = next(iter(dataset))
    assert first is not None
    for name, feature in dataset.features.items():
        if isinstance(feature, datasets.Image):
            assert first[name] is None or min(first[name].size) > 0
            dataset = dataset.cast_column(name, datasets.Image(decode=False))
    if "images" in dataset.features:
        dataset = dataset.cast_column("images", datasets.List(datasets.Image(decode=False)))
    return dataset


def show_row(row):
    if "json" in row:
        fields = row["json"]
        encoded = [row[name] for name in fields["images"]]
        others = {name for name, value in row.items() if value is not None} - set(fields["images"]) - set(fields["videos"] or [])
        assert others == {"json", "__key__", "__url__"}, others
        assert len(fields["image_sizes"]) == len(encoded) and fields["id"] == row["__key__"]
        texts = [turn["value"] for turn in fields["conversations"]]
    else:
        fields, encoded = row, row["images"]
        texts = [message["content"] for message in row["messages"]]
    show(fields["id"], texts, [image["bytes"] for image in encoded])


def hugging_face(folder):
    with tempfile.TemporaryDirectory() as cache:
        for row in load(folder, cache_dir=cache):
            show_row(row)


def streaming(folder):
    for row in load(folder, streaming=True):
        show_row(row)


READERS = {reader.__name__: reader for reader in (webdataset, hugging_face, streaming)}

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in READERS:
        sys.exit(__doc__)
    READERS[sys.argv[1]](sys.argv[2])
