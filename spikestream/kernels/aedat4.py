"""AEDAT 4: DV's event structs of 16 bytes (i64 t, i16 x, i16 y, u8 polarity, 3 bytes of padding) to packed events."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

STRUCT = np.dtype(
    {
        "names": ["t", "x", "y", "p"],
        "formats": ["<i8", "<u2", "<u2", "u1"],
        "offsets": [0, 8, 10, 12],
        "itemsize": 16,
    }
)
"""One event as stored; x and y are signed in the format but never negative in a good file."""


@njit(cache=True, nogil=True)
def decode(packed: NDArray[Any], events: NDArray[Any]) -> None:
    """Copy ``packed`` (n,) STRUCT into ``events`` (n,) EVENT."""
    for i in range(len(packed)):
        stored, event = packed[i], events[i]
        event["t"] = stored["t"]
        event["x"] = stored["x"]
        event["y"] = stored["y"]
        event["p"] = stored["p"] != 0
