"""AEDAT 2.0 out: what a camera of jAER would have written."""

from __future__ import annotations

import numpy as np

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.aedat2.cameras import camera, smallest
from spikestream.formats.aedat2.header import END, V2
from spikestream.formats.base.records import Stamps

_LINES = (
    V2.magic + b"0",
    b"# This is a raw AE data file - do not edit",
    b"# Data format is int32 address, int32 timestamp (8 bytes total), repeated for each event",
    b"# Timestamps tick is 1 us",
)
REMEDY = "--as aedat2:sensor=davis640, or write .aedat4"


class Encoder:
    """Encode events as the camera ``sensor`` would, by default the smallest one that holds ``size`` (width, height).

    The size itself is not stored: read back, it is the camera's, with x and y from the same origin top left. For t see
    `Stamps`.
    """

    def __init__(self, size: tuple[int, int] | None = None, sensor: str | None = None, polarity: str = "jaer") -> None:
        name = sensor or smallest(size)
        self._camera = camera(name, polarity)
        width, height = self._camera.size
        if size is not None and (size[0] > width or size[1] > height):
            what, expected = f"{size[0]}x{size[1]} pixels do not fit a {name}", f"at most {width}x{height}"
            raise RecordingError(what, expected=expected, remedy=REMEDY)
        lines = (*_LINES, b"# AEChip: " + self._camera.chip.encode(), END)
        self._head = b"".join(line + b"\r\n" for line in lines)
        self._stamps = Stamps(V2.title)

    def feed(self, events: Array) -> bytes:
        """Return 8 bytes for each event (n,) EVENT; raises `RecordingError` for one the format cannot hold."""
        _, (width, height), (x_shift, _), (y_shift, _), (mask, on), *_ = self._camera
        x, y = events["x"].astype(np.int64), events["y"].astype(np.int64)
        expected = f"x < {width}, y < {height}"
        self._stamps.refuse((x >= width) | (y >= height), events, expected, REMEDY)
        stamps = self._stamps.of(events)
        words = np.empty((len(events), 2), ">u4")
        words[:, 0] = (width - 1 - x) << x_shift | (height - 1 - y) << y_shift | np.where(events["p"], on, mask ^ on)
        words[:, 1] = stamps
        return self.finish() + words.tobytes()

    def finish(self) -> bytes:
        """Return the header where nothing was written yet, else nothing: the format has no tail."""
        head, self._head = self._head, b""
        return head
