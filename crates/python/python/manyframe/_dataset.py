"""Datasets: samples, and the account of all records."""

from __future__ import annotations

import io
import json
import operator
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from . import _native
from ._native import DatasetError
from ._process import OfProcess, environment

if TYPE_CHECKING:
    import pandas
    import pyarrow

_ROWS_AT_ONCE = 512


def _index(number: Any, length: int) -> int:
    index = operator.index(number)
    index += length if index < 0 else 0
    if not 0 <= index < length:
        raise IndexError(f"{number} is none of {length}")
    return index


class Dataset(Sequence[_native.Sample]):
    """A dataset that manyframe built: its samples, in the order of its shards.

    ``dataset[7]`` and ``dataset["0123…"]`` read one sample, by its number or by its id; a prefix of an id, of at least six
    digits, and the id that it had upstream are ids, too, if they name one sample. ``for sample in dataset`` reads shard by
    shard. Forked and spawned processes may use it.

    Parameters
    ----------
    location
        A directory, or a URL: ``s3://``, ``gs://``, ``az://`` or ``https://``. Only what is asked for is read.
        Credentials are those of the environment, as for the command line.
    endpoint
        The address of an S3-compatible store, if it is not that of its provider.
    """

    def __init__(self, location: str | os.PathLike[str], *, endpoint: str | None = None) -> None:
        self.location = os.fspath(location)
        self._endpoint = endpoint
        self._start()

    def _start(self) -> None:
        self._native = OfProcess(lambda: _native.Dataset(self.location, environment(), self._endpoint))
        self.ledger = Ledger(self)

    def __reduce__(self) -> Any:
        return _open, (self.location, self._endpoint)

    def __repr__(self) -> str:
        return f"Dataset({self.location!r})"

    def __len__(self) -> int:
        return len(self._native.get())

    @overload
    def __getitem__(self, key: int | str) -> _native.Sample: ...
    @overload
    def __getitem__(self, key: slice) -> list[_native.Sample]: ...
    def __getitem__(self, key: int | str | slice) -> _native.Sample | list[_native.Sample]:
        if isinstance(key, slice):
            return [self[number] for number in range(*key.indices(len(self)))]
        if isinstance(key, str):
            sample = self._native.get().find(key)
            if sample is None:
                raise KeyError(f"{key} is not the id of a delivered sample; dataset.ledger says what became of it")
            return sample
        return self._native.get().sample(_index(key, len(self)))

    def __iter__(self) -> Iterator[_native.Sample]:
        return iter(self._native.get())

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        try:
            return self._native.get().find(key) is not None
        except DatasetError:
            # Several samples have the id, unless something cannot be read.
            if any(row["status"] == "delivered" for row in self.ledger.find(key)):
                return True
            raise

    @property
    def manifest(self) -> dict[str, Any]:
        """What the dataset is made of: ``manifest.json``."""
        return json.loads(self._native.get().manifest())

    def read_file(self, path: str) -> bytes:
        """A file of the dataset, such as ``README.md``."""
        return self._native.get().read_file(path)

    def to_arrow(self) -> pyarrow.Table:
        """The ledger as a table of PyArrow, which must be installed."""
        return self.ledger.to_arrow()

    def to_pandas(self) -> pandas.DataFrame:
        """The ledger as a data frame of pandas, which must be installed."""
        return self.ledger.to_pandas()


def _open(location: str, endpoint: str | None) -> Dataset:
    return Dataset(location, endpoint=endpoint)


class Ledger(Sequence[dict[str, Any]]):
    """What happened to every record that was seen: delivered where, rejected why, duplicate of what, or not drawn.

    A row is a dictionary; ``schemas/ledger.schema.json`` describes it. ``ledger[7]`` is a row by its number, ``ledger["1"]``
    by the id of its record, which may be one that was rejected; ``find`` returns the rows of an id that several records have.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def _get(self) -> _native.Dataset:
        return self._dataset._native.get()

    def __len__(self) -> int:
        return self._get().num_ledger_rows()

    @overload
    def __getitem__(self, key: int | str) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, key: int | str | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(key, slice):
            return [self[number] for number in range(*key.indices(len(self)))]
        if isinstance(key, str):
            rows = self.find(key)
            if not rows:
                raise KeyError(key)
            # Repetitions of a record have the fate of its first sample.
            rows = [row for row in rows if not row.get("repetition")] or rows[:1]
            if len(rows) > 1:
                ids = ", ".join(row["id"] for row in rows[:3])
                raise DatasetError(f"{key!r} names several records: {ids} …; find() returns them")
            return rows[0]
        number = _index(key, len(self))
        return json.loads(self._get().ledger_rows(number, number + 1)[0])

    def find(self, id: str, limit: int = 100) -> list[dict[str, Any]]:
        """The rows of an id: several if it is upstream's and not unique, or if its record is repeated."""
        return [json.loads(row) for row in self._get().ledger_rows_of(id, limit)]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for first in range(0, len(self), _ROWS_AT_ONCE):
            for row in self._get().ledger_rows(first, first + _ROWS_AT_ONCE):
                yield json.loads(row)

    def to_arrow(self) -> pyarrow.Table:
        """The ledger as a table of PyArrow, which must be installed."""
        import pyarrow.parquet

        path = self._dataset.manifest["ledger"]["path"]
        return pyarrow.parquet.read_table(io.BytesIO(self._dataset.read_file(path)))

    def to_pandas(self) -> pandas.DataFrame:
        """The ledger as a data frame of pandas, which must be installed."""
        return self.to_arrow().to_pandas()
