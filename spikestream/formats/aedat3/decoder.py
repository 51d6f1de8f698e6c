"""AEDAT 3 from bytes to events: packets of one kind and one source each.

A packet is a header of 28 bytes (i16 type, i16 source, i32 bytes of an event, i32 place of its stamp, i32 overflows of
31-bit time, i32 capacity, i32 number, i32 valid) and number x bytes of events.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ConfigError, RecordingError
from spikestream.formats.aedat3.header import LAYOUTS, SIZES, Header, device, known
from spikestream.formats.base import Empty, Spare, columns
from spikestream.formats.base.extent import Extent
from spikestream.formats.base.inlet import Inlet

PACKET = struct.Struct("<hhiiiiii")
EVENT_BYTES = 8
PIECE = 1 << 16
USUAL = (*columns.SIZES[:-1], (1 << 15, 1 << 15))
"""Usual sizes, and all that an event can hold."""
POLARITY = 1
KINDS = {
    0: "special",
    2: "frame",
    3: "imu",
    4: "imu",
    5: "sample",
    6: "ear",
    7: "config",
    8: "point1d",
    9: "point2d",
    10: "point3d",
    11: "point4d",
    12: "spike",
    13: "matrix4x4",
}


class Packet(NamedTuple):
    """A packet's header as stored, and where in the file it starts."""

    kind: int
    source: int
    event_bytes: int
    stamp_at: int
    overflows: int
    capacity: int
    number: int
    valid: int
    at: int


