"""Prophesee EVT 2.1 to events: words of 64 bits, of which one holds up to 32 neighbours of a row that fired at once.

The loop of the time is that of EVT 2.0. Source: Prophesee's page on EVT 2.1; OpenEB's decoder.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spikestream.kernels.evt2 import LOOP, NEARLY
from spikestream.kernels.packed import STEP_US

MOST = 32
"""Events of one word."""


@njit(cache=True, nogil=True)
def decode(
    records: NDArray[Any], first: int, width: int, height: int, state: NDArray[np.int64], out: NDArray[Any]
) -> tuple[int, int]:
    """Write the events of ``records`` from ``first`` on into ``out``, as far as it has room for one word's more.

    ``records`` (n,) has the fields ``low`` and ``high``, the halves of a word, uint32; ``out`` (m,) is PACKED, and
    ``state`` that of `spikestream.kernels.evt2`. Returns the record that is next, and how many events there are.
    """
    base, loops, started, last, untidy = state[0], state[1], state[2], state[3], False
    t, n, i = base + loops, 0, first
    while i < len(records) and n + MOST <= len(out):
        low, high = np.int64(records[i]["low"]), np.int64(records[i]["high"])
        kind = high >> 28
        i += 1
        if kind <= 1:
            x, y, now = (high >> 11) & 0x7FF, high & 0x7FF, t + ((high >> 22) & 0x3F)
            while low:
                if low & 1:
                    if x >= width or y >= height or not started:
                        state[7 if started else 8] += 1
                    else:
                        untidy |= now < last
                        last = now
                        event = out[n]
                        event["t"] = now
                        event["xy"] = x | y << 16
                        event["p"] = kind
                        n += 1
                low >>= 1
                x += 1
        elif kind == 8:
            now = (high & 0xFFFFFFF) << 6
            if started and base - now >= NEARLY:
                loops += LOOP
            base, started = now, 1
            t = base + loops
            untidy |= t - last > STEP_US
        else:
            state[5 if kind == 10 else 6] += 1
    state[0], state[1], state[2], state[3], state[4] = base, loops, started, last, untidy
    return i, n
