"""The phase code: a value is where in each cycle of a carrier its spike stands.

The carrier has phase 0 at stream time 0 and at every multiple of ``period_us``. Level q = rint(levels v) mod levels has
its spike in the middle of slot q of each cycle, levels = period / slot. Read as the mean phase of the spikes of one
interval: with f the first one's phase and d_i the distance of the others from it, wrapped to half a period either way,
``f + sum(d_i) / n`` in whole µs, so that nothing depends on the order of adding up.

The value is a point on a circle: 1 is 0. Errors are distances on the circle.

Sources: Hopfield, Nature 376 (1995); O'Keefe & Recce, Hippocampus 3 (1993).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

import numpy as np

from spikestream.batch import Array
from spikestream.stages.codes.base import MOST_SPIKES, Code, divides, quantised, whole


@dataclass(frozen=True, slots=True)
class PhaseCode(Code):
    """One spike in each cycle of ``period_us``, which the interval holds a whole number of. Raises `ConfigError`."""

    slot_us: int = 1000
    period_us: int = 0
    """0: one cycle, as long as the interval."""

    def __post_init__(self) -> None:
        whole("interval_us", self.interval_us)
        whole("period_us", self.period_us, least=0)
        divides("period_us", self.cycle_us, "interval_us", self.interval_us, least=1)
        whole("cycles in an interval", self.interval_us // self.cycle_us, most=MOST_SPIKES)
        divides("slot_us", self.slot_us, "period_us", self.cycle_us, least=2)

    @property
    def cycle_us(self) -> int:
        """Return the length of one cycle, µs."""
        return self.period_us or self.interval_us

    @property
    def levels(self) -> int:
        """Return the number of values that can be told apart."""
        return self.cycle_us // self.slot_us

    @property
    def jitter_us(self) -> int:
        """Return just below half a slot; with more cycles the mean bears more than that of a jitter without bias."""
        return (self.slot_us - 1) // 2

    @property
    def error(self) -> float:
        """Return half a level, on the circle."""
        return 0.5 / self.levels

    def bits(self) -> float:
        """Return log2 of the levels."""
        return log2(self.levels)

    def spikes(self) -> float:
        """Return the number of cycles in an interval."""
        return float(self.interval_us // self.cycle_us)

    def place(self, values: Array, first: int) -> tuple[Array, Array]:
        """Return the middle of the same slot of every cycle."""
        level = quantised(values.ravel(), self.levels + 1) % self.levels
        cycles = np.arange(0, self.interval_us, self.cycle_us)
        at = (level * self.slot_us + self.slot_us // 2)[:, None] + cycles
        return np.repeat(np.arange(len(level)), len(cycles)), at.ravel()

    def read(self, at: Array, cell: Array, cells: int) -> Array:
        """Return the mean phase of each cell's spikes, NaN where there is none."""
        values = np.full(cells, np.nan)
        phase = at % self.cycle_us
        heard, first, which, counts = np.unique(cell, return_index=True, return_inverse=True, return_counts=True)
        half = self.cycle_us // 2
        total = np.zeros(len(heard), np.int64)
        np.add.at(total, which, (phase - phase[first][which] + half) % self.cycle_us - half)
        mean = phase[first] + (2 * total + counts) // (2 * counts)
        values[heard] = mean % self.cycle_us // self.slot_us / self.levels
        return values
