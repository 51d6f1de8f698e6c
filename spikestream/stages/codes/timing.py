"""Codes in the time of single spikes: the time to the first one, and the interval between two.

The interval has ``n = interval / slot`` slots, and a spike stands in the middle of one, to bear jitter either way.
Strong is early and strong is quick: a larger value comes sooner, and its two spikes follow each other sooner.

Sources: time to first spike: Thorpe, in Parallel Processing in Neural Systems (1990), and Thorpe, Delorme & Van Rullen,
Neural Networks 14 (2001); intervals: MacKay & McCulloch, Bull. Math. Biophys. 14 (1952); both: Rieke et al., Spikes
(1997).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

import numpy as np

from spikestream.batch import Array
from spikestream.stages.codes.base import Code, divides, quantised, whole


@dataclass(frozen=True, slots=True)
class FirstSpikeCode(Code):
    """One spike an interval, in slot ``n - q`` for level q of 0..n; level 0 is silence. Raises `ConfigError`.

    Without ``silence`` level 0 has the last slot, and no spike is no codeword. The first spike of an axon counts, later
    ones do not; axons in one slot have one value.
    """

    slot_us: int = 1000
    silence: bool = True

    def __post_init__(self) -> None:
        whole("interval_us", self.interval_us)
        divides("slot_us", self.slot_us, "interval_us", self.interval_us, least=2)

    @property
    def levels(self) -> int:
        """Return the number of values that can be told apart."""
        return self.interval_us // self.slot_us + self.silence

    @property
    def jitter_us(self) -> int:
        """Return just below half a slot."""
        return (self.slot_us - 1) // 2

    @property
    def error(self) -> float:
        """Return half a level."""
        return 0.5 / (self.levels - 1)

    def bits(self) -> float:
        """Return log2 of the levels."""
        return log2(self.levels)

    def spikes(self) -> float:
        """Return 1, less what silence saves."""
        return 1 - self.silence / self.levels

    def place(self, values: Array, first: int) -> tuple[Array, Array]:
        """Return the middles of the slots, the last level in slot 0."""
        level = quantised(values.ravel(), self.levels)
        cell = np.flatnonzero(level) if self.silence else np.arange(len(level))
        return cell, (self.levels - 1 - level[cell]) * self.slot_us + self.slot_us // 2

    def read(self, at: Array, cell: Array, cells: int) -> Array:
        """Return the value of each cell's first slot; 0, or NaN without ``silence``, where there is no spike."""
        values = np.full(cells, 0.0 if self.silence else np.nan)
        cell, first = np.unique(cell, return_index=True)
        values[cell] = (self.levels - 1 - at[first] // self.slot_us) / (self.levels - 1)
        return values


@dataclass(frozen=True, slots=True)
class IntervalCode(Code):
    """Two spikes an interval, the first in slot 0, the second ``n - 1 - q`` slots later for level q of 0..n-2.

    Read from their distance alone, so a delay of both changes nothing while both stay in the interval. Any other number
    of spikes, or another distance, is no codeword. Raises `ConfigError`.
    """

    slot_us: int = 1000

    def __post_init__(self) -> None:
        whole("interval_us", self.interval_us)
        divides("slot_us", self.slot_us, "interval_us", self.interval_us, least=3)

    @property
    def levels(self) -> int:
        """Return the number of values that can be told apart."""
        return self.interval_us // self.slot_us - 1

    @property
    def jitter_us(self) -> int:
        """Return just below a quarter of a slot: there are two spikes to be moved."""
        return (self.slot_us - 1) // 4

    @property
    def error(self) -> float:
        """Return half a level."""
        return 0.5 / (self.levels - 1)

    def bits(self) -> float:
        """Return log2 of the levels."""
        return log2(self.levels)

    def spikes(self) -> float:
        """Return 2."""
        return 2.0

    def place(self, values: Array, first: int) -> tuple[Array, Array]:
        """Return the middles of slot 0 and of the second spike's slot."""
        later = self.levels - quantised(values.ravel(), self.levels)
        slots = np.stack([np.zeros_like(later), later], axis=1).ravel()
        return np.repeat(np.arange(len(later)), 2), slots * self.slot_us + self.slot_us // 2

    def read(self, at: Array, cell: Array, cells: int) -> Array:
        """Return the value of the distance of each cell's two spikes, NaN where there are not two."""
        values = np.full(cells, np.nan)
        at = at[np.argsort(cell, kind="stable")]
        counts = np.bincount(cell, minlength=cells)
        pairs = np.flatnonzero(counts == 2)
        begin = (np.cumsum(counts) - counts)[pairs]
        slots = (at[begin + 1] - at[begin] + self.slot_us // 2) // self.slot_us
        known = (slots >= 1) & (slots <= self.levels)
        values[pairs[known]] = (self.levels - slots[known]) / (self.levels - 1)
        return values
