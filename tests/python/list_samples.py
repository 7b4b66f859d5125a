"""Lists the samples of a dataset as a reader of its users gives them: one line of JSON each, with id, texts, and SHA-256 of images.

    list_samples.py webdataset DIR           needs: pip install webdataset
    list_samples.py energon_chatml|vila DIR  the same, and what their own readers do with members, once more
    list_samples.py mds DIR                  MDS by its description; needs nothing
    list_samples.py hugging_face DIR         needs: pip install datasets pillow
    list_samples.py streaming DIR            the same, without a copy in a cache
    list_samples.py mlcroissant DIR          needs: pip install mlcroissant pillow pyarrow
    list_samples.py energon DIR              needs: pip install megatron-energon
    list_samples.py megatron_bridge DIR      and one module of megatron-bridge
    list_samples.py streaming_dataset DIR    needs: pip install mosaicml-streaming
    list_samples.py wids DIR                 needs: pip install webdataset==0.2.111 torch

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


def hugging_face(folder, **options):
    # Nothing is shared with readers that run at the same time.
    with tempfile.TemporaryDirectory() as home:
        os.environ["HF_HOME"] = os.environ["HF_DATASETS_CACHE"] = home
        for row in load(folder, **options):
            show_row(row)


def streaming(folder):
    hugging_face(folder, streaming=True)


def mlcroissant(folder):
    # Tars are extracted into a cache by their path in the dataset: the next dataset would be given those of this one.
    with tempfile.TemporaryDirectory() as cache:
        os.environ["CROISSANT_CACHE"] = cache
        show_croissant(folder)


def show_croissant(folder):
    import mlcroissant as croissant

    dataset = croissant.Dataset(jsonld=os.path.join(folder, "croissant.json"))
    for record in dataset.records(record_set="samples"):
        if "samples/json" in record:
            fields = json.loads(record["samples/json"])
            assert record["samples/id"].decode() == fields["id"]
            # Of tars, a record is the JSON of a sample.
            show(fields["id"], own_texts(fields), [])
        else:
            texts = [message["samples/messages/content"].decode() for message in record["samples/messages"] or []]
            images = [image.fp.getvalue() for image in record["samples/images"] or []]
            show(record["samples/id"].decode(), texts, images)


def own_texts(fields):
    """The conversation as the dataset has it, of a JSON whose conversation is written for a trainer."""
    return [turn["value"] for turn in fields.get("original", fields["conversations"])]


def read_chatml(folder):
    """Key, JSON, images and videos of the samples for Megatron-Bridge."""
    import pickle

    from webdataset import WebDataset

    paths = sorted(glob.glob(os.path.join(folder, "energon_chatml", "*", "*.tar")))
    for sample in WebDataset(paths, shardshuffle=False, empty_check=False):
        yield sample["__key__"], json.loads(sample["json"]), pickle.loads(sample["jpgs"]), pickle.loads(sample["videos"])


def energon_chatml(folder):
    for sample in read_chatml(folder):
        show_chatml(*sample)


def show_chatml(key, fields, images, videos):
    text = "".join(turn["value"] for turn in fields["conversations"])
    assert text.count("<image>") == len(images) and text.count("<video>") == len(videos), text
    images, videos = iter(images), iter(videos)
    shown = []
    for visual in fields["visuals"]:
        shown += next(videos) if visual["kind"] == "video" else [next(images) for _ in range(visual["num_images"])]
    assert next(images, None) is None and next(videos, None) is None
    show(key, own_texts(fields), shown)


def vila(folder):
    from webdataset import WebDataset

    paths = sorted(glob.glob(os.path.join(folder, "vila", "*", "*.tar")))
    with open(os.path.join(folder, "vila", "wids-meta.json")) as file:
        shards = json.load(file)["shardlist"]
    listed = {os.path.join(folder, "vila", shard["url"]): shard["filesize"] for shard in shards}
    assert listed == {path: os.path.getsize(path) for path in paths}
    samples = list(WebDataset(paths, shardshuffle=False, empty_check=False))
    assert sum(shard["nsamples"] for shard in shards) == len(samples)
    for sample in samples:
        show_vila(sample["__key__"], json.loads(sample["json"]), {name: sample[name] for name in sample if name.endswith("img")})


def show_vila(key, fields, members):
    """As VILA's EagleWDSDataset takes a sample: `img`, or `1.img`, `2.img` … up to the first that is missing."""
    text = "".join(turn["value"] for turn in fields["conversations"])
    if "img" in members:
        images = [members["img"]]
        assert text.count("<image>") == 1, text
    else:
        images = []
        while f"{len(images) + 1}.img" in members:
            images.append(members[f"{len(images) + 1}.img"])
            assert text.count(f"<image-{len(images)}>") == 1, text
        assert "<image>" not in text, text
    assert len(images) == len(members)
    show(key, own_texts(fields), images)


