"""What every code shares: the grid of intervals, the encoder, and how much a spike can tell.

Interval k covers ``[k interval_us, (k+1) interval_us)`` of stream time and carries one value an axon. Values lie in
[0, 1].
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import log2

import numpy as np

from spikestream.batch import Array, Spikes
from spikestream.errors import ConfigError, SpikestreamError

LONGEST_US = 86_400_000_000
"""Of an interval: a day."""
MOST_SPIKES = 65_536
"""Of one axon in one interval."""
LATEST = 2**62
"""No stamp, µs, lies beyond."""


def whole(key: str, value: int, least: int = 1, most: int = LONGEST_US) -> None:
    """Raise `ConfigError` unless the option is a whole number in [least, most]."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        allowed = f"whole numbers from {least:,} to {most:,}" if least <= most else "none: the others leave no room"
        raise ConfigError(f"{key} = {value!r} is out of range", key=key, value=value, allowed=allowed)


def divides(key: str, value: int, whole_key: str, total: int, least: int) -> None:
    """Raise `ConfigError` unless ``total`` µs is a whole number of parts of ``value`` µs, and at least ``least``."""
    whole(key, value)
    if total % value or total < least * value:
        text = f"{key} = {value} µs does not divide {whole_key} = {total} µs into {least} or more"
        raise ConfigError(text, key=key, value=value, allowed=f"whole parts of {total}, up to {total // least}")


def quantised(values: Array, levels: int) -> Array:
    """Return values in [0, 1] as the nearest of ``levels`` whole numbers from 0 on, int64."""
    numbers: Array = np.rint(values * (levels - 1)).astype(np.int64)
    return numbers


def most_bits(slots: int, spikes: float) -> float:
    """Return the most bits that ``slots`` slots, each with a spike or none, can carry at a mean of ``spikes`` in all.

    ``slots * H(spikes / slots)``, H the entropy of one yes or no: MacKay & McCulloch, Bull. Math. Biophys. 14 (1952).
    """
    p = spikes / slots
    return 0.0 if p <= 0 or p >= 1 else -slots * (p * log2(p) + (1 - p) * log2(1 - p))


@dataclass(frozen=True, slots=True)
class Code(ABC):
    """A way to say a value by spikes inside one interval; an own code defines what is abstract here."""

    interval_us: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one value: () for a number."""
        return ()

    @property
    @abstractmethod
    def jitter_us(self) -> int:
        """Return by how much every spike may be moved, either way, without any change of what is read, µs."""

    @property
    @abstractmethod
    def error(self) -> float:
        """Return the largest difference between a value and what is read of it while no spike moves further."""

    @abstractmethod
    def bits(self) -> float:
        """Return the information of one interval and axon, all levels being equally likely."""

    @abstractmethod
    def spikes(self) -> float:
        """Return the mean number of spikes of one interval and axon, all levels being equally likely."""

    @abstractmethod
    def place(self, values: Array, first: int) -> tuple[Array, Array]:
        """Return (cell, µs after the interval's start) of every spike, both (n,) int64, in any order.

        ``values`` (k, axons, ...) float64 lie in [0, 1] and begin with interval ``first``; cell = row * axons + axon.
        """

    @abstractmethod
    def read(self, at: Array, cell: Array, cells: int) -> Array:
        """Return the values (cells, ...) float64 of spikes sorted by time, as `place` gives them."""

    def bits_per_spike(self) -> float:
        """Return `bits` by `spikes`."""
        return self.bits() / self.spikes()

    def encode(self, values: Array, start: int = 0) -> Spikes:
        """Return the spikes of ``values`` (k, axons, ...), one row an interval, the first one at ``start`` µs.

        The rows may be encoded in pieces, each at its own start. Raises `ConfigError` where ``start`` is off the grid,
        `SpikestreamError` for values of another shape or outside [0, 1].
        """
        given = self._valid(values)
        stop = start + len(given) * self.interval_us
        whole("start", start, -LATEST, LATEST - (stop - start))
        if start % self.interval_us:
            allowed = f"multiples of {self.interval_us}"
            raise ConfigError(f"no interval starts at {start} µs", key="start", value=start, allowed=allowed)
        cell, at = self.place(given, start // self.interval_us)
        row, axon = np.divmod(cell, given.shape[1])
        t = start + row * self.interval_us + at
        order = np.lexsort((axon, t))
        return Spikes(start, stop, t[order], axon[order].astype(np.int32))

    def _valid(self, values: Array) -> Array:
        try:
            given = np.asarray(values)
        except ValueError as error:
            raise SpikestreamError(f"values are no array: {error}") from error
        wanted = ("rows", "axons", *self.shape)
        fits = given.ndim == len(wanted) and given.shape[1] >= 1 and given.shape[2:] == self.shape
        if not fits or given.dtype.kind not in "biuf":
            text = f"values are ({', '.join(map(str, wanted))}), not {given.dtype}{given.shape}"
            raise SpikestreamError(text, remedy="give one row for each interval, with one value for each axon")
        if not np.all((given >= 0) & (given <= 1)):
            raise SpikestreamError("values must lie in 0..1", remedy="scale them, and replace those that are not known")
        return given.astype(np.float64)
