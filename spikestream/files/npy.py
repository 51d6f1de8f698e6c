"""NumPy's arrays in files, read by blocks: alone (NPY) and packed (NPZ). Nothing that is pickled is ever loaded."""

from __future__ import annotations

import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, cast

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError

MAGIC = b"\x93NUMPY"
MOST_HEADER = 65_536
HEADERS = {
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
}
"""By version, how many bytes the length of the header has, and what reads it."""
SUMMED = 1 << 20
"""Bytes that are read at a time for their sum alone."""
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, slots=True)
class Stored:
    """An array in a file: what it is, where its values begin in bytes, and how to open the file once more."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    begin: int
    open: Callable[[], IO[bytes]]

    @property
    def rows(self) -> int:
        """Return how long the array is."""
        return self.shape[0] if self.shape else 0

    def by_rows(self) -> Blocks:
        """Return its rows one after the other; raises `RecordingError` where they are not stored so."""
        if self.fortran and len(self.shape) > 1:
            raise RecordingError("the array is stored by columns", expected="rows")
        width = math.prod(self.shape[1:])
        return Blocks(self.open(), self.begin, self.dtype, width)

    def column(self, number: int, length: int) -> Blocks:
        """Return one column of an array stored by columns, of so many values each."""
        return Blocks(self.open(), self.begin + number * length * self.dtype.itemsize, self.dtype, 1)


class Blocks:
    """Values one after the other from a place of a file on, read as they are asked for."""

    def __init__(self, file: IO[bytes], begin: int, dtype: np.dtype[Any], width: int) -> None:
        self.file = file
        self._dtype, self._width = dtype, width
        self._begin: int | None = begin

    def take(self, rows: int) -> Array:
        """Return the next so many rows, (rows,) or (rows, width); raises `RecordingError` where the file ends."""
        if self._begin is not None:
            self.file.seek(self._begin)
            self._begin = None
        expected = rows * self._width * self._dtype.itemsize
        data = self.file.read(expected)
        if len(data) < expected:
            raise RecordingError("the array is cut short", expected=f"{expected:,} more bytes", found=f"{len(data):,}")
        values = np.frombuffer(data, self._dtype)
        return values if self._width == 1 else values.reshape(rows, self._width)


def stored(open: Callable[[], IO[bytes]], length: int) -> Stored:
    """Return what an NPY file of ``length`` bytes holds.

    Raises `RecordingError` for one that is damaged, that is not as long as its header says, or that holds objects.
    """
    with open() as file:
        try:
            version = np.lib.format.read_magic(file)
            width, read = HEADERS[version]
            if (said := int.from_bytes(file.read(width), "little")) > MOST_HEADER:
                raise ValueError(f"a header of {said:,} bytes")  # NumPy would ask for that memory before it looks
            file.seek(-width, os.SEEK_CUR)
            shape, fortran, dtype = read(file, max_header_size=MOST_HEADER)
            begin = file.tell()
        except Exception as error:  # the header is Python, and NumPy knows no end of ways to trip over it
            raise RecordingError("the header of an array is damaged", expected="NPY 1.0 or 2.0") from error
    if dtype.hasobject:
        raise RecordingError("the array holds Python objects (a pickle), which are not loaded", found=str(dtype))
    expected = begin + math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or expected != length:
        what = "an array is not as long as its header says"
        raise RecordingError(what, expected=f"{expected:,} bytes", found=f"{length:,}")
    return Stored(dtype, shape, fortran, begin, open)


def members(packed: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the arrays of an NPZ file by name; raises `RecordingError` for one that is packed as NumPy does not."""
    found = {}
    for entry in packed.infolist():
        if entry.compress_type not in PACKINGS or entry.flag_bits & 1:
            raise RecordingError(f"'{entry.filename}' is packed as NumPy packs nothing", expected="stored or deflated")
        if entry.filename.endswith(".npy"):
            found[entry.filename.removesuffix(".npy")] = entry
    return found


def member(packed: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Stored:
    """Return an array of an NPZ file; raises `RecordingError` as `stored`."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        return stored(lambda: packed.open(entry), entry.file_size)
    packed.open(entry).close()  # which looks whether it is where, and what, the archive says
    return stored(lambda: cast(IO[bytes], _Plain(packed, entry)), entry.file_size)


class _Plain:
    """A member that is stored as it is, read from the archive itself; once all of it was read, its sum has to be right.

    As zipfile reads it a third of the time is that of zlib's sum; zlib-ng's, where it is, takes next to none.
    """

    def __init__(self, packed: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
        self._descriptor = cast(IO[bytes], packed.fp).fileno()
        lengths = os.pread(self._descriptor, 4, entry.header_offset + 26)
        name, extra = struct.unpack("<2H", lengths)
        self._begin = entry.header_offset + 30 + name + extra
        self._entry, self._sum_of = entry, _sum()
        self._at = self._summed = self._sum = 0

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer at the end; raises `zipfile.BadZipFile` where it is not what was stored."""
        data = os.pread(self._descriptor, min(size, self._entry.file_size - self._at), self._begin + self._at)
        self._at += len(data)
        if self._at > self._summed:
            self._sum = self._sum_of(memoryview(data)[self._summed - self._at :], self._sum)
            self._summed = self._at
            if self._at == self._entry.file_size and self._sum != self._entry.CRC:
                raise zipfile.BadZipFile(f"Bad CRC-32 for file {self._entry.filename!r}")
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; what lies before it is summed up, too."""
        to = offset + (self._at if whence == os.SEEK_CUR else 0)
        self._at = min(to, self._summed)
        while self._at < to and self.read(min(SUMMED, to - self._at)):
            pass
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def close(self) -> None:
        """Leave the archive open, which is others' as well."""

    def __enter__(self) -> _Plain:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _sum() -> Callable[[Any, int], int]:
    """Return what computes a CRC-32 further."""
    try:
        from zlib_ng import zlib_ng
    except ImportError:
        return zlib.crc32
    found: Callable[[Any, int], int] = zlib_ng.crc32
    return found


def _entry(name: str, packing: int) -> zipfile.ZipInfo:
    """Return a new entry with the date zip begins with, so that the same arrays make the same file."""
    entry = zipfile.ZipInfo(f"{name}.npy")
    entry.compress_type = packing
    return entry


def add(packed: zipfile.ZipFile, name: str, value: Array) -> None:
    """Add an array to an NPZ file."""
    with packed.open(_entry(name, zipfile.ZIP_DEFLATED), "w") as file:
        np.lib.format.write_array(file, value, allow_pickle=False)


def add_column(
    packed: zipfile.ZipFile, name: str, dtype: np.dtype[Any], held: IO[bytes], count: int, packing: int
) -> None:
    """Add an array (count,) whose values stand in a file of their own: NPY begins with the length."""
    held.seek(0)
    header = {"descr": dtype.str, "fortran_order": False, "shape": (count,)}
    with packed.open(_entry(name, packing), "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        while part := held.read(1 << 20):
            file.write(part)
