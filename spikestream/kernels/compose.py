"""The module that runs a network of a given structure of neurons, synapses and rules; written where there is none yet.

Its name is a digest of its text and of the sources of all parts that it calls, so the cache of compiled code never
holds one that was made of other parts, of a plugin's either.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
from numba import njit

from spikestream.kernels import CACHE, FAST
from spikestream.kernels.compose_text import Structure, module_text

IMPORTING = threading.Lock()
INNER: dict[str, Any] = {**FAST, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inner = njit(**INNER)
"""The decorator of what only ``run`` calls: compiled without what lets Python and C call it."""


def module_of(structure: Structure) -> ModuleType:
    """Return the module of a structure, written first where there is none; ``run`` is what it is for."""
    text = module_text(structure)
    digest = hashlib.sha256((numba.__version__ + text).encode())
    for part in sorted({*structure.neurons, *(rule for link in structure.links for rule in link.rules)}, key=_name):
        digest.update(_source(part))
    name = f"spikestream_composed_{digest.hexdigest()[:16]}"
    with IMPORTING:
        return sys.modules[name] if name in sys.modules else _imported(name, text)


def is_cold(module: ModuleType) -> bool:
    """Return whether such a module was never compiled on this machine: its first call will take seconds."""
    return CACHE is None or not any(CACHE.rglob(f"{module.__name__}.run-*.nbi"))


def _name(part: ModuleType) -> str:
    return part.__name__


def _source(part: ModuleType) -> bytes:
    return Path(str(part.__file__)).read_bytes()


def _imported(name: str, text: str) -> ModuleType:
    """Import the text as a module of a file in the cache, or of none where there is no cache."""
    module = ModuleType(name)
    if CACHE is None:
        code = compile(text, f"<{name}>", "exec")
    else:
        file = CACHE / "composed" / f"{name}.py"
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            beside = file.with_name(f"{name}.{os.getpid()}.{secrets.token_hex(4)}")
            beside.write_text(text)
            os.replace(beside, file)
        code = compile(text, str(file), "exec")
        module.__file__ = str(file)
    exec(code, module.__dict__)
    sys.modules[name] = module
    return module
