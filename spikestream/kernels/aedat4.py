"""AEDAT 4: DV's event structs of 16 bytes (i64 t, i16 x, i16 y, u8 polarity, 3 bytes of padding) to packed events."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spikestream.kernels.packed import STEP_US

STRUCT = np.dtype({"names": ["t", "xy", "p"], "formats": ["<i8", "<u4", "u1"], "offsets": [0, 8, 12], "itemsize": 16})
"""One event as stored; x and y are signed in the format but never negative in a good file."""
ABOVE = 1 << 15 | 1 << 31
"""The signs of x and y."""


@njit(cache=True, nogil=True)
def decode(stored: NDArray[Any], width: int, height: int, at: int, tidy: bool, events: NDArray[Any]) -> bool:
    """Copy ``stored`` (n,) STRUCT into ``events`` PACKED from ``at`` on; return whether those up to there are tidy.

    See `spikestream.kernels.packed`; ``tidy``: whether those before ``at`` are.
    """
    n = np.uint64(at)
    last = events[at - 1]["t"] if at else stored[0]["t"] if len(stored) else 0
    # Both coordinates at once: each, taken from the largest, leaves the bit above it as it is, unless it is larger.
    largest, farthest, inside = np.uint32((width - 1) | (height - 1) << 16 | ABOVE), np.uint64(0), np.uint32(ABOVE)
    for i in range(len(stored)):
        one, event = stored[i], events[n]
        t, xy = one["t"], one["xy"]
        farthest = max(farthest, np.uint64(t - last))  # of a step back, too
        inside &= (largest - xy) & ~xy
        last = t
        event["t"] = t
        event["xy"] = xy
        event["p"] = one["p"] != 0
        n += np.uint64(1)
    return bool(tidy and farthest <= np.uint64(STEP_US) and inside == np.uint32(ABOVE))
