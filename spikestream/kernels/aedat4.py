"""AEDAT 4: DV's event structs of 16 bytes (i64 t, i16 x, i16 y, u8 polarity, 3 bytes of padding) to packed events."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spikestream.kernels.packed import STEP_US

STRUCT = np.dtype({"names": ["t", "xy", "p"], "formats": ["<i8", "<u4", "u1"], "offsets": [0, 8, 12], "itemsize": 16})
"""One event as stored; x and y are signed in the format but never negative in a good file."""


@njit(cache=True, nogil=True)
def decode(stored: NDArray[Any], width: int, height: int, at: int, tidy: bool, events: NDArray[Any]) -> bool:
    """Copy ``stored`` (n,) STRUCT into ``events`` PACKED from ``at`` on; return whether those up to there are tidy.

    See `spikestream.kernels.packed`; ``tidy``: whether those before ``at`` are.
    """
    n = np.uint64(at)
    last = events[at - 1]["t"] if at else stored[0]["t"] if len(stored) else 0
    columns, rows = np.uint32(width), np.uint32(height)
    untidy: Any = not tidy
    for i in range(len(stored)):
        one, event = stored[i], events[n]
        t, xy = one["t"], one["xy"]
        untidy |= np.uint64(t - last) > np.uint64(STEP_US)  # a step back, too
        untidy |= (xy & np.uint32(0xFFFF) >= columns) | (xy >> np.uint32(16) >= rows)
        last = t
        event["t"] = t
        event["xy"] = xy
        event["p"] = one["p"] != 0
        n += np.uint64(1)
    return not untidy
