"""What a chip of crossbar cores holds: every core's synapses and neurons, where spikes go, and what stands outside.

The letters beside each field are the ones of Cassidy et al. (IJCNN 2013), which docs/chip.md follows. All arrays are
checked against the widths of the chip and belong to the placement: they cannot be written to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from spikestream.errors import ModelError, nearest
from spikestream.model.placement import (
    MOST_CORES,
    MOST_PINS,
    MOST_SIDE,
    NOWHERE,
    PIN,
    Array,
    Placement,
    check_counts,
    check_inputs,
    check_mesh,
    check_notes,
    checked,
    digest_of,
    identity,
)

TRUENORTH, RANC = "truenorth/1", "ranc/1"
DELAYS = 16
"""An input arrives after 0 to 15 ticks."""
_WIDE = (-(2**31) + 2, 2**31 - 2)

_NEURONS: dict[str, tuple[str, int, tuple[int, int], tuple[int, int]]] = {
    # name: type, default, range on a TrueNorth, range in RANC
    "leak": ("i2", 0, (-255, 255), (-32_768, 32_767)),
    "random_leak": ("?", 0, (0, 1), (0, 0)),
    "leak_reversal": ("?", 0, (0, 1), (0, 0)),
    "threshold": ("i4", 1, (0, 2**18 - 1), _WIDE),
    "threshold_bits": ("u1", 0, (0, 18), (0, 0)),
    "floor": ("i4", 0, (0, 2**18 - 1), _WIDE),
    "floor_clamps": ("?", 0, (0, 1), (0, 0)),
    "reset": ("i4", 0, (-(2**19) + 1, 2**19 - 1), _WIDE),
    "reset_mode": ("u1", 0, (0, 2), (0, 1)),
    "v0": ("i4", 0, (-(2**19), 2**19 - 1), _WIDE),
    "target_core": ("i4", NOWHERE, (PIN, MOST_CORES - 1), (PIN, MOST_CORES - 1)),
    "target_axon": ("i4", 0, (0, MOST_PINS - 1), (0, MOST_PINS - 1)),
    "delay": ("u1", 1, (1, 15), (1, 15)),
}
_WEIGHTS = {"weights": ("i2", (-255, 255), (-32_768, 32_767)), "random_weights": ("?", (0, 1), (0, 0))}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CrossbarPlacement(Placement):
    """C cores of A axons and N neurons; `CrossbarPlacement.of` fills in what is not given. Raises `ModelError`."""

    law: str  # "truenorth/1" or "ranc/1": docs/chip.md
    floor_included: bool  # V equal to -beta counts as below it; RANC only
    grid: tuple[int, int]  # columns and rows of the mesh
    core_xy: Array  # (C, 2) int32, where each core sits
    bus_xy: tuple[int, int]  # where the outputs sit on the mesh, (-1, -1) for nowhere
    axon_type: Array  # (C, A) uint8, 0..3 (G)
    synapses: Array  # (C, A, ceil(N/8)) uint8, a bit a neuron, the first in the lowest (W)
    weights: Array  # (C, N, 4) int16, by axon type (s)
    random_weights: Array  # (C, N, 4) bool (b)
    leak: Array  # (C, N) int16, added every tick (lambda)
    random_leak: Array  # (C, N) bool (c)
    leak_reversal: Array  # (C, N) bool, the leak goes with the sign of V (eps)
    threshold: Array  # (C, N) int32 (alpha)
    threshold_bits: Array  # (C, N) uint8, of the number added to it by chance (TM)
    floor: Array  # (C, N) int32: the negative threshold is minus this (beta)
    floor_clamps: Array  # (C, N) bool (kappa)
    reset: Array  # (C, N) int32 (R)
    reset_mode: Array  # (C, N) uint8: 0 to R, 1 less the threshold, 2 not at all (gamma)
    v0: Array  # (C, N) int32, V before the first tick
    target_core: Array  # (C, N) int32: a core, NOWHERE, or PIN
    target_axon: Array  # (C, N) int32: the axon there, or the number of the output
    delay: Array  # (C, N) uint8, ticks
    seed: Array  # (C,) uint32, of what is drawn
    inputs: Array  # (k, 4) int32: input, core, axon, delay in ticks, by input; an input may have several targets
    input_count: int  # inputs are numbered 0 .. input_count - 1
    outputs: int  # outputs are numbered 0 .. outputs - 1
    notes: Mapping[str, Any] = field(default_factory=dict)  # JSON values; no part of what the placement is
    digest: Array = field(init=False)  # (32,) uint8: SHA-256 of all but the notes

    LAWS: ClassVar[tuple[str, ...]] = (TRUENORTH, RANC)

    def __repr__(self) -> str:
        size = f"{self.cores} cores of {self.axons} axons and {self.neurons} neurons"
        return f"CrossbarPlacement({self.law}, {size}, {self.input_count} inputs, {self.outputs} outputs)"

    @property
    def axons(self) -> int:
        """Return the number of axons of a core."""
        return int(self.axon_type.shape[1])

    @property
    def neurons(self) -> int:
        """Return the number of neurons of a core."""
        return int(self.leak.shape[1])

    @classmethod
    def of(
        cls, cores: int, axons: int, neurons: int, *, crossbar: Array | None = None, **given: Any
    ) -> CrossbarPlacement:
        """Return a placement of what is given; ``crossbar`` (C, A, N) of bools may stand for ``synapses``.

        Without ``inputs``, input ``core · axons + axon`` is that axon, with no delay. Numbers stand for whole arrays.
        """
        for name, size, most in (("cores", cores, MOST_CORES), ("axons", axons, MOST_SIDE), ("neurons", neurons, 4096)):
            if not isinstance(size, int | np.integer) or not 1 <= size <= most:
                raise ModelError(f"a chip of {size!r:.40} {name} cannot be: 1 to {most:,}")
        known = [one.name for one in fields(cls) if one.init]
        for name in given:
            if name not in known:
                raise ModelError(f"a placement has no '{name}'", remedy=f"did you mean '{nearest(name, known)}'?")
        if crossbar is not None:
            given["synapses"] = np.packbits(np.asarray(crossbar, bool), axis=2, bitorder="little")
        side = min(cores, 64)
        across = np.arange(cores)
        plain: dict[str, Any] = {
            "law": TRUENORTH,
            "floor_included": False,
            "grid": (side, -(-cores // side)),
            "core_xy": np.stack([across % side, across // side], axis=1),
            "bus_xy": (-1, -1),
            "axon_type": 0,
            "synapses": 0,
            "weights": 0,
            "random_weights": 0,
            "seed": 1,
            "inputs": identity(cores, axons, 0),
            "input_count": cores * axons,
            "outputs": 0,
            **{name: row[1] for name, row in _NEURONS.items()},
            **given,
        }
        shapes = {"axon_type": (cores, axons), "synapses": (cores, axons, -(-neurons // 8)), "seed": (cores,)}
        shapes |= dict.fromkeys(_WEIGHTS, (cores, neurons, 4)) | dict.fromkeys(_NEURONS, (cores, neurons))
        for name, shape in shapes.items():
            if not isinstance(plain[name], list) and np.ndim(plain[name]) == 0:
                plain[name] = np.full(shape, plain[name])
        return cls(**plain)

    def __post_init__(self) -> None:
        if self.law not in self.LAWS:
            raise ModelError(f"a chip of law '{self.law}' is not known", details=[f"known: {', '.join(self.LAWS)}"])
        cores, axons, neurons = _sizes(self)
        for name, kind, shape, low, high in _arrays(self.law, cores, axons, neurons):
            object.__setattr__(self, name, checked(name, getattr(self, name), kind, shape, low, high))
        check_counts(self)
        check_notes(self)
        _check_floor(self)
        check_mesh(self, self.bus_xy)
        object.__setattr__(self, "bus_xy", tuple(int(side) for side in self.bus_xy))
        _check_targets(self)
        check_inputs(self, self.axons, DELAYS)
        _check_padding(self)
        own = [one.name for one in fields(self) if one.init and one.name != "notes"]
        object.__setattr__(self, "digest", digest_of((name, getattr(self, name)) for name in own))

    def usage(self) -> dict[str, int]:
        """Return how many axons and neurons have a synapse, and how many synapses there are."""
        bits = unpacked(self)
        axons, neurons = int(bits.any(axis=2).sum()), int(bits.any(axis=1).sum())
        return {"axons": axons, "neurons": neurons, "synapses": int(bits.sum())}


def unpacked(placement: CrossbarPlacement) -> Array:
    """Return the crossbars (C, A, N) as bools."""
    return np.unpackbits(placement.synapses, axis=2, count=placement.neurons, bitorder="little").astype(bool)


def _sizes(p: CrossbarPlacement) -> tuple[int, int, int]:
    for name in ("axon_type", "leak"):
        if np.ndim(getattr(p, name)) != 2:
            raise ModelError(f"{name} of a placement has {np.ndim(getattr(p, name))} dimensions, not 2")
    (cores, axons), neurons = np.shape(p.axon_type), np.shape(p.leak)[1]
    if not (1 <= cores <= MOST_CORES and 1 <= axons <= MOST_SIDE and 1 <= neurons <= MOST_SIDE):
        raise ModelError(f"a chip of {cores} cores, {axons} axons and {neurons} neurons cannot be")
    return cores, axons, neurons


def _arrays(law: str, cores: int, axons: int, neurons: int) -> list[tuple[str, str, tuple[int, ...], int, int]]:
    """Return name, type, shape, least and most of every array but the inputs."""
    ranges: dict[str, tuple[str, tuple[int, ...], tuple[int, int]]] = {}
    for name, row in _NEURONS.items():
        ranges[name] = row[0], (cores, neurons), row[2] if law == TRUENORTH else row[3]
    for name, own in _WEIGHTS.items():
        ranges[name] = own[0], (cores, neurons, 4), own[1] if law == TRUENORTH else own[2]
    return [
        *((name, kind, shape, *both) for name, (kind, shape, both) in ranges.items()),
        ("axon_type", "u1", (cores, axons), 0, 3),
        ("synapses", "u1", (cores, axons, -(-neurons // 8)), 0, 255),
        ("seed", "u4", (cores,), 0, 2**32 - 1),
        ("core_xy", "i4", (cores, 2), 0, MOST_SIDE - 1),
    ]


def _check_floor(p: CrossbarPlacement) -> None:
    if p.floor_included and p.law != RANC:
        raise ModelError("only RANC counts the floor itself as below it")
    object.__setattr__(p, "floor_included", bool(p.floor_included))


def _check_targets(p: CrossbarPlacement) -> None:
    most = np.where(p.target_core >= 0, p.axons, np.where(p.target_core == PIN, p.outputs, MOST_PINS))
    if p.target_core.max() >= p.cores or np.any(p.target_axon >= most):
        raise ModelError("a neuron's target is on no core of the chip, or is no axon or output there")


def _check_padding(p: CrossbarPlacement) -> None:
    spare = 8 * p.synapses.shape[2] - p.neurons
    if spare and np.any(p.synapses[:, :, -1] >> (8 - spare)):
        raise ModelError("a crossbar has synapses of neurons that do not exist")
