"""What is counted on the way through a recording, and what the counts say of its pixels and its clock."""

from __future__ import annotations

import numpy as np

from spikestream.batch import Array
from spikestream.formats.base.steps import COUNTS, count

MAP_SIDE = 4096
"""Pixels are counted up to here, either way: 128 MiB at the most, of which only the touched pages are ever real."""
HOT_TIMES = 20
HOT_SHARE = 0.01
"""A hot pixel has more than 20 times the events of the mean active pixel, and more than 1 % of all events."""

ENOUGH = 1_000
"""Fewer events say nothing of the clock."""
FASTEST_HZ = 1e3
SLOWEST_HZ = 0.1
"""The mean active pixel has no more and no fewer events a second."""
MANY = 1_000
"""So few pixels may have more: a lamp that flickers, alone in the field."""
BUSY_HZ = 1e6
TWINS = 0.1
"""No pixel fires twice in a microsecond: where so many events of a fast stream seem to, it was a longer time."""
FARTHEST_US = 10**17
"""As µs since 1970 this is in the year 5138; as nanoseconds, in 1973."""
COARSE = 1_000


class Tally:
    """Counts of the events (n,) EVENT that were added."""

    def __init__(self) -> None:
        self._pixels = np.zeros(MAP_SIDE * MAP_SIDE, np.uint32)
        self._latest = np.zeros(MAP_SIDE * MAP_SIDE, np.uint32)
        self._state = np.zeros(len(COUNTS), np.int64)

    def add(self, events: Array) -> None:
        """Count events."""
        count(events, self._pixels, self._latest, MAP_SIDE, self._state)

    @property
    def counts(self) -> dict[str, int]:
        """Return the counts by name, see `COUNTS`."""
        return dict(zip(COUNTS, self._state.tolist(), strict=True))

    def hot(self) -> list[tuple[int, int, int]]:
        """Return the hot pixels as (events, x, y), the hottest first."""
        active = np.flatnonzero(self._pixels)
        counts = self._pixels[active].astype(np.int64)
        if not len(active):
            return []
        hot = counts > max(HOT_TIMES * counts.mean(), HOT_SHARE * counts.sum())
        y, x = np.divmod(active[hot], MAP_SIDE)
        return sorted(zip(counts[hot].tolist(), x.tolist(), y.tolist(), strict=True), reverse=True)

    def clock(self) -> str:
        """Return why the stamps look like another unit than µs, "" where they do not."""
        n = self.counts
        seen, twins = n["seen"], n["twins"]
        if seen < ENOUGH:
            return ""
        rate_hz = seen * 1e6 / (n["last"] + 1 - n["first"])
        active = int(np.count_nonzero(self._pixels))
        pixel_hz = rate_hz / max(1, active)
        if (pixel_hz > FASTEST_HZ and active > MANY) or (rate_hz > BUSY_HZ and twins > TWINS * seen):
            why = f"{pixel_hz:,.0f} events a second at every pixel, {twins / seen:.0%} at its last one's stamp"
            return f"the stamps look like seconds or milliseconds, where microseconds are meant: {why}"
        if n["last"] >= FARTHEST_US:
            return f"the stamps look like nanoseconds, where microseconds are meant: the last one is {n['last']:,}"
        if n["divisor"] % COARSE == 0 and pixel_hz < SLOWEST_HZ:
            why = f"all are multiples of {n['divisor']:,} from the first one on, with {rate_hz:,.1f} events a second"
            return f"the stamps look like nanoseconds, where microseconds are meant: {why}"
        return ""
