"""What a placement of any chip has: cores on a mesh, inputs from outside, outputs, a law, and what the compiler noted.

`crossbar` and `loihi` are the kinds there are. All arrays of a placement are checked and cannot be written to.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikestream.errors import ModelError

Array: TypeAlias = NDArray[Any]

NOWHERE, PIN = -1, -2
"""Targets that are no core: nothing, and an output of the chip."""
MOST_CORES, MOST_SIDE, MOST_PINS = 16_384, 4_096, 1 << 20


class Placement(ABC):
    """What a chip holds, whichever chip; its kinds are dataclasses of what they hold."""

    __slots__ = ()

    law: str  # by which it runs, with a version
    grid: tuple[int, int]  # columns and rows of the mesh
    core_xy: Array  # (C, 2) int32, where each core sits
    inputs: Array  # (k, 4) int32: input, core, axon, delay in ticks, by input; an input may have several targets
    input_count: int  # inputs are numbered 0 .. input_count - 1
    outputs: int  # outputs are numbered 0 .. outputs - 1
    notes: Mapping[str, Any]  # JSON values that whoever made it wants remembered; no part of what it is
    digest: Array  # (32,) uint8: SHA-256 of all but the notes

    @property
    def cores(self) -> int:
        """Return the number of cores."""
        return len(self.core_xy)

    @abstractmethod
    def usage(self) -> dict[str, int]:
        """Return how much of the chip is used: axons, neurons, synapses."""

    def report(self) -> dict[str, Any]:
        """Return what the chip holds as JSON values, and what the compiler noted."""
        own = {"law": self.law, "cores": self.cores, "grid": list(self.grid), **self.usage()}
        return {**own, "inputs": self.input_count, "outputs": self.outputs, **self.notes}


def identity(cores: int, axons: int, delay: int) -> Array:
    """Return ``inputs`` (k, 4) by which every axon is an input of its own, ``core · axons + axon``."""
    number = np.arange(cores * axons, dtype=np.int32)
    return np.stack([number, number // axons, number % axons, np.full_like(number, delay)], axis=1)


def frozen(array: Array) -> Array:
    """Return ``array``, which nobody can write to any more."""
    array.flags.writeable = False
    return array


def checked(name: str, value: Any, kind: str, shape: tuple[int, ...], low: int, high: int) -> Array:
    """Return a copy of the right type; raises `ModelError` for another shape, a fraction, or what does not fit."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise ModelError(f"{name} of a placement is no array: {error}") from error
    if array.shape != shape or array.dtype.kind not in "biu":
        raise ModelError(f"{name} of a placement is {array.dtype}{array.shape}, not whole numbers of shape {shape}")
    if array.size and not low <= int(array.min()) <= int(array.max()) <= high:
        raise ModelError(f"{name} is {array.min()} .. {array.max()}, and a chip holds {low:,} .. {high:,}")
    return frozen(np.array(array, dtype=kind, order="C"))


def check_counts(p: Placement) -> None:
    """Raise `ModelError` where a placement has more inputs or outputs than a chip can."""
    for name, high in (("input_count", MOST_CORES * MOST_SIDE), ("outputs", MOST_PINS)):
        value = getattr(p, name)
        if not isinstance(value, int | np.integer) or not 0 <= value <= high:
            raise ModelError(f"{name} of a placement cannot be {value!r}: 0 to {high:,}")
        object.__setattr__(p, name, int(value))


def check_notes(p: Placement) -> None:
    """Raise `ModelError` unless the notes are JSON, and put a copy in their place."""
    try:
        notes = json.loads(json.dumps(dict(p.notes), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"the notes of a placement are no JSON: {error}") from error
    object.__setattr__(p, "notes", notes)


def check_mesh(p: Placement, bus_xy: tuple[int, int] = (-1, -1)) -> None:
    """Raise `ModelError` unless every core, and the bus of the outputs, has a place of its own on the mesh."""
    pairs = [tuple(int(side) for side in pair) for pair in (p.grid, bus_xy)]
    if any(len(pair) != 2 for pair in pairs) or not all(1 <= side <= MOST_SIDE for side in pairs[0]):
        raise ModelError(f"a mesh of {p.grid} with outputs at {bus_xy} cannot be")
    places = {tuple(place) for place in p.core_xy.tolist()}
    if len(places) < p.cores or np.any(p.core_xy >= np.array(pairs[0])):
        raise ModelError("two cores sit at one place of the mesh, or one sits outside of it")
    inside = all(0 <= at < side for at, side in zip(pairs[1], pairs[0], strict=True))
    if pairs[1] in places or not (inside or pairs[1] == (-1, -1)):
        raise ModelError(f"the outputs cannot sit at {pairs[1]}: a core is there, or nothing of the mesh")
    object.__setattr__(p, "grid", pairs[0])


def check_inputs(p: Placement, axons: int, delays: int) -> None:
    """Raise `ModelError` unless all inputs reach an axon (of ``axons`` a core) after 0 to ``delays - 1`` ticks."""
    rows = np.asarray(p.inputs)
    if rows.ndim != 2 or rows.shape[1] != 4 or rows.dtype.kind not in "iu":
        raise ModelError(f"inputs of a placement are {rows.dtype}{rows.shape}, not whole numbers of shape (k, 4)")
    limits = np.array([p.input_count, p.cores, axons, delays])
    if np.any((rows < 0) | (rows >= limits)):
        raise ModelError(f"an input's target is not on the chip, or its delay is not 0 to {delays - 1} ticks")
    if np.any(np.diff(rows[:, 0].astype(np.int64)) < 0):
        raise ModelError("inputs of a placement are not in the order of their numbers")
    object.__setattr__(p, "inputs", frozen(np.array(rows, dtype=np.int32, order="C")))


def digest_of(named: Iterable[tuple[str, Any]]) -> Array:
    """Return the SHA-256 (32,) uint8 of named values."""
    sha = hashlib.sha256()
    for name, value in named:
        sha.update(f"{name} {np.shape(value)}\n".encode())
        sha.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return frozen(np.frombuffer(sha.digest(), np.uint8).copy())
