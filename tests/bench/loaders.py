"""Reads an epoch of a dataset in batches, images as uint8 tensors, and prints what it took: loaders.py READER DATASET WORKERS BATCH

Readers: packs (threads of `manyframe.PackDataset`, in a plain loop), packs_in_workers (the same in PyTorch's loader), and, each as it
documents it, webdataset, energon, streaming and datasets. A batch has BATCH samples; of packs, those of a pack.
What is counted is a second epoch, workers included, once it is open; memory is that of all processes, shared pages once, at eight
moments.
"""

import json
import os
import sys
import time
from pathlib import Path

from torch.utils.data import DataLoader

DATASET, WORKERS, BATCH = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])


def of_pack(pack):
    return len(pack["sample_ids"]), pack["images"]


def of_samples(batch):
    return len(batch), [image for sample in batch for image in sample["images"]]


def packs():
    import manyframe

    return manyframe.PackDataset(DATASET, threads=WORKERS, tensors="torch"), of_pack


def packs_in_workers():
    import manyframe

    return DataLoader(manyframe.PackDataset(DATASET, tensors="torch"), batch_size=None, num_workers=WORKERS), of_pack


def webdataset():
    from webdataset import WebDataset

    def of_fields(batch):
        return len(batch), [image for sample in batch for name, image in sample.items() if name.endswith(".jpg")]

    shards = sorted(map(str, DATASET.glob("webdataset/*/*.tar")))
    samples = WebDataset(shards, shardshuffle=False).decode("torchrgb8").batched(BATCH, collation_fn=list)
    return DataLoader(samples, batch_size=None, num_workers=WORKERS), of_fields


def energon():
    from dataclasses import dataclass

    from megatron.energon import Cooker, DefaultTaskEncoder, Sample, SampleDecoder, WorkerConfig, basic_sample_keys
    from megatron.energon import get_loader, get_train_dataset, stateless

    @dataclass
    class Conversation(Sample):
        fields: dict
        images: list

    @stateless
    def cook(sample):
        fields = sample["json"]
        return Conversation(**basic_sample_keys(sample), fields=fields, images=[sample[name] for name in fields["images"]])

    class Encoder(DefaultTaskEncoder):
        decoder = SampleDecoder(image_decode="torchrgb8")
        cookers = [Cooker(cook)]

        def batch(self, samples):
            # What is defined here cannot leave a worker.
            return [{"fields": sample.fields, "images": sample.images} for sample in samples]

    samples = get_train_dataset(
        DATASET / "webdataset", batch_size=BATCH, task_encoder=Encoder(), repeat=False, shuffle_buffer_size=None,
        max_samples_per_sequence=None, worker_config=WorkerConfig(rank=0, world_size=1, num_workers=WORKERS),
    )
    return get_loader(samples), of_samples


def streaming():
    from streaming import StreamingDataset
    from torchvision.transforms.v2.functional import pil_to_tensor

    class Samples(StreamingDataset):
        def __getitem__(self, number):
            sample = super().__getitem__(number)
            sample["images"] = [pil_to_tensor(image) for image in sample["images"]]
            return sample

    samples = Samples(local=str(DATASET / "mds"), shuffle=False, batch_size=BATCH)
    return DataLoader(samples, batch_size=BATCH, num_workers=WORKERS, collate_fn=list), of_samples


def datasets():
    from datasets import load_dataset

    samples = load_dataset(str(DATASET), split="train").select_columns(["id", "input_ids", "labels", "images"]).with_format("torch")
    return DataLoader(samples, batch_size=BATCH, num_workers=WORKERS, collate_fn=list), of_samples


def of_processes(name):
    """A file of /proc of this process, and of those below it that are there."""
    folders = [Path("/proc/self")]
    for folder in folders:
        try:
            text = (folder / name).read_text()
            children = [child for thread in (folder / "task").iterdir() for child in (thread / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        folders += [Path("/proc") / child for child in children]
        yield text


def cpu_s():
    """Of these processes, and of those of theirs that have ended."""
    fields = [stat.rsplit(")", 1)[1].split() for stat in of_processes("stat")]
    return sum(int(ticks) for stat in fields for ticks in stat[11:15]) / os.sysconf("SC_CLK_TCK")


def memory_mib():
    lines = [line for rollup in of_processes("smaps_rollup") for line in rollup.splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def epoch(batches, parts_of, moments=()):
    """Samples, images and their bytes, what they took, and memory after some of the batches."""
    num_batches = num_samples = num_images = num_bytes = 0
    started, used, memory = time.monotonic(), cpu_s(), []
    for batch in batches:
        samples, images = parts_of(batch)
        assert all(image.dtype.itemsize == 1 and image.ndim == 3 for image in images)
        num_batches += 1
        num_samples += samples
        num_images += len(images)
        num_bytes += sum(image.numel() for image in images)
        if num_batches in moments:
            own = time.thread_time()
            memory.append(memory_mib())
            used += time.thread_time() - own
    return {
        "batches": num_batches, "samples": num_samples, "images": num_images, "bytes": num_bytes,
        "wall_s": time.monotonic() - started, "cpu_s": cpu_s() - used, "memory_mib": memory,
    }


def main():
    readers = {reader.__name__: reader for reader in (packs, packs_in_workers, webdataset, energon, streaming, datasets)}
    reader = readers[sys.argv[1]]
    # What is imported and cached only once is not counted.
    num_batches = epoch(*reader())["batches"]
    print(json.dumps(epoch(*reader(), {num_batches * eighth // 8 for eighth in range(1, 9)})))


if __name__ == "__main__":
    main()
