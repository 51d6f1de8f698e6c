"""Prophesee DAT records to events: a stamp of 32 bits in µs, then column, row and polarity in 32 bits.

A stamp counts modulo 2^32: a step back of more than 2^31 is a wrap, one as far forward behind it takes it back, for an
event that comes late; a smaller step back is disorder and passes through. Source: Prophesee's page on DAT files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spikestream.kernels.packed import STEP_US

WRAP = 1 << 32
STATE = ("base", "last", "top", "untidy", "outside")
"""What the int64 state array holds: µs of the wraps so far, the last stamp as stored, the most µs of wraps there were,
whether events are not tidy (see `spikestream.kernels.packed`; those around one outside of the size may not be), and a
count."""


@njit(cache=True, nogil=True)
def decode(records: NDArray[Any], layout: tuple[int, ...], state: NDArray[np.int64], out: NDArray[Any]) -> int:
    """Write the events of ``records`` (n,), fields ``stamp`` and ``word`` uint32, into ``out`` (n,) PACKED; return how
    many.

    ``layout``: width, height, bits of x, bits of y, which follow, and the bit of the polarity.
    """
    width, height, x_bits, y_bits, p_bit = layout
    columns, rows, to_y, to_p = np.uint32(width), np.uint32(height), np.uint32(x_bits), np.uint32(p_bit)
    x_mask, y_mask = np.uint32((1 << x_bits) - 1), np.uint32((1 << y_bits) - 1)
    base, last, top, untidy, outside, n = state[0], state[1], state[2], False, 0, np.uint64(0)
    for i in range(len(records)):
        stamp, word = np.int64(records[i]["stamp"]), records[i]["word"]
        x, y = word & x_mask, (word >> to_y) & y_mask
        step = stamp - last
        last = stamp
        # One branch for all that is rare: with one for each it took a fifth longer. A step back is a large one, too.
        if (np.uint64(step) > np.uint64(STEP_US)) | (x >= columns) | (y >= rows):
            untidy = True
            if step > WRAP // 2 or step < -(WRAP // 2):
                base = base + WRAP if step < 0 else max(base - WRAP, 0)
                top = max(top, base)
            if x >= columns or y >= rows:
                outside += 1
                continue
        event = out[n]
        event["t"] = base + stamp
        event["xy"] = x | y << np.uint32(16)
        event["p"] = (word >> to_p) & np.uint32(1)
        n += np.uint64(1)
    state[0], state[1], state[2], state[3] = base, last, top, untidy
    state[4] += outside
    return int(n)
