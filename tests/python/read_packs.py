"""Reads packs, and compares them with the Parquet shards of the dataset, or with what their trainer asks for.

    read_packs.py index DATASET          its pack index, and samples where that says they are; needs: pip install pyarrow
    read_packs.py parquet DIR DATASET    packed Parquet; needs: pip install pyarrow
    read_packs.py bridge DIR             packed Parquet as Megatron-Bridge's loader trains on it; needs: pip install pyarrow torch,
                                         and the modules of `megatron.bridge.data.packing`
    read_packs.py sizes DIR SIDE FRAMES  packed Parquet with grids of patches of so many pixels and frames; needs: pip install pyarrow pillow
    read_packs.py xtuner DIR             XTuner's preset packs; needs: pip install numpy

Prints one line of JSON with counts, or of `index` one a sample; exits with 1 at the first pack that does not hold.
"""

import glob
import hashlib
import io
import json
import os
import sys
import tarfile
import types


def index(dataset):
    import pyarrow.parquet as pq

    with open(os.path.join(dataset, "manifest.json")) as file:
        path = json.load(file)["pack"]["path"]
    for pack in pq.read_table(os.path.join(dataset, path)).to_pylist():
        assert sum(pack["tokens_per_visual"]) == pack["visual_tokens"]
        bounds = pack["cu_visuals"]
        for number, key in enumerate(pack["samples"]):
            file = os.path.join(dataset, pack["shard_files"][number])
            if file.endswith(".tar"):
                record, images = members(file, key, pack["shard_offsets"][number], pack["shard_num_bytes"][number])
            else:
                assert pack["shard_offsets"] == pack["shard_num_bytes"] == []
                row = pq.read_table(file).slice(pack["shard_rows"][number], 1).to_pylist()[0]
                assert row["id"] == key
                turns = [{"value": message["content"]} for message in row["messages"]]
                record = json.loads(row["metadata"]) | {"conversations": turns, "source": row["source"]}
                images = [image["bytes"] for image in row["images"]]
            tokens = pack["tokens_per_visual"][bounds[number] : bounds[number + 1]]
            assert len(tokens) == len(record["visuals"]), key
            texts = [turn["value"] for turn in record["conversations"]]
            images = [hashlib.sha256(image).hexdigest() for image in images]
            sample = {"id": key, "source": pack["sources"][number], "texts": texts, "images": images, "tokens_per_visual": tokens}
            assert sample["source"] == record["source"], key
            print(json.dumps(sample))


def members(file, key, start, size):
    """The members of a sample, which are a tar of their own."""
    with open(file, "rb") as shard:
        shard.seek(start)
        tar = tarfile.open(fileobj=io.BytesIO(shard.read(size)))
    record = json.load(tar.extractfile(f"{key}.json"))
    names = [f"{key}.{name}" for name in record["images"]]
    assert tar.getnames() == [f"{key}.json", *names]
    return record, [tar.extractfile(name).read() for name in names]


def parquet(folder, dataset):
    import pyarrow.parquet as pq

    columns = ["id", "input_ids", "labels", "num_tokens", "images", "source"]
    rows = [row for path in sorted(glob.glob(f"{dataset}/parquet/*/*.parquet")) for row in pq.read_table(path, columns=columns).to_pylist()]
    samples = {row["id"]: row for row in rows}
    counts = {"num_packs": 0, "num_samples": 0, "num_images": 0}
    for path in sorted(glob.glob(os.path.join(folder, "*.parquet"))):
        for pack in pq.read_table(path).to_pylist():
            check_pack(pack, samples)
            counts["num_packs"] += 1
            counts["num_samples"] += len(pack["sample_ids"])
            counts["num_images"] += len(pack["images"])
    assert not samples, "samples are in no pack"
    return counts


def check_pack(pack, samples):
    # What Megatron-Bridge asks of a row (GPTSFTPackedParquetDataset.validate_row).
    ids, mask, starts = pack["input_ids"], pack["loss_mask"], pack["seq_start_id"]
    assert len(mask) == len(ids) == len(pack["labels"]) == len(pack["position_ids"]) == len(pack["mm_token_type_ids"])
    assert starts and starts[0] == 0 and starts == sorted(starts) and starts[-1] < len(ids)
    assert pack["cu_seqlens"] == [*starts, len(ids)]
    # What its collator makes of it: of ids a to b, the loss on predicting the next of each but the last.
    for start, end in zip(starts, pack["cu_seqlens"][1:]):
        assert mask[start : end - 1] == [int(label != -100) for label in pack["labels"][start + 1 : end]]
        assert mask[end - 1] == 0
    images = [hashlib.sha256(image["bytes"]).hexdigest() for image in pack["images"]]
    for key, source, start, end in zip(pack["sample_ids"], pack["sources"], starts, pack["cu_seqlens"][1:]):
        sample = samples.pop(key)
        assert source == sample["source"] and end - start >= sample["num_tokens"]
        assert pack["position_ids"][start:end] == list(range(end - start))
        end = start + sample["num_tokens"]
        num_places = sample["input_ids"].count(-200)
        assert num_places == len(sample["images"])
        each = (sample["num_tokens"] - len(sample["input_ids"])) // num_places + 1 if num_places else 0
        expanded = [place for place in sample["input_ids"] for _ in range(each if place == -200 else 1)]
        assert ids[start:end] == expanded, key
        assert [kind > 0 for kind in pack["mm_token_type_ids"][start:end]] == [place == -200 for place in expanded]
        labels = [label for place, label in zip(sample["input_ids"], sample["labels"]) for _ in range(each if place == -200 else 1)]
        assert pack["labels"][start:end] == labels, key
        shown = [hashlib.sha256(image["bytes"]).hexdigest() for image in sample["images"]]
        assert images[: len(shown)] == shown, key
        del images[: len(shown)]
    assert not images


