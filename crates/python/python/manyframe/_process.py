"""What belongs to one process: threads, connections and open files of the native module."""

from __future__ import annotations

import multiprocessing
import multiprocessing.context
import os
from typing import Any, Callable, Generic, TypeVar

T = TypeVar("T")

_abandoned: list[Any] = []


class OfProcess(Generic[T]):
    """Opened when a process first needs it; a process that was forked, or started with a pickle, opens its own."""

    def __init__(self, open: Callable[[], T]) -> None:
        self._open = open
        self._opened: tuple[int, T] | None = None

    def get(self) -> T:
        process = os.getpid()
        if self._opened is None or self._opened[0] != process:
            if self._opened is not None:
                # It has threads of another process, which nobody can wait for in this one.
                _abandoned.append(self._opened)
            self._opened = (process, self._open())
        return self._opened[1]


class Told:
    """What a process tells those that it starts while they live: an epoch, and how many of its packs were trained on before."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        # How often something was told, and what was last.
        self._shared = multiprocessing.RawArray("q", 3)
        self._teller = os.getpid()
        self._heard = 0

    def tell(self, epoch: int, packs: int) -> None:
        """Tells the processes that this one has started, or starts later."""
        if self._teller != os.getpid():
            # It was started itself, and is not to tell those beside it.
            self._begin()
        self._shared[1:] = epoch, packs
        self._shared[0] += 1
        self._heard = self._shared[0]

    def news(self) -> tuple[int, int] | None:
        """What was told since this was asked last; None if nothing was."""
        told, epoch, packs = self._shared
        if told == self._heard:
            return None
        self._heard = told
        return epoch, packs


def is_spawning() -> bool:
    """Whether this process is being pickled for one that it starts, which can share memory with it."""
    return multiprocessing.context.get_spawning_popen() is not None


def environment() -> dict[str, str]:
    """The variables that say how object stores are reached."""
    return dict(os.environ)
