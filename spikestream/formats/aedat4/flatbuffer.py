"""FlatBuffers by hand: no offset is followed and no length believed before it was checked against the buffer.

A buffer here is what follows the size prefix: u32 offset of the root table, 4 bytes of identifier, tables. A table
starts with the i32 distance back to its vtable; the vtable holds u16 its own bytes, u16 the table's bytes, and one u16
offset per field, 0 where the field has its default. Source: "FlatBuffer internals" of the FlatBuffers documentation.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from spikestream.errors import RecordingError

SMALLEST = 8
"""Bytes below which nothing is a buffer: the root offset and the identifier."""


class Table(NamedTuple):
    """One table whose vtable and inline fields are known to lie inside of ``data``."""

    data: memoryview
    at: int
    vtable: int
    vtable_bytes: int
    table_bytes: int


def u32(data: memoryview, at: int) -> int:
    """Return the u32 at byte ``at``; raises `RecordingError` where that is outside of the buffer."""
    return _four_bytes(data, at, "<I")


def _four_bytes(data: memoryview, at: int, kind: str) -> int:
    if not 0 <= at <= len(data) - 4:
        raise outside("an offset", at, len(data))
    value: int = struct.unpack_from(kind, data, at)[0]
    return value


def outside(what: str, at: int, size: int) -> RecordingError:
    """Return the error for something that points beyond the buffer of ``size`` bytes."""
    return RecordingError(f"{what} points outside of its packet", expected=f"below {size:,}", found=f"{at:,}")


def root(data: memoryview, identifier: bytes) -> Table:
    """Return the root table of a buffer; raises `RecordingError` where it is of another kind or damaged."""
    if len(data) < SMALLEST or data[4:8] != identifier:
        found = repr(bytes(data[4:8]))
        raise RecordingError(
            "a FlatBuffer is of another kind than it should be", expected=repr(identifier), found=found
        )
    return table(data, u32(data, 0))


def table(data: memoryview, at: int) -> Table:
    """Return the table at byte ``at``; raises `RecordingError` where it or its vtable leave the buffer."""
    size = len(data)
    vtable = at - _four_bytes(data, at, "<i")
    if not 0 <= vtable <= size - 4:
        raise outside("a vtable", vtable, size)
    vtable_bytes, table_bytes = struct.unpack_from("<HH", data, vtable)
    if vtable_bytes < 4 or vtable_bytes % 2 or vtable + vtable_bytes > size:
        raise RecordingError("a vtable has an impossible length", found=f"{vtable_bytes} bytes")
    if table_bytes < 4 or at + table_bytes > size:
        raise outside("the end of a table", at + table_bytes, size)
    return Table(data, at, vtable, vtable_bytes, table_bytes)


def field(of: Table, index: int, width: int) -> int | None:
    """Return where field ``index`` of ``width`` bytes lies, None where it has its default."""
    entry = 4 + 2 * index
    if entry >= of.vtable_bytes:
        return None
    (offset,) = struct.unpack_from("<H", of.data, of.vtable + entry)
    if offset == 0:
        return None
    if offset < 4 or offset + width > of.table_bytes:
        raise outside("a field", offset, of.table_bytes)
    return of.at + int(offset)


def scalar(of: Table, index: int, kind: str, default: int) -> int:
    """Return the number in field ``index``; ``kind`` is its `struct` letter."""
    at = field(of, index, struct.calcsize("<" + kind))
    return default if at is None else int(struct.unpack_from("<" + kind, of.data, at)[0])


def vector(of: Table, index: int, width: int) -> tuple[int, int]:
    """Return (first byte, length) of the vector in field ``index``, elements of ``width`` bytes; absent is (0, 0)."""
    at = field(of, index, 4)
    if at is None:
        return 0, 0
    at += u32(of.data, at)
    length = u32(of.data, at)
    if at + 4 + width * length > len(of.data):
        raise outside(f"a vector of {length:,} elements", at + 4 + width * length, len(of.data))
    return at + 4, length


class Heads:
    """Where the vector of ``width`` bytes an element lies that is field 0 of the root of one buffer after the other.

    A writer makes them all alike: what comes before the vector is looked through only where it is new.
    """

    def __init__(self, identifier: bytes, width: int) -> None:
        self._identifier = identifier
        self._width = width
        self.head = b""
        """What came before the vector's length in the last buffer; b"" for a buffer that has more behind it."""
        self.words = np.empty(0, "<u4")
        """The same as numbers of four bytes, none where it is not made of such."""

    def vector(self, data: memoryview) -> tuple[int, int]:
        """Return (first byte, length) of the vector in a buffer, see `vector`."""
        at = len(self.head)
        if at and data[:at] == self.head:
            length = u32(data, at)
            if at + 4 + self._width * length <= len(data):
                return at + 4, length
        of = root(data, self._identifier)
        first, length = vector(of, 0, self._width)
        known = max(of.at + of.table_bytes, of.vtable + of.vtable_bytes) <= first - 4
        self.head = bytes(data[: first - 4]) if known else b""
        self.words = np.frombuffer(self.head if len(self.head) % 4 == 0 else b"", "<u4")
        return first, length


def packet_head(identifier: bytes, length: int, body_bytes: int) -> bytes:
    """Return the 32 bytes before the elements of a size-prefixed buffer whose root holds one vector as its field 0.

    ``body_bytes`` follow them. The elements start at a multiple of 8, as readers in C++ ask for.
    """
    vtable_bytes, table_bytes, first_field, back, to_vector = 6, 8, 4, 6, 4
    return struct.pack(
        "<II4s2xHHHiII",
        28 + body_bytes,
        16,
        identifier,
        vtable_bytes,
        table_bytes,
        first_field,
        back,
        to_vector,
        length,
    )
