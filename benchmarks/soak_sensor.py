"""The sensor of soak.py: as many events a second as it is told, for ever, and dead for as long as a file is there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from time import monotonic

import numpy as np

from spikestream.batch import EVENT, Events

SIDE, BATCH_US, PATTERNS = 32, 20_000, 16


def rows_in(start: int, stop: int, period_us: int) -> int:
    """Return how many events there are in ``[start, stop)`` µs: one at every multiple of the period."""
    return -(-stop // period_us) - -(-start // period_us)


class Steady:
    """An event at random pixels every ``period_us`` of stream time; ``dead`` is the file that stands for its death."""

    live = True
    size = (SIDE, SIDE)

    def __init__(self, dead: str, period_us: str = "10") -> None:
        self.sent = 0
        self._dead, self._period_us = dead, int(period_us)
        self._look()
        rng = np.random.default_rng(0)
        self._patterns = np.zeros((PATTERNS, BATCH_US // self._period_us + 1), EVENT)
        for axis in ("x", "y", "p"):
            self._patterns[axis] = rng.integers(0, 2 if axis == "p" else SIDE, self._patterns.shape)

    async def batches(self, start: int = 0) -> AsyncIterator[Events]:
        """Yield 20 ms at a time, each when it is over."""
        began, first = monotonic(), start
        while True:
            stop = (start // BATCH_US + 1) * BATCH_US
            await asyncio.sleep(max(0.0, began + (stop - first) / 1e6 - monotonic()))
            self._look()
            data = self._patterns[stop // BATCH_US % PATTERNS, : rows_in(start, stop, self._period_us)].copy()
            data["t"] = np.arange(-(-start // self._period_us), -(-stop // self._period_us)) * self._period_us
            self.sent += len(data)
            yield Events(start, stop, data, self.size)
            start = stop

    def _look(self) -> None:
        if os.path.exists(self._dead):
            raise OSError("the cable is out")
