"""What event cameras and their programs send as UDP datagrams: each is a few events and can be read by itself.

* ``faery``: 13 bytes an event, u64 t in µs, u16 x, u16 y, u8 on; its authors' ``t64_x16_y16_on8``.
* ``faery32``: 8 bytes, u32 t, u16 x, u16 ``y << 1 | on``; ``t32_x16_y15_on1``. Stamps wrap after 71.6 minutes.
* ``spif``: u32 words of SpiNNaker's interface and of AEStream: bit 31 says that no stamp follows, x in 30:16, the
  polarity in 15, y in 14:0. A u32 stamp in µs follows a word without bit 31. All words of a datagram are of one kind.
* ``es``: u64 t in µs, and an Event Stream that begins at that time; of event_stream.

All are little-endian. None has a number that would tell of what is lost. Sources: faery's ``udp_decoder.py`` and
``udp_encoder.py``; ``spiffer/README.md`` of spif, ``dvs_to_udp.cpp`` of AEStream; event_stream's ``event_stream.cpp``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from spikestream.batch import EVENT, LIMIT_US, Array
from spikestream.errors import RecordingError
from spikestream.formats import es

MOST_BYTES = 1_400
"""A datagram of more would be sent in parts wherever a frame of Ethernet carries it, and lost with any of them."""
SPIF_BYTES = 512
"""What AEStream takes at most."""
PACKET_EVENTS = 100
"""Events in a datagram of faery."""
ABSENT, ON_BIT = 1 << 31, 1 << 15
_SHORT = np.dtype([("t", "<u4"), ("x", "<u2"), ("y", "<u2")])
_LONG = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
_HALF, _WRAP = 1 << 31, 1 << 32


class Layout(Protocol):
    """One layout of datagrams, for a sensor of ``size`` (width, height)."""

    stamped: bool
    """Whether the events decoded last had stamps; else all of them have t = 0."""

    def decode(self, datagram: bytes) -> Array:
        """Return the events (n,) EVENT of a datagram; raises `RecordingError`, whose ``what`` is the reason."""
        ...

    def encode(self, events: Array) -> Iterator[tuple[bytes, int]]:
        """Yield datagrams with how many events each has; raises `RecordingError` for what does not fit."""
        ...


class Faery:
    """13 bytes an event, or 8 where ``short``."""

    stamped = True

    def __init__(self, size: tuple[int, int], short: bool = False) -> None:
        self._row = _SHORT if short else _LONG
        self._wraps = Wraps()

    def decode(self, datagram: bytes) -> Array:
        """Return the events; all bytes have to belong to one."""
        if len(datagram) % self._row.itemsize:
            raise RecordingError("cut", expected=f"whole events of {self._row.itemsize} bytes")
        rows = np.frombuffer(datagram, self._row)
        events = np.empty(len(rows), EVENT)
        if self._row is _SHORT:
            events["t"] = self._wraps.undone(rows["t"])
            events["x"], events["y"], events["p"] = rows["x"], rows["y"] >> 1, rows["y"] & 1
            return events
        if len(rows) and (rows["p"].max() > 1 or rows["t"].max() >> 62):
            raise RecordingError("no such events", expected="polarities of 0 or 1, and t < 2^62 µs")
        for name in ("t", "x", "y", "p"):
            events[name] = rows[name]
        return events

    def encode(self, events: Array) -> Iterator[tuple[bytes, int]]:
        """Yield datagrams of 100 events."""
        _refuse(events, self._row is _SHORT)
        for at in range(0, len(events), PACKET_EVENTS):
            part = events[at : at + PACKET_EVENTS]
            rows = np.empty(len(part), self._row)
            rows["x"] = part["x"]
            if self._row is _SHORT:
                rows["t"], rows["y"] = part["t"] % _WRAP, part["y"] << 1 | part["p"]
            else:
                rows["t"], rows["y"], rows["p"] = part["t"], part["y"], part["p"]
            yield rows.tobytes(), len(part)


class Spif:
    """Words of 32 bits; ``stamps`` says whether those sent have stamps, which spif itself does not know."""

    def __init__(self, size: tuple[int, int], stamps: bool = False) -> None:
        self.stamped = self._stamps = stamps
        self._wraps = Wraps()

    def decode(self, datagram: bytes) -> Array:
        """Return the events of words that are all of one kind."""
        if len(datagram) % 4:
            raise RecordingError("cut", expected="whole words of 4 bytes")
        words = np.frombuffer(datagram, "<u4")
        stamped = bool(len(words)) and not int(words[0]) & ABSENT
        if stamped and len(words) % 2:
            raise RecordingError("cut", expected="a stamp behind each word")
        pixels = words[::2] if stamped else words
        if len(pixels) and np.any((pixels >> 31) == stamped):
            raise RecordingError("mixed", expected="words that are all with a stamp, or all without")
        events = np.zeros(len(pixels), EVENT)
        events["x"], events["y"], events["p"] = pixels >> 16 & 0x7FFF, pixels & 0x7FFF, pixels >> 15 & 1
        if stamped:
            events["t"] = self._wraps.undone(words[1::2])
        self.stamped = stamped
        return events

    def encode(self, events: Array) -> Iterator[tuple[bytes, int]]:
        """Yield datagrams of at most 512 bytes."""
        _refuse(events, True)
        width = 2 if self._stamps else 1
        for at in range(0, len(events), SPIF_BYTES // 4 // width):
            part = events[at : at + SPIF_BYTES // 4 // width]
            words = np.empty(len(part) * width, "<u4")
            pixel = part["x"].astype("<u4") << 16 | part["p"].astype("<u4") << 15 | part["y"]
            words[::width] = pixel if self._stamps else pixel | ABSENT
            if self._stamps:
                words[1::2] = part["t"] % _WRAP
            yield words.tobytes(), len(part)


class EventStream:
    """A time and an Event Stream."""

    stamped = True

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size

    def decode(self, datagram: bytes) -> Array:
        """Return the events; the stream has to be of the size that the sensor has."""
        if len(datagram) < 8:
            raise RecordingError("cut", expected="a time of 8 bytes")
        (first,) = struct.unpack_from("<Q", datagram)
        decoder = es.Decoder()
        try:
            parts = list(decoder.feed(memoryview(datagram)[8:]))
            decoder.finish()
        except RecordingError as error:
            raise RecordingError("no Event Stream", details=[error.what]) from error
        if decoder.size != self._size or first >> 62:
            raise RecordingError("another size", expected=f"{self._size}", found=f"{decoder.size}")
        events = np.concatenate([np.empty(0, EVENT), *parts])
        events["t"] += first
        return events

    def encode(self, events: Array) -> Iterator[tuple[bytes, int]]:
        """Yield datagrams that each begin at the time of their first event."""
        _refuse(events, False)
        begin = 0
        room = (MOST_BYTES - 8 - es.SIZED) // es.BYTES
        while begin < len(events):
            part = events[begin : begin + room].copy()
            first = int(part["t"][0])
            part["t"] -= first
            # A byte for every 127 µs that pass, and what does not fit waits for the next one.
            spent = es.BYTES * np.arange(1, len(part) + 1) + part["t"] // 127 + 1
            part = part[: max(1, int(np.searchsorted(spent, room * es.BYTES, "right")))]
            yield struct.pack("<Q", first) + es.Encoder(self._size).feed(part), len(part)
            begin += len(part)


class Wraps:
    """Stamps of 32 bits as time that goes on: a step of more than half of their range is one around its end."""

    def __init__(self) -> None:
        self._last: int | None = None

    def undone(self, stamps: Array) -> Array:
        """Return stamps (n,) uint32 as int64 µs, near those that came before; the first ones as they are."""
        if not len(stamps):
            return stamps.astype(np.int64)
        last = int(stamps[0]) if self._last is None else self._last
        steps = (stamps.astype(np.int64) - last + _HALF) % _WRAP - _HALF
        undone = last + steps
        self._last = int(undone.max())
        return undone


def layout(name: str, size: tuple[int, int], stamps: bool = False) -> Layout:
    """Return the layout of that name, one of `LAYOUTS`; ``stamps`` is of what ``spif`` sends."""
    makers: dict[str, Callable[[], Layout]] = {
        "faery": lambda: Faery(size),
        "faery32": lambda: Faery(size, short=True),
        "spif": lambda: Spif(size, stamps),
        "es": lambda: EventStream(size),
    }
    return makers[name]()


LAYOUTS = ("faery", "faery32", "spif", "es")


def _refuse(events: Array, narrow: bool) -> None:
    if len(events) and (events["t"].min() < 0 or events["t"].max() >= LIMIT_US):
        raise RecordingError("stamps that do not fit", expected="0 <= t < 2^62 µs")
    if narrow and len(events) and max(events["x"].max(), events["y"].max()) >= 1 << 15:
        raise RecordingError("coordinates that do not fit", expected="x and y < 32,768")