def sizes(folder, side, frames):
    import pyarrow.parquet as pq
    from PIL import Image

    counts = {"num_images": 0, "num_videos": 0}
    for path in sorted(glob.glob(f"{folder}/*.parquet")):
        for pack in pq.read_table(path).to_pylist():
            grids = {kind: [*zip(*[iter(pack[f"{kind}_grid_thw"])] * 3, strict=True)] for kind in ("image", "video")}
            expected = {kind: {(columns * int(side), rows * int(side)) for _, rows, columns in grids[kind]} for kind in grids}
            shown = [Image.open(io.BytesIO(image["bytes"])).size for image in pack["images"]]
            # How often each size is there follows from the grids, but for the last frame of a video of an odd number.
            assert set(shown) == expected["image"] | expected["video"], (shown, expected)
            num_steps = sum(steps for steps, _, _ in grids["video"])
            num_frames = len(shown) - len(grids["image"])
            assert num_steps * int(frames) - len(grids["video"]) <= num_frames <= num_steps * int(frames)
            counts["num_images"] += len(shown)
            counts["num_videos"] += len(grids["video"])
    return counts


def bridge(folder):
    import pyarrow.parquet as pq

    dataset = packed_dataset()(file_path=folder, tokenizer=types.SimpleNamespace(eos_id=0))
    rows = [row for path in sorted(glob.glob(f"{folder}/*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert len(rows) == dataset._num_rows
    counts = {"num_packs": len(rows), "num_trained": 0}
    for number, row in enumerate(rows):
        dataset.validate_row(number, row["input_ids"], row["loss_mask"], row["seq_start_id"])
        batch = dataset.collate_fn([dataset[number]])
        trained = batch["labels"][0][batch["loss_mask"][0].bool()].tolist()
        assert trained == [label for label in row["labels"] if label != -100], f"pack {number}"
        counts["num_trained"] += len(trained)
    return counts


def packed_dataset():
    """Megatron-Bridge's dataset of packed Parquet. Its base class, which needs all of Megatron, is here what the packed one uses."""

    class Settings:
        virtual_tokens, max_num_samples, answer_only_loss, pad_to_max_length = 0, None, True, False
        max_seq_length, pad_seq_length_to_mult = 1 << 20, 16

        def __init__(self, file_path, tokenizer, **settings):
            self.file_path, self.tokenizer = file_path, tokenizer
            self._load_dataset()
            self._build_samples_mapping()

        def _ceil_to_nearest(self, number, multiple):
            return -(-number // multiple) * multiple

        def _collate_item(self, item, max_length, pad_id):
            return [[*row, *[pad_id] * (max_length - len(row))] for row in item]

    off = types.SimpleNamespace(is_enabled=lambda: False)
    for name, facts in {
        "megatron.core": {},
        "megatron.core.msc_utils": {"MultiStorageClientFeature": off},
        "megatron.bridge.data.datasets": {},
        "megatron.bridge.data.datasets.gpt_sft": {"GPTSFTDataset": Settings},
        "megatron.bridge.training": {},
        "megatron.bridge.training.tokenizers": {},
        "megatron.bridge.training.tokenizers.tokenizer": {"MegatronTokenizer": object},
    }.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(facts)
    from megatron.bridge.data.packing.parquet import GPTSFTPackedParquetDataset

    return GPTSFTPackedParquetDataset


def xtuner(folder):
    import numpy as np

    boundaries, samples = np.load(f"{folder}/boundaries.npy", mmap_mode="r"), np.load(f"{folder}/samples.npy", mmap_mode="r")
    paths = json.load(open(f"{folder}/paths.json"))
    lines = [json.loads(line) for line in open(os.path.join(folder, os.path.basename(paths[0])))]
    # What XTuner's PresetPackDataset checks.
    assert boundaries.dtype == samples.dtype == np.int64
    assert int(boundaries[-1]) == len(samples) and samples.ndim == 2 and samples.shape[1] == 6
    assert (samples[:, 0] == 0).all() and (samples[:, 5] > samples[:, 4]).all() and (samples[:, 2:4] == -1).all()
    assert sorted(samples[:, 1]) == list(range(len(lines)))
    assert all(message["role"] in ("system", "user", "assistant") for line in lines for message in line["messages"])
    return {"num_packs": len(boundaries) - 1, "num_samples": len(lines), "num_tokens": int((samples[:, 5] - samples[:, 4]).sum())}


if sys.argv[1] == "index":
    index(*sys.argv[2:])
else:
    print(json.dumps({"parquet": parquet, "sizes": sizes, "bridge": bridge, "xtuner": xtuner}[sys.argv[1]](*sys.argv[2:])))
