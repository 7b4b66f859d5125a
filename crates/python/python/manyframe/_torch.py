"""What needs PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import IterableDataset

from ._pack import Pack, State


class IterablePacks(IterableDataset):  # type: ignore
    """The packs of a ``PackDataset``, divided over the workers of a loader: with ``batch_size=None``, in its order."""

    def __init__(self, packs: Any) -> None:
        self.packs = packs

    def __iter__(self) -> Iterator[Pack]:
        return iter(self.packs)

    def __len__(self) -> int:
        return len(self.packs)

    def set_epoch(self, epoch: int) -> None:
        """Begins an epoch."""
        self.packs.set_epoch(epoch)

    def state_dict(self) -> State:
        """Where this process is."""
        return self.packs.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Goes on after a state."""
        self.packs.load_state_dict(state)

    def __getattr__(self, name: str) -> Any:
        if name == "packs":
            raise AttributeError(name)
        return getattr(self.packs, name)
