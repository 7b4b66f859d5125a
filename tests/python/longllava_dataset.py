"""Reads exported records with LongLLaVA's own dataset class, and compares what it makes of them with the dataset.

usage: longllava_dataset.py REPOSITORY EXPORT DATASET

REPOSITORY is a checkout of github.com/FreedomIntelligence/LongLLaVA. Of its code, the dataset class and what it calls are run; the
model and the trainer, which would need a GPU, are not imported. DATASET has Parquet shards, token ids of the repository's own
tokenizer with `turn_end = "newline-in-eos-label"`, which is what the class does between turns, and packs.

Prints one line of JSON with counts; exits with 1 at the first record that differs.
"""

import contextlib
import json
import os
import sys
import tempfile
import types
from pathlib import Path

import numpy
import pyarrow.parquet
import torch
import transformers

import manyframe


def dataset_class(repository: Path):
    """The module with the class, without what it imports beside."""
    for name, attributes in {
        "wandb": {},
        "llava": {"__path__": [str(repository / "llava")]},
        "llava.model": {"__all__": []},
        "llava.train": {"__path__": [str(repository / "llava" / "train")]},
        "llava.train.llava_trainer": {"LLaVATrainer": object},
    }.items():
        module = types.ModuleType(name)
        vars(module).update(attributes)
        sys.modules[name] = module
    from llava import conversation
    from llava.train import train

    conversation.default_conversation = conversation.conv_templates["jamba"]
    # It prints its first record on rank 0.
    store = tempfile.mkdtemp()
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}/store", rank=0, world_size=1)
    return train


def opened(repository: Path, export: Path):
    train = dataset_class(repository)
    tokenizer = transformers.AutoTokenizer.from_pretrained(repository / "llava/model/language_model/Jamba", padding_side="right")
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336})
    arguments = train.DataArguments(data_path=str(export / "data.json"), is_multimodal=True, image_aspect_ratio="pad")
    arguments.image_processor, arguments.mm_use_im_start_end = processor, False
    model = train.ModelArguments(version="jamba", vision_tower="clip_vit_large_patch14_336")
    return train.LazySupervisedDataset(str(export / "data.json"), tokenizer, arguments, model)


def stored(dataset: Path) -> dict:
    """Token ids and labels of each sample."""
    rows = {}
    for shard in sorted(dataset.glob("parquet/*/*.parquet")):
        for row in pyarrow.parquet.read_table(shard, columns=["id", "input_ids", "labels"]).to_pylist():
            rows[row["id"]] = row["input_ids"], row["labels"]
    return rows


def main():
    repository, export, dataset = (Path(path).resolve() for path in sys.argv[1:])
    rows = stored(dataset)
    packs = {f"pack-{pack['pack']}": pack for pack in manyframe.PackDataset(dataset, images="values")}
    # Paths of images begin where it is started.
    os.chdir(export)
    records = opened(repository, export)
    num_images = num_labels = 0
    for number, record in enumerate(records.list_data_dict):
        with contextlib.redirect_stdout(sys.stderr):
            made = records[number]
        samples = packs[record["id"]]["sample_ids"] if record["id"] in packs else [record["id"]]
        ids, labels = ([token for sample in samples for token in rows[sample][column]] for column in (0, 1))
        for name, ours in (("input_ids", ids), ("labels", labels)):
            theirs = made[name].tolist()
            if theirs != ours:
                sys.exit(f"record {record['id']}: other {name}:\n{theirs}\n{ours}")
        images = made["image"] if "image" in record else []
        if record["id"] in packs and images:
            difference = numpy.abs(torch.stack(images).numpy() - packs[record["id"]]["pixel_values"]).max()
            if difference > 1e-5:
                sys.exit(f"record {record['id']}: pixel values differ by {difference}")
        num_images += len(images)
        num_labels += sum(label != -100 for label in labels)
    print(json.dumps({"num_records": len(records), "num_images": num_images, "num_labels": num_labels}))


if __name__ == "__main__":
    main()
