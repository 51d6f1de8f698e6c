"""A NIR graph as a circuit: neurons become cells, and all that is linear between them becomes links and biases.

Linear nodes in a row are multiplied out, several edges into a node add up, a Delay becomes a delay of links, rounded to
whole steps. Linear nodes right before an Output become cells that do not spike. An edge that leads back to where it
came from, found by walking from the Inputs in the order of the graph, takes ``recurrent_delay`` steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikestream.errors import ConfigError, ModelError
from spikestream.model.circuit import MOST_DELAY, Cells, Circuit, Link
from spikestream.model.nir import Edge, Graph, Node, linear
from spikestream.model.nir.export import OURS, stated
from spikestream.model.nir.kinds import volume
from spikestream.model.nir.order import backward, in_order
from spikestream.model.nir.shapes import Shapes
from spikestream.model.nir.steps import Discretisation, hidden_dt_s

Array: TypeAlias = NDArray[Any]
Term: TypeAlias = tuple[str, int]  # what gives it, and how many steps ago

TIMED = ("LI", "LIF", "CubaLI", "CubaLIF", "Delay")
SPIKES = ("Threshold", "IF", "LIF", "CubaLIF")
CELLS = (*SPIKES, "I", "LI", "CubaLI")
MOST_TERMS = 2**17
"""Of all values together: what reaches a node from each source, each number of steps ago."""
CHOICES = ("reset", "late_reset", "late_spikes", "at_threshold", "several")


@dataclass(slots=True)
class Value:
    """What arrives somewhere: for each term the maps that add up, and a bias (size,)."""

    bias: Array
    terms: dict[Term, list[linear.Sparse]] = field(default_factory=dict)


def fold(graph: Graph, discretisation: Discretisation | None = None) -> Circuit:
    """Return ``graph`` as a circuit, cut into steps as ``discretisation`` says.

    Without one, and for what it leaves open, the graph's own metadata count, then Euler's step. The length of a step is
    found in the graph where a framework hid it (`hidden_dt_s`). Raises `ConfigError` where it is needed and not known,
    and `ModelError` where the graph cannot be folded.
    """
    if not isinstance(graph, Graph):
        raise ModelError(f"a NIR graph is wanted, not {type(graph).__name__}", remedy="ss.read_nir(path) reads one")
    return _Folding(graph.flat(), discretisation).circuit()


class _Folding:
    """One graph on its way to a circuit."""

    def __init__(self, graph: Graph, given: Discretisation | None) -> None:
        self.nodes = {name: node for name, node in graph.nodes.items() if isinstance(node, Node)}
        self.shapes = graph.shapes()
        self.how, self.dt_s = _steps(graph, given)
        self.order = in_order(graph.nodes, graph.edges, cut=self._cuts())
        self.back = backward(graph.edges, self.order, self._cuts())
        self.into: dict[str, list[Edge]] = {name: [] for name in self.nodes}
        for edge in graph.edges:
            self.into[edge[1]].append(edge)
        self.values: dict[str, Value] = {}
        self.cells: dict[str, Cells] = {}
        self.links: list[Link] = []
        self.weights = self.terms = 0

    def circuit(self) -> Circuit:
        """Return the circuit of the graph."""
        for name in self._linear_order():
            self.values[name] = self._value(name)
        for name in self.order:
            if self.nodes[name].kind in CELLS:
                cells = _cells(name, self.nodes[name], self.shapes[name], self.how, self.dt_s)
                self._place(name, cells, self._arriving(name))
        outputs = [self._output(name) for name, node in self.nodes.items() if node.kind == "Output"]
        inputs = [(name, volume(self.shapes[name].given)) for name, node in self.nodes.items() if node.kind == "Input"]
        step_us = None if self.dt_s is None else float(f"{self.dt_s * 1e6:.12g}")
        return Circuit(tuple(inputs), self._sorted_cells(), tuple(self.links), tuple(outputs), step_us)

    def _cuts(self) -> set[str]:
        """Return the delays of at least a step: what is behind them may come before them."""
        return {
            name
            for name, node in self.nodes.items()
            if node.kind == "Delay" and np.all(_delay_steps(name, node, self.dt_s) >= 1)
        }

    def _linear_order(self) -> list[str]:
        """Return the linear nodes, each after those it needs; raises `ModelError` where they need each other."""
        mine = {name for name, node in self.nodes.items() if node.kind not in (*CELLS, "Input", "Output")}
        needs = {name: {a for a, _ in self.into[name] if a in mine} for name in mine}
        behind: dict[str, list[str]] = {}
        for name in mine:
            for a in needs[name]:
                behind.setdefault(a, []).append(name)
        ready, made = [name for name in self.order if name in mine and not needs[name]], []
        while ready:
            made.append(ready.pop())
            for name in behind.get(made[-1], ()):
                needs[name].discard(made[-1])
                if not needs[name]:
                    ready.append(name)
        if len(made) < len(mine):
            stuck = ", ".join(sorted(mine - set(made))[:4])
            text = f"the nodes {stuck} lead back to themselves without a neuron between them"
            raise ModelError(text, remedy="a neuron in the loop, for example LI")
        return made

    def _arriving(self, name: str) -> Value:
        """Return what the edges into a node bring it, summed up by term."""
        made = Value(np.zeros(volume(self.shapes[name].taken)))
        for edge in self.into[name]:
            value = self._through(edge)
            made.bias = made.bias + value.bias
            self.terms += len(value.terms)
            if self.terms > MOST_TERMS:
                text = f"the ways through this graph are more than {MOST_TERMS:,}, for example those to '{name}'"
                raise ModelError(text, remedy="fewer delays between neurons, or neurons between them")
            for term, maps in value.terms.items():
                made.terms[term] = [linear.total([*made.terms.get(term, []), *maps])]
        return made

    def _through(self, edge: Edge) -> Value:
        """Return what an edge brings."""
        source, node = edge[0], self.nodes[edge[0]]
        if source in self.values:
            value = self.values[source]
        else:
            delay = self.how.input_delay if node.kind == "Input" else 0
            size = volume(self.shapes[source].given)
            value = Value(np.zeros(size), {(source, delay): [linear.identity(size)]})
        return self._later(source, value, self.how.recurrent_delay) if edge in self.back else value

    def _value(self, name: str) -> Value:
        """Return what a linear node gives."""
        node, arriving = self.nodes[name], self._arriving(name)
        if node.kind == "Delay":
            return self._delayed(name, node, arriving)
        if node.kind == "Flatten":
            return arriving
        own, bias = linear.mapped(node, self.shapes[name])
        made = Value(linear.applied(arriving.bias, own) + bias)
        for term, maps in arriving.terms.items():
            made.terms[term] = [self._counted(linear.product(linear.total(maps), own))]
        if not arriving.terms and name not in self.into:
            raise ModelError(f"node '{name}' ({node.kind}) is reached by nothing")
        return made

    def _counted(self, made: linear.Sparse) -> linear.Sparse:
        self.weights += len(made.post)
        linear.check(self.weights, "all layers together")
        return made

    def _later(self, name: str, value: Value, steps: int) -> Value:
        """Return a value some steps later; with ``late_bias`` its bias comes as late, as the output of cells."""
        if self.how.late_bias and value.bias.any():
            value = self._held(name, value)
        return Value(value.bias, {(source, delay + steps): maps for (source, delay), maps in value.terms.items()})

    def _held(self, name: str, value: Value) -> Value:
        """Return a value as what cells that do not spike give, which are called ``name``."""
        if name not in self.cells:
            self._place(name, Cells(name, (len(value.bias),), spiking=False), value)
        return Value(np.zeros(len(value.bias)), {(name, 0): [linear.identity(len(value.bias))]})

    def _delayed(self, name: str, node: Node, value: Value) -> Value:
        """Return what a Delay gives: each address its own number of steps later."""
        steps = np.broadcast_to(_delay_steps(name, node, self.dt_s).reshape(-1), value.bias.shape)
        if steps.any() and value.bias.any():
            value = self._held(name, value)
        made = Value(value.bias)
        for late in np.unique(steps).tolist():
            for (source, delay), maps in value.terms.items():
                part = [linear.columns(one, steps == late) for one in maps]
                made.terms.setdefault((source, delay + late), []).extend(part)
        return made

    def _place(self, name: str, cells: Cells, value: Value) -> None:
        """Put cells into the circuit, and links onto them."""
        self.cells[name] = replace(cells, bias=cells.bias + value.bias)
        for (source, delay), maps in value.terms.items():
            one = linear.total(maps)
            keep = one.weights != 0
            first = np.concatenate([[0], np.cumsum(keep)])[one.first]
            if keep.any():
                self.links.append(Link(source, name, first, one.post[keep], one.weights[keep], delay))

    def _output(self, name: str) -> str:
        """Return the cells that an Output shows."""
        edges = self.into[name]
        if len(edges) == 1 and self.nodes[edges[0][0]].kind in CELLS and edges[0] not in self.back:
            return edges[0][0]
        value = self._arriving(name)
        self._place(name, Cells(name, self.shapes[name].taken or (1,), spiking=False), value)
        return name

    def _sorted_cells(self) -> tuple[Cells, ...]:
        """Return the cells so that whoever is heard in the same step comes first."""
        rank = {name: number for number, name in enumerate(self.order)}
        edges = [(one.source, one.target) for one in self.links if one.delay == 0 and one.source in self.cells]
        names = sorted(self.cells, key=lambda name: rank[name])
        return tuple(self.cells[name] for name in in_order(names, edges))


def _steps(graph: Graph, given: Discretisation | None) -> tuple[Discretisation, float | None]:
    """Return how a graph is cut into steps, and how long they are, s; raises `ConfigError`."""
    ours = graph.metadata.get(OURS, {})
    ours = ours if hasattr(ours, "get") else {}
    how = given or Discretisation(scheme=str(ours.get("scheme", "euler")))
    step_us = ours.get("step_us")
    dt_s = how.dt_s or (float(step_us) * 1e-6 if step_us else None) or hidden_dt_s(graph)
    timed = [name for name, node in graph.nodes.items() if node.kind in TIMED]
    timed += [n for n, node in graph.nodes.items() if node.kind in ("I", "IF") and how.integrate == "time"]
    if dt_s is None and timed:
        text = f"how long a step is has to be told: node '{timed[0]}' ({graph.nodes[timed[0]].kind}) has times"
        remedy = "--step 1ms on the command line; Discretisation(dt_s=1e-3), or Discretisation.of(framework, dt_s=1e-3)"
        raise ConfigError(text, key="dt_s", allowed="seconds", remedy=remedy)
    return how, dt_s


def _delay_steps(name: str, node: Node, dt_s: float | None) -> Array:
    """Return the steps of a Delay, int64; raises `ModelError`."""
    delay = np.asarray(node.params["delay"], np.float64)
    steps = np.rint(delay / (dt_s or 1.0))
    if not np.all((steps >= 0) & (steps <= MOST_DELAY)):
        raise ModelError(f"node '{name}' (Delay) delays by up to {delay.max():g} s: 0 to {MOST_DELAY:,} steps can be")
    return steps.astype(np.int64)


def _cells(name: str, node: Node, shapes: Shapes, how: Discretisation, dt_s: float | None) -> Cells:
    """Return the cells of a neuron; raises `ModelError`."""
    fields = {key: np.asarray(value, np.float64).reshape(-1) for key, value in node.params.items()}
    if node.kind == "Threshold":
        own: dict[str, Any] = {"threshold": fields["threshold"]}
    elif node.kind in ("I", "IF"):
        step = 1.0 if how.integrate == "step" or dt_s is None else dt_s
        own = {"decay": 1.0, "gain": fields["r"] * step}
    else:
        own = _leaking(name, node, fields, how, dt_s or 1.0)
    own["spiking"] = node.kind in SPIKES
    if own["spiking"] and node.kind != "Threshold":
        own |= {key: getattr(how, key) for key in CHOICES}
        own |= {"threshold": fields["v_threshold"], "reset_to": fields["v_reset"]}
        if how.floor_if and node.kind == "IF":
            own["floor"] = -fields["v_threshold"]
    return Cells(name, shapes.given or (1,), **{**own, **stated(node)})


def _leaking(name: str, node: Node, fields: dict[str, Array], how: Discretisation, dt_s: float) -> dict[str, Any]:
    """Return the numbers of a cell that leaks."""
    current = node.kind.startswith("Cuba")
    tau = fields["tau_mem" if current else "tau"]
    taus = [tau, fields["tau_syn"]] if current else [tau]
    if not all(np.all(one > 0) for one in taus):
        raise ModelError(f"node '{name}' ({node.kind}) has time constants that are not above 0")
    decay, gain, leak = how.leak(tau, fields["r"], dt_s)
    own: dict[str, Any] = {"decay": decay, "gain": gain, "drift": leak * fields["v_leak"]}
    if how.start_at_leak:
        own["v0"] = fields["v_leak"]
    if current:
        fading, pushed, _ = how.leak(fields["tau_syn"], fields["w_in"], dt_s)
        own |= {"current_decay": fading, "current_gain": pushed, "old_current": how.old_current}
    return own
