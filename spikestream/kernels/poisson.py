"""An image as spikes: every pixel a Poisson process whose rate is its brightness.

Equation: n independent processes of rates r_k are one process of rate R = r_1 + ... + r_n, each of whose spikes is one
of pixel k with probability r_k / R. So stamps come sorted, at any rate, and cost nothing for the pixels that are dark:

    t <- t - ln(1 - u) / R,  u uniform in [0, 1);     pixel k by the alias table, exact for whole brightnesses g_k

Alias table over the n bright pixels, in units of 1 / (n S) with S the sum of g: bucket i is full with S; ``share[i]``
of it belong to pixel i, the rest to ``other[i]``. Order for each spike: number for the gap, for the bucket, for the
share. Random numbers: splitmix64, started from (seed, epoch, sample): no sample depends on those before it.

Sources: superposition and thinning, Kingman, Poisson Processes (1993), 2.2 and 5.1; alias table, Vose, IEEE Trans.
Softw. Eng. 17 (1991); generator as in `spikestream.kernels.crossbar_random`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from spikestream.kernels import Array
from spikestream.kernels.crossbar_random import GOLDEN, key_of, mix

UNIT = 2.0**-53
S11, S32, LOW = np.uint64(11), np.uint64(32), np.uint64(0xFFFFFFFF)


class Table(NamedTuple):
    """An alias table of up to n pixels, int64 (n,): ``pixel`` each bucket is of, its ``share``, and the ``other``.

    ``todo`` is scratch.
    """

    pixel: Array
    share: Array
    other: Array
    todo: Array


def init(pixels: int) -> Table:
    """Return room for the table of an image of so many pixels."""
    return Table(*np.zeros((4, pixels), np.int64))


@njit(cache=True, nogil=True)
def fill(table: Table, grey: Array) -> tuple[int, Any]:
    """Fill the table with an image ``grey`` (n,) uint8; return how many pixels are bright, and the sum of all."""
    pixel, share, other, todo = table
    bright, total = 0, np.int64(0)
    for k in range(len(grey)):
        if grey[k]:
            pixel[bright] = k
            share[bright] = np.int64(grey[k])
            total += np.int64(grey[k])
            bright += 1
    small, large = 0, bright  # what is not full waits at the front of todo, what overflows at its back
    for i in range(bright):
        share[i] *= bright
        if share[i] < total:
            todo[small] = i
            small += 1
        else:
            large -= 1
            todo[large] = i
    while small > 0 and large < bright:
        small -= 1
        i, j = todo[small], todo[large]
        other[i] = pixel[j]
        share[j] -= total - share[i]
        if share[j] < total:
            large += 1
            todo[small] = j
            small += 1
    return bright, total


@njit(cache=True, nogil=True)
def uniform(state: Any) -> float:
    """Return a number in [0, 1) of 53 bits from the state of a generator, a uint64."""
    return np.float64(mix(state) >> S11) * UNIT


@njit(cache=True, nogil=True)
def below(state: Any, most: int) -> Any:
    """Return a whole number in [0, most), ``most`` up to 2^32, by the upper 32 bits: no number is likelier by 2^-32."""
    return np.int64(((mix(state) >> S32) * np.uint64(most)) >> S32)


@njit(cache=True, nogil=True)
def draw(
    table: Table, grey: Array, width: int, rate: float, stop: int, key: tuple[int, int, int], start: int, out: Array
) -> int:
    """Write the spikes of one image into ``out`` (m,) EVENT, all ON, and return how many there are, m + 1 for too many.

    ``grey`` (n,) uint8, ``rate`` of a pixel in spikes per µs and unit of brightness, ``stop`` µs how long it is shown;
    stamps count from ``start`` µs. ``key`` is (seed, epoch, sample).
    """
    bright, total = fill(table, grey)
    pixel, share, other, _ = table
    scale = 1.0 / (rate * total) if rate * total > 0.0 else np.inf
    state = key_of(key[0], key[1], key[2])
    t, n = 0.0, 0
    while bright:
        state += GOLDEN
        t -= np.log(1.0 - uniform(state)) * scale
        if not t < stop:
            break
        if n == len(out):
            return n + 1
        state += GOLDEN
        i = below(state, bright)
        state += GOLDEN
        k = pixel[i] if below(state, total) < share[i] else other[i]
        event = out[n]
        event["t"] = start + np.int64(t)
        event["x"] = k % width
        event["y"] = k // width
        event["p"] = True
        n += 1
    return n
