"""Event Stream (.es) bytes to events and back: 5 bytes each, of which the first has the time since the last one.

DVS: ``dt << 1 | on``, 0xFF adds 127 µs, 0xFE is a reset and nothing else. ATIS: ``dt << 2 | polarity << 1 | crossing``,
0xFD to 0xFF add 63 µs one to three times, 0xFC is a reset; a threshold crossing measures light and is no event. Then x
and y, 16 bits each. Source: the specification of Event Stream 2.0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

BYTES = 5
STATE = ("t", "last", "untidy", "threshold crossing", "outside")
"""What the int64 state array holds: the time so far and that of the last event, whether events are not tidy (see
`spikestream.kernels.packed`), and counts."""
OVERFLOW_US = 127


@njit(cache=True, nogil=True)
def decode(
    data: NDArray[np.uint8],
    layout: tuple[int, int, int, int],
    step_us: int,
    state: NDArray[np.int64],
    out: NDArray[Any],
) -> tuple[int, int]:
    """Write the events of ``data`` (n,) into ``out`` (n // 5,) PACKED; return the bytes used and how many events.

    ``layout``: width, height, bits of the first byte that are no time (1 for DVS, 2 for ATIS), rows of the sensor from
    whose bottom y counts, 0 where it counts from the top. An event that is not whole is left.
    """
    width, height, bits, rows = layout
    t, last, untidy = state[0], state[1], False
    marks = 0xFE if bits == 1 else 0xFC  # a reset; what is above adds to the time
    full = 127 if bits == 1 else 63
    i, n, end = np.uint64(0), np.uint64(0), np.uint64(len(data))
    while i < end:
        first = np.int64(data[i])
        if first >= marks:
            t += full * (first - marks)
            i += np.uint64(1)
            continue
        if i + np.uint64(BYTES) > end:
            break
        x = np.int64(data[i + np.uint64(1)]) | np.int64(data[i + np.uint64(2)]) << 8
        y = np.int64(data[i + np.uint64(3)]) | np.int64(data[i + np.uint64(4)]) << 8
        i += np.uint64(BYTES)
        t += first >> bits
        if bits == 2 and first & 1:
            state[3] += 1
            continue
        y = rows - 1 - y if rows else y
        if x >= width or y >= height or y < 0:
            state[4] += 1
            continue
        untidy |= t - last > step_us
        last = t
        event = out[n]
        event["t"] = t
        event["xy"] = x | y << 16
        event["p"] = (first >> (bits - 1)) & 1
        n += np.uint64(1)
    state[0], state[1], state[2] = t, last, untidy
    return int(i), int(n)


@njit(cache=True, nogil=True)
def encode(events: NDArray[Any], last_us: int, height: int, out: NDArray[np.uint8]) -> int:
    """Write the bytes of DVS ``events`` (n,) EVENT behind ``last_us`` µs into ``out``; return how many there are."""
    n = 0
    for i in range(len(events)):
        event = events[i]
        step = event["t"] - last_us
        last_us = event["t"]
        while step > 126:
            out[n] = 0xFF
            step -= OVERFLOW_US
            n += 1
        x, y = np.int64(event["x"]), height - 1 - np.int64(event["y"])
        out[n] = max(step, 0) << 1 | np.int64(event["p"])
        out[n + 1], out[n + 2], out[n + 3], out[n + 4] = x & 0xFF, x >> 8, y & 0xFF, y >> 8
        n += BYTES
    return n
