"""Samples of a dataset's WebDataset shards, with the bytes of their images: shared by the checks of this folder."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path


def samples_of(dataset: Path) -> Iterator[tuple[dict, list[bytes]]]:
    for shard in sorted(dataset.glob("webdataset/*/*.tar")):
        with tarfile.open(shard) as tar:
            members = {member.name: tar.extractfile(member).read() for member in tar}
        for name, content in members.items():
            if name.endswith(".json"):
                sample = json.loads(content)
                yield sample, [members[f"{name.removesuffix('.json')}.{image}"] for image in sample["images"]]
