"""Circuits as NIR graphs: run by NIR's own equations in plain Python they spike as the circuit does."""

from __future__ import annotations

from dataclasses import replace

import nir
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from naive_nir import run_circuit, run_graph

from spikestream.errors import ModelError
from spikestream.files.careful_hdf5 import read_here
from spikestream.files.nir import graph_from, write_nir
from spikestream.model.circuit import Cells, Circuit, Link
from spikestream.model.nir import Node
from spikestream.model.nir.export import CHOICES, NUMBERS, of_circuit, stated

SOME = settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate])
STEPS = 40


def random_cells(rng, name, spiking=True):
    """Return cells of a random kind: integrators, leaky ones, ones with a current."""
    shape = [(3,), (2, 2)][rng.integers(2)]
    size = int(np.prod(shape))
    kind = rng.integers(3)
    more = {}
    if kind:
        more = {"decay": rng.uniform(0.2, 0.98, size), "drift": rng.normal(0, 0.02, size)}
    else:
        more = {"decay": 1.0, "drift": rng.normal(0, 0.02, size)}
    if kind == 2:
        more |= {"current_decay": rng.uniform(0.1, 0.9, size), "current_gain": rng.uniform(0.5, 2, size)}
        more["old_current"] = bool(rng.integers(2))
    return Cells(
        name,
        shape,
        gain=rng.uniform(0.3, 1.5, size),
        bias=rng.normal(0, 0.1, size) * rng.integers(2),
        threshold=rng.uniform(0.4, 1.2, size),
        reset_to=rng.normal(0, 0.2, size) * rng.integers(2),
        reset=["value", "subtract"][rng.integers(2)],
        late_reset=bool(rng.integers(2)),
        at_threshold=bool(rng.integers(2)),
        spiking=spiking,
        **more,
    )


def random_circuit(rng):
    """Return two groups of cells and a third that does not spike, forward, recurrent and delayed links between them."""
    a, b, c = random_cells(rng, "a"), random_cells(rng, "b"), random_cells(rng, "c", spiking=False)
    sizes = {"i": 3, "j": 2, "a": a.size, "b": b.size, "c": c.size}

    def link(source, target, delay):
        weights = rng.normal(0.2, 0.8, (sizes[source], sizes[target])) * (
            rng.random((sizes[source], sizes[target])) < 0.7
        )
        return Link.dense(source, target, weights, delay)

    links = [link("i", "a", 0), link("j", "b", int(rng.integers(3))), link("a", "b", int(rng.integers(3)))]
    links += [link("b", "c", 0), link("b", "a", int(rng.integers(1, 4))), link("a", "a", 1)]
    step_us = float(rng.choice([100.0, 1000.0, 333.0]))
    return Circuit((("i", 3), ("j", 2)), (a, b, c), tuple(links), ("b", "c"), step_us)


def random_input(rng):
    return [{"i": (rng.random(3) < 0.4).astype(float), "j": (rng.random(2) < 0.4).astype(float)} for _ in range(STEPS)]


@SOME
@given(seed=st.integers(0, 2**32 - 1), scheme=st.sampled_from(["euler", "exponential"]))
def test_the_graph_does_what_the_circuit_does(seed, scheme):
    rng = np.random.default_rng(seed)
    circuit, stream = random_circuit(rng), random_input(rng)
    graph = of_circuit(circuit, scheme=scheme)
    assert graph.metadata["spikestream"] == {"step_us": circuit.step_us, "scheme": scheme}
    expected = run_circuit(circuit, stream)
    found = run_graph(graph, stream, circuit.step_us * 1e-6, scheme, ["b_output", "c_output"])
    for (b, c), (b_, c_) in zip(expected, found, strict=True):
        assert b == b_
        assert c == pytest.approx(c_, abs=1e-9)


@SOME
@given(seed=st.integers(0, 2**32 - 1))
def test_what_the_metadata_state_is_the_circuit_again(seed):
    """With the biases of the graph: of a neuron that does not leak the drift is among them."""
    rng = np.random.default_rng(seed)
    circuit, stream = random_circuit(rng), random_input(rng)
    graph, again = of_circuit(circuit), []
    for cells in circuit.cells:
        before = [graph.nodes[a] for a, b in graph.edges if b == cells.name]
        (bias,) = [one.params["bias"] for one in before if one.kind == "Affine"] or [0.0]
        again.append(replace(cells, bias=bias, **stated(graph.nodes[cells.name])))
    expected, found = run_circuit(circuit, stream), run_circuit(replace(circuit, cells=tuple(again)), stream)
    for (b, c), (b_, c_) in zip(expected, found, strict=True):
        assert b == b_
        assert c == pytest.approx(c_, abs=1e-9)