def mds(folder):
    """MDS by its description alone."""
    import struct

    folder = os.path.join(folder, "mds")
    with open(os.path.join(folder, "index.json")) as file:
        index = json.load(file)
    for shard in index["shards"]:
        with open(os.path.join(folder, shard["raw_data"]["basename"]), "rb") as file:
            data = file.read()
        assert len(data) == shard["raw_data"]["bytes"]
        assert hashlib.sha256(data).hexdigest() == shard["raw_data"]["hashes"]["sha256"]
        number, = struct.unpack_from("<I", data)
        offsets = struct.unpack_from(f"<{number + 1}I", data, 4)
        assert number == shard["samples"] and offsets[-1] == len(data)
        head = json.loads(data[4 * (number + 2) : offsets[0]])
        assert head.items() <= shard.items()
        for start, end in zip(offsets, offsets[1:]):
            row, sizes = {}, []
            for size in shard["column_sizes"]:
                sizes.append(size or struct.unpack_from("<I", data, start)[0])
                start += 0 if size else 4
            for name, encoding, size in zip(shard["column_names"], shard["column_encodings"], sizes):
                value, start = data[start : start + size], start + size
                row[name] = DECODERS[encoding](value)
            assert start == end
            show(row["id"], [turn["value"] for turn in row["conversations"]], row["images"])


def image_list(data):
    import struct

    zero, number = struct.unpack_from("<2I", data)
    assert zero == 0
    sizes = struct.unpack_from(f"<{number}I", data, 8)
    images, start = [], 8 + 4 * number
    for size in sizes:
        images.append(data[start : start + size])
        start += size
    assert start == len(data)
    return images


DECODERS = {"json": json.loads, "str": bytes.decode, "int": lambda data: int.from_bytes(data, "little"), "list[jpeg]": image_list}


def loaded(folder, encoder):
    """The samples of a prepared dataset, as Energon's loader gives them."""
    from megatron.energon import WorkerConfig, get_savable_loader, get_train_dataset

    dataset = get_train_dataset(
        folder, batch_size=1, task_encoder=encoder, repeat=False, worker_config=WorkerConfig.default_worker_config(0),
        shuffle_buffer_size=None, max_samples_per_sequence=None,
    )
    for batch in get_savable_loader(dataset):
        yield from batch


def energon(folder):
    from dataclasses import dataclass

    from megatron.energon import Cooker, DefaultTaskEncoder, Sample, basic_sample_keys, stateless

    @dataclass
    class Crude(Sample):
        fields: dict
        images: list

    @stateless
    def cook(sample):
        fields = sample["json"]
        fields = fields if isinstance(fields, dict) else json.loads(fields)
        return Crude(**basic_sample_keys(sample), fields=fields, images=[sample[name] for name in fields["images"]])

    class Encoder(DefaultTaskEncoder):
        decoder = None
        cookers = [Cooker(cook)]

        def batch(self, samples):
            return samples

    for sample in loaded(os.path.join(folder, "webdataset"), Encoder()):
        texts = [turn["value"] for turn in sample.fields["conversations"]]
        show(sample.__key__, texts, [bytes(image) for image in sample.images])


def megatron_bridge(folder):
    """With Megatron-Bridge's own sample loader, which `dataset.yaml` names. It decodes images: their sizes are compared."""
    from megatron.bridge.data.energon.task_encoder_utils import cook_chatml_sample
    from megatron.energon import DefaultTaskEncoder

    class Encoder(DefaultTaskEncoder):
        def batch(self, samples):
            return samples

    stored = {sample[0]: sample for sample in read_chatml(folder)}
    for sample in loaded(os.path.join(folder, "energon_chatml"), Encoder()):
        key, fields, images, videos = stored.pop(sample.__key__)
        cooked = [turn["content"] for turn in cook_chatml_sample(sample.conversation)]
        assert cooked == [turn["value"] for turn in fields["conversations"]], cooked
        decoded = [*sample.imgs, *(frame for video in sample.videos for frame in video)]
        sizes = [(image.shape[2], image.shape[1]) for image in decoded]
        encoded = [*images, *(frame for video in videos for frame in video)]
        assert sizes == [size_of(image) for image in encoded], sizes
        show_chatml(key, fields, images, videos)
    assert not stored


def size_of(image):
    import io

    from PIL import Image

    return Image.open(io.BytesIO(image)).size


def streaming_dataset(folder):
    from streaming import StreamingDataset
    from streaming.base.format.mds import encodings

    # Images as they are stored: `list[jpeg]` decodes them otherwise.
    encodings.JPEG.decode = lambda self, data: data
    dataset = StreamingDataset(local=os.path.join(folder, "mds"), shuffle=False, batch_size=1, validate_hash="sha256")
    for number in range(len(dataset)):
        row = dataset[number]
        show(row["id"], [turn["value"] for turn in row["conversations"]], row["images"])


def wids(folder):
    import wids

    dataset = wids.ShardListDataset(os.path.join(folder, "vila", "wids-meta.json"), transformations=[])
    for number in range(len(dataset)):
        sample = dataset[number]
        members = {name[1:]: value.read() for name, value in sample.items() if name.endswith(".img")}
        show_vila(sample["__key__"], json.load(sample[".json"]), members)


READERS = {
    reader.__name__: reader
    for reader in (
        webdataset, hugging_face, streaming, mlcroissant, energon_chatml, vila, mds, energon, megatron_bridge, streaming_dataset, wids
    )
}

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in READERS:
        sys.exit(__doc__)
    READERS[sys.argv[1]](sys.argv[2])
