"""Prophesee EVT 2.0 to events: words of 32 bits, little-endian, whose upper 4 bits say what they are.

An event has the lower 6 bits of its time; TIME_HIGH has the other 28, in words of their own. Where these run out after
2^34 µs they start again. Source: Prophesee's page on EVT 2.0; OpenEB's decoder for the rule of the loop.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spikestream.kernels.packed import STEP_US

LOOP = 1 << 34
NEARLY = LOOP - 64 - 10_000
"""A step back of the time of so much and more is a new loop."""
STATE = ("base", "loops", "started", "last", "untidy", "trigger", "other", "outside", "early")
"""What the int64 state array holds: µs of the last TIME_HIGH, and of the loops so far, whether one came, the time of
the last event, whether events are not tidy (see `spikestream.kernels.packed`), and counts."""


@njit(cache=True, nogil=True)
def decode(records: NDArray[Any], width: int, height: int, state: NDArray[np.int64], out: NDArray[Any]) -> int:
    """Write the events of ``records`` (n,), fields ``word`` uint32, into ``out`` (n,) PACKED; return how many."""
    base, loops, started, last, untidy = state[0], state[1], state[2], state[3], False
    columns, rows = np.uint32(width if started else 0), np.uint32(height)  # in which there are events now
    t, n = base + loops, np.uint64(0)
    for i in range(len(records)):
        word = np.uint32(records[i]["word"])
        kind = word >> np.uint32(28)
        x, y = (word >> np.uint32(11)) & np.uint32(0x7FF), word & np.uint32(0x7FF)
        if (kind <= 1) & (x < columns) & (y < rows):  # one branch: with three it took a fifth longer
            now = t + np.int64((word >> np.uint32(22)) & np.uint32(0x3F))
            untidy |= now < last
            last = now
            event = out[n]
            event["t"] = now
            event["xy"] = x | y << np.uint32(16)
            event["p"] = kind
            n += np.uint64(1)
        elif kind == 8:
            high = np.int64(word & np.uint32(0xFFFFFFF)) << 6
            if started and base - high >= NEARLY:
                loops += LOOP
            base, started, columns = high, 1, np.uint32(width)
            t = base + loops
            untidy |= t - last > STEP_US
        elif kind <= 1:
            state[7 if started else 8] += 1
        else:
            state[5 if kind == 10 else 6] += 1
    state[0], state[1], state[2], state[3], state[4] = base, loops, started, last, untidy
    return int(n)
