"""The loops of a crossbar core over its neurons: arrays and numbers in, nothing of the chip around them.

`crossbar` tells the law of a tick. These are apart from what walks over cores because a vector loop is only a vector
loop where its arrays come as arguments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros

from spikestream.kernels import Array, compiled
from spikestream.kernels.crossbar_design import CLAMPS, TYPES
from spikestream.kernels.crossbar_random import draw
from spikestream.kernels.prefetch import fetch

NONE = np.uint64(0)


@compiled
def ask(array: Array, place: int) -> None:
    """Ask for ``array[place]``, so that memory is on its way while there is something else to do."""
    fetch(array, place)  # type: ignore[call-arg]  # Numba adds the first


@compiled
def lowest(bits: Any) -> Any:
    """Return the number of the lowest bit that is set, int64."""
    return np.int64(trailing_zeros(bits))  # type: ignore[call-arg]  # Numba adds the first


@compiled
def count_row(count64: Array, row: Array, table: Array) -> None:
    """Count a row of bits: eight neurons an addition."""
    for k in range(len(row)):
        count64[k] += table[row[k]]


@compiled
def fold(acc: Array, weights: Array, count8: Array, count64: Array) -> None:
    """Add to each neuron its weights times its counts, and begin to count anew."""
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    n0, n1, n2, n3 = count8[0], count8[1], count8[2], count8[3]
    for j in range(len(acc)):
        low = np.int32(w0[j]) * np.int32(n0[j]) + np.int32(w1[j]) * np.int32(n1[j])
        acc[j] += low + np.int32(w2[j]) * np.int32(n2[j]) + np.int32(w3[j]) * np.int32(n3[j])
    for g in range(TYPES):
        for k in range(count64.shape[1]):
            count64[g, k] = NONE


@compiled
def chance(acc: Array, row: Array, chances: Array, key: Any, axon: int) -> None:
    """Add what one active axon brings by chance."""
    for j in range(len(acc)):
        s = np.int64(chances[j])
        if s != 0 and (row[j >> 3] >> (j & 7)) & 1 and abs(s) >= draw(key, j, axon):
            acc[j] += np.int32(1) if s > 0 else np.int32(-1)


@compiled
def integrate_and_leak(
    v: Array, acc: Array, flags: Array, leak: Array, threshold: Array, low: Array, least: Any, most: Any
) -> None:
    """Integrate and leak, and flag who is above the threshold or below the floor."""
    for j in range(len(v)):
        u = min(max(np.int32(v[j] + acc[j]), least), most)
        u = min(max(np.int32(u + leak[j]), least), most)
        v[j] = u
        acc[j] = 0
        flags[j] = (u >= threshold[j]) | (u < low[j])


@compiled
def integrate_and_turn(
    v: Array, acc: Array, flags: Array, leaks: tuple[Array, Array], threshold: Array, low: Array, least: Any, most: Any
) -> None:
    """Do what `integrate_and_leak` does where leaks turn with the sign of V."""
    leak, turns = leaks
    for j in range(len(v)):
        u = min(max(np.int32(v[j] + acc[j]), least), most)
        sign = np.int32(u > 0) - np.int32(u < 0)
        moved = np.int32(leak[j]) * sign if turns[j] else np.int32(leak[j])
        u = min(max(np.int32(u + moved), least), most)
        v[j] = u
        acc[j] = 0
        flags[j] = (u >= threshold[j]) | (u < low[j])


@compiled
def cross(v: Array, j: int, top: int, eta: int, low: int, floor: int, reset: int, mode: int) -> Any:
    """Reset a neuron that has crossed ``top``, its threshold and ``eta``, or its floor; return 1 where it fires."""
    u, gamma = np.int64(v[j]), mode & 3
    fires = u >= top
    if fires:
        if gamma == 0:
            v[j] = np.int32(reset)
        elif gamma == 1:
            v[j] = np.int32(u - top)
    elif mode & CLAMPS:
        if u < low:
            v[j] = np.int32(-floor)
    elif u < low - eta:
        if gamma == 0:
            v[j] = np.int32(-reset)
        elif gamma == 1:
            v[j] = np.int32(u + floor + eta)
    return np.int64(fires)
