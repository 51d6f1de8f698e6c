"""AEDAT 3 polarity events, 8 bytes each: u32 with bit 0 valid, bit 1 ON, y and x above them, then i32 t in µs.

t counts within 2^31 µs; the packet's header carries the overflows before it. Source: iniVation's page on AEDAT 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

WORDS = np.dtype([("data", "<u4"), ("t", "<i4")])


@njit(cache=True, nogil=True)
def decode(
    words: NDArray[Any], base: int, x_shift: int, y_shift: int, y_mask: int, top: int, events: NDArray[Any]
) -> int:
    """Write the valid ones of ``words`` (n,) WORDS into ``events`` (>= n,) EVENT and return how many there are.

    ``base`` µs are added to every t; x is what lies above ``x_shift``; a ``top`` >= 0 turns y round: row 0 becomes it.
    """
    n = 0
    for i in range(len(words)):
        data = np.int64(words[i]["data"])
        if data & 1 == 0:
            continue
        y = (data >> y_shift) & y_mask
        event = events[n]
        event["t"] = base + np.int64(words[i]["t"])
        event["x"] = data >> x_shift
        event["y"] = (top - y if top >= 0 else y) & 0xFFFF
        event["p"] = data & 2 != 0
        n += 1
    return n
