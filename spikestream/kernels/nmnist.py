"""N-MNIST records to events: 5 bytes each, x, y, then polarity (1 bit, 1 = ON) and µs (23 bits), big-endian.

A record with y = 240 is no event: it adds 2^13 µs to all later stamps. Source: Orchard's eventvision reader.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

OVERFLOW_Y, OVERFLOW_US = 240, 1 << 13
STATE = ("base", "overflow", "outside", "max_x", "max_y")
"""What the int64 state array holds: µs of the overflows so far, counts of what is no event, the extent seen."""


@njit(cache=True, nogil=True)
def decode(records: NDArray[Any], width: int, height: int, state: NDArray[np.int64], out: NDArray[Any]) -> int:
    """Write the events of ``records`` (n,) into ``out`` (n,) EVENT and return how many there are.

    A record has the fields ``x``, ``y``, ``p`` (with the stamp's 7 high bits), ``middle`` and ``low``, uint8.
    """
    base, max_x, max_y = state[0], state[3], state[4]
    n = 0
    for i in range(len(records)):
        record = records[i]
        x, y = np.int64(record["x"]), np.int64(record["y"])
        if y == OVERFLOW_Y:
            base += OVERFLOW_US
            state[1] += 1
            continue
        if x >= width or y >= height:
            state[2] += 1
            continue
        max_x, max_y = max(max_x, x), max(max_y, y)
        event = out[n]
        event["t"] = base + (
            np.int64(record["p"] & 0x7F) << 16 | np.int64(record["middle"]) << 8 | np.int64(record["low"])
        )
        event["x"] = x
        event["y"] = y
        event["p"] = record["p"] >= 0x80
        n += 1
    state[0], state[3], state[4] = base, max_x, max_y
    return n
