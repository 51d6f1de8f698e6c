"""Placements from files and back, by content: ours (NPZ), RANC's JSON and memory images, NSCS' JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from spikestream.errors import ConfigError, ModelError
from spikestream.files.atomic import replacing
from spikestream.files.chipjson import Table, read_json, sibling
from spikestream.files.nscs import from_nscs, write_nscs
from spikestream.files.ranc import from_ranc, write_ranc
from spikestream.files.ranc_mem import read_ranc_mem, write_ranc_mem
from spikestream.files.regular import open_regular
from spikestream.model.crossbar import CrossbarPlacement
from spikestream.model.loihi import LoihiPlacement
from spikestream.model.placement import Placement

KINDS: dict[str, type[Any]] = {
    "spikestream placement 2": CrossbarPlacement,
    "spikestream loihi placement 1": LoihiPlacement,
}
"""What a file of ours says it is, and what it then holds."""
WRITERS: dict[str, Callable[[str | os.PathLike[str], CrossbarPlacement], None]] = {
    "ranc": write_ranc,
    "ranc-mem": write_ranc_mem,
    "nscs": write_nscs,
}


def read_placement(path: str | os.PathLike[str]) -> Placement:
    """Return what a chip holds, from a file or a folder of memory images; raises `ModelError`."""
    if Path(path).is_dir():
        return read_ranc_mem(path)
    name = os.fspath(path)
    try:
        with open_regular(path) as file:
            begin = file.read(2)
    except OSError as error:
        raise ModelError(f"cannot read the placement {name}: {error.strerror or error}") from error
    if begin == b"PK":
        return _read_own(name)
    tables = Table(name, read_json(path))
    if "neuronTypes" in tables:
        return from_nscs(tables.value, name)
    if "output_bus" in tables:
        config = sibling(path, "config.json")
        return from_ranc(tables.value, read_json(config) if config else {}, name)
    raise ModelError(f"{name} is no placement that is known", details=["known: NPZ, JSON of RANC, JSON of NSCS"])


def write_placement(path: str | os.PathLike[str], placement: Placement, *, format: str = "npz") -> None:
    """Write what a chip holds: ``npz`` holds all; ``ranc``, ``ranc-mem`` (a folder) and ``nscs`` what they can.

    Raises `ModelError` where a format cannot, `ConfigError` for one that is not known.
    """
    if format in WRITERS:
        if not isinstance(placement, CrossbarPlacement):
            raise ModelError(f"{format} holds crossbar cores, not a {type(placement).__name__}", remedy="format='npz'")
        WRITERS[format](path, placement)
    elif format == "npz":
        kind = _kind_of(placement)
        own = {name: np.asarray(getattr(placement, name)) for name in _names(KINDS[kind])}
        own["notes"] = np.array(json.dumps(placement.notes))
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, format=np.array(kind), **own)  # type: ignore[arg-type]
    else:
        allowed = ", ".join(["npz", *WRITERS])
        raise ConfigError(f"unknown format '{format}'", key="format", value=format, allowed=allowed)


def _kind_of(placement: Placement) -> str:
    for kind, own in KINDS.items():
        if isinstance(placement, own):
            return kind
    raise ModelError(f"a {type(placement).__name__} is no placement that can be written")


def _names(kind: type[Any]) -> list[str]:
    return [one.name for one in fields(kind) if one.init]


def _read_own(name: str) -> Placement:
    try:
        with open_regular(name) as file, np.load(file, allow_pickle=False) as packed:
            if sum(entry.file_size for entry in packed.zip.infolist()) > os.fstat(file.fileno()).st_size:
                raise ValueError("it would unpack to more than it is")
            found = {key: packed[key] for key in packed.files}
    except Exception as error:  # zipfile and numpy know no end of ways to trip over a damaged byte
        raise ModelError(f"{name} is no placement, or is damaged") from error
    kind = KINDS.get(str(found.pop("format", "")))
    if kind is None or set(found) != set(_names(kind)):
        raise ModelError(f"{name} is no placement of this version")
    try:
        notes = json.loads(str(found.pop("notes")))
        made: Placement = kind(notes=notes, **{key: _plain(value) for key, value in found.items()})
        return made
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{name} is no placement, or is damaged: {error}") from error


def _plain(value: Any) -> Any:
    """Return numbers and texts as Python has them, arrays as they are."""
    if value.ndim == 0:
        return value.item()
    return tuple(value.tolist()) if value.shape == (2,) else value
