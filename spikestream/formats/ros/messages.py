"""Messages of events, one after the other, to events: the three definitions, and the encodings of the packets.

Times in ns are rounded to µs, half to even; of a packet that counts µs from a time in ns it is this one that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.base import Empty
from spikestream.formats.base.records import wraps_of
from spikestream.formats.ros.fields import Fields, event_array

PACKETS = ("event_camera_msgs/EventPacket", "event_array_msgs/EventArray")
ARRAYS = ("dvs_msgs/EventArray", "prophesee_event_msgs/EventArray")
SIDE = 2048
"""What the words of evt3 and libcaer_cmp can hold, where a message names no size."""
ALL = 65_536
PIECE = 65_536
"""Words decoded at a time."""
LATEST_NS = 2**62
WRAP_US = 2**31
EVT3_COUNTS = ("trigger", "other", "outside", "early")


def is_events(kind: str) -> bool:
    """Return whether messages of this type hold events."""
    return _short(kind) in (*PACKETS, *ARRAYS)


def _short(kind: str) -> str:
    """Return a type's name as ROS 1 writes it."""
    return kind.replace("/msg/", "/")


class Messages:
    """The messages of one topic: what is carried from one to the next, and what was counted.

    ``size`` is that asked for, else what the first message says.
    """

    def __init__(self, size: tuple[int, int] | None) -> None:
        self.size = size
        self.lost = 0
        """Messages that are missing, as their numbers tell."""
        self.counts: dict[str, int] = {}
        self._next: int | None = None
        self._encoding = ""
        self._evt3 = np.array([-1, 0, 0, -1, *[0] * 8], np.int64)
        self._caer = np.zeros(9, np.int64)

    def events(self, data: memoryview, kind: str, cdr: bool, empty: Empty) -> Iterator[Array]:
        """Yield the events of a message; raises `RecordingError` where it is none, or in an unknown encoding."""
        fields = Fields(data, cdr)
        fields.header()
        height, width = fields.number(4), fields.number(4)
        if self.size is None and 0 < width <= ALL and 0 < height <= ALL:
            self.size = (width, height)
        return self._packet(fields, empty) if _short(kind) in PACKETS else self._array(fields, empty)

    def _array(self, fields: Fields, empty: Empty) -> Iterator[Array]:
        for part in event_array(fields):
            if not len(part):
                continue
            out = empty(len(part))
            out["t"] = part["s"].astype(np.int64) * 1_000_000 + np.rint(part["ns"] / 1000).astype(np.int64)
            out["x"], out["y"], out["p"] = part["x"], part["y"], part["p"] != 0
            yield out

    def _packet(self, fields: Fields, empty: Empty) -> Iterator[Array]:
        number, base_ns, encoding, big = fields.number(8), fields.number(8), fields.text(), fields.number(1)
        data = fields.take(fields.number(4))
        if self._next is not None and self._next < number < self._next + (1 << 32):
            self.lost += number - self._next
        self._next = number + 1
        decode = self._decoder(encoding)
        width = {"evt3": 2, "libcaer_cmp": 2}.get(encoding, 8)
        if len(data) % width or base_ns >= LATEST_NS:
            what = f"a packet of {encoding} is damaged"
            raise RecordingError(what, expected=f"words of {width} bytes", found=f"{len(data):,} bytes")
        return decode(data, ">" if big else "<", base_ns, empty)

    def _decoder(self, encoding: str) -> Callable[[memoryview, str, int, Empty], Iterator[Array]]:
        known = {"evt3": self._of_evt3, "libcaer_cmp": self._of_caer_cmp, "libcaer": self._of_caer, "mono": _of_mono}
        if encoding not in known:
            raise RecordingError(
                f"packets in '{encoding[:32]}' are not known", expected=", ".join(known), found=encoding[:32]
            )
        return known[encoding]

    def _limits(self) -> tuple[int, int]:
        return self.size or (SIDE, SIDE)

    def _of_evt3(self, data: memoryview, order: str, base_ns: int, empty: Empty) -> Iterator[Array]:
        from spikestream.kernels.evt3 import MOST, decode
        from spikestream.kernels.packed import PACKED

        words = _words(data, order).view([("word", "<u2")])
        at = 0
        while at < len(words):
            out = empty(min(len(words) - at, PIECE) + MOST)
            at, n = decode(words, at, *self._limits(), self._evt3, out.view(PACKED))
            self.counts = _counted(EVT3_COUNTS, self._evt3)
            yield out[:n]

    def _of_caer_cmp(self, data: memoryview, order: str, base_ns: int, empty: Empty) -> Iterator[Array]:
        from spikestream.kernels.caercmp import MOST, decode
        from spikestream.kernels.packed import PACKED

        words = _words(data, order)
        self._caer[3:5] = 0  # the time begins anew in each packet
        at = 0
        while at < len(words):
            out = empty(min(len(words) - at, PIECE) + MOST)
            layout = (*self._limits(), _nearest_us(base_ns))
            at, n = decode(words, at, layout, self._caer, out.view(PACKED))
            self.counts = _counted(("other", "outside"), self._caer)
            yield out[:n]

    def _of_caer(self, data: memoryview, order: str, base_ns: int, empty: Empty) -> Iterator[Array]:
        """Yield the valid events of libcaer's own words: data, then µs of 31 bits that may wrap within a packet."""
        words = np.frombuffer(data, [("data", f"{order}u4"), ("t", f"{order}i4")])
        t = words["t"].astype(np.int64)
        valid = words["data"] & 1 == 1
        word, out = words["data"][valid], empty(int(np.count_nonzero(valid)))
        wraps = wraps_of(t, WRAP_US, 0)
        out["t"] = (t + wraps * WRAP_US)[valid] + _nearest_us(base_ns)
        out["x"], out["y"], out["p"] = word >> 17, word >> 2 & 0x7FFF, word >> 1 & 1
        if len(out) < len(words):
            self.counts = self.counts | {"invalid": self.counts.get("invalid", 0) + len(words) - len(out)}
        yield out


def _words(data: memoryview, order: str) -> Array:
    words: Array = np.frombuffer(data, f"{order}u2").astype("<u2", copy=False)
    words.flags.writeable = False  # one type for the kernel, whatever buffer the bytes came in
    return words


def _counted(names: tuple[str, ...], state: Array) -> dict[str, int]:
    return {name: count for name, count in zip(names, state[-len(names) :].tolist(), strict=True) if count}


def _nearest_us(ns: int) -> int:
    """Return the nearest µs, of two the even one."""
    us, rest = divmod(ns, 1000)
    return us + (rest > 500 or (rest == 500 and us % 2 == 1))


def _of_mono(data: memoryview, order: str, base_ns: int, empty: Empty) -> Iterator[Array]:
    """Yield events of words of 64 bits: ns of 32, x of 16, y of 15, polarity."""
    words = np.frombuffer(data, f"{order}u8")
    out = empty(len(words))
    even_us = base_ns // 2000 * 2  # which leaves what the float has to round small, and even what is even
    out["t"] = even_us + np.rint(((words & 0xFFFFFFFF) + (base_ns - even_us * 1000)) / 1000).astype(np.int64)
    out["x"], out["y"], out["p"] = words >> 32 & 0xFFFF, words >> 48 & 0x7FFF, words >> 63
    yield out
