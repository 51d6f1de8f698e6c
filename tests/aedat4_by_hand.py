"""AEDAT 4 files put together with `struct` from the specification, laid out unlike those of any writer we know.

And what all AEDAT 4 tests need: to decode in pieces, and to encode.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import lz4.frame
import numpy as np
import zstandard

from spikestream.batch import EVENT
from spikestream.formats.aedat4 import Decoder, Encoder

Event = tuple[int, int, int, int]
PACK = {
    0: bytes,
    1: lambda data: lz4.frame.compress(data, store_size=False),
    2: lz4.frame.compress,
    3: lambda data: zstandard.ZstdCompressor().compress(data),
    4: lambda data: zstandard.ZstdCompressor(write_content_size=False).compress(data),
}


def prefixed(body: bytes) -> bytes:
    return struct.pack("<I", len(body)) + body


def event_body(events: Sequence[Event], identifier: bytes = b"EVTS") -> bytes:
    """Root table at 8, the vector at 16, and the vtable last; the elements start off any multiple of 8."""
    structs = b"".join(struct.pack("<qhhBxxx", *event) for event in events)
    vtable = 20 + len(structs)
    head = struct.pack("<I4siII", 8, identifier, 8 - vtable, 4, len(events))
    return head + structs + struct.pack("<HHH", 6, 8, 4)


def header_body(xml: bytes, compression: int | None = 0, position: int | None = -1) -> bytes:
    """Fields that are None are left out, so that the reader must know their defaults."""
    text = struct.pack("<I", len(xml)) + xml + b"\0"
    vtable = 28 + len(text)
    fields = struct.pack("<iiIq", 8 - vtable, compression or 0, 12, -1 if position is None else position)
    offsets = (4 if compression is not None else 0, 12 if position is not None else 0, 8)
    return struct.pack("<I4s", 8, b"IOHE") + fields + text + struct.pack("<5H", 10, 20, *offsets)


def stream_xml(number: int | str, kind: str, *, output: str = "", size: str = "", source: str = "CAM_1") -> str:
    attrs = {"typeIdentifier": kind, "originalModuleName": "capture", "originalOutputName": output}
    about = "".join(f'<attr key="{key}" type="string">{value}</attr>' for key, value in attrs.items())
    width, _, height = size.partition("x")
    sides = f'<attr key="sizeX" type="int">{width}</attr><attr key="sizeY" type="int">{height}</attr>' if size else ""
    info = f'<node name="info">{sides}<attr key="source" type="string">{source}</attr></node>'
    return f'<node name="{number}">{about}{info}</node>'


def xml_of(streams: Iterable[str]) -> bytes:
    return f'<dv version="2.0"><node name="outInfo">{"".join(streams)}</node></dv>'.encode()


def packet(stream: int, payload: bytes) -> bytes:
    return struct.pack("<ii", stream, len(payload)) + payload


def head(body: bytes) -> bytes:
    return b"#!AER-DAT4.0\r\n" + prefixed(body)


def file(
    packets: Iterable[tuple[int, bytes]],
    *,
    streams: Sequence[str] = (stream_xml(0, "EVTS", output="events", size="64x48"),),
    compression: int = 0,
    position: int | None = -1,
) -> bytes:
    """A whole file of (stream, body without size prefix) packets."""
    start = head(header_body(xml_of(streams), compression, position))
    return start + b"".join(packet(stream, PACK[compression](prefixed(body))) for stream, body in packets)


class TableRow(NamedTuple):
    """A packet in the data table: its stream, its number of events, its first and last t."""

    stream: int
    events: int
    first: int
    last: int


def with_table(rows: Sequence[TableRow], fields: int = 5) -> bytes:
    """A file of two event streams and no packet but a data table; only the first ``fields`` of a row are known to it.

    Every row is a table with its vtable right behind it, and its fields stand in reverse order.
    """
    body = struct.pack("<I4siII", 8, b"FTAB", 0, 4, len(rows))
    places = [20 + 4 * len(rows) + 60 * i for i in range(len(rows))]
    body += b"".join(struct.pack("<I", place - 20 - 4 * i) for i, place in enumerate(places))
    for row in rows:
        values = struct.pack("<iqqqiiq", -44, row.last, row.first, row.events, row.stream, 77, 1234)
        vtable = struct.pack("<7H", 4 + 2 * fields, 44, 36, 28, 20, 12, 4)
        body += values + vtable + b"\xee\xee"
    body = body[:8] + struct.pack("<i", 8 - len(body)) + body[12:] + struct.pack("<HHH", 6, 8, 4)
    streams = (stream_xml(0, "EVTS"), stream_xml(2, "EVTS"))
    return file([], streams=streams, position=len(file([], streams=streams))) + prefixed(body)


def decoded(decoder: Decoder, data: bytes, step: int | None = None) -> np.ndarray:
    parts = [np.empty(0, EVENT)]
    for at in range(0, len(data), step or len(data)):
        parts += list(decoder.feed(memoryview(data)[at : at + (step or len(data))]))
    decoder.finish()
    return np.concatenate(parts)


def as_events(rows: Sequence[Event]) -> np.ndarray:
    return np.array([(t, x, y, bool(p)) for t, x, y, p in rows], EVENT)


def encoded(events: np.ndarray, indexed: bool = True, **options) -> bytes:
    encoder = Encoder(**{"size": (346, 260), **options})
    third = len(events) // 3
    data = bytearray(encoder.feed(events[:third]) + encoder.feed(events[third:]) + encoder.finish())
    if indexed:
        tail, at, patch = encoder.index()
        data += tail
        data[at : at + len(patch)] = patch
    return bytes(data)


def random_events(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    events = np.empty(n, EVENT)
    events["t"] = 1_600_000_000_000_000 + np.cumsum(rng.integers(0, 3, n))
    events["x"], events["y"], events["p"] = rng.integers(0, 346, n), rng.integers(0, 260, n), rng.integers(0, 2, n)
    return events
