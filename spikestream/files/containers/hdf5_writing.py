"""Events into HDF5 as Prophesee lays them out: ``/CD/events`` with ``/CD/indexes``, packed by deflate.

OpenEB, and what else reads its files, needs no codec for it. Source: OpenEB's writer.
"""

from __future__ import annotations

from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import PluginError
from spikestream.formats.base.records import refuse, refuse_beyond, refuse_outside

EVENT_CD = np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")], align=True)
INDEX = np.dtype([("id", "<u8"), ("ts", "<i8")])
TRIGGER = np.dtype([("p", "<i2"), ("t", "<i8"), ("id", "<i2")], align=True)
TITLE = "Prophesee's HDF5"
CHUNK = 16_384
PERIOD_US = 2_000
LONGEST_US = 1 << 36
"""The index has an entry for every 2 ms, silence or not: 19 hours are as many as is sensible."""


class _Disk(FileIO):
    """A new file whose writes never fail, as the library, once one has, can neither close it nor let it be.

    ``error`` is what the first one has failed with; what comes after it is thrown away.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of these bytes, or take note of why not."""
        view = memoryview(data).cast("B")
        at = 0
        try:
            while at < len(view) and self.error is None:
                at += super().write(view[at:]) or 0
        except OSError as error:
            self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the file's size, or take note of why not."""
        try:
            return super().truncate(size) if self.error is None else size or 0
        except OSError as error:
            self.error = error
            return size or 0


class Packer:
    """Write events within the size, where it is known; t less than 2^36 µs after the first one's, none before it.

    Domain: -2^62 <= t < 2^62 µs.
    """

    def __init__(self, path: Path, size: tuple[int, int] | None = None, sensor: str | None = None) -> None:
        try:
            import h5py
        except ImportError as error:
            remedy = "pip install 'spikestream[hdf5]'"
            raise PluginError("HDF5 files need h5py, which is not installed", remedy=remedy) from error
        self._disk = _Disk(path)
        self._file = h5py.File(self._disk, "w", libver=("earliest", "v110"))
        packing: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        self._events = self._made("CD/events", EVENT_CD, packing)
        self._indexes = self._made("CD/indexes", INDEX, {})
        for name, dtype in (("events", TRIGGER), ("indexes", INDEX)):
            self._made(f"EXT_TRIGGER/{name}", dtype, {})
        self._file.attrs["version"] = "1.0"
        self._size = size
        self._held = np.empty(0, EVENT_CD)
        self._written = 0
        self._first = 0
        self._bin = 0
        self._begin = (0, -1)

    def _made(self, name: str, dtype: Any, packing: dict[str, Any]) -> Any:
        return self._file.create_dataset(name, (0,), dtype, chunks=(CHUNK,), maxshape=(None,), **packing)

    def feed(self, events: Array) -> None:
        """Write these events (n,) EVENT; raises `RecordingError` for one the format cannot hold."""
        if not len(events):
            return
        refuse_beyond(events, self._written, TITLE)
        if not self._written:
            self._first = int(events["t"][0])
            self._indexes.attrs["offset"] = str(-self._first)
            self._put(self._indexes, np.array([self._begin], INDEX))
        if self._size is not None:
            refuse_outside(self._size, events, self._written, TITLE)
        since = events["t"] - self._first
        expected = "t less than 2^36 µs after the first event's, and not before it"
        remedy = "sort by t, or write .aedat4"
        refuse((since < 0) | (since >= LONGEST_US), events, self._written, TITLE, expected, remedy)
        self._index(since)
        cd = np.empty(len(events), EVENT_CD)
        for name in EVENT_CD.names or ():
            cd[name] = events[name]
        self._written += len(events)
        self._held = np.concatenate([self._held, cd])
        whole = len(self._held) // CHUNK * CHUNK
        self._put(self._events, self._held[:whole])
        self._held = self._held[whole:]

    def _index(self, since: Array) -> None:
        """Write an entry for each 2 ms that begin: the first event of the last ones that had any."""
        bins = np.maximum.accumulate(np.maximum(since // PERIOD_US, self._bin))
        begins = np.flatnonzero(np.diff(bins, prepend=self._bin if self._written else -1))
        for i in begins.tolist():
            new = int(bins[i])
            for at in range(self._bin, new, CHUNK):
                self._put(self._indexes, np.full(min(CHUNK, new - at), np.array(self._begin, INDEX)))
            self._bin, self._begin = new, (self._written + i, int(since[i]))

    def _put(self, dataset: Any, rows: Array) -> None:
        if len(rows):
            at = len(dataset)
            dataset.resize((at + len(rows),))
            dataset[at:] = rows
        self._check()

    def _check(self) -> None:
        if self._disk.error is not None:
            raise self._disk.error

    def grow(self, size: tuple[int, int]) -> None:
        """Let events lie within a larger size."""
        self._size = size

    def finish(self) -> None:
        """Write what is held and the size, and close the file."""
        if self._size is not None:
            self._file.attrs["geometry"] = f"{self._size[0]}x{self._size[1]}"
        self._put(self._events, self._held)
        if self._written:
            self._put(self._indexes, np.array([self._begin], INDEX))
        self._file.close()
        self._check()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._disk.close()
