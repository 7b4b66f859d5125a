"""What belongs to one process: threads, connections and open files of the native module."""

from __future__ import annotations

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


def environment() -> dict[str, str]:
    """The variables that say how object stores are reached."""
    return dict(os.environ)
