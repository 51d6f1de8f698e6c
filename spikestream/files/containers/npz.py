"""Events in NumPy's files: an array alone (.npy) or columns packed together (.npz), as the field writes them.

Known are structured arrays with fields like t, x, y, p; plain arrays of four columns or four rows; and NPZ files of one
of these, or of a column each. Origin top left, as stored.
"""

from __future__ import annotations

import os
import shlex
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.files.npy import MAGIC, Blocks, Stored, add, add_column, member, members, stored
from spikestream.files.regular import open_regular
from spikestream.formats.base import Empty, Format, Spare
from spikestream.formats.base.columns import OPTIONS, Columns, check_order, named, split, told_order
from spikestream.formats.base.records import refuse_beyond, refuse_outside

ROWS = 65_536
"""Events read at a time."""
ZIP = b"PK\x03\x04"
ONE = ("events", "arr_0", "data", "event_data")
"""What a single array of events is called in NPZ files."""
OURS: dict[str, np.dtype[Any]] = {"t": np.dtype("<i8"), "x": np.dtype("<u2"), "y": np.dtype("<u2"), "p": np.dtype("?")}


class _Table:
    """Rows of events, whatever they are stored as: columns t, x, y, p, read so many at a time."""

    def __init__(self, count: int, parts: dict[str, Blocks], order: str | None) -> None:
        self.count = count
        self._parts, self._order = parts, order

    def take(self, rows: int, warnings: list[str]) -> Mapping[str, Array]:
        """Return the next rows as columns by name."""
        if "" not in self._parts:
            return self._called({name: part.take(rows) for name, part in self._parts.items()}, warnings)
        block = self._parts[""].take(rows)
        if block.dtype.names is not None:
            return {column: block[name] for column, name in (named(block.dtype.names) or {}).items()}
        return self._called({str(i): block[:, i] for i in range(4)}, warnings)

    def _called(self, columns: dict[str, Array], warnings: list[str]) -> Mapping[str, Array]:
        if "0" not in columns:
            return columns
        rows = np.stack(list(columns.values()), axis=1)
        if self._order is None:
            self._order = told_order(rows)
            warnings.append(
                f"the columns are taken as {self._order}, as their values tell; --option order= says otherwise"
            )
        return split(rows, self._order)

    def close(self) -> None:
        """Close the files that are read from."""
        for part in self._parts.values():
            part.file.close()


def _table(array: Stored, order: str | None) -> _Table | None:
    """Return an array as a table of events, None where it can be none."""
    if array.dtype.names is not None and len(array.shape) == 1:
        return _Table(array.rows, {"": array.by_rows()}, order) if named(array.dtype.names) else None
    if array.dtype.kind not in "biuf" or len(array.shape) != 2 or 4 not in array.shape:
        return None
    rows, apart = array.shape[0], array.fortran
    if array.shape[1] != 4:
        rows, apart = array.shape[1], not array.fortran
    if not apart:
        return _Table(rows, {"": Blocks(array.open(), array.begin, array.dtype, 4)}, order)
    return _Table(rows, {str(i): array.column(i, rows) for i in range(4)}, order)


class _Container:
    """Read events of a table by blocks; ``sensor`` and ``raw`` change nothing. Bound: 65,536 rows of it."""

    def __init__(
        self,
        path: str,
        sensor: str | None = None,
        size: tuple[int, int] | None = None,
        raw: bool = False,
        order: str | None = None,
        unit: str | None = None,
    ) -> None:
        check_order(order)
        self.sensor = ""
        self.skipped: dict[str, int] = {}
        self.warnings: list[str] = []
        self.consumed = 0
        self.empty: Empty = Spare()
        self._bytes = os.stat(path).st_size
        self._path = path
        with ExitStack() as stack:
            self._closing = stack
            self._table, known = self._found(order)
            stack.callback(self._table.close)
            self._columns = Columns(self.warnings, size or known, unit)
            self.notes = self._columns.notes
            self.size = self._columns.size
            self._closing = stack.pop_all()

    def _found(self, order: str | None) -> tuple[_Table, tuple[int, int] | None]:
        """Return the table of the file, and the size where it is stored."""
        raise NotImplementedError

    def summary(self) -> tuple[int, None, None]:
        """Return how many events there are."""
        return self._table.count, None, None

    def events(self) -> Iterator[Array]:
        """Yield arrays (n,) EVENT; raises `RecordingError` where the file is damaged or a row is no event."""
        for at in range(0, self._table.count, ROWS):
            rows = min(ROWS, self._table.count - at)
            try:
                columns = self._table.take(rows, self.warnings)
            except RecordingError:
                raise
            except Exception as error:  # zipfile and zlib know no end of ways to trip over a damaged byte
                what = f"the file is damaged after event {self._columns.done:,}"
                raise RecordingError(what, details=[str(error)]) from error
            for events in self._columns.events(columns, self.empty):
                self.size = self._columns.size
                yield events
            self.consumed = self._bytes * (at + rows) // self._table.count

    def close(self) -> None:
        """Close the file."""
        self._closing.close()


class NpyContainer(_Container):
    """An array in a file of its own: see `_Container`."""

    def _found(self, order: str | None) -> tuple[_Table, None]:
        array = stored(lambda: open_regular(self._path), self._bytes)
        table = _table(array, order)
        if table is None:
            what = f"the array holds no events: {_told(array)}"
            raise RecordingError(what, expected="fields t, x, y, p, or four columns of numbers")
        return table, None


