"""Spikes of a Neuromorphic Auditory Sensor: addresses and stamps in ticks to events.

Address = ``side * 2 * bands + 2 * band + sign``; with bit 15 set it is a localisation event instead, of an LSO neuron
where bit 14 is set, else of an MSO neuron. A stamp counts modulo 2^32: a step back of more than 2^31 is a wrap, one as
far forward behind it takes it back, for a record that comes late; a smaller step back is disorder and passes through.
Every record moves that clock. Source: pyNAVIS's loaders.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

WRAP = 1 << 32
STATE = ("base", "last", "mso", "lso", "outside", "spikes", "top", "beyond")
"""What the int64 state array holds: ticks of the wraps so far, the last stamp as stored, counts by kind, the highest
address of a spike and the highest outside."""


@njit(cache=True, nogil=True)
def decode(
    addresses: NDArray[np.int64],
    stamps: NDArray[np.int64],
    layout: tuple[int, int, int, int],
    turn: bool,
    state: NDArray[np.int64],
    out: NDArray[Any],
) -> int:
    """Write the spikes among the records (n,) into ``out`` (n,) EVENT and return how many there are.

    ``layout``: bands, sides, and the µs of a tick as numerator and denominator. ``turn``: band 0 becomes the last.
    """
    bands, sides, numerator, denominator = layout
    base, last = state[0], state[1]
    n = 0
    for i in range(len(addresses)):
        address, stamp = addresses[i], stamps[i]
        step = stamp - last
        last = stamp
        if step > WRAP // 2 or step < -(WRAP // 2):
            base = base + WRAP if step < 0 else max(base - WRAP, 0)
        if address >> 15 == 1:
            state[3 if address & 0x4000 else 2] += 1
            continue
        if address >= 2 * bands * sides:
            state[4] += 1
            state[7] = max(state[7], address)
            continue
        state[6] = max(state[6], address)
        band = address // 2 % bands
        ticks = base + stamp
        event = out[n]
        # The whole count at once, so that no rounding adds up; in two parts, so that it stays within 64 bits.
        event["t"] = ticks // denominator * numerator + ticks % denominator * numerator // denominator
        event["x"] = bands - 1 - band if turn else band
        event["y"] = address // (2 * bands)
        event["p"] = address % 2 == 0
        n += 1
    state[0], state[1] = base, last
    state[5] += n
    return n
