"""What a chip is to hold: read from a file, or compiled of whatever describes a network."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from spikestream import checkpoint
from spikestream.errors import ConfigError, ModelError
from spikestream.files.placements import read_placement
from spikestream.files.regular import open_regular
from spikestream.files.shipped import model_path

if TYPE_CHECKING:
    from spikestream.config import Config
    from spikestream.model.nir.steps import Discretisation
    from spikestream.model.placement import Placement

Progress = Callable[[str, float], None]
HDF5 = b"\x89HDF"
"""How a NIR file begins."""


def placement_of(config: Config, progress: Progress | None = None) -> Placement | None:
    """Return what the section chip of a configuration asks for, compiled where need be; None where it asks for nothing.

    Raises `ModelError`, `ConfigError`.
    """
    chip = config.chip
    if chip.placement:
        return read_placement(chip.placement)
    return compiled(chip.model, chip.target, progress) if chip.model else None


def placed(
    path: str, target: str, progress: Progress | None = None, steps: Discretisation | None = None
) -> tuple[Placement, bool]:
    """Return the placement that a file or folder is, or is compiled to, and whether it was compiled.

    ``steps`` tells how NIR is cut into steps. Raises `ModelError`, `ConfigError`.
    """
    if is_model(path):
        return compiled(path, target, progress, steps), True
    if steps is not None:
        raise ConfigError(f"{path} is no NIR file: it has steps of its own", key="--framework")
    if not os.path.isdir(path) and _begin(path)[:2] != b"PK" and not _begin(path).lstrip().startswith(b"{"):
        known = "a placement (NPZ, RANC, NSCS), a saved model (NPZ), NIR, or the TOML of a model"
        raise ModelError(f"{path} is nothing that a chip could hold", details=[f"known: {known}"])
    return read_placement(path), False


def compiled(
    path: str, target: str, progress: Progress | None = None, steps: Discretisation | None = None
) -> Placement:
    """Return what a network is compiled to: one saved by `checkpoint.save`, NIR, or the TOML of a model."""
    from spikestream.compiling import compile

    if not is_model(path):
        remedy = f"chip.placement={path}, if it is a placement"
        raise ModelError(f"{path} is no network that can be compiled: no saved model, NIR or TOML", remedy=remedy)
    if not is_saved(path) or steps is not None:
        return compile(path, target, discretisation=steps, progress=progress)
    pipeline = checkpoint.load(path)
    if "chip" in pipeline.stages:
        raise ModelError(f"the model {path} has no network to compile: it was saved with a chip in its place")
    return compile(pipeline, target, progress=progress)


def latency_of(placement: Placement) -> int | None:
    """Return after how many ticks the latest output of a chip answers, None where nobody noted it."""
    return latency_in(placement.notes)


def latency_in(notes: Mapping[str, Any]) -> int | None:
    """Return the same, of notes or a report."""
    ticks = notes.get("latency_ticks")
    known = list(ticks.values()) if isinstance(ticks, Mapping) else [ticks]
    return max((one for one in known if isinstance(one, int)), default=None)


def is_model(path: str) -> bool:
    """Return whether a file describes a network rather than a chip; raises `ModelError` where it cannot be read."""
    if os.path.isdir(path):
        return False
    begin = _begin(path)
    return begin.startswith(HDF5) or path.lower().endswith((".toml", ".nir")) or is_saved(path)


def is_saved(path: str) -> bool:
    """Return whether a file is a model that `checkpoint.save` wrote."""
    if os.path.isdir(path) or _begin(path)[:2] != b"PK":
        return False
    with suppress(OSError, ValueError, NotImplementedError, zipfile.BadZipFile), open_regular(model_path(path)) as file:
        return f"{checkpoint.META}.npy" in zipfile.ZipFile(file).namelist()
    return False


def _begin(path: str) -> bytes:
    try:
        with open_regular(model_path(path)) as file:
            return file.read(64)
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror or error}") from error
