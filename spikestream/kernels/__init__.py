"""Numba kernels: arrays and scalars in, arrays out. Importing this room is what costs Numba's start-up time."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numba
from numba import njit
from numpy.typing import NDArray

from spikestream.kernels.caching import cache_folder, forgive, keep_nothing, sources_digest, verify

Array: TypeAlias = NDArray[Any]

# All of this before any kernel is defined: Numba looks at the folder when it meets `cache=True`.
CACHE = cache_folder(sources_digest(Path(__file__).parent))
COLD = CACHE is None or not any(CACHE.iterdir())
"""True where no kernel of this version was ever compiled on this machine: the first call will take seconds."""

if CACHE is None:
    keep_nothing()
else:
    numba.config.CACHE_DIR = str(CACHE)  # type: ignore[attr-defined]  # numba fills its config at run time
    verify(CACHE)
    forgive()

# Nobody owns an array in a kernel but its caller, for whom all is in place. Counting references to them all the same,
# at every look at a field of the state, was most of the time of a tick; together with the next line it is four times
# as fast.
FAST: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}

compiled = njit(**FAST)
"""The decorator of what a network is composed of: scalars and arrays in, a scalar out, nothing allocated."""
