"""Packs: training sequences in the order of an epoch, with their images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Literal

import numpy

from . import _native
from ._dataset import _index
from ._pack import Pack, State
from ._process import OfProcess, Told, environment, is_spawning

Images = Literal["pixels", "values", "encoded", "none"]


class PackDataset:
    """The packs of a dataset, for one rank of a training run.

    It is a dataset for ``torch.utils.data.DataLoader`` by number (``dataset[7]``, ``len(dataset)``), and an iterable for a plain
    loop, whose packs threads load ahead. ``dataset.iterable()`` is an ``IterableDataset``. Packs are batches already: give
    loaders ``batch_size=None``.

    The order of an epoch is a function of seed and epoch; rank r of W takes the packs r, r + W, r + 2 W … of it. So a run can go
    on with other numbers of ranks and workers: every pack carries the state after it, which is one integer an epoch.

    Parameters
    ----------
    location
        A directory or a URL, as for ``Dataset``. Its samples must be packed: ``[pack]`` in the pipeline file, or
        ``manyframe pack``.
    rank, world_size
        The data-parallel rank of this process, and their number. Steps that were balanced (``strategy = "balanced"``) stay
        whole if it is that of the pack index.
    sequence_parallel
        Rank and size of the sequence-parallel group: the pack then has the chunks of tokens and the images of this rank. All
        ranks of a group have the same ``rank``. The size must be that of the pack index; a group of one has packs that are not
        divided.
    images
        ``"pixels"``, at the size that images are delivered at; ``"values"``, resized and normalised as the dataset's model
        family wants them; ``"encoded"``; or ``"none"``.
    shuffle, seed
        Whether epochs are shuffled, step by step; otherwise each goes through the pack index in order.
    drop_last
        Whether packs at the end of an epoch that do not suffice for all ranks are left out. Otherwise every pack comes once,
        and some ranks have one pack less.
    threads
        Threads that load packs for a plain loop. Default: one for each core, divided by the workers of a loader.
    prefetch_bytes
        Most bytes that are held ahead of the loop, in this process: encoded samples that are read, and what is made of them. One
        pack may exceed it, and while packs grow, so may what is read of one for which less room was kept. Each worker of a loader
        has a bound of its own.
    tensors
        ``"numpy"`` or ``"torch"``.
    endpoint
        As for ``Dataset``.
    """

    def __init__(
        self,
        location: str | os.PathLike[str],
        rank: int = 0,
        world_size: int = 1,
        *,
        sequence_parallel: tuple[int, int] | None = None,
        images: Images = "pixels",
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        threads: int | None = None,
        prefetch_bytes: int = 256 << 20,
        tensors: Literal["numpy", "torch"] = "numpy",
        endpoint: str | None = None,
    ) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank={rank} is none of world_size={world_size}")
        if sequence_parallel is not None and not 0 <= sequence_parallel[0] < sequence_parallel[1]:
            raise ValueError(f"sequence_parallel={sequence_parallel}: no rank of a group of {sequence_parallel[1]}")
        if tensors not in ("numpy", "torch"):
            raise ValueError(f'tensors={tensors!r}, expected "numpy" or "torch"')
        self.location = os.fspath(location)
        self.rank = rank
        self.world_size = world_size
        self.sequence_parallel = sequence_parallel
        self.images = images
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.threads = threads
        self.prefetch_bytes = prefetch_bytes
        self.tensors = tensors
        self.endpoint = endpoint
        self._epoch = 0
        # Whether the epoch is that of a state that was loaded.
        self._is_resumed = False
        # Packs of the epoch that were trained on before this dataset began, on all ranks.
        self._start = 0
        # Packs that the loop of this process has taken since.
        self._taken = 0
        self._told = Told()
        self._open()
        # Mistakes are found now, not in a worker.
        self._packs.get()

    def _open(self) -> None:
        self._packs = OfProcess(self._open_packs)
        self._order: tuple[int, numpy.ndarray] | None = None

    def _open_packs(self) -> _native.Packs:
        return _native.Packs(self.location, environment(), self.endpoint, self.images, self.sequence_parallel)

    def __getstate__(self) -> dict[str, Any]:
        # A process that is started is told of epochs; a copy is a dataset of its own.
        left_out = ("_packs", "_order") if is_spawning() else ("_packs", "_order", "_told")
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_told" not in state:
            self._told = Told()
        self._open()

    # Where training is

    @property
    def epoch(self) -> int:
        """The epoch, from 0."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Begins an epoch. One that has begun already goes on: a loop over epochs may call it after ``load_state_dict``.

        Raises ``ValueError`` for one before that of a state that was loaded: such a loop begins with ``dataset.epoch``.
        """
        if epoch < self._epoch and self._is_resumed:
            raise ValueError(
                f"epoch {epoch} is before epoch {self._epoch}, in which the state that was loaded goes on; "
                "begin with it: for epoch in range(dataset.epoch, …)"
            )
        if epoch != self._epoch:
            self._begin(epoch, 0, 0)
            self._is_resumed = False

    def _begin(self, epoch: int, start: int, taken: int) -> None:
        self._epoch, self._start, self._taken = epoch, start, taken
        worker, _ = _worker()
        if worker is None:
            self._told.tell(epoch, start)
        else:
            # What was told before is older than this.
            self._told.news()

    def _follow(self) -> None:
        """In a worker, goes to the epoch that its process began since: loaders keep workers (``persistent_workers``)."""
        worker, _ = _worker()
        news = None if worker is None else self._told.news()
        if news is not None:
            self._epoch, self._start, self._taken = *news, 0

    def state_dict(self) -> State:
        """Where a plain loop is. With workers, take the state of the last pack that was trained on: ``pack["state"]``."""
        state: State = {"epoch": self._epoch, "packs": self._start + self._taken * self.world_size}
        worker, _ = _worker()
        # Of a stateful loader, each worker has a part of the packs, and goes on with the same.
        return state if worker is None else {"epoch": self._epoch, "packs": self._start, "taken": self._taken}  # type: ignore

    def load_state_dict(self, state: State) -> None:
        """Goes on after a state, whatever the numbers of ranks and workers were."""
        self._begin(int(state["epoch"]), int(state["packs"]), int(state.get("taken", 0)))
        self._is_resumed = True

    # Which packs

    def _packs_of_rank(self) -> numpy.ndarray:
        """The packs that are left of the epoch for this rank, in order."""
        if self._order is None or self._order[0] != self._epoch:
            packs = self._packs.get()
            num_packs = len(packs)
            if self.shuffle:
                order = _native.epoch_order(num_packs, packs.ranks, self.seed, self._epoch)
            else:
                order = numpy.arange(num_packs, dtype=numpy.uint32)
            self._order = (self._epoch, order)
        left = self._order[1][self._start :]
        if self.drop_last:
            left = left[: len(left) // self.world_size * self.world_size]
        return left[self.rank :: self.world_size]

    @property
    def num_packs(self) -> int:
        """Packs of the whole dataset."""
        return len(self._packs.get())

    @property
    def capacity_tokens(self) -> int:
        """Maximum length of a pack in tokens."""
        return self._packs.get().capacity_tokens

    def __len__(self) -> int:
        """Packs that are left of the epoch for this rank, after the state that was loaded."""
        return len(self._packs_of_rank())

    def __getitem__(self, number: int) -> Pack:
        self._follow()
        number = _index(number, len(self))
        return self._finish(self._packs.get().load(int(self._packs_of_rank()[number])), number)

    def __iter__(self) -> Iterator[Pack]:
        self._follow()
        worker, num_workers = _worker()
        if worker is None:
            # A loop that is begun again begins where the state says.
            self._taken = 0
        first, skipped = worker or 0, self._taken
        packs = self._packs_of_rank()[first::num_workers][skipped:]
        threads = self.threads or max(1, len(os.sched_getaffinity(0)) // num_workers)
        stream = self._packs.get().stream(packs.tolist(), threads, self.prefetch_bytes)
        for number, pack in enumerate(stream, skipped):
            self._taken = number + 1
            yield self._finish(pack, first + number * num_workers)
        self.set_epoch(self._epoch + 1)

    def iterable(self) -> Any:
        """The same packs as an ``IterableDataset`` of PyTorch, divided over the workers of a loader."""
        from ._torch import IterablePacks

        return IterablePacks(self)

    def _finish(self, pack: dict[str, Any], number: int) -> Pack:
        # The last step may lack packs for some ranks.
        packs = min(self._start + (number + 1) * self.world_size, self.num_packs)
        pack["state"] = {"epoch": self._epoch, "packs": packs}
        if self.tensors == "torch":
            import torch

            def tensor(value: Any) -> Any:
                return torch.from_numpy(value) if isinstance(value, numpy.ndarray) else value

            pack = {name: tensor(value) for name, value in pack.items()}
            if "images" in pack:
                pack["images"] = [tensor(image) for image in pack["images"]]
        return pack  # type: ignore


def _worker() -> tuple[int | None, int]:
    """The worker of PyTorch's loader that this process is, if it is one, and their number."""
    import sys

    # Nobody is a worker who has not loaded it.
    if "torch.utils.data" not in sys.modules:
        return None, 1
    from torch.utils.data import get_worker_info

    info = get_worker_info()
    return (None, 1) if info is None else (info.id, info.num_workers)
