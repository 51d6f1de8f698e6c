"""A circuit as a NIR graph: continuous equations that, cut into the circuit's steps as stated, are the circuit again.

With dt the length of a step, and v = decay v + gain y + drift behind i = current_decay i + current_gain x:

    "euler"        tau = dt / (1 - decay),      r = gain / (1 - decay),  v_leak = drift / (1 - decay)
    "exponential"  tau = -dt / ln(decay),       r and v_leak as above
    current        tau_syn from current_decay likewise, w_in = current_gain / (1 - current_decay)
    decay of 1     IF or I: r = gain / dt, and drift / gain becomes part of the bias

NIR has no steps: their length, the scheme and what else a step does stand in the metadata, under "spikestream": of the
graph ``step_us`` and ``scheme``, of each neuron its `CHOICES` and, bit for bit, the `NUMBERS` of its cells
(but for a drift that is in a bias).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikestream.errors import ModelError, nearest
from spikestream.model.circuit import Cells, Circuit, Link
from spikestream.model.nir import Edge, Graph, Node

Array: TypeAlias = NDArray[Any]

OURS = "spikestream"  # the key of what is ours in metadata
SCHEMES = ("euler", "exponential")
CHOICES = ("reset", "late_reset", "old_current", "at_threshold", "late_spikes")
NUMBERS = ("decay", "gain", "drift", "current_decay", "current_gain")
UNSAID = {"floor": -np.inf, "refractory": 0, "v0": 0.0}  # what NIR has no word for, and what must be there instead
MOST_WEIGHTS = 2**27  # of one matrix: NIR has no sparse ones


def of_circuit(circuit: Circuit, *, step_us: float | None = None, scheme: str = "euler") -> Graph:
    """Return a circuit as a NIR graph of 64-bit numbers, times in seconds; raises `ModelError` for what NIR cannot say.

    ``step_us`` is how long a step is where the circuit does not tell. Links are named ``source_to_target``, with a
    ``delay`` behind a Delay node before the weights; a bias is in the first link that reaches the cells.
    """
    step = circuit.step_us if circuit.step_us is not None else step_us
    if step is None or not 0 < step < np.inf:
        raise ModelError(
            "how long a step is has to be told, for a NIR graph has times", remedy="of_circuit(…, step_us=1000)"
        )
    if scheme not in SCHEMES:
        raise ModelError(f"scheme '{scheme}' is not known: {', '.join(SCHEMES)}", details=_near(scheme))
    nodes: dict[str, Node | Graph] = {name: Node("Input", {"shape": (size,)}) for name, size in circuit.inputs}
    edges: list[Edge] = []
    biases: dict[str, Array] = {}
    for cells in circuit.cells:
        nodes[cells.name], biases[cells.name] = _neuron(cells, step * 1e-6, scheme)
    for link in circuit.links:
        _join(nodes, edges, circuit, link, biases, step * 1e-6)
    for name in circuit.outputs:
        nodes[_free(nodes, f"{name}_output")] = Node("Output", {"shape": (circuit.place(name).size,)})
        edges.append((name, list(nodes)[-1]))
    for name, bias in biases.items():
        if bias.any():
            raise ModelError(f"cells '{name}' have a bias, and no link that could carry it")
    return Graph(nodes, tuple(edges), {OURS: {"step_us": float(step), "scheme": scheme}})


def stated(node: Node) -> dict[str, Any]:
    """Return the choices and numbers of cells that the metadata of a node state, by the names of `Cells`."""
    found = node.metadata.get(OURS, {})
    if not isinstance(found, Mapping):
        raise ModelError(f"metadata '{OURS}' of a node of kind {node.kind} are no mapping")
    flags = {name: found[name] if name == "reset" else bool(found[name]) for name in CHOICES if name in found}
    return flags | {name: np.asarray(found[name], np.float64) for name in NUMBERS if name in found}


def _near(scheme: str) -> list[str]:
    found = nearest(scheme, SCHEMES)
    return [f"did you mean '{found}'?"] if found else []


def _neuron(cells: Cells, dt: float, scheme: str) -> tuple[Node, Array]:
    """Return the node of cells, and the bias that has to reach it."""
    _check_sayable(cells)
    fields, bias = _integrator(cells, dt) if np.all(cells.decay == 1) else _leaky(cells, dt, scheme)
    kind = {"r": "I", "tau": "LI", "tau_mem": "CubaLI"}[next(iter(fields))]
    if cells.spiking:
        fields |= {"v_threshold": cells.threshold, "v_reset": cells.reset_to}
        kind = {"I": "IF", "LI": "LIF", "CubaLI": "CubaLIF"}[kind]
    ours: dict[str, Any] = {name: getattr(cells, name) for name in CHOICES}
    for name in NUMBERS:
        value = getattr(cells, name)
        if name == "drift" and next(iter(fields)) == "r":
            value = np.zeros(cells.size)  # it is in the bias
        if value is not None:
            ours[name] = value[0] if np.all(value == value[0]) else value
    if len(cells.shape) > 1:
        ours["shape"] = np.array(cells.shape)
    return Node(kind, fields, {OURS: ours}), bias


def _check_sayable(cells: Cells) -> None:
    for name, nothing in UNSAID.items():
        if np.any(getattr(cells, name) != nothing):
            raise ModelError(f"cells '{cells.name}' have a {name}, which NIR cannot say")
    if cells.several:
        raise ModelError(f"cells '{cells.name}' spike several times a step, which NIR cannot say")


def _integrator(cells: Cells, dt: float) -> tuple[dict[str, Array], Array]:
    """Return the fields of cells that do not leak."""
    if cells.has_current:
        raise ModelError(f"cells '{cells.name}' have a current and do not leak: NIR has no such neuron")
    if np.any((cells.gain == 0) & (cells.drift != 0)):
        raise ModelError(f"cells '{cells.name}' drift without a gain and do not leak: NIR has no such neuron")
    pushed = np.divide(cells.drift, cells.gain, out=np.zeros(cells.size), where=cells.gain != 0)
    return {"r": cells.gain / dt}, cells.bias + pushed


def _leaky(cells: Cells, dt: float, scheme: str) -> tuple[dict[str, Array], Array]:
    tau, lost = _tau(cells, "decay", dt, scheme), 1 - cells.decay
    leak = {"r": cells.gain / lost, "v_leak": cells.drift / lost}
    if not cells.has_current:
        return {"tau": tau, **leak}, cells.bias
    tau_syn = _tau(cells, "current_decay", dt, scheme)
    weight = cells.current_gain / (1 - cells.current_decay)
    return {"tau_mem": tau, "tau_syn": tau_syn, **leak, "w_in": weight}, cells.bias


def _tau(cells: Cells, name: str, dt: float, scheme: str) -> Array:
    decay: Array = getattr(cells, name)
    least = -np.inf if scheme == "euler" else 0
    if not np.all((least < decay) & (decay < 1)):
        raise ModelError(
            f"cells '{cells.name}' have a {name} that no time constant gives",
            details=[f"expected below 1{' and above 0' if least == 0 else ''}, found {decay.min()} to {decay.max()}"],
        )
    made: Array = dt / (1 - decay) if scheme == "euler" else -dt / np.log(decay)
    return made


def _join(
    nodes: dict[str, Node | Graph], edges: list[Edge], circuit: Circuit, link: Link, biases: dict[str, Array], dt: float
) -> None:
    """Put a link between its ends: a delay, if there is one, then weights."""
    targets, source = circuit.place(link.target).size, link.source
    if (len(link.first) - 1) * targets > MOST_WEIGHTS:
        raise ModelError(
            f"{link!r} is too large for a matrix of at most {MOST_WEIGHTS:,} weights, and NIR has no other"
        )
    name = _free(nodes, f"{link.source}_to_{link.target}")
    if link.delay:
        waiting = _free(nodes, f"{name}_delay")
        nodes[waiting] = Node("Delay", {"delay": np.full(len(link.first) - 1, link.delay * dt)})
        edges.append((source, waiting))
        source = waiting
    weight, bias = link.matrix(targets).T, biases[link.target]
    nodes[name] = Node("Affine", {"weight": weight, "bias": bias}) if bias.any() else Node("Linear", {"weight": weight})
    biases[link.target] = np.zeros(targets)
    edges += [(source, name), (name, link.target)]


def _free(nodes: Mapping[str, Any], name: str) -> str:
    """Return a name that no node has."""
    while name in nodes:
        name += "_"
    return name
