"""The packed events of libcaer's ROS driver: words of 16 bits that say what has changed since the last ones.

A column (ADDR_X) and a time (TIME_HIGH and TIME_LOW, 12 bits each, in µs) hold until the next; ADDR_Y is an event,
VECT_BASE_Y where the next vectors of 8 neighbours begin. Source: event_camera_codecs (libcaer_cmp).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spikestream.kernels.packed import STEP_US

MOST = 8
"""Events of one word."""
STATE = ("x", "y", "p", "high", "low", "last", "untidy", "other", "outside")
"""What the int64 state array holds: the column, where the next vector begins and its polarity, the parts of the time,
the time of the last event, whether events are not tidy (see `spikestream.kernels.packed`), and counts."""
HIGH, LOW, ADDR_X, ADDR_Y, BASE_Y, VECT_8 = 0, 1, 2, 3, 4, 5


@njit(cache=True, nogil=True)
def decode(
    words: NDArray[np.uint16],
    first: int,
    layout: tuple[int, int, int],
    state: NDArray[np.int64],
    out: NDArray[Any],
) -> tuple[int, int]:
    """Write the events of ``words`` (n,) from ``first`` on into ``out`` (m,) PACKED, as far as there is room.

    ``layout``: width, height, and the µs that the times of the words count from. Returns the word that is next, and how
    many events there are.
    """
    width, height, base = layout
    x, y, p, high, low, last = state[0], state[1], state[2], state[3], state[4], state[5]
    untidy, n, i = False, np.uint64(0), np.uint64(first)
    end, room = np.uint64(len(words)), len(out) - MOST
    while i < end and np.int64(n) <= room:
        word = np.int64(words[i])
        kind, value = word >> 12, word & 0xFFF
        i += np.uint64(1)
        mask = np.int64(0)
        if kind == ADDR_Y:
            y, p, mask = value & 0x7FF, value >> 11, np.int64(1)
        elif kind == VECT_8:
            mask = value & 0xFF
        elif kind == ADDR_X:
            x = value & 0x7FF
        elif kind == LOW:
            low = value
        elif kind == HIGH:
            high = value
        elif kind == BASE_Y:
            y, p = value & 0x7FF, value >> 11
        else:
            state[7] += 1
        row, t = y, base + (high << 12 | low)
        while mask:
            if mask & 1:
                if x < width and row < height:
                    untidy |= (t < last) | (t - last > STEP_US)
                    last = t
                    event = out[n]
                    event["t"] = t
                    event["xy"] = x | row << 16
                    event["p"] = p
                    n += np.uint64(1)
                else:
                    state[8] += 1
            mask >>= 1
            row += 1
        if kind == VECT_8:
            y += 8
    state[0], state[1], state[2], state[3], state[4], state[5], state[6] = x, y, p, high, low, last, untidy
    return int(i), int(n)
