"""Events of 16 bytes whose bytes HDF5 has shuffled: all first bytes, then all second ones, and so on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def decode(planes: NDArray[np.uint8], places: tuple[int, int, int, int], out: NDArray[Any]) -> None:
    """Write the first events of ``planes`` (bytes of an event, n) into ``out`` (m <= n,) PACKED.

    ``places``: where t of 8 bytes, x and y of 2 and p of 2, signed, begin. A polarity above 0 is ON.
    """
    at_t, at_x, at_y, at_p = places
    for i in range(len(out)):
        t = np.uint64(0)
        for k in range(8):
            t |= np.uint64(planes[at_t + k, i]) << np.uint64(8 * k)
        x = np.uint32(planes[at_x, i]) | np.uint32(planes[at_x + 1, i]) << np.uint32(8)
        y = np.uint32(planes[at_y, i]) | np.uint32(planes[at_y + 1, i]) << np.uint32(8)
        event = out[i]
        event["t"] = np.int64(t)
        event["xy"] = x | y << np.uint32(16)
        event["p"] = (planes[at_p, i] | planes[at_p + 1, i]) != 0 and planes[at_p + 1, i] < 128
