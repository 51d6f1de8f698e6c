"""The data table ``FTAB`` that ends an AEDAT 4 file: of every packet its place, its number of events and its times.

Fields of an entry: 0 byte offset of the payload i64, 1 struct of stream id and size (i32 each), 2 number of elements
i64, 3 and 4 first and last stamp in µs i64. It is packed like a packet's payload, but has no packet header. Source:
files written by DV and dv-processing; early DV versions leave fields 2 to 4 out.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from mmap import mmap
from typing import NamedTuple

import numpy as np

from spikestream.batch import Array
from spikestream.errors import SpikestreamError
from spikestream.formats.aedat4 import flatbuffer, header
from spikestream.formats.aedat4.packing import UNPACKED_LIMIT, Unpacker

_ENTRY = np.dtype(
    [("back", "<i4"), ("id", "<i4"), ("size", "<i4")]
    + [(name, "<i8") for name in ("offset", "events", "first", "last")]
    + [("padding", "<i4")]
)
_VTABLE = (14, 44, 12, 4, 20, 28, 36)


class Entry(NamedTuple):
    """One packet of stream 0: where its payload is, its bytes, its events, its first and last t in µs."""

    offset: int
    size: int
    events: int
    first: int
    last: int


def build(entries: Sequence[Entry]) -> bytes:
    """Return the size-prefixed FlatBuffer of a data table."""
    n = len(entries)
    vtable = 32 + 4 * n
    start = vtable + 14 + (4 - (vtable + 14)) % 8  # an entry's 64-bit fields want multiples of 8
    places = start + _ENTRY.itemsize * np.arange(n)
    rows = np.zeros(n, _ENTRY)
    rows["back"] = places - vtable
    for name, column in zip(Entry._fields, zip(*entries, strict=True), strict=False):
        rows[name] = column
    offsets = (places - 32 - 4 * np.arange(n)).astype("<u4").tobytes()
    body = offsets + struct.pack("<7H", *_VTABLE).ljust(start - vtable, b"\0") + rows.tobytes()
    return flatbuffer.packet_head(b"FTAB", n, len(body)) + body


def table_summary(data: bytes | mmap, stream: int | str | None = None) -> tuple[int, int, int] | None:
    """Return (events, first t, last t) in µs of one event stream by a file's own data table, without decoding events.

    ``data`` is the whole file; of a `mmap` only header and table are read. ``stream`` chooses as in `Decoder`. None
    where there is no table, it is damaged, or it does not count events; (0, 0, 0) where it lists none.
    """
    view = memoryview(data)
    try:
        start = 18 + header.body_size(view[:18])
        head = header.parse(view[18:start])
        if head.end is None or not start <= head.end < len(view):
            return None
        chosen, _ = header.choose(head.streams, stream)
        listed = _listed(view, head, chosen.id)
    except SpikestreamError:
        return None
    if listed is None:
        return None
    _, _, counts, first, last = listed
    return (int(counts.sum()), int(first.min()), int(last.max())) if len(counts) else (0, 0, 0)


def place(data: bytes | mmap, head: header.Header, stream: int, t: int) -> int | None:
    """Return the byte of a packet of a stream from which on all its events at ``t`` µs or later come.

    It is the packet before the first one that has any: a bit that is wrong in a stamp of the table rarely moves it
    further. None where there is no table, it is damaged or does not tell times, or packets overlap in time or are not
    where it says. ``data`` is the whole file, ``head`` its header.
    """
    view = memoryview(data)
    if head.end is None or not head.end < len(view):
        return None
    try:
        listed = _listed(view, head, stream)
    except SpikestreamError:
        return None
    if listed is None or not len(listed[0]):
        return None
    at, packets, _, first, last = listed
    times = np.stack([first, last], axis=1).ravel()
    if np.any(np.diff(times) < 0) or np.any(np.diff(at) <= 0):
        return None
    number = max(0, int(np.searchsorted(last, t)) - 1)
    byte = int(at[number]) - 8
    there = 0 <= byte <= head.end - 8 and struct.unpack_from("<q", view, byte)[0] == packets[number]
    return byte if there else None


def _listed(view: memoryview, head: header.Header, stream: int) -> tuple[Array, ...] | None:
    """Return of a stream's packets, (n,) each: places of their payloads, their headers as one number, how many events
    they have, first and last t; None where that is not told."""
    body = Unpacker(head.compression)(view[head.end :])
    begin, n = flatbuffer.vector(flatbuffer.root(body, b"FTAB"), 0, 4)
    rows = begin + 4 * np.arange(n)
    data = np.frombuffer(body, np.uint8)
    tables = rows + _gather(data, rows, "<u4").astype(np.int64)
    mine = tables[_column(data, tables, 1, "<i4") == stream]
    at, packets, counts, first, last = (_column(data, mine, index, "<i8") for index in range(5))
    if len(mine) and (counts.min() <= 0 or counts.max() > UNPACKED_LIMIT // 16):
        return None
    return at, packets, counts, first, last


def _column(data: Array, tables: Array, index: int, kind: str) -> Array:
    """Return one field of all tables at bytes ``tables`` (n,) at once; an absent field is 0."""
    vtables = tables - _gather(data, tables, "<i4")
    entry = 4 + 2 * index
    present = _gather(data, vtables, "<u2") >= entry + 2
    offsets = np.zeros(len(tables), np.int64)
    offsets[present] = _gather(data, vtables[present] + entry, "<u2")
    present = offsets > 0
    values = np.zeros(len(tables), np.int64)
    values[present] = _gather(data, tables[present] + offsets[present], kind)
    return values


def _gather(data: Array, at: Array, kind: str) -> Array:
    """Return the numbers at bytes ``at`` (n,), wherever they are; raises `RecordingError` where one is outside."""
    width = np.dtype(kind).itemsize
    for place in () if not len(at) else (int(at.min()), int(at.max())):
        if not 0 <= place <= len(data) - width:
            raise flatbuffer.outside("an entry of the data table", place, len(data))
    return data[at[:, None] + np.arange(width)].view(kind)[:, 0]
