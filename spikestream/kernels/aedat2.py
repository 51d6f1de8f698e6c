"""AEDAT 2.0 and 1.0 records to events: a big-endian address word of 4 or 2 bytes and a big-endian stamp in µs.

A stamp counts modulo 2^32: a step back of more than 2^31 is a wrap, one as far forward behind it takes it back, for an
event that comes late; a smaller step back is disorder and passes through. Every word moves that clock, whatever it
carries. Both axes are turned round, because jAER's origin is bottom left and its extractors mirror x. Source: jAER's
DVS128, DVS640 and DavisChip address extractors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

WRAP = 1 << 32
STATE = ("base", "last", "top", "imu", "aps", "special", "outside")
"""What the int64 state array holds: µs of the wraps so far, the last stamp as stored, the most µs of wraps there were,
counts of what is no event."""


@njit(cache=True, nogil=True)
def _big_endian(value: np.uint32) -> np.uint32:
    # Whole loads and shifts become one byte swap; putting single bytes together halves the speed.
    return (
        np.uint32(value >> np.uint32(24))
        | (value >> np.uint32(8)) & np.uint32(0xFF00)
        | (value << np.uint32(8)) & np.uint32(0xFF0000)
        | np.uint32(value << np.uint32(24))
    )


@njit(cache=True, nogil=True)
def decode(
    records: NDArray[Any], layout: tuple[int, ...], turn: bool, state: NDArray[np.int64], out: NDArray[Any]
) -> int:
    """Write the events of ``records`` (n,) into ``out`` (n,) EVENT and return how many there are.

    A record has the fields ``word``, uint32 or uint16, and ``stamp``, uint32, as stored. ``layout``: bits that a word
    lacks to 32, width and height of the sensor, width and height of what is wanted of it, x shift, x mask, y shift, y
    mask, polarity mask, its value for ON, mask of special words, 1 where a word may carry APS or IMU samples.
    ``turn``: to the origin top left of the sensor; else as stored.
    """
    lacking, own_width, own_height, width, height, x_shift, x_mask, y_shift, y_mask, p_mask, on, special, davis = layout
    base, last, top = state[0], state[1], state[2]
    n = 0
    for i in range(len(records)):
        word, stamp = np.int64(_big_endian(np.uint32(records[i]["word"]))), np.int64(_big_endian(records[i]["stamp"]))
        word >>= lacking
        step = stamp - last
        last = stamp
        if step > WRAP // 2 or step < -(WRAP // 2):
            base = base + WRAP if step < 0 else max(base - WRAP, 0)
            top = max(top, base)
        if davis and word >> 31:
            state[3 if word & 0xC00 == 0xC00 else 4] += 1
            continue
        if word & special:
            state[5] += 1
            continue
        x, y = (word >> x_shift) & x_mask, (word >> y_shift) & y_mask
        if turn:
            x, y = own_width - 1 - x, own_height - 1 - y
        if x < 0 or x >= width or y < 0 or y >= height:
            state[6] += 1
            continue
        event = out[n]
        event["t"] = base + stamp
        event["x"] = x
        event["y"] = y
        event["p"] = (word & p_mask) == on
        n += 1
    state[0], state[1], state[2] = base, last, top
    return n
