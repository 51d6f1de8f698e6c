"""The metrics of NeuroBench by the names and in the definitions of neurobench 2.3, of circuits and of chips.

    footprint             bytes: of a circuit, 4 for each parameter; of a chip, the memory rows of its cores, or on a
                          Loihi its synapse memory
    connection_sparsity   weights that are 0 / all weights, to 4 digits
    parameter_count       all weights, also those that are 0, and biases where a layer has any
    activation_sparsity   activations that are 0 / all activations of cells that spike
    synaptic_operations   Effective_ACs: pairs of an active source and a weight that is not 0, in steps where a layer's
                          input is 0, 1 or -1; Effective_MACs: in other steps; Dense: all pairs; each per sample
    membrane_updates      potentials that a step has changed, and all in the first step; per sample

A link is a layer, and a core is one of all its axons and neurons in use. docs/energy.md tells where ours differ.
Source: Yik et al., Nature Communications 16 (2025), and the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikestream.errors import ModelError
from spikestream.model.checks import whole_of
from spikestream.model.circuit import Circuit, Link
from spikestream.model.crossbar import CrossbarPlacement
from spikestream.model.loihi import LoihiPlacement, bits_of
from spikestream.model.placement import NOWHERE, Placement

Array: TypeAlias = NDArray[Any]

BYTES = 4
"""Of a number of a circuit: float32, as torch has it."""
ROW_BITS = 154
"""Of the memory row of a neuron beside its synapses: 124 of parameters and potential, 26 of target, 4 of delay."""
ONES = np.array([bin(byte).count("1") for byte in range(256)], np.int64)
MOST = 2**63 - 1


def of_circuit(
    circuit: Circuit, activity: Mapping[str, Array], potentials: Mapping[str, Array] | None = None
) -> dict[str, Any]:
    """Return the metrics of a circuit, as JSON values; raises `ModelError`.

    ``activity`` holds, by the names of inputs and cells, what each gave, (samples, steps, size); ``potentials`` the
    membranes of all cells after each step, likewise; without them ``membrane_updates`` is null.
    """
    sizes = dict(circuit.inputs) | {one.name: one.size for one in circuit.cells}
    seen = _checked("activity", activity, sizes)
    samples, steps = next(iter(seen.values())).shape[:2]
    weights = sum(sizes[link.source] * sizes[link.target] for link in circuit.links)
    zeros = weights - sum(int(np.count_nonzero(link.weights)) for link in circuit.links)
    parameters = weights + sum(one.size for one in circuit.cells if np.any(one.bias))
    cells = [one.name for one in circuit.cells]
    spiking = [seen[one.name] for one in circuit.cells if one.spiking]
    updates = None
    if potentials is not None:
        found = _checked("potentials", potentials, {name: sizes[name] for name in cells})
        updates = sum(_updates(found[name]) for name in cells) / samples
    return {
        "footprint": BYTES * parameters,
        "connection_sparsity": _share(zeros, weights, 4),
        "parameter_count": parameters,
        "activation_sparsity": _share(*_silent(spiking)),
        "synaptic_operations": _operations(circuit, seen, samples) | {"Dense": float(weights * steps)},
        "membrane_updates": updates,
    }


def of_placement(
    placement: Placement,
    counters: Mapping[str, int],
    ticks: int,
    *,
    samples: int = 1,
    potentials: Array | None = None,
) -> dict[str, Any]:
    """Return the metrics of a chip that ran ``ticks`` ticks, of all samples, as JSON values; raises `ModelError`.

    ``counters`` are those of `Chip.counters`, in which every neuron is updated in every tick; with ``potentials``
    (ticks, …) as `Chip.v` after each tick, of one sample, ``membrane_updates`` are those that changed one.
    """
    ticks, samples = whole_of("ticks", ticks, 1, MOST), whole_of("samples", samples, 1, MOST)
    names = ("synaptic_operations", "spikes", "neuron_updates")
    counted = {name: whole_of(f"counters.{name}", counters.get(name), 0, MOST) for name in names}
    held = _held(placement)
    neurons = int(held.neurons.sum())
    activations = ticks * neurons
    if counted["spikes"] > activations:
        text = f"{counted['spikes']:,} spikes are more than {neurons:,} neurons can give in {ticks:,} ticks"
        raise ModelError(text, remedy="give counters and ticks of one run")
    updates = counted["neuron_updates"] / samples
    if potentials is not None:
        updates = float(_updates(_of_ticks(held.neurons, potentials)[:, :, held.neurons]))
    return {
        "footprint": held.footprint,
        "connection_sparsity": _share(held.weights - held.live, held.weights, 4),
        "parameter_count": held.weights + held.biases,
        "activation_sparsity": _share(activations - counted["spikes"], activations),
        "synaptic_operations": {
            "Effective_MACs": 0.0,
            "Effective_ACs": counted["synaptic_operations"] / samples,
            "Dense": held.weights * ticks / samples,
        },
        "membrane_updates": updates,
    }


class _Held(NamedTuple):
    """What is in use on a chip."""

    neurons: Array  # which of them, in the shape of the chip's potentials, bool
    weights: int  # pairs of axons and neurons in use on one core
    live: int  # those of them whose weight is not 0
    biases: int  # neurons in use, of cores with a leak
    footprint: int  # bytes


def _held(p: Placement) -> _Held:
    if isinstance(p, LoihiPlacement):
        return _of_loihi(p)
    if not isinstance(p, CrossbarPlacement):
        raise ModelError(f"there are no metrics of a {type(p).__name__}")
    axons, neurons = _used(p)
    weights = int((axons.sum(axis=1) * neurons.sum(axis=1)).sum())
    live = sum(_connections(p, core) for core in range(p.cores))
    leaking = ((p.leak != 0) & neurons).any(axis=1)
    footprint = p.cores * p.neurons * (p.axons + ROW_BITS) // 8
    return _Held(neurons, weights, live, int(neurons[leaking].sum()), footprint)


def _share(part: int, whole: int, digits: int = 17) -> float:
    return round(part / whole, digits) if whole else 0.0


def _silent(activity: list[Array]) -> tuple[int, int]:
    """Return how many activations are 0, and how many there are."""
    every = sum(int(one.size) for one in activity)
    return every - sum(int(np.count_nonzero(one)) for one in activity), every


def _checked(what: str, given: Mapping[str, Array], sizes: Mapping[str, int]) -> dict[str, Array]:
    """Return an array (samples, steps, size) for each name; raises `ModelError`."""
    found: dict[str, Array] = {}
    for name, size in sizes.items():
        if name not in given:
            raise ModelError(f"metrics need the {what} of '{name}'", details=[f"given: {', '.join(given) or 'none'}"])
        array = np.asarray(given[name])
        if array.ndim != 3 or array.shape[2] != size or array.dtype.kind not in "biuf" or not array.size:
            text = f"{what} of '{name}' are {array.dtype}{array.shape}, not numbers (samples, steps, {size})"
            raise ModelError(text)
        found[name] = array
    if len({one.shape[:2] for one in found.values()}) > 1:
        raise ModelError(f"{what} are of different samples or steps")
    return found


def _operations(circuit: Circuit, seen: Mapping[str, Array], samples: int) -> dict[str, float]:
    """Return effective operations a sample: of steps with nothing but 0, 1 and -1, and of all others."""
    found = {"Effective_MACs": 0, "Effective_ACs": 0}
    for link in circuit.links:
        sent = seen[link.source]
        sent = sent[:, : max(0, sent.shape[1] - link.delay)]  # the rest is heard after the end
        spikes = np.all((sent == 0) | (np.abs(sent) == 1), axis=(0, 2))
        pairs = (np.count_nonzero(sent, axis=0) * _fan_out(link)).sum(axis=1)
        found["Effective_ACs"] += int(pairs[spikes].sum())
        found["Effective_MACs"] += int(pairs[~spikes].sum())
    return {name: count / samples for name, count in found.items()}


def _fan_out(link: Link) -> Array:
    """Return how many weights of each source are not 0, (source,) int64."""
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(link.weights != 0)])
    fan_out: Array = np.diff(before[link.first])
    return fan_out


def _updates(v: Array) -> int:
    """Return how many potentials of (samples, steps, …) a step has changed, all of them counted in the first."""
    return int(v[:, 0].size + np.count_nonzero(np.diff(v, axis=1)))


def _of_ticks(neurons: Array, potentials: Array) -> Array:
    """Return potentials as of one sample, (1, ticks, …) int64."""
    array = np.asarray(potentials)
    if array.ndim < 2 or array.shape[1:] != neurons.shape or array.dtype.kind not in "iu" or not array.size:
        shape = ", ".join(map(str, neurons.shape))
        raise ModelError(f"potentials are {array.dtype}{array.shape}, not whole numbers (ticks, {shape})")
    return array.astype(np.int64)[None]


def _used(p: CrossbarPlacement) -> tuple[Array, Array]:
    """Return which axons (C, A) and neurons (C, N) have a synapse, or something before or behind them."""
    axons: Array = np.any(p.synapses, axis=2)
    axons[p.inputs[:, 1], p.inputs[:, 2]] = True
    inner = p.target_core >= 0
    axons[p.target_core[inner], p.target_axon[inner]] = True
    bits = np.unpackbits(np.bitwise_or.reduce(p.synapses, axis=1), axis=1, count=p.neurons, bitorder="little")
    return axons, bits.astype(bool) | (p.target_core != NOWHERE)


def _connections(p: CrossbarPlacement, core: int) -> int:
    """Return how many synapses of a core have a weight that is not 0."""
    weighty = np.packbits(p.weights[core].T != 0, axis=1, bitorder="little")
    return int(ONES[p.synapses[core] & weighty[p.axon_type[core]]].sum())


def _of_loihi(p: LoihiPlacement) -> _Held:
    """Return what is in use on cores of which an axon may have several synapses with one compartment."""
    core_of_axon = np.repeat(np.arange(p.cores), np.diff(p.first_axon))
    core_of_neuron = np.repeat(np.arange(p.cores), np.diff(p.first_compartment))
    axon = np.repeat(np.arange(len(core_of_axon)), np.diff(p.first_synapse))
    neuron = p.first_compartment[core_of_axon[axon]] + p.compartment
    axons, neurons = np.diff(p.first_synapse) > 0, np.diff(p.first_target) > 0
    inner = p.target_core >= 0
    axons[p.first_axon[p.inputs[:, 1]] + p.inputs[:, 2]] = True
    axons[p.first_axon[p.target_core[inner]] + p.target_axon[inner]] = True
    neurons[neuron] = True
    each = [
        np.bincount(core[used], minlength=p.cores) for core, used in ((core_of_axon, axons), (core_of_neuron, neurons))
    ]
    own = p.weight != 0
    live = len(np.unique(axon[own] * np.int64(len(neurons)) + neuron[own]))
    biased = np.bincount(core_of_neuron[neurons & (p.bias != 0)], minlength=p.cores) > 0
    return _Held(neurons, int((each[0] * each[1]).sum()), live, int(each[1][biased].sum()), int(bits_of(p).sum()) // 8)
