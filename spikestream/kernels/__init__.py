"""Numba kernels: arrays and scalars in, arrays out. Importing this room is what costs Numba's start-up time.

Numba's cache checks only the source file of the function it compiled, so an edited callee leaves a stale cached
caller. Cure: the cache folder carries a hash of all kernel sources, set before any kernel is defined.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, TypeAlias

import numba
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


def _cache_folder() -> Path:
    here = Path(__file__).parent
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(here.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    root = os.environ.get("SPIKESTREAM_CACHE") or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "spikestream" / "kernels" / digest.hexdigest()[:16]


CACHE = _cache_folder()
COLD = not CACHE.is_dir()
"""True where no kernel of this version was ever compiled on this machine: the first call will take seconds."""

numba.config.CACHE_DIR = str(CACHE)  # type: ignore[attr-defined]  # numba fills its config at run time
