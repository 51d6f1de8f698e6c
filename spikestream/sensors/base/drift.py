"""How fast a device's sample clock runs against this machine's: what its samples say of time, beside a monotonic clock.

A callback comes some milliseconds after its last sample, now more, now less, never before it. So of each second only
the earliest callback counts, and a straight line through these tells the rate (least squares).
"""

from __future__ import annotations

from collections import deque

import numpy as np

LEAST_S, MOST_S = 10, 600


class Drift:
    """Fed by `add` with samples so far and the ns at which they were there; for one run of a device."""

    def __init__(self, samplerate_hz: float) -> None:
        self._rate = samplerate_hz
        self._earliest: deque[tuple[float, float]] = deque(maxlen=MOST_S)  # (s of monotonic time, s it was late by)
        self._began_ns = 0
        self._second: tuple[float, float] | None = None

    def add(self, samples: int, now_ns: int) -> None:
        """Take one callback: ``samples`` were there at ``now_ns`` of the monotonic clock."""
        self._began_ns = self._began_ns or now_ns
        at = (now_ns - self._began_ns) / 1e9
        late = at - samples / self._rate
        if self._second is not None and int(at) > int(self._second[0]):
            self._earliest.append(self._second)
            self._second = None
        if self._second is None or late < self._second[1]:
            self._second = at, late

    @property
    def ppm(self) -> float | None:
        """Return by how many millionths the device's clock runs fast, None in the first ten seconds."""
        if len(self._earliest) < LEAST_S:
            return None
        at, late = np.array(self._earliest).T
        return float(-np.polyfit(at, late, 1)[0] * 1e6)

    @property
    def behind_ms(self) -> float:
        """Return by how many ms the samples lag behind their best moment of this run: lost ones stay missing."""
        if not self._earliest:
            return 0.0
        return (self._earliest[-1][1] - min(late for _, late in self._earliest)) * 1e3
