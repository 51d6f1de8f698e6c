"""A network as it is now, learned weights and thresholds included, as a circuit in discrete steps.

Voltages are counted from rest. What fires and inhibits in one tick there, does so in two here: of neurons "lif" with
rules "stdp" and "none", and of "lif_wta", at most the strongest fires in a tick; in the circuit all that are above
their threshold fire, and inhibit in the next step. Of their refractory time that step is left out: held at reset, those
that fire together would not hear each other's inhibition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ModelError
from spikestream.model import Model
from spikestream.model.circuit import Cells, Circuit, Link
from spikestream.stages.network.synapses import Wired

if TYPE_CHECKING:
    from spikestream.stages.network.assembly import Assembly
    from spikestream.stages.network.components import Component

NEURONS = ("lif", "lif_wta", "cubalif")
MOST_LATERAL = 2**12
"""Neurons that inhibit each other, all of them."""
AXONS, OUT = "axons", "out"


def circuit_of_fused(params: Any, theta: Array, weights: Array, tick_us: int) -> Circuit:
    """Return the circuit of one population that reads all axons; ``theta`` (neurons,) are its adapted thresholds."""
    tick_ms = tick_us / 1000
    decay = float(np.exp(-tick_ms / params.tau_m_ms))
    floor, inhibition = getattr(params, "v_floor", None), float(params.inhibition)
    refractory = round(params.tau_refrac_ms / tick_ms)
    cells = Cells(
        OUT,
        (weights.shape[1],),
        decay=decay,
        threshold=params.v_thresh + theta.astype(np.float64),
        reset_to=params.v_reset,
        refractory=refractory if floor is None else _spared(refractory, inhibition),
        floor=-np.inf if floor is None else -floor,
    )
    links = [Link.dense(AXONS, OUT, weights.astype(np.float64))]
    if inhibition:
        # Of those that have a floor, inhibition comes in the tick of the spike, so it has decayed by the next.
        links.append(_lateral(OUT, cells.size, -inhibition * (1.0 if floor is None else decay)))
    return Circuit(((AXONS, len(weights)),), (cells,), tuple(links), (OUT,), step_us=float(tick_us))


def circuit_of_parts(model: Model, parts: Assembly) -> Circuit:
    """Return the circuit of a model; raises `ModelError` where its neurons are none of a circuit's."""
    cells, links = [], []
    for p in model.populations:
        own = [q for q in model.projections if q.target == p.name]
        receptors = {q.receptor or parts.populations[p.name].module.RECEPTORS[0] for q in own}
        cells.append(
            _cells(p.name, p.shape or (p.size,), p.neuron, parts.populations[p.name], receptors, model.tick_us)
        )
        links += _rivals(p.name, p.size, p.neuron, parts.populations[p.name], model.tick_us)
    for q in model.projections:
        source, target = model.place(q.source), model.place(q.target)
        links += _links(q.source, q.target, source.size, Wired.of(parts.synapses[q.name], target.size))
    inputs = tuple((one.name, one.size) for one in model.inputs)
    return Circuit(inputs, tuple(cells), tuple(links), tuple(model.outputs), step_us=float(model.tick_us))


def _cells(name: str, shape: Sequence[int], neuron: str, own: Component, receptors: set[str], tick_us: int) -> Cells:
    """Return the cells of a population."""
    if neuron not in NEURONS:
        text = f"population '{name}' has neurons '{neuron}', which no circuit has"
        raise ModelError(text, remedy=f"neurons of a circuit are {', '.join(NEURONS)}")
    p, state, tick_ms = own.params, own.state(), tick_us / 1000
    rest = getattr(p, "v_rest", 0.0)
    refractory, reset = round(p.tau_refrac_ms / tick_ms), getattr(p, "reset", "value")
    if reset == "subtract" and refractory:
        text = f"population '{name}' integrates while it is refractory, and cells of a circuit are held"
        raise ModelError(text, remedy="tau_refrac_ms = 0, or reset = 'value'")
    if neuron == "lif_wta":
        refractory = _spared(refractory, p.inhibition)
    return Cells(
        name,
        tuple(shape),
        decay=float(np.exp(-tick_ms / p.tau_m_ms)),
        threshold=p.v_thresh - rest + state["theta"].astype(np.float64) if "theta" in state else p.v_thresh - rest,
        reset_to=p.v_reset - rest,
        refractory=refractory,
        floor=-p.v_floor if hasattr(p, "v_floor") else -np.inf,
        reset=reset,
        at_threshold=neuron == "cubalif",
        **(_current(name, own, receptors, tick_ms) if neuron == "cubalif" else {}),
    )


def _current(name: str, own: Component, receptors: set[str], tick_ms: float) -> dict[str, Any]:
    """Return the one current there is: two that decay alike are one."""
    p, c = own.params, own.coeffs
    if len(receptors) > 1 and p.tau_syn_e_ms != p.tau_syn_i_ms:
        text = f"population '{name}' has two currents, and cells of a circuit have one"
        raise ModelError(text, remedy="tau_syn_e_ms = tau_syn_i_ms, or one of the receptors only")
    excites = "inhibitory" not in receptors or len(receptors) > 1
    tau_ms, gain = (p.tau_syn_e_ms, c.gain_e) if excites else (p.tau_syn_i_ms, c.gain_i)
    decay = float(np.exp(-tick_ms / tau_ms))
    return {"gain": float(gain), "current_decay": decay, "current_gain": 1.0, "old_current": True}


def _rivals(name: str, size: int, neuron: str, own: Component, tick_us: int) -> list[Link]:
    if neuron != "lif_wta" or not own.params.inhibition:
        return []
    return [_lateral(name, size, -own.params.inhibition * float(np.exp(-tick_us / 1000 / own.params.tau_m_ms)))]


def _spared(refractory: int, inhibition: float) -> int:
    return max(0, refractory - 1) if inhibition else refractory


def _lateral(name: str, size: int, weight: float) -> Link:
    if size > MOST_LATERAL:
        text = f"'{name}' has {size:,} neurons, and in a circuit each pair that inhibits each other has a weight"
        raise ModelError(text, remedy=f"up to {MOST_LATERAL:,} neurons, or inhibition = 0")
    return Link.dense(name, name, weight * (1 - np.eye(size)), delay=1)


def _links(source: str, target: str, size: int, found: Wired) -> list[Link]:
    """Return a link for each delay of a projection."""
    made = []
    for delay in np.unique(found.delay_ticks):
        here = found.delay_ticks == delay
        pairs, which = np.unique(np.stack([found.pre[here], found.post[here]], axis=1), axis=0, return_inverse=True)
        weights = np.bincount(which.ravel(), found.weight[here])  # several synapses between two are one
        first = np.searchsorted(pairs[:, 0], np.arange(size + 1))
        made.append(Link(source, target, first, pairs[:, 1], weights, int(delay)))
    return made
