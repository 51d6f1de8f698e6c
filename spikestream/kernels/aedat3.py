"""AEDAT 3 polarity events, 8 bytes each: u32 with bit 0 valid, bit 1 ON, y and x above them, then i32 t in µs.

t counts within 2^31 µs; the packet's header carries the overflows before it. Source: iniVation's page on AEDAT 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spikestream.kernels.packed import STEP_US

WORDS = np.dtype([("data", "<u4"), ("t", "<i4")])
STATE = ("last", "untidy")
"""What the int64 state array holds: the time of the last event, and whether events are not tidy (see
`spikestream.kernels.packed`)."""


@njit(cache=True, nogil=True)
def decode(
    words: NDArray[Any], base: int, layout: tuple[int, ...], state: NDArray[np.int64], events: NDArray[Any]
) -> int:
    """Write the valid ones of ``words`` (n,) WORDS into ``events`` (>= n,) PACKED and return how many there are.

    ``base`` µs are added to every t. ``layout``: x is what lies above its first number, y what its third leaves above
    its second; a fourth >= 0 turns y round: row 0 becomes it, and there are none above; then the width and the height
    that tidy events lie in.
    """
    x_shift, y_shift, y_mask, top, width, height = layout
    last, untidy, n = state[0], False, np.uint64(0)
    for i in range(len(words)):
        data, t = np.int64(words[i]["data"]), base + np.int64(words[i]["t"])
        if data & 1 == 0:
            continue
        x, y = data >> x_shift, (data >> y_shift) & y_mask
        if top >= 0:
            y = top - y
            if y < 0:
                continue
        untidy |= (t < last) | (t - last > STEP_US) | (x >= width) | (y >= height)
        last = t
        event = events[n]
        event["t"] = t
        event["xy"] = x | y << 16
        event["p"] = (data >> 1) & 1
        n += np.uint64(1)
    state[0], state[1] = last, untidy
    return int(n)
