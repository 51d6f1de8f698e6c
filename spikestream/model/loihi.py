"""What a chip of Loihi cores holds: compartments, axons with their synapses, where spikes go, what is learnt.

All arrays are flat over the chip: ``first_compartment`` and ``first_axon`` say where those of a core begin, and the
synapses of an axon and the targets of a compartment are rows one after the other. docs/loihi.md tells the law.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from spikestream.errors import ModelError, nearest
from spikestream.model.loihi_limits import (
    AXONS,
    COMPARTMENTS,
    CORES,
    DELAYS,
    LOIHI,
    MIXED,
    MOST_AXONS,
    MOST_COMPARTMENTS,
    MOST_SYNAPSE_BITS,
    MOST_TARGETS,
    weight_range,
)
from spikestream.model.loihi_rows import filled
from spikestream.model.placement import (
    MOST_CORES,
    MOST_PINS,
    MOST_SIDE,
    PIN,
    Array,
    Placement,
    check_counts,
    check_inputs,
    check_mesh,
    check_notes,
    checked,
    digest_of,
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LoihiPlacement(Placement):
    """C cores, N compartments, A axons, S synapses, K targets; `LoihiPlacement.of` fills in the rest.

    Raises `ModelError` for what no chip can hold.
    """

    law: str  # "loihi/1": docs/loihi.md
    grid: tuple[int, int]  # columns and rows of the mesh
    core_xy: Array  # (C, 2) int32, where each core sits
    first_compartment: Array  # (C + 1,) int64: core c has compartments first[c] .. first[c + 1] - 1 of the chip
    first_axon: Array  # (C + 1,) int64, likewise
    du: Array  # (N,) int16, what a tick takes of u is du + 1 of 4096
    dv: Array  # (N,) int16, what a tick takes of v, of 4096
    bias: Array  # (N,) int16, times 2^bias_exponent: added to v every tick
    bias_exponent: Array  # (N,) uint8
    threshold: Array  # (N,) int32, in units of 64: v above it is a spike
    v_min: Array  # (N,) int32
    v_max: Array  # (N,) int32
    refractory: Array  # (N,) uint8: v is 0 in the refractory - 1 ticks after a spike
    weight_exponent: Array  # (A,) int8, of all weights of an axon
    weight_bits: Array  # (A,) uint8, of a weight, its sign included where it is mixed
    weight_sign: Array  # (A,) int8: MIXED, EXCITATORY, INHIBITORY
    plastic: Array  # (A,) bool: its synapses learn
    first_synapse: Array  # (A + 1,) int64: those of axon i of the chip are first[i] .. first[i + 1] - 1
    compartment: Array  # (S,) int32, where a synapse is, counted in its core
    weight: Array  # (S,) int16
    delay: Array  # (S,) uint8, ticks
    first_target: Array  # (N + 1,) int64: those of compartment j of the chip are first[j] .. first[j + 1] - 1
    target_core: Array  # (K,) int32: a core, or PIN
    target_axon: Array  # (K,) int32: the axon there, or the number of the output
    epoch: Array  # (C,) uint8, ticks
    x1_impulse: Array  # (C,) uint8, what a spike of an axon adds to its trace
    x1_decay: Array  # (C,) int16, what a tick takes of it, of 4096
    y1_impulse: Array  # (C,) uint8, the same for compartments
    y1_decay: Array  # (C,) int16
    a_plus: Array  # (C,) int8, times 2^a_plus_exponent: a weight gains this times x1 at a spike of its compartment
    a_plus_exponent: Array  # (C,) int8
    a_minus: Array  # (C,) int8: it loses this times y1 at a spike of its axon
    a_minus_exponent: Array  # (C,) int8
    seed: Array  # (C,) uint32, of the rounding of traces and of weights that learn
    inputs: Array  # (k, 4) int32: input, core, axon, delay in ticks, by input; an input may have several targets
    input_count: int  # inputs are numbered 0 .. input_count - 1
    outputs: int  # outputs are numbered 0 .. outputs - 1
    notes: Mapping[str, Any] = field(default_factory=dict)  # JSON values; no part of what the placement is
    digest: Array = field(init=False)  # (32,) uint8: SHA-256 of all but the notes

    LAWS: ClassVar[tuple[str, ...]] = (LOIHI,)

    def __repr__(self) -> str:
        size = f"{self.cores} cores, {self.axons} axons, {self.neurons} compartments, {self.synapses} synapses"
        return f"LoihiPlacement({self.law}, {size}, {self.input_count} inputs, {self.outputs} outputs)"

    @property
    def axons(self) -> int:
        """Return the number of axons of all cores."""
        return int(self.first_axon[-1])

    @property
    def neurons(self) -> int:
        """Return the number of compartments of all cores."""
        return int(self.first_compartment[-1])

    @property
    def synapses(self) -> int:
        """Return the number of synapses of all cores."""
        return len(self.weight)

    def usage(self) -> dict[str, int]:
        """Return how much of the chip is used: axons, neurons, synapses, and bits of the fullest synapse memory."""
        used = {"axons": self.axons, "neurons": self.neurons, "synapses": self.synapses}
        return {**used, "plastic_synapses": int(self.plastic_synapses().sum()), "synapse_bits": int(max(bits_of(self)))}

    def plastic_synapses(self) -> Array:
        """Return which synapses learn, (S,) bool."""
        return np.repeat(self.plastic, np.diff(self.first_synapse))

    @classmethod
    def of(
        cls, compartments: Any, axons: Any, *, synapses: Any = (), targets: Any = (), **given: Any
    ) -> LoihiPlacement:
        """Return a placement of cores with so many ``compartments`` and ``axons``: a number, or one for each core.

        ``synapses`` are rows of core, axon, compartment, weight, and a delay if there are any; ``targets`` of core,
        compartment, core or PIN, axon or output; in any order. Without ``inputs`` each axon of the chip is one. Numbers
        stand for whole arrays.
        """
        known = [one.name for one in fields(cls) if one.init]
        for name in given:
            if name not in known:
                raise ModelError(f"a placement has no '{name}'", remedy=f"did you mean '{nearest(name, known)}'?")
        return cls(**filled(compartments, axons, synapses, targets, given))

    def __post_init__(self) -> None:
        if self.law not in self.LAWS:
            raise ModelError(f"a chip of law '{self.law}' is not known", details=[f"known: {', '.join(self.LAWS)}"])
        _check_sizes(self)
        _check_arrays(self)
        check_counts(self)
        check_mesh(self)
        _check_weights(self)
        _check_places(self)
        check_inputs(self, MOST_AXONS, DELAYS)
        if np.any(self.inputs[:, 2] >= np.diff(self.first_axon)[self.inputs[:, 1]]):
            raise ModelError("an input's target is an axon that its core does not have")
        _check_limits(self)
        check_notes(self)
        named = ((one.name, getattr(self, one.name)) for one in fields(self) if one.init and one.name != "notes")
        object.__setattr__(self, "digest", digest_of(named))


def bits_of(p: LoihiPlacement) -> Array:
    """Return the bits of synapse memory that each core uses, (C,).

    The chip's formats are not published in full; here an axon's list has a header of 10 bits and for each synapse its
    weight, 6 bits where the list has delays, 10 of the compartment unless these follow each other; whole words of 64.
    """
    lengths, rows = np.diff(p.first_synapse), np.repeat(np.arange(p.axons), np.diff(p.first_synapse))
    late, jumps = np.zeros(p.axons, bool), np.zeros(p.axons, bool)
    np.logical_or.at(late, rows, p.delay > 0)
    within = rows[1:] == rows[:-1]
    np.logical_or.at(jumps, rows[1:], within & (np.diff(p.compartment) != 1))
    bits = np.where(lengths > 0, 10 + lengths * (p.weight_bits + 6 * late + 10 * jumps.astype(np.int64)), 0)
    total = np.concatenate([[0], np.cumsum(-(-bits // 64) * 64)])
    return np.diff(total[p.first_axon])


def _check_firsts(p: LoihiPlacement, name: str, length: int, last: int, most: int) -> None:
    """Raise `ModelError` unless a column says where ``length - 1`` rows begin in ``last`` (-1: any) things."""
    first = checked(name, getattr(p, name), "i8", (length,), 0, 2**40)
    if first[0] != 0 or np.any(np.diff(first) < 0) or (last >= 0 and first[-1] != last):
        raise ModelError(f"{name} of a placement does not say where rows begin that follow each other")
    if np.diff(first).max(initial=0) > most:
        raise ModelError(f"{name} of a placement: {np.diff(first).max():,} of one are too many: up to {most:,}")
    object.__setattr__(p, name, first)


def _check_sizes(p: LoihiPlacement) -> None:
    cores = len(np.atleast_1d(np.asarray(p.core_xy)))
    if not 1 <= cores <= MOST_CORES:
        raise ModelError(f"a chip of {cores:,} cores cannot be: 1 to {MOST_CORES:,}")
    object.__setattr__(p, "core_xy", checked("core_xy", p.core_xy, "i4", (cores, 2), 0, MOST_SIDE - 1))
    _check_firsts(p, "first_compartment", cores + 1, -1, MOST_COMPARTMENTS)
    _check_firsts(p, "first_axon", cores + 1, -1, MOST_AXONS)
    if p.neurons == 0:
        raise ModelError("a chip without a compartment cannot be")
    _check_firsts(p, "first_synapse", p.axons + 1, np.size(p.weight), MOST_SYNAPSE_BITS)
    _check_firsts(p, "first_target", p.neurons + 1, np.size(p.target_core), MOST_TARGETS)


def _check_arrays(p: LoihiPlacement) -> None:
    synapses, targets = int(p.first_synapse[-1]), int(p.first_target[-1])
    rows: list[tuple[str, str, int, int, int]] = [
        ("compartment", "i4", synapses, 0, MOST_COMPARTMENTS - 1),
        ("weight", "i2", synapses, -256, 255),
        ("delay", "u1", synapses, 0, DELAYS - 1),
        ("target_core", "i4", targets, PIN, p.cores - 1),
        ("target_axon", "i4", targets, 0, MOST_PINS - 1),
    ]
    for table, size in ((COMPARTMENTS, p.neurons), (AXONS, p.axons), (CORES, p.cores)):
        rows += [(name, kind, size, low, high) for name, (kind, _, low, high) in table.items()]
    for name, kind, size, low, high in rows:
        object.__setattr__(p, name, checked(name, getattr(p, name), kind, (size,), low, high))


def _check_weights(p: LoihiPlacement) -> None:
    if np.any(p.weight_bits > 8 + (p.weight_sign == MIXED)):
        raise ModelError("weights of one sign have up to 8 bits, mixed ones 9")
    spare, least, most = (
        np.repeat(one, np.diff(p.first_synapse)) for one in weight_range(p.weight_sign, p.weight_bits)
    )
    if np.any((p.weight < least) | (p.weight > most) | (p.weight % (1 << spare) != 0)):
        text = "a weight does not fit the sign or the bits of its axon"
        raise ModelError(
            text, details=["mixed weights of b bits are multiples of 2^(9 - b), those of one sign 2^(8 - b)"]
        )


def _check_places(p: LoihiPlacement) -> None:
    core = np.searchsorted(p.first_axon, np.repeat(np.arange(p.axons), np.diff(p.first_synapse)), side="right") - 1
    if np.any(p.compartment >= np.diff(p.first_compartment)[core]):
        raise ModelError("a synapse is at a compartment that its core does not have")
    sizes = np.append(np.diff(p.first_axon), [p.outputs, 0])  # from the end: -1 is NOWHERE, -2 PIN
    if np.any(p.target_axon >= sizes[p.target_core]):
        raise ModelError("a target is on no core of the chip, or is no axon or output there")


def _check_limits(p: LoihiPlacement) -> None:
    on_core = np.concatenate([[0], np.cumsum(p.target_core >= 0)])[p.first_target]
    for name, used, most in (
        ("targets", np.diff(on_core[p.first_compartment]), MOST_TARGETS),
        ("bits of synapses", bits_of(p), MOST_SYNAPSE_BITS),
    ):
        if used.max() > most:
            text = f"core {int(used.argmax())} has {int(used.max()):,} {name}: a core holds {most:,}"
            raise ModelError(text, remedy="put its compartments on more cores")