class NpzContainer(_Container):
    """Arrays packed together: see `_Container`."""

    def _found(self, order: str | None) -> tuple[_Table, tuple[int, int] | None]:
        try:
            packed = self._closing.enter_context(zipfile.ZipFile(self._path))
            return self._among(packed, order)
        except RecordingError:
            raise
        except Exception as error:  # as above
            raise RecordingError("the archive is damaged", details=[str(error)]) from error

    def _among(self, packed: zipfile.ZipFile, order: str | None) -> tuple[_Table, tuple[int, int] | None]:
        there = members(packed)
        _refuse_ours(there, self._path)
        arrays = {name: member(packed, there[name]) for name in _wanted(there)}
        names = named(arrays)
        table = None
        if names is not None:
            columns = {column: arrays[name] for column, name in names.items()}
            lengths = {one.shape for one in columns.values()}
            if len(lengths) == 1 and all(len(shape) == 1 for shape in lengths):
                table = _Table(columns["t"].rows, {name: one.by_rows() for name, one in columns.items()}, None)
        elif len(arrays) == 1:
            table = _table(next(iter(arrays.values())), order)
        if table is None:
            raise RecordingError(
                "the arrays hold no events as they are known",
                expected="t, x, y, p of one length, or one array of events",
                found="; ".join(f"{name}: {_told(array)}" for name, array in list(arrays.items())[:8]) or _few(there),
            )
        return table, _size(packed, there)


def _wanted(there: Mapping[str, Any]) -> list[str]:
    """Return the names of the arrays that hold the events, as far as names tell."""
    names = named(there)
    if names is not None:
        return list(names.values())
    single = [name for name in ONE if name in there] or (list(there) if len(there) == 1 else [])
    return single[:1]


def _size(packed: zipfile.ZipFile, there: Mapping[str, zipfile.ZipInfo]) -> tuple[int, int] | None:
    """Return the size that is stored: (width, height) as ``size``, or both by name."""
    found = []
    for names in (("size",), ("width", "height")):
        if all(name in there for name in names):
            for name in names:
                array = member(packed, there[name])
                if array.dtype.kind in "iu" and len(array.shape) < 2 and array.rows <= 2:
                    found += Blocks(array.open(), array.begin, array.dtype, 1).take(array.rows or 1).tolist()
            break
    if len(found) == 2 and all(0 < side <= 1 << 16 for side in found):
        return found[0], found[1]
    return None


def _refuse_ours(there: Mapping[str, Any], path: str) -> None:
    """Say what other files of this program are."""
    remedy = ""
    if "axon" in there and "t" in there:
        kind, remedy = "spikes of a cochlea or of a chip", "in Python, spikestream.files.spikes.read_spikes(path)"
    elif "format" in there and "notes" in there:
        kind, remedy = "a network placed on a chip", f"spikestream emulate {shlex.quote(path)}"
    elif any(name.startswith("meta") for name in there):
        kind, remedy = "a saved model", f"spikestream models {shlex.quote(path)}"
    else:
        return
    raise RecordingError(f"this holds {kind}, no events", found=_few(there), remedy=remedy)


def _few(names: Mapping[str, Any]) -> str:
    return ", ".join(list(names)[:8]) or "no array"


def _told(array: Stored) -> str:
    return f"{array.dtype} of shape {array.shape}"


class NpzPacker:
    """Write t, x, y, p as a column each, int64 µs, uint16 and bool, and the size, where it is known: events within it.

    Domain: -2^62 <= t < 2^62 µs.
    They are stored as they are, as NumPy's ``savez`` does: fast to read, 13 bytes an event.
    """

    def __init__(self, path: Path, size: tuple[int, int] | None = None, sensor: str | None = None) -> None:
        self._path, self._size = path, size
        self._count = 0
        with ExitStack() as stack:
            self._held: dict[str, IO[bytes]] = {
                name: stack.enter_context(TemporaryFile(dir=path.parent)) for name in OURS
            }
            self._closing = stack.pop_all()

    def feed(self, events: Array) -> None:
        """Keep these events (n,) EVENT, each column in a file of its own; raises `RecordingError` for one outside."""
        refuse_beyond(events, self._count, "NPZ")
        if self._size is not None:
            refuse_outside(self._size, events, self._count, "the size stored with it")
        for name, dtype in OURS.items():
            self._held[name].write(events[name].astype(dtype).tobytes())
        self._count += len(events)

    def grow(self, size: tuple[int, int]) -> None:
        """Let events lie within a larger size."""
        self._size = size

    def finish(self) -> None:
        """Pack the columns."""
        with zipfile.ZipFile(self._path, "w") as packed:
            for name, dtype in OURS.items():
                add_column(packed, name, dtype, self._held[name], self._count, zipfile.ZIP_STORED)
            if self._size is not None:
                add(packed, "size", np.array(self._size, np.int64))

    def close(self) -> None:
        """Delete the files of the columns."""
        self._closing.close()


def sniff_npy(head: bytes) -> bool:
    """Return whether a file starts as an array of NumPy's does."""
    return head.startswith(MAGIC)


def sniff_npz(head: bytes) -> bool:
    """Return whether a file is a ZIP archive that begins with an array."""
    length = int.from_bytes(head[26:28], "little")
    return head.startswith(ZIP) and head[30 : 30 + length].endswith(b".npy")


NPY = Format("npy", "NumPy array (.npy)", (".npy",), sniff_npy, None, None, OPTIONS, NpyContainer)
NPZ = Format("npz", "NumPy arrays (.npz)", (".npz",), sniff_npz, None, None, OPTIONS, NpzContainer, NpzPacker)