def test_the_circuits_of_these_tests_do_spike_in_every_way():
    spikes, seen = [], set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        circuit, stream = random_circuit(rng), random_input(rng)
        spikes.append(sum(sum(b) for b, _ in run_circuit(circuit, stream)))
        kinds = {node.kind for node in of_circuit(circuit).nodes.values()}
        seen |= kinds | {(one.reset, one.late_reset, one.old_current) for one in circuit.cells}
    assert np.median(spikes) > 20
    assert {"IF", "LIF", "CubaLIF", "I", "LI", "CubaLI", "Affine", "Linear", "Delay", "Input", "Output"} <= seen
    assert {("value", True, False), ("subtract", False, False), ("subtract", True, True)} <= seen


def test_through_a_file_that_nir_accepts(tmp_path):
    circuit = random_circuit(np.random.default_rng(3))
    written = of_circuit(circuit)
    write_nir(tmp_path / "x.nir", written)
    nir.read(tmp_path / "x.nir")  # with its check of types
    graph = graph_from(read_here(str(tmp_path / "x.nir")), "x.nir")
    assert (list(graph.nodes), graph.edges) == (list(written.nodes), written.edges)
    assert graph.metadata["spikestream"] == {"step_us": circuit.step_us, "scheme": "euler"}
    for cells in circuit.cells:
        found = stated(graph.nodes[cells.name])
        assert {name: found[name] for name in CHOICES if hasattr(cells, name)} == {
            name: getattr(cells, name) for name in CHOICES if hasattr(cells, name)
        }
        for name in NUMBERS:
            value = getattr(cells, name)
            if name == "drift" and graph.nodes[cells.name].kind in ("I", "IF"):
                value = np.zeros(cells.size)
            assert (name in found) == (value is not None)
            assert value is None or np.array_equal(np.broadcast_to(found[name], value.shape), value)


def test_what_a_leaky_neuron_of_one_step_is():
    """A decay of 0.9 at 1 ms is a tau of 10 ms; by the exponential it is -1 / ln 0.9 = 9.4912 ms."""
    cells = Cells("n", (1,), decay=0.9, gain=0.2, drift=0.05, threshold=1, current_decay=0.5, current_gain=2)
    circuit = Circuit((("i", 1),), (cells,), (Link.dense("i", "n", np.eye(1)),), ("n",))
    node = of_circuit(circuit, step_us=1000).nodes["n"]
    told = {name: value.item() for name, value in node.params.items()}
    assert told == pytest.approx(
        {"tau_mem": 0.01, "tau_syn": 0.002, "r": 2, "v_leak": 0.5, "w_in": 4, "v_threshold": 1, "v_reset": 0}
    )
    node = of_circuit(circuit, step_us=1000, scheme="exponential").nodes["n"]
    assert node.params["tau_mem"].item() == pytest.approx(9.4912e-3, rel=1e-4)


def one(**fields):
    cells = Cells("n", (2,), **{"threshold": 1, **fields})
    return Circuit((("i", 2),), (cells,), (Link.dense("i", "n", np.eye(2)),), ("n",), 1000.0)


@pytest.mark.parametrize(
    ("circuit", "why"),
    [
        (one(floor=-1), "a floor, which NIR cannot say"),
        (one(refractory=2), "a refractory, which NIR cannot say"),
        (one(several=True), "several times a step"),
        (one(decay=[1, 0.5]), "a decay that no time constant gives"),
        (one(decay=1.2), "found 1.2 to 1.2"),
        (one(decay=1, current_decay=0.5, current_gain=1), "no such neuron"),
        (one(decay=1, gain=0, drift=1), "no such neuron"),
        (one(decay=0.5, current_decay=1, current_gain=1), "a current_decay that no time constant gives"),
        (Circuit((("i", 2),), (Cells("n", (2,), bias=1),), (), ("n",), 1000.0), "no link that could carry it"),
        (Circuit((("i", 2),), (Cells("n", (2,)),), (), ("n",)), "how long a step is"),
    ],
)
def test_what_nir_cannot_say(circuit, why):
    with pytest.raises(ModelError) as caught:
        of_circuit(circuit)
    assert why in str(caught.value)


def test_a_scheme_that_is_not_known():
    with pytest.raises(ModelError, match="did you mean 'euler'"):
        of_circuit(one(), scheme="Euler")
    with pytest.raises(ModelError, match=r"above 0, found 0\.0"):
        of_circuit(one(decay=0), scheme="exponential")


def test_names_that_are_taken_and_shapes():
    cells = Cells("i_to_n", (2, 3), threshold=1)
    circuit = Circuit(
        (("i", 1), ("n", 1)), (cells,), (Link.dense("n", "i_to_n", np.ones((1, 6)), 2),), ("i_to_n",), 10.0
    )
    graph = of_circuit(circuit)
    assert graph.nodes["i_to_n"].metadata["spikestream"]["shape"].tolist() == [2, 3]
    assert graph.nodes["n_to_i_to_n_delay"].params["delay"] == pytest.approx(2e-5)
    assert graph.shapes()["i_to_n_output"].given == (6,)


def test_a_node_of_another_origin_states_nothing():
    assert stated(Node("Scale", {"scale": 1.0})) == {}
    with pytest.raises(ModelError):
        stated(Node("Scale", {"scale": 1.0}, {"spikestream": 3}))
