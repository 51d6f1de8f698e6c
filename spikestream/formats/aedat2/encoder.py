"""AEDAT 2.0 out: what a camera of jAER would have written."""

from __future__ import annotations

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.aedat2.cameras import camera, smallest
from spikestream.formats.aedat2.header import END, MAGIC

WRAP = 1 << 32
_LINES = (
    MAGIC + b"0",
    b"# This is a raw AE data file - do not edit",
    b"# Data format is int32 address, int32 timestamp (8 bytes total), repeated for each event",
    b"# Timestamps tick is 1 us",
)


class Encoder:
    """Encode events as the camera ``sensor`` would, by default the smallest one that holds ``size`` (width, height).

    The size itself is not stored: read back, it is the camera's, with x and y from the same origin top left. Stamps
    have 32 bits, so what fits is what the decoder's rule for wraps gives back: a first t below 2^32 µs, no step back of
    more than 2^31 µs, and across a multiple of 2^32 no step back and none of 2^31 µs or more.
    """

    def __init__(self, size: tuple[int, int] | None = None, sensor: str | None = None, polarity: str = "jaer") -> None:
        name = sensor or smallest(size)
        self._camera = camera(name, polarity)
        width, height = self._camera.size
        if size is not None and (size[0] > width or size[1] > height):
            what, expected = f"{size[0]}x{size[1]} pixels do not fit a {name}", f"at most {width}x{height}"
            raise RecordingError(what, expected=expected, remedy="another --sensor, or write .aedat4")
        lines = (*_LINES, b"# AEChip: " + self._camera.chip.encode(), END)
        self._head = b"".join(line + b"\r\n" for line in lines)
        self._last = self._wraps = self._written = 0

    def feed(self, events: Array) -> bytes:
        """Return 8 bytes for each event (n,) EVENT; raises `RecordingError` for one the format cannot hold."""
        _, (width, height), (x_shift, _), (y_shift, _), (mask, on), *_ = self._camera
        x, y = events["x"].astype(np.int64), events["y"].astype(np.int64)
        expected = f"x < {width}, y < {height}"
        self._refuse((x >= width) | (y >= height), events, expected, "another --sensor, or write .aedat4")
        stamps = self._stamps(events)
        words = np.empty((len(events), 2), ">u4")
        words[:, 0] = (width - 1 - x) << x_shift | (height - 1 - y) << y_shift | np.where(events["p"], on, mask ^ on)
        words[:, 1] = stamps
        self._written += len(events)
        return self.finish() + words.tobytes()

    def _stamps(self, events: Array) -> Array:
        t = events["t"]
        stamps = t & (WRAP - 1)
        before = np.concatenate(([self._last], stamps))[:-1]
        wraps = self._wraps + np.cumsum(before - stamps > WRAP // 2)
        expected = "a first t below 2^32 µs, then steps that a 32-bit stamp keeps"
        self._refuse(t >> 32 != wraps, events, expected, "let t start at 0, sort by t, or write .aedat4")
        if len(t):
            self._last, self._wraps = int(stamps[-1]), int(wraps[-1])
        return stamps

    def _refuse(self, bad: Array, events: Array, expected: str, remedy: str) -> None:
        if not bad.any():
            return
        i = int(bad.argmax())
        t, x, y, _ = events[i].tolist()
        what, found = f"event {self._written + i:,} does not fit AEDAT 2.0", f"t {t}, x {x}, y {y}"
        raise RecordingError(what, expected=expected, found=found, remedy=remedy)

    def finish(self) -> bytes:
        """Return the header where nothing was written yet, else nothing: the format has no tail."""
        head, self._head = self._head, b""
        return head
