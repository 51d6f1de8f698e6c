"""Prophesee EVT 3.0 to events and back: words of 16 bits that say what has changed since the last ones.

A row (ADDR_Y), a time (TIME_HIGH and TIME_LOW, 12 bits each) hold until the next; ADDR_X is an event, VECT_BASE_X where
the next vectors of 12 or 8 neighbours begin. The rule of time is OpenEB's: another TIME_HIGH clears the low part, and
one that steps back by half its range and more begins the next loop of 2^24 µs. Source: Prophesee's page on EVT 3.0;
OpenEB's decoder.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spikestream.kernels.packed import STEP_US

MOST = 12
"""Events of one word."""
STATE = ("y", "x", "p", "high", "low", "loop", "last", "untidy", "trigger", "other", "outside", "early")
"""What the int64 state array holds: the row, where the next vector begins and its polarity, the parts of the time (row
and high part -1 before the first), the time of the last event, whether events are not tidy (see
`spikestream.kernels.packed`), and counts."""
WRITTEN = ("high", "low", "loop", "y")
"""What the int64 state array of `encode` holds."""
ADDR_Y, ADDR_X, BASE_X, VECT_12, VECT_8, LOW, HIGH, TRIGGER = 0, 2, 3, 4, 5, 6, 8, 10


@njit(cache=True, nogil=True)
def decode(
    records: NDArray[Any], first: int, width: int, height: int, state: NDArray[np.int64], out: NDArray[Any]
) -> tuple[int, int]:
    """Write the events of ``records`` from ``first`` on into ``out``, as far as it has room for one word's more.

    ``records`` (n,) has the field ``word`` uint16, ``out`` (m,) is PACKED. Returns the record that is next, and how
    many events there are.
    """
    y, x, p, high, low, loop, last = state[0], state[1], state[2], state[3], state[4], state[5], state[6]
    t = (loop << 24) | (high << 12) | low
    columns = width if 0 <= y < height and high >= 0 else 0  # in which there are events now
    untidy, n, i, one = False, np.uint64(0), np.uint64(first), np.uint64(1)
    end, room = np.uint64(len(records)), len(out) - MOST
    while i < end and np.int64(n) <= room:
        word = np.int64(records[i]["word"])
        kind, value = word >> 12, word & 0xFFF
        i += one
        if kind == ADDR_X:
            column = value & 0x7FF
            if column < columns:
                untidy |= t < last
                last = t
                event = out[n]
                event["t"] = t
                event["xy"] = column | y << 16
                event["p"] = value >> 11
                n += one
            else:
                state[10 if high >= 0 and y >= 0 else 11] += 1
        elif (1 << ADDR_Y | 1 << LOW) >> kind & 1:
            # Whether a time stands before a row is as good as random, so it must not be a branch: half the speed.
            is_low = kind == LOW
            low = value if is_low else low
            t = (loop << 24) | (high << 12) | low
            i -= np.uint64(not is_low)
            if i < end and records[i]["word"] >> 12 == ADDR_Y:
                y = np.int64(records[i]["word"]) & 0x7FF
                columns = width if y < height and high >= 0 else 0
                i += one
        elif kind in (VECT_12, VECT_8):
            mask, column = value if kind == VECT_12 else value & 0xFF, x
            x += 12 if kind == VECT_12 else 8
            if columns and mask:
                untidy |= t < last
                last = t
            while mask:
                if mask & 1:
                    if column < columns:
                        event = out[n]
                        event["t"] = t
                        event["xy"] = column | y << 16
                        event["p"] = p
                        n += one
                    else:
                        state[10 if high >= 0 and y >= 0 else 11] += 1
                mask >>= 1
                column += 1
        elif kind == BASE_X:
            x, p = value & 0x7FF, value >> 11
        elif kind == HIGH:
            if high >= 2048 + value:
                loop += 1
            if value != high:
                low = 0
            high = value
            t = (loop << 24) | (high << 12) | low
            untidy |= t - last > STEP_US
            columns = width if 0 <= y < height else 0
        else:
            state[8 if kind == TRIGGER else 9] += 1
    state[0], state[1], state[2], state[3], state[4], state[5] = y, x, p, high, low, loop
    state[6], state[7] = last, untidy
    return int(i), int(n)


@njit(cache=True, nogil=True)
def encode(events: NDArray[Any], state: NDArray[np.int64], out: NDArray[np.uint16]) -> int:
    """Write the words of ``events`` (n,) EVENT into ``out``, and return how many there are.

    ``state`` holds what the words so far say, -1 for nothing yet; ``out`` has room for 6 words an event and 2 for each
    loop of 2^24 µs.
    """
    high, low, loop, y = state[0], state[1], state[2], state[3]
    n = 0
    for i in range(len(events)):
        event = events[i]
        now, row = event["t"], np.int64(event["y"])
        new_loop, new_high, new_low = now >> 24, (now >> 12) & 0xFFF, now & 0xFFF
        if high < 0:
            out[n] = HIGH << 12
            high, low = 0, -1
            n += 1
        while loop < new_loop:
            # From the end of a loop to its beginning is a step back that no reader takes for disorder.
            if high != 0xFFF:
                out[n] = HIGH << 12 | 0xFFF
                n += 1
            out[n] = HIGH << 12
            high, low = 0, -1
            loop += 1
            n += 1
        if new_high != high:
            out[n] = HIGH << 12 | new_high
            high, low = new_high, -1
            n += 1
        if new_low != low:
            out[n] = LOW << 12 | new_low
            low = new_low
            n += 1
        if row != y:
            out[n] = ADDR_Y << 12 | row
            y = row
            n += 1
        out[n] = ADDR_X << 12 | np.int64(event["p"]) << 11 | np.int64(event["x"])
        n += 1
    state[0], state[1], state[2], state[3] = high, low, loop, y
    return n
