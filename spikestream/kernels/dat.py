"""Prophesee DAT records to events: a stamp of 32 bits in µs, then column, row and polarity in 32 bits.

A stamp counts modulo 2^32: a step back of more than 2^31 is a wrap, a smaller one is disorder and passes through.
Source: Prophesee's page on DAT files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spikestream.kernels.packed import STEP_US

WRAP = 1 << 32
STATE = ("base", "last", "before", "untidy", "outside")
"""What the int64 state array holds: µs of the wraps so far, the last stamp as stored, the time of the last event,
whether events are not tidy (see `spikestream.kernels.packed`), and a count."""


@njit(cache=True, nogil=True)
def decode(records: NDArray[Any], layout: tuple[int, ...], state: NDArray[np.int64], out: NDArray[Any]) -> int:
    """Write the events of ``records`` (n,), fields ``stamp`` and ``word`` uint32, into ``out`` (n,) PACKED; return how
    many.

    ``layout``: width, height, bits of x, bits of y, which follow, and the bit of the polarity.
    """
    width, height, x_bits, y_bits, p_bit = layout
    x_mask, y_mask = (1 << x_bits) - 1, (1 << y_bits) - 1
    base, last, before, untidy, n = state[0], state[1], state[2], False, np.uint64(0)
    for i in range(len(records)):
        stamp, word = np.int64(records[i]["stamp"]), np.int64(records[i]["word"])
        if last - stamp > WRAP // 2:
            base += WRAP
        last = stamp
        x, y = word & x_mask, (word >> x_bits) & y_mask
        if x >= width or y >= height:
            state[4] += 1
            continue
        now = base + stamp
        untidy |= (now < before) | (now - before > STEP_US)
        before = now
        event = out[n]
        event["t"] = now
        event["xy"] = x | y << 16
        event["p"] = (word >> p_bit) & 1
        n += np.uint64(1)
    state[0], state[1], state[2], state[3] = base, last, before, untidy
    return int(n)
