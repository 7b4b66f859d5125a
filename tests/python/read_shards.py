"""Reads a built dataset with the clients its users have, and counts.

    read_shards.py webdataset DIR     needs: pip install webdataset pillow
    read_shards.py parquet DIR        needs: pip install datasets pillow

DIR is a dataset that manyframe built. For every sample the number of `<image>` in the conversation must
be the number of images, and every image must decode. Prints one line of JSON with counts; exits with 1 at the first
sample that does not hold.
"""

import glob
import json
import os
import sys
import tempfile


def check(key, texts, images):
    """Counts of one sample. `images` are PIL images."""
    placeholders = sum(text.count("<image>") for text in texts)
    if placeholders != len(images):
        sys.exit(f"sample {key}: {placeholders} placeholders for {len(images)} images")
    for image in images:
        image.load()
        if min(image.size) < 1:
            sys.exit(f"sample {key}: an image of size {image.size}")
    return {"num_samples": 1, "num_images": len(images), "num_pixels": sum(i.width * i.height for i in images)}


def shards(folder, kind, extension):
    found = sorted(glob.glob(os.path.join(folder, kind, "*", f"*.{extension}")))
    if not found:
        sys.exit(f"{folder}/{kind} holds no .{extension} file")
    return found


def read_webdataset(folder):
    import io

    import webdataset
    from PIL import Image

    paths = shards(folder, "webdataset", "tar")
    # One worker, no shuffling; `empty_check` off because a shard may hold few samples.
    for sample in webdataset.WebDataset(paths, shardshuffle=False, empty_check=False):
        fields = json.loads(sample["json"])
        expected = set(fields["images"]) | {"json"}
        found = {name for name in sample if not name.startswith("__")}
        if found != expected:
            sys.exit(f"sample {sample['__key__']}: members {sorted(found)}, expected {sorted(expected)}")
        if fields["images"] != sorted(fields["images"]):
            sys.exit(f"sample {sample['__key__']}: images are not in the order of their names")
        images = [Image.open(io.BytesIO(sample[name])) for name in fields["images"]]
        for image, size in zip(images, fields["image_sizes"]):
            if list(image.size) != size:
                sys.exit(f"sample {sample['__key__']}: an image of {image.size}, the sample says {size}")
        yield check(sample["__key__"], [turn["value"] for turn in fields["conversations"]], images)


def read_parquet(folder):
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as home:
        os.environ["HF_HOME"] = home
        from datasets import load_dataset

        shards(folder, "parquet", "parquet")
        # By the dataset card, as a user would: README.md says which files there are and that images are images.
        for row in load_dataset(folder, split="train", cache_dir=home):
            yield check(row["id"], [message["content"] for message in row["messages"]], row["images"])


def main():
    readers = {"webdataset": read_webdataset, "parquet": read_parquet}
    if len(sys.argv) != 3 or sys.argv[1] not in readers:
        sys.exit(__doc__)
    total = {"num_samples": 0, "num_images": 0, "num_pixels": 0}
    for counts in readers[sys.argv[1]](sys.argv[2]):
        for name, count in counts.items():
            total[name] += count
    print(json.dumps(total))


main()
