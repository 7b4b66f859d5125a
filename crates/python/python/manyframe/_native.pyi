"""The native module: what the package is made of."""

from collections.abc import Iterator
from typing import Any

import numpy
from numpy.typing import NDArray

__version__: str

class DatasetError(Exception):
    """A dataset, or a part of it, cannot be read."""

class Sample:
    """A sample of a dataset."""

    @property
    def id(self) -> str:
        """Identity: 32 hexadecimal digits."""
    @property
    def source(self) -> str:
        """Name of its source in the pipeline file."""
    @property
    def subset(self) -> str:
        """Part of the source; may be empty."""
    @property
    def upstream_id(self) -> str:
        """Its id in the upstream dataset; may be empty."""
    @property
    def layout(self) -> str:
        """``temporal``, ``spatial``, ``image`` or ``text``."""
    @property
    def messages(self) -> list[tuple[str, str]]:
        """Role (``system``, ``user``, ``assistant``) and content of each message, with placeholders."""
    @property
    def prompt(self) -> str:
        """The whole text as the trainer sees it, chat template included."""
    @property
    def label_spans(self) -> list[tuple[int, int]]:
        """Where in ``prompt`` the loss is computed: first character, and one past the last."""
    @property
    def num_tokens(self) -> int:
        """Length of the sequence in tokens."""
    @property
    def text_tokens(self) -> int:
        """Tokens of text."""
    @property
    def visual_tokens(self) -> int:
        """Tokens of images."""
    @property
    def input_ids(self) -> NDArray[numpy.int64] | None:
        """Ids of tokens; None if the shards hold none."""
    @property
    def labels(self) -> NDArray[numpy.int64] | None:
        """The id to be predicted at each position, not shifted; −100 where there is no loss."""
    @property
    def images(self) -> list[Image]:
        """Its images, in the order of the placeholders."""
    @property
    def videos(self) -> list[Video]:
        """Its video files, in the order of the placeholders."""
    def pixels(self) -> list[NDArray[numpy.uint8]]:
        """Its images and the frames of its videos, in the order of the placeholders, decoded: height, width, 3 channels."""
    def to_json(self) -> str:
        """Everything but bytes, as ``KEY.json`` of a tar has it."""

class Image:
    """An encoded image of a sample."""

    @property
    def bytes(self) -> bytes:
        """The file."""
    @property
    def format(self) -> str:
        """``jpg``, ``png`` or ``webp``."""
    @property
    def width(self) -> int:
        """Width in pixels, as shown."""
    @property
    def height(self) -> int:
        """Height in pixels, as shown."""
    def pixels(self) -> NDArray[numpy.uint8]:
        """The image, decoded: height, width, 3 channels."""

class Video:
    """A video file of a sample."""

    @property
    def bytes(self) -> bytes:
        """The file."""
    @property
    def format(self) -> str:
        """The extension of such files: ``mp4``, ``mkv`` …"""
    @property
    def frame_indices(self) -> list[int]:
        """Which frames of the file are shown, counted in order of presentation, from 0."""

class Dataset:
    """A dataset, open in one process."""

    def __init__(self, location: str, environment: dict[str, str], endpoint: str | None) -> None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Sample]: ...
    def manifest(self) -> str: ...
    def sample(self, number: int) -> Sample: ...
    def find(self, id: str) -> Sample | None: ...
    def num_ledger_rows(self) -> int: ...
    def ledger_rows(self, first: int, end: int) -> list[str]: ...
    def ledger_rows_of(self, id: str, limit: int) -> list[str]: ...
    def read_file(self, path: str) -> bytes: ...

class SampleIterator(Iterator[Sample]):
    """The samples of a dataset in order."""

    def __next__(self) -> Sample: ...

class Packs:
    """The packs of a dataset, open in one process."""

    def __init__(
        self,
        location: str,
        environment: dict[str, str],
        endpoint: str | None,
        images: str,
        group: tuple[int, int] | None,
    ) -> None: ...
    def __len__(self) -> int: ...
    @property
    def ranks(self) -> int: ...
    @property
    def sequence_parallel(self) -> str | None: ...
    @property
    def capacity_tokens(self) -> int: ...
    def load(self, pack: int) -> dict[str, Any]: ...
    def stream(self, packs: list[int], num_threads: int, prefetch_bytes: int) -> PackIterator: ...

class PackIterator(Iterator[dict[str, Any]]):
    """Packs that threads load ahead, in order."""

    def __next__(self) -> dict[str, Any]: ...

def epoch_order(num_packs: int, ranks: int, seed: int, epoch: int) -> NDArray[numpy.uint32]:
    """The packs of an epoch, in order."""