class Decoder:
    """Decode the polarity events of one source of an AEDAT 3.1 or 3.0 recording fed in any pieces.

    ``skipped`` counts packets of other kinds and events that are marked invalid or of another source. ``stream`` is the
    number of the source, by default the first that the header lists or, where it lists at most one, that of the first
    polarity packet. The size is ``size=`` (width, height), else that of the camera ``sensor=``, else of the one the
    header names, else it grows with the events to the next usual one, with a warning. 3.0 counts rows from the bottom
    of the camera: they are turned round, ``raw=True`` leaves them as stored. `feed` reads the header at once and events
    when iterated, so a header can be had without decoding.

    Bounds: 1 MiB of header, then the first 35 bytes of what is incomplete; arrays of at most 65,536 events.
    """

    def __init__(
        self,
        sensor: str | None = None,
        size: tuple[int, int] | None = None,
        raw: bool = False,
        stream: int | str | None = None,
    ) -> None:
        self.sensor = sensor or ""
        self._own = device(sensor)[1] if sensor else None
        self.size = size or (known(sensor) if sensor else None)
        self.skipped: dict[str, int] = {}
        self.empty: Empty = Spare()
        self.tidy = False
        self.warnings: list[str] = []
        self._raw = raw
        self._source = None if stream is None else _number(stream)
        self._header = Header()
        self._layout = LAYOUTS[b"3.1"]
        self._extent: Extent
        self._state = np.zeros(2, np.int64)
        self._inlet = Inlet()
        self._fed = 0
        self._packet: Packet | None = None
        self._left = 0

    def feed(self, data: memoryview) -> Iterator[Array]:
        """Return the arrays (n,) EVENT decoded from these bytes, to be iterated before more is fed.

        Raises `RecordingError` where the header or a packet's header is damaged, after the events before it.
        """
        data = memoryview(data).cast("B")
        self._fed += len(data)
        if not self._header.done:
            rest = self._header.feed(data)
            if rest is None:
                return iter(())
            self._headed()
            data, self._inlet.offset = rest, self._fed - len(rest)
        self._inlet.add(data)
        return self._events()

    def finish(self) -> None:
        """Raise `RecordingError` where the file ends inside its header or a packet."""
        if not self._header.finish():
            what = "the recording ends inside its header" if self._fed else "the recording is empty"
            raise RecordingError(what, offset=self._fed, remedy="fetch or export it again: it holds no events")
        if self._left or len(self._inlet):
            where = self._inlet.offset if self._packet is None else self._packet.at
            expected = f"{PACKET.size} bytes" if self._packet is None else f"{self._left:,} bytes more"
            raise RecordingError(
                "the recording is cut inside a packet",
                offset=where,
                expected=expected,
                found=f"{len(self._inlet)}",
                remedy="the events before it are read; for the others fetch the file again",
            )

    def _headed(self) -> None:
        sources = self._header.sources
        if len(sources) > 1 and self._source is None:
            self._source, *others = sources
            text = ", ".join(f"{number} ({sources[number]})" for number in others)
            self.warnings.append(f"{len(sources)} sources: read {self._source}, left out {text}; choose with stream=")
        camera = sources.get(next(iter(sources), 0) if self._source is None else self._source, "")
        name, size = device(camera)
        self._own = self._own or size
        self.sensor, self.size = self.sensor or name, self.size or size
        self._extent = Extent(USUAL, self.size, self.warnings)
        self._layout = LAYOUTS[self._header.version]
        if self._layout.bottom and not self._raw and self.size is None:
            raise RecordingError(
                "AEDAT 3.0 counts rows from the bottom, and the height of the sensor is not known",
                found=camera or "no #Source line",
                remedy=f"--size WIDTHxHEIGHT, or --sensor {'|'.join(SIZES)}",
            )

    def _events(self) -> Iterator[Array]:
        while True:
            if self._packet is None:
                start = self._inlet.take(PACKET.size)
                if start is None:
                    return
                self._packet = _checked(start, self._inlet.offset - PACKET.size)
                self._left = self._packet.event_bytes * self._packet.number
            if self._wanted(self._packet):
                yield from self._payload(self._packet)
            else:
                self._left = self._inlet.skip(self._left)
            if self._left:
                return
            self._close(self._packet)

    def _payload(self, packet: Packet) -> Iterator[Array]:
        """Yield the events of a packet as far as they have come."""
        while self._left:
            have = EVENT_BYTES if self._inlet.begun else len(self._inlet) // EVENT_BYTES * EVENT_BYTES
            data = self._inlet.take(min(self._left, max(have, EVENT_BYTES), PIECE * EVENT_BYTES))
            if data is None:
                return
            self._left -= len(data)
            yield from self._decoded(data, packet)

    def _wanted(self, packet: Packet) -> bool:
        if packet.kind != POLARITY:
            return False
        if self._source is None:
            self._source = packet.source
        return packet.source == self._source

    def _close(self, packet: Packet) -> None:
        if packet.kind != POLARITY:
            self._skip(KINDS.get(packet.kind, "unknown kind"), 1)
        elif packet.source != self._source:
            self._skip("events of other sources", packet.number)
        self._packet = None

    def _skip(self, kind: str, count: int) -> None:
        if count:
            self.skipped[kind] = self.skipped.get(kind, 0) + count

    def _decoded(self, data: memoryview, packet: Packet) -> Iterator[Array]:
        from spikestream.kernels.aedat3 import WORDS, decode
        from spikestream.kernels.packed import PACKED

        words = np.frombuffer(data, WORDS)
        words.flags.writeable = False  # one type for the kernel, whatever buffer the bytes came in
        layout = self._layout
        own = self._own or self.size  # rows are counted from the bottom of the sensor, whatever is wanted of it
        top = own[1] - 1 if layout.bottom and not self._raw and own else -1
        events = self.empty(len(words))
        code = (layout.x_shift, layout.y_shift, layout.y_mask, top, *self._extent.limits)
        n = decode(words, packet.overflows << 31, code, self._state, events.view(PACKED))
        self.tidy = not self._state[1]
        self._skip("invalid", len(words) - n)
        if n:
            self.size = self._extent.fit(events[:n])
            yield events[:n]


def _checked(data: memoryview, at: int) -> Packet:
    """Return the packet's header at byte ``at`` of the file, or raise `RecordingError` where it cannot be one."""
    packet = Packet._make((*PACKET.unpack(data), at))
    layout, needed = (packet.event_bytes, packet.stamp_at), (EVENT_BYTES, 4)
    for good, name, found, expected in (
        (packet.kind >= 0, "kind", packet.kind, "0 or more: negative ones are compressed"),
        (packet.event_bytes > 0, "event size", packet.event_bytes, "1 or more bytes"),
        (packet.number >= 0, "number of events", packet.number, "0 or more"),
        (0 <= packet.valid <= packet.number, "number of valid events", packet.valid, f"0..{packet.number:,}"),
        (packet.overflows >= 0, "number of time overflows", packet.overflows, "0 or more"),
        (packet.kind != POLARITY or layout == needed, "event layout (bytes, stamp at)", layout, f"{needed}"),
    ):
        if not good:
            what = f"a packet has an impossible {name}"
            raise RecordingError(what, offset=at, expected=expected, found=str(found))
    return packet


def _number(stream: int | str) -> int:
    try:
        return int(stream)
    except ValueError as error:
        raise ConfigError(
            f"no source '{stream}'", key="stream", value=stream, allowed="the number of a source"
        ) from error
