"""A square that turns on and off: a synthetic sensor, and the template for your own."""

from collections.abc import AsyncIterator

import numpy as np

from spikestream.batch import EVENT, Events
from spikestream.units import pixels


class Blinker:
    """A square in the middle of ``width`` x ``height`` pixels that turns ON and OFF ``hz`` times a second, for ever."""

    live = False

    def __init__(self, location: str = "", hz: str = "5", width: str = "16", height: str = "16") -> None:
        if not 0.001 <= float(hz) <= 1_000:
            raise ValueError(f"hz is {hz}, allowed are 0.001 to 1000")
        self.size = pixels(f"{width}x{height}")
        self.half_us = round(500_000 / float(hz))
        self.sent = 0

    async def batches(self, start: int = 0) -> AsyncIterator[Events]:
        """Yield 10 ms of stream time at a time, from ``start`` µs on."""
        y, x = np.mgrid[tuple(slice(side // 4, side - side // 4) for side in reversed(self.size))]
        while True:
            stop = start + 10_000
            turn = np.arange(-(-start // self.half_us), -(-stop // self.half_us))[:, np.newaxis]
            data = np.empty((len(turn), x.size), EVENT)
            data["t"], data["x"], data["y"], data["p"] = turn * self.half_us, x.ravel(), y.ravel(), turn % 2 == 0
            self.sent += data.size
            yield Events(start, stop, data.ravel(), self.size)
            start = stop
