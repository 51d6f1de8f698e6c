"""Events to AEDAT 4 as DV reads it: one event stream, packets of at most 65,536 events."""

from __future__ import annotations

import struct

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ConfigError, RecordingError, nearest
from spikestream.formats.aedat4 import header, table
from spikestream.formats.aedat4.flatbuffer import packet_head
from spikestream.formats.aedat4.packing import NUMBERS, pack
from spikestream.formats.base.records import check_sides, refuse_beyond, refuse_outside

PACKET_EVENTS = 1 << 16
TITLE = "AEDAT 4"
COORDINATES = 1 << 15
_STRUCT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"), ("padding", "V3")])


class Encoder:
    """Encode events with ``compression`` lz4, zstd or none; ``size`` (width, height) is required, ``sensor`` a name.

    Domain: 0 <= t < 2^62 µs, x and y within the size, at most 32,768 (signed 16 bits). Each `feed` closes a packet.
    What `feed` and `finish` return is a whole file; whoever can seek adds `index`, so that DV finds times without
    reading everything, and may let the size `grow` until then.
    """

    def __init__(
        self, size: tuple[int, int] | None = None, sensor: str | None = None, compression: str = "lz4"
    ) -> None:
        if compression not in NUMBERS:
            allowed, close = ", ".join(NUMBERS), nearest(compression, NUMBERS)
            what = f"unknown compression '{compression}'"
            raise ConfigError(what, key="compression", value=compression, allowed=allowed, nearest=close)
        if size is None:
            what = f"{TITLE} names the size of the sensor, and it is not known"
            raise RecordingError(what, remedy="--size WIDTHxHEIGHT")
        check_sides(size, COORDINATES, TITLE)
        name = sensor or "spikestream"
        if not name.isprintable():
            raise RecordingError("the sensor's name has characters that XML cannot hold", found=repr(name))
        self._compression, self._name = compression, name
        self._first = self._size = size
        self._head = header.build(compression, size, name)
        self._offset = 0
        self._entries: list[table.Entry] = []
        self._written = 0

    def feed(self, events: Array) -> bytes:
        """Return the packets of these events (n,) EVENT; raises `RecordingError` for one the format cannot hold."""
        self._refuse(events)
        firsts = range(0, len(events), PACKET_EVENTS)
        parts = [self._started(), *(self._packet(events[i : i + PACKET_EVENTS]) for i in firsts)]
        self._written += len(events)
        return b"".join(parts)

    def finish(self) -> bytes:
        """Return the header where nothing was fed, else nothing: without `index` a file ends after its last packet."""
        return self._started()

    def grow(self, size: tuple[int, int]) -> None:
        """Let events lie within a larger size, which `index` writes into the header."""
        check_sides(size, COORDINATES, TITLE)
        self._size = size

    def index(self) -> tuple[bytes, int, bytes]:
        """Return what to append after `finish`, and an offset in the file with what to write over the bytes there."""
        head = header.build(self._compression, self._size, self._name, self._first, self._offset)
        at = header.TABLE_POSITION_AT
        return pack(self._compression, table.build(self._entries)), at, head[at:]

    def _started(self) -> bytes:
        head, self._head = self._head, b""
        self._offset += len(head)
        return head

    def _packet(self, events: Array) -> bytes:
        rows = np.zeros(len(events), _STRUCT)
        for name in ("t", "x", "y", "p"):
            rows[name] = events[name]
        body = rows.tobytes()
        payload = pack(self._compression, packet_head(b"EVTS", len(events), len(body)) + body)
        t = events["t"]
        self._entries.append(table.Entry(self._offset + 8, len(payload), len(events), int(t.min()), int(t.max())))
        self._offset += 8 + len(payload)
        return struct.pack("<ii", 0, len(payload)) + payload

    def _refuse(self, events: Array) -> None:
        refuse_outside(self._size, events, self._written, TITLE)
        refuse_beyond(events, self._written, TITLE, 0)
