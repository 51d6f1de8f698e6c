"""Rate codes: a value is the number of spikes in its interval, evenly spaced or at random as a Poisson process.

Regular: n = rint(most v) spikes, the i-th at ``(2i + 1) interval / 2n``; read as ``min(n / most, 1)``. Exact up to
quantisation. Poisson: arrivals at ``most`` an interval, each kept with probability v, so that mean and variance of the
count are ``most v``; read as ``n / most``, which is right in the mean only and may exceed 1.

Sources: Adrian & Zotterman, J. Physiol. 61 (1926) for the code; thinning: Lewis & Shedler, Nav. Res. Logist. 26 (1979);
random numbers by counter: the finaliser of SplitMix64, Steele, Lea & Flood, OOPSLA (2014).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import exp, log2, sqrt

import numpy as np

from spikestream.batch import Array
from spikestream.stages.codes.base import MOST_SPIKES, Code, quantised, whole

MOST_POISSON = 500
"""exp(-most) has to stay far from the smallest number there is."""
_STEP = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class RateCode(Code):
    """0 to ``most`` evenly spaced spikes in each interval; ``most`` up to 65,536 and one a µs. Raises `ConfigError`."""

    most: int = 10

    def __post_init__(self) -> None:
        whole("interval_us", self.interval_us)
        whole("most", self.most, most=min(MOST_SPIKES, self.interval_us))

    @property
    def jitter_us(self) -> int:
        """Return how far the outer spikes are from the interval's ends: inside it only the number counts."""
        return (self.interval_us - 1) // (2 * self.most)

    @property
    def error(self) -> float:
        """Return half a level."""
        return 0.5 / self.most

    def bits(self) -> float:
        """Return log2 of the number of counts."""
        return log2(self.most + 1)

    def spikes(self) -> float:
        """Return half of ``most``."""
        return self.most / 2

    def place(self, values: Array, first: int) -> tuple[Array, Array]:
        """Return the middles of n equal parts of the interval, n by value."""
        counts = quantised(values.ravel(), self.most + 1)
        cell, i = _spread(counts)
        return cell, (2 * i + 1) * self.interval_us // (2 * counts[cell])

    def read(self, at: Array, cell: Array, cells: int) -> Array:
        """Return counts by ``most``, 1 where there are more."""
        return np.minimum(np.bincount(cell, minlength=cells) / self.most, 1.0)


@dataclass(frozen=True, slots=True)
class PoissonCode(Code):
    """Spikes at random, ``most`` (up to 500) an interval for a value of 1; the same ``seed``, the same spikes.

    A spike depends on seed, interval and axon alone, so not on the pieces in which rows are encoded. Raises
    `ConfigError`.
    """

    most: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        whole("interval_us", self.interval_us)
        whole("most", self.most, most=MOST_POISSON)
        whole("seed", self.seed, least=0, most=2**63 - 1)

    @property
    def jitter_us(self) -> int:
        """Return 0: a spike may be next to an end of its interval."""
        return 0

    @property
    def error(self) -> float:
        """Return the standard deviation of what is read of 1, the largest: of v it is ``sqrt(v / most)``; no bound."""
        return 1 / sqrt(self.most)

    def bits(self) -> float:
        """Return the mutual information of the count and a value drawn from the ``most + 1`` levels of a `RateCode`."""
        return _poisson_bits(self.most)

    def spikes(self) -> float:
        """Return half of ``most``."""
        return self.most / 2

    def place(self, values: Array, first: int) -> tuple[Array, Array]:
        """Return arrivals at the highest rate, thinned by value."""
        row, axon = np.indices(values.shape).reshape(2, -1)
        keys = _mix(_mix(_mix(np.uint64(self.seed)) ^ (first + row).astype(np.uint64)) ^ axon.astype(np.uint64))
        cell, i = _spread(np.searchsorted(_cumulative(self.most), _uniform(keys, 0), side="right"))
        kept = _uniform(keys[cell], 2 * i + 2) < values.ravel()[cell]
        at = (_uniform(keys[cell], 2 * i + 1) * self.interval_us).astype(np.int64)
        return cell[kept], at[kept]

    def read(self, at: Array, cell: Array, cells: int) -> Array:
        """Return counts by ``most``."""
        return np.bincount(cell, minlength=cells) / self.most


def _spread(counts: Array) -> tuple[Array, Array]:
    """Return (cell, number within the cell) for ``counts`` spikes a cell."""
    cell = np.repeat(np.arange(len(counts)), counts)
    return cell, np.arange(len(cell)) - (np.cumsum(counts) - counts)[cell]


def _mix(x: Array | np.uint64) -> Array:
    with np.errstate(over="ignore"):  # modulo 2^64 is what is meant
        z = np.asarray(x, np.uint64) + _STEP
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def _uniform(keys: Array, draw: Array | int) -> Array:
    """Return number ``draw`` of each key, in [0, 1)."""
    with np.errstate(over="ignore"):
        return (_mix(keys + np.asarray(draw, np.uint64) * _STEP) >> np.uint64(11)) * 2.0**-53


def _terms(mean: float, count: int) -> Array:
    """Return the Poisson probabilities of 0 .. count - 1."""
    factors = mean / np.arange(1, count)
    return np.cumprod(np.concatenate([[exp(-mean)], factors]))


def _reach(most: int) -> int:
    """Return a count that a Poisson process of this mean exceeds less often than once in 1e25."""
    return int(most + 12 * sqrt(most) + 30)


def _cumulative(most: int) -> Array:
    return np.cumsum(_terms(most, _reach(most)))


@cache
def _poisson_bits(most: int) -> float:
    chances = np.array([_terms(level, _reach(most)) for level in range(most + 1)])
    ratio = np.divide(chances, chances.mean(axis=0), out=np.ones_like(chances), where=chances > 0)
    return float((chances * np.log2(ratio)).sum(axis=1).mean())
