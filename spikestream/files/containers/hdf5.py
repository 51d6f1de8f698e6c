"""Events in HDF5: Prophesee's files, packed with ECF or not, DSEC's, and columns as others name them.

The library reads in a process apart, so that a damaged file harms nobody; see `hdf5_reading`. Origin top left, as
stored. Sources: OpenEB's reader and writer; DSEC's scripts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.files.containers.hdf5_writing import Packer
from spikestream.files.feeder import News, feed
from spikestream.formats.base import Empty, Format, Spare, chunks
from spikestream.formats.base.columns import OPTIONS, Columns, check_order, named, split, told_order

MAGIC = b"\x89HDF\r\n\x1a\n"
WORTH = 1 << 20
"""Rows to leave out that are worth opening the file once more."""
READ = "spikestream.files.containers.hdf5_reading:read"


class Container:
    """Read events by blocks; ``sensor`` and ``raw`` change nothing.

    ``group`` is the group or dataset to read, where events lie in several. Bounds: 65,536 rows here; one chunk, of at
    most 64 MiB, in the process apart.
    """

    def __init__(
        self,
        path: str,
        sensor: str | None = None,
        size: tuple[int, int] | None = None,
        raw: bool = False,
        group: str | None = None,
        order: str | None = None,
        unit: str | None = None,
    ) -> None:
        check_order(order)
        self.skipped: dict[str, int] = {}
        self.warnings: list[str] = []
        self.consumed = 0
        self.empty: Empty = Spare()
        self._order = order
        self._path, self._group = path, group
        self._bytes = os.stat(path).st_size
        self._news = self._opened(None)
        facts, _ = next(self._news)
        stored = tuple(facts["size"]) if facts["size"] else None
        self.sensor: str = facts["sensor"]
        self._count: int = facts["count"]
        self._offset: int = facts["offset"]
        self._columns = Columns(self.warnings, size or stored, unit or facts["unit"])
        self.notes = self._columns.notes
        self.size = self._columns.size

        self._made = self._arrays(self._news)

    def _opened(self, since: int | None) -> Iterator[News]:
        return feed(READ, self._path, {"group": self._group, "since": since})

    def leap(self, t: int) -> bool:
        """Let `events` go on with those at ``t`` µs, and some before, as the file's index tells where they are.

        Return whether it does: not where there is no index, or it is wrong, or that is not far ahead.
        """
        done, first = self._columns.done, None
        if self._count - done < WORTH or self._columns.unit != "us":
            return False
        news = self._opened(t - self._offset)
        arrays = self._arrays(news)
        with suppress(RecordingError):  # it will come in its place
            self._columns.done = next(news)[0]["row"]
            first = next(arrays, None) if self._columns.done > done else None
        if first is None or first["t"][0] >= t:
            news.close()  # type: ignore[attr-defined]  # it is a generator
            self._columns.done = done
            return False
        self.close()
        self._news, self._made = news, chain([first], arrays)
        return True

    def summary(self) -> tuple[int, None, None]:
        """Return how many events there are."""
        return self._count, None, None

    def events(self) -> Iterator[Array]:
        """Yield arrays (n,) EVENT; raises `RecordingError` where the file is damaged or a row is no event."""
        yield from self._made

    def _arrays(self, news: Iterator[News]) -> Iterator[Array]:
        for facts, data in news:
            if "filters" in facts:
                parts = self._unpacked(facts["filters"], facts["rows"], facts["chunk"], _dtype(facts["kind"]), data)
            else:
                parts = self._columns.events(self._split(facts["parts"], data), self.empty, self._offset)
            for events in parts:
                self.size = self._columns.size
                yield events
            self.consumed = self._bytes * min(self._columns.done, self._count) // max(1, self._count)

    def _unpacked(
        self, filters: list[int], count: int, rows: int, dtype: np.dtype[Any], data: memoryview
    ) -> Iterator[Array]:
        """Yield the first events of a chunk of so many rows, as it is stored."""
        if chunks.ECF in filters:
            return self._columns.ready(chunks.of_ecf(np.frombuffer(data, np.uint8), count, self.empty))
        names = named(dtype.names or ()) or {}
        plain, shuffled = chunks.unfiltered(data, filters, rows * dtype.itemsize)
        if shuffled and not self._offset and self._columns.unit == "us" and _fields(dtype, names) == chunks.PLAIN:
            return self._columns.ready(chunks.of_planes(plain, dtype, names, count, self.empty))
        block = chunks.rows(plain, shuffled, dtype, count)
        return self._columns.events({column: block[one] for column, one in names.items()}, self.empty, self._offset)

    def _split(self, parts: list[Any], data: memoryview) -> dict[str, Array]:
        """Return columns t, x, y, p of a block that was sent."""
        columns: dict[str, Array] = {}
        at = 0
        for name, kind, rows, width in parts:
            dtype = _dtype(kind)
            values = np.frombuffer(data, dtype, rows * width, at)
            at += values.nbytes
            if dtype.names is not None:
                return {column: values[one] for column, one in (named(dtype.names) or {}).items()}
            if not name:
                return self._plain(values.reshape(rows, width))
            columns[name] = values
        return columns

    def _plain(self, rows: Array) -> dict[str, Array]:
        if self._order is None:
            self._order = told_order(rows)
            self.warnings.append(
                f"the columns are taken as {self._order}, as their values tell; --option order= says otherwise"
            )
        return split(rows, self._order)

    def close(self) -> None:
        """End the process apart, where it stands in the midst of the file."""
        self._news.close()  # type: ignore[attr-defined]  # it is a generator


def _fields(dtype: np.dtype[Any], names: dict[str, str]) -> dict[str, np.dtype[Any]]:
    assert dtype.fields is not None
    return {column: dtype.fields[name][0] for column, name in names.items()}


def _dtype(kind: Any) -> np.dtype[Any]:
    if isinstance(kind, str):
        return np.dtype(kind)
    *fields, itemsize = kind
    names, formats, offsets = zip(*fields, strict=True)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize})


def sniff(head: bytes) -> bool:
    """Return whether a file starts as HDF5 does."""
    return head.startswith(MAGIC)


FORMAT = Format(
    name="hdf5",
    title="HDF5",
    suffixes=(".hdf5", ".h5"),
    sniff=sniff,
    options=OPTIONS | {"group": "the group or dataset to read, where events lie in several"},
    container=Container,
    packer=Packer,
    needs=("h5py",),
    install="pip install 'spikestream[hdf5]'",
)
