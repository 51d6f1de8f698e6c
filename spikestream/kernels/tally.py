"""What can be counted of events in one pass over them: how many each pixel has, and how their stamps are spread."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def count(
    events: NDArray[Any], pixels: NDArray[np.uint32], latest: NDArray[np.uint32], side: int, state: NDArray[np.int64]
) -> None:
    """Go on counting through ``events`` (n,) EVENT.

    ``pixels`` and ``latest`` (side * side,) hold each pixel's count and the lower half of its last stamp; events beyond
    are in neither. ``state`` (7,) int64 holds what `spikestream.formats.base.steps` names.
    """
    seen, on, first, last, origin, divisor, twins = state
    for i in range(len(events)):
        event = events[i]
        t = event["t"]
        if seen == 0:
            first = last = origin = t
        seen += 1
        first, last = min(first, t), max(last, t)
        on += event["p"]
        if divisor != 1 and t != origin:
            a, b = divisor, abs(t - origin)
            while b:
                a, b = b, a % b
            divisor = a
        x, y = np.int64(event["x"]), np.int64(event["y"])
        if x < side and y < side:
            at, stamp = y * side + x, np.uint32(t & 0xFFFFFFFF)
            twins += pixels[at] != 0 and latest[at] == stamp
            pixels[at] += 1
            latest[at] = stamp
    state[0], state[1], state[2], state[3], state[4], state[5], state[6] = seen, on, first, last, origin, divisor, twins
