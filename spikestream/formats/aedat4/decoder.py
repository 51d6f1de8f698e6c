"""AEDAT 4 from bytes to events: the header once, then packets, each of one stream."""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from mmap import mmap
from typing import NamedTuple

import numpy as np

from spikestream.batch import EVENT, Array
from spikestream.errors import RecordingError
from spikestream.formats.aedat4 import flatbuffer, header, table
from spikestream.formats.aedat4.packing import RUN_PACKETS, Run, Runs, Unpacker
from spikestream.formats.base import Empty, Spare
from spikestream.formats.base.inlet import Inlet

PACKET_LIMIT = 64 << 20
PIECE = 1 << 18
KINDS = {"EVTS": "packets of other event streams", "FRME": "frame", "IMUS": "imu", "TRIG": "trigger"}
STRUCT_BYTES = 16
NONE = np.empty(0, EVENT)
DAMAGED = "the events before it are read; for the others fetch the file again"
ROOM = 1 << 15
"""Events of packets that came together are handed on together: most packets hold a few thousand, or a few."""


class Packet(NamedTuple):
    """A packet's header: its stream's number, the bytes of its payload, and where in the file it starts."""

    stream: int
    size: int
    at: int


class Decoder:
    """Decode the events of one stream of an AEDAT 4 recording fed in any pieces; ``skipped`` counts other packets.

    ``stream`` is the number or a name of an event stream, by default the first one the header lists, with a warning
    where there are several. ``sensor`` and ``size`` (width, height) replace what the header says. The origin is top
    left as stored, so ``raw`` changes nothing. ``packets`` counts the whole packets of every stream by its number.
    `feed` reads the header at once and events when iterated, so a header can be had without decoding.

    Bounds: a header of at most 1 MiB, whose XML may take 50 MiB while it is read; one event packet of at most 64 MiB
    and its unpacked form of at most 128 MiB, checked before more than a few times its size is spent on it (Zstandard
    may use another 128 MiB for its window); arrays of at most 262,144 events. Packets of other streams are not kept.
    """

    def __init__(
        self,
        sensor: str | None = None,
        size: tuple[int, int] | None = None,
        raw: bool = False,
        stream: int | str | None = None,
    ) -> None:
        self.sensor = sensor or ""
        self.size = size
        self.skipped: dict[str, int] = {}
        self.empty: Empty = Spare()
        self.tidy = False
        self.warnings: list[str] = []
        self.packets: dict[int, int] = {}
        self._wanted = stream
        self._inlet = Inlet()
        self._header_bytes = 0
        self._header: header.Header | None = None
        self._packet: Packet | None = None
        self._left = 0
        self._unpack = Unpacker("none")
        self._runs: Runs | None = None
        self._most = 1
        self._heads = flatbuffer.Heads(b"EVTS", STRUCT_BYTES)
        self._room, self._made = NONE, NONE
        self._filled = 0

    def feed(self, data: memoryview) -> Iterator[Array]:
        """Return the arrays (n,) EVENT decoded from these bytes, to be iterated before more is fed.

        Raises `RecordingError` where a length, an offset or a compressed frame is damaged, after the events before it,
        and `ConfigError` where the header has no event stream as wanted.
        """
        self._inlet.add(data)
        if self._header is None:
            self._read_header()
        return self._events()

    def place(self, data: bytes | mmap, t: int) -> int | None:
        """Return the byte of a packet from which on all events at ``t`` µs or later come, see `table.place`."""
        return None if self._header is None else table.place(data, self._header, self._stream, t)

    def leap(self, byte: int) -> None:
        """Go on with the packet that begins at a byte of the file: what is fed next comes from there."""
        self._inlet, self._packet = Inlet(byte), None
        self._room, self._made, self._filled = NONE, NONE, 0

    def finish(self) -> None:
        """Raise `RecordingError` where the file ends inside its header or a packet, or before its data table."""
        at = self._inlet.offset + len(self._inlet)
        if self._header is None:
            what = "the recording ends inside its header" if at else "the recording is empty"
            raise RecordingError(what, offset=at, remedy="fetch or export it again: it holds no events")
        if self._packet is not None:
            expected, found = f"{self._packet.size:,} bytes", f"{at - self._packet.at - 8:,}"
            what = "the recording is cut inside a packet"
            raise RecordingError(what, offset=self._packet.at, expected=expected, found=found, remedy=DAMAGED)
        if len(self._inlet) and not self._ended():
            what, found = "the recording is cut inside a packet's header", f"{len(self._inlet)}"
            raise RecordingError(what, offset=self._inlet.offset, expected="8 bytes", found=found, remedy=DAMAGED)
        if self._header.end is not None and at < self._header.end:
            expected = f"packets up to byte {self._header.end:,}"
            raise RecordingError("the recording is cut", offset=at, expected=expected, found="its end", remedy=DAMAGED)

    def _read_header(self) -> None:
        if not self._header_bytes:
            start = self._inlet.take(18)
            if start is None:
                return
            self._header_bytes = header.body_size(start)
        body = self._inlet.take(self._header_bytes)
        if body is None:
            return
        try:
            self._open(header.parse(body))
        except RecordingError as error:
            error.offset = len(header.MAGIC)
            raise

    def _open(self, head: header.Header) -> None:
        chosen, warning = header.choose(head.streams, self._wanted)
        self._stream = chosen.id
        self.size = self.size or chosen.size
        self.sensor = self.sensor or chosen.source
        self.warnings += [warning] if warning else []
        self._header = head
        self._unpack = Unpacker(head.compression)
        if head.end is not None and head.end < self._inlet.offset:
            self.warnings.append(f"the data table's position, {head.end:,}, is inside the header: not believed")
            self._header = header.Header(head.compression, None, head.streams)

    def _ended(self) -> bool:
        return self._header is not None and self._inlet.offset == self._header.end

    def _events(self) -> Iterator[Array]:
        try:
            yield from self._packets()
        except RecordingError:
            yield from self._given()
            raise
        yield from self._given()

    def _given(self) -> Iterator[Array]:
        """Yield the events that are there, and have room for none any more."""
        events, self._room, self._made, self._filled = self._room[: self._filled], NONE, NONE, 0
        if len(events):
            yield events

    def _packets(self) -> Iterator[Array]:
        """Decode packets into the room there is; yield it where it does not suffice."""
        from spikestream.kernels.aedat4 import STRUCT, decode

        while self._header is not None and not self._ended():
            if self._packet is None:
                start = self._inlet.take(8)
                if start is None:
                    return
                stream, size = struct.unpack("<ii", start)
                self._packet = self._checked(Packet(stream, size, self._inlet.offset - 8))
                self._left = self._packet.size
            if self._packet.stream == self._stream:
                payload = self._inlet.take(self._packet.size)
                if payload is None:
                    return
                body, at, n = self._body(self._packet, payload)
                for first in range(0, n, PIECE):
                    count = min(PIECE, n - first)
                    stored = np.frombuffer(body, STRUCT, count, at + first * STRUCT_BYTES)
                    stored.flags.writeable = False  # one type for the kernel, whatever buffer the bytes came in
                    if self._filled + count > len(self._room):
                        yield from self._make_room(count)
                    width, height = self.size or (0, 0)
                    self.tidy = decode(stored, width, height, self._filled, self.tidy, self._made)
                    self._filled += count
            else:
                self._left = self._inlet.skip(self._left)
                if self._left:
                    return
            self._count(self._packet.stream, self._header)
            self._packet = None
            if self._heads.head:
                yield from self._alike(self._header)

    def _checked(self, packet: Packet) -> Packet:
        end = None if self._header is None else self._header.end
        limit = PACKET_LIMIT if packet.stream == self._stream else 2**31 - 1
        if end is not None:
            limit = min(limit, end - packet.at - 8)
        if not 0 < packet.size <= limit:
            what, allowed = f"a packet of stream {packet.stream} has an impossible size", f"1..{max(limit, 1):,} bytes"
            raise RecordingError(what, offset=packet.at, expected=allowed, found=f"{packet.size:,}")
        return packet

    def _count(self, stream: int, head: header.Header) -> None:
        if stream in head.streams:
            self.packets[stream] = self.packets.get(stream, 0) + 1
        if stream != self._stream:
            kind = head.streams[stream].kind if stream in head.streams else "unknown stream"
            kind = KINDS.get(kind, kind)
            self.skipped[kind] = self.skipped.get(kind, 0) + 1

    def _alike(self, head: header.Header) -> Iterator[Array]:
        """Decode the packets that are like the last one many at a time, for as long as they are."""
        self._runs = self._runs or Runs(head.compression)
        while True:
            rest = self._inlet.rest
            run = self._runs(
                rest if head.end is None else rest[: head.end - self._inlet.offset], self._stream, self._most
            )
            packets, passed = yield from self._copied(run)
            self.packets[self._stream] = self.packets.get(self._stream, 0) + packets
            self._inlet.skip(passed if run.ends is None else int(run.ends[packets - 1]) if packets else 0)
            if run.ends is None or not len(run.ends):
                return
            self._most = min(2 * self._most, RUN_PACKETS) if packets == len(run.ends) else 1
            if packets < len(run.ends):  # the others will be unpacked once more
                return

    def _copied(self, run: Run) -> Generator[Array, None, tuple[int, int]]:
        """Decode the packets of a run that are like the last one; return how many they are, and how many bytes."""
        from spikestream.kernels.aedat4 import alike

        at = packets = 0
        size, head = self.size or (0, 0), self._heads.words
        if not len(self._room):
            yield from self._make_room(0)
        while run.bytes > at and len(head):
            at, more, self._filled, self.tidy, wanting = alike(
                run.plain.words,
                run.plain.stored,
                at,
                run.bytes,
                self._stream,
                head,
                size,
                self._filled,
                self.tidy,
                self._made,
            )
            packets += more
            if not wanting:
                break
            yield from self._make_room(wanting)
        return packets, at

    def _make_room(self, count: int) -> Iterator[Array]:
        """Yield the events that are there, and have room for so many more."""
        from spikestream.kernels.packed import PACKED

        yield from self._given()
        self._room, self.tidy = self.empty(max(count, ROOM)), True
        self._made = self._room.view(PACKED)

    def _body(self, packet: Packet, payload: memoryview) -> tuple[memoryview, int, int]:
        """Return what a packet's bytes unpack to, where the events begin in it, and how many they are."""
        try:
            body = self._unpack(payload)
            return body, *self._heads.vector(body)
        except RecordingError as error:
            error.offset, error.remedy = packet.at, error.remedy or DAMAGED
            raise
