"""NeuroBench's metrics: what its package says of two networks, ours says of the same as a circuit and as a chip."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from crossbar_cases import random_chip

from spikestream.batch import Spikes
from spikestream.errors import ConfigError, ModelError
from spikestream.model import metrics
from spikestream.model.circuit import Cells, Circuit, Link
from spikestream.model.crossbar import CrossbarPlacement
from spikestream.model.loihi import LoihiPlacement
from spikestream.model.placement import PIN
from spikestream.stages.chip import Chip

GOLDEN = json.loads((Path(__file__).parent / "golden" / "neurobench.json").read_text())
NAMES = {
    "footprint": "Footprint",
    "connection_sparsity": "ConnectionSparsity",
    "parameter_count": "ParameterCount",
    "activation_sparsity": "ActivationSparsity",
    "synaptic_operations": "SynapticOperations",
    "membrane_updates": "MembraneUpdates",
}


def expected(case, **footprint):
    """Return what the package says, by our names; the footprint, which is another thing, as given."""
    return {ours: case["metrics"][theirs] for ours, theirs in NAMES.items()} | footprint


def of_case(case):
    """Return a golden network as a circuit: two layers that leak, less their threshold in the step after a spike."""
    cells = case["cells"]
    law = {"decay": cells["beta"], "threshold": cells["threshold"], "reset": "subtract", "late_reset": True}
    matrices = [np.array(one).T for one in case["weights"]]
    layers = [
        Cells(name, (matrix.shape[1],), bias=bias, **law)
        for name, matrix, bias in zip("ab", matrices, case["biases"], strict=True)
    ]
    links = [Link.dense("in", "a", matrices[0]), Link.dense("a", "b", matrices[1])]
    return Circuit((("in", len(matrices[0])),), layers, links, ("b",))


def run_plainly(circuit, given):
    """Return activity and potentials of a circuit of one link after another, by the equations at its file's head."""
    activity, potentials = {"in": given}, {}
    for link, cells in zip(circuit.links, circuit.cells, strict=True):
        sent, weights = activity[link.source], link.matrix(cells.size)
        v, fired = np.zeros((len(given), cells.size)), np.zeros((len(given), cells.size))
        spikes, membranes = [], []
        for n in range(given.shape[1]):
            v = cells.decay * v + sent[:, n] @ weights + cells.bias - fired * cells.threshold
            fired = (v > cells.threshold).astype(float)
            spikes.append(fired)
            membranes.append(v)
        activity[cells.name], potentials[cells.name] = np.stack(spikes, axis=1), np.stack(membranes, axis=1)
    return activity, potentials


def test_a_circuit_has_the_metrics_that_neurobench_gives_the_same_network():
    case = GOLDEN["circuit"]
    circuit, given = of_case(case), np.array(case["input"])
    activity, potentials = run_plainly(circuit, given)
    assert [activity["a"].tolist(), activity["b"].tolist()] == case["spikes"]
    found = metrics.of_circuit(circuit, activity, potentials)
    # Its buffers, four numbers of snnTorch's own a layer, are no parameters of a circuit.
    assert found == expected(case, footprint=case["metrics"]["Footprint"] - case["buffer_bytes"])
    assert json.loads(json.dumps(found)) == found
    assert metrics.of_circuit(circuit, activity) == found | {"membrane_updates": None}


def placed(case):
    """Return a golden network on two cores, the second behind the first; weights by four types in turn."""
    first, second = (np.array(one).T for one in case["weights"])
    axons, neurons = first.shape
    crossbar, weights = np.zeros((2, axons, neurons), bool), np.ones((2, neurons, 4), int)
    for core, matrix in enumerate((first, second)):
        pre, post = matrix.shape
        crossbar[core, :pre, :post] = matrix != 0
        for j in range(post):
            for g in range(4):
                own = matrix[g::4, j]
                weights[core, j, g] = next(iter(own[own != 0]), 1)
    target_core, target_axon = np.full((2, neurons), -1), np.zeros((2, neurons), int)
    target_core[0], target_axon[0] = 1, np.arange(neurons)
    outputs = second.shape[1]
    target_core[1, :outputs], target_axon[1, :outputs] = PIN, np.arange(outputs)
    inputs = np.stack([np.arange(axons), np.zeros(axons, int), np.arange(axons), np.zeros(axons, int)], axis=1)
    given = {"axon_type": np.tile(np.arange(axons) % 4, (2, 1)), "crossbar": crossbar, "weights": weights}
    given |= {"threshold": 5, "floor": 2**18 - 1, "target_core": target_core, "target_axon": target_axon}
    return CrossbarPlacement.of(2, axons, neurons, **given, inputs=inputs, input_count=axons, outputs=outputs)


def run_on_chip(placement, given):
    """Return the chip after all ticks and one for the way to the second core, what it gave, and its potentials."""
    chip, out, v = Chip(placement), [], []
    for n in range(len(given) + 1):
        axon = np.nonzero(given[n])[0].astype(np.int32) if n < len(given) else np.zeros(0, np.int32)
        out.append(chip(Spikes(n * 1000, (n + 1) * 1000, np.full(len(axon), n * 1000), axon)))
        v.append(chip.v)
    return chip, out, np.array(v)


def test_a_chip_has_the_metrics_that_neurobench_gives_the_same_network():
    case = GOLDEN["chip"]
    placement, given = placed(case), np.array(case["input"])[0]
    chip, out, v = run_on_chip(placement, given)
    assert [sorted(part.axon.tolist()) for part in out[1:]] == [np.nonzero(s)[0].tolist() for s in case["spikes"][1][0]]
    assert chip.counters["spikes"] == np.sum(case["spikes"][0]) + np.sum(case["spikes"][1])
    aligned = np.stack([v[:-1, 0], v[1:, 1]], axis=1)  # the second core is a tick behind
    found = metrics.of_placement(placement, chip.counters, len(given), potentials=aligned)
    # 410 bits a row on a chip of 256 axons, and 154 + 12 on these two cores of 6 neurons
    assert found == expected(case, footprint=2 * 6 * (12 + 154) // 8)
    assert json.loads(json.dumps(found)) == found
    plain = metrics.of_placement(placement, chip.counters, len(given))
    assert plain == found | {"membrane_updates": 2 * 6 * (len(given) + 1)}


def test_a_whole_core_is_as_large_as_the_published_row_says():
    one = CrossbarPlacement.of(1, 256, 256)
    found = metrics.of_placement(one, dict.fromkeys(("synaptic_operations", "spikes", "neuron_updates"), 0), 1)
    assert found["footprint"] == 256 * 410 // 8
    assert found["parameter_count"] == 256 * 0  # its axons are inputs, and no neuron is in use


def plainly_counted(p):
    """Return (weights, weights that are not 0, biases) of a placement, synapse by synapse."""
    bits = np.unpackbits(p.synapses, axis=2, count=p.neurons, bitorder="little")
    driven = {(core, axon) for _, core, axon, _ in p.inputs.tolist()}
    driven |= {(c, a) for c, a in zip(p.target_core.ravel().tolist(), p.target_axon.ravel().tolist(), strict=True)}
    whole = live = biases = 0
    for c in range(p.cores):
        axons = [i for i in range(p.axons) if (c, i) in driven or bits[c, i].any()]
        neurons = [j for j in range(p.neurons) if p.target_core[c, j] != -1 or bits[c, :, j].any()]
        whole += len(axons) * len(neurons)
        live += sum(bool(bits[c, i, j] and p.weights[c, j, p.axon_type[c, i]]) for i in axons for j in neurons)
        biases += len(neurons) if any(p.leak[c, j] for j in neurons) else 0
    return whole, live, biases


@pytest.mark.parametrize("seed", range(40))
def test_random_chips_are_counted_as_by_hand(seed):
    placement = random_chip(seed)
    whole, live, biases = plainly_counted(placement)
    counters = {"synaptic_operations": 600, "spikes": 0, "neuron_updates": 90}
    found = metrics.of_placement(placement, counters, 20, samples=4)
    assert found["parameter_count"] == whole + biases
    assert found["connection_sparsity"] == round(1 - live / whole, 4)
    assert found["synaptic_operations"] == {"Effective_MACs": 0, "Effective_ACs": 150, "Dense": whole * 5}
    assert found["membrane_updates"] == 22.5
    assert found["activation_sparsity"] == 1


def chain(delay=0, **cells):
    """Return three inputs onto two cells; one weight is an explicit 0."""
    link = Link("in", "a", np.array([0, 2, 3, 3]), np.array([0, 1, 1]), np.array([2.0, 0.0, -1.0]), delay)
    return Circuit((("in", 3),), [Cells("a", (2,), **cells)], [link], ("a",))


def test_weights_and_operations_by_hand():
    given = np.array([[[1, 0, 0], [1, 1, 1], [-1, 0, 0], [0.5, 1, 0]]])
    spikes = np.array([[[1, 0], [0, 0], [2, 0], [0, 0]]])
    found = metrics.of_circuit(chain(), {"in": given, "a": spikes})
    assert found["parameter_count"] == 6
    assert found["footprint"] == 24
    assert found["connection_sparsity"] == round(4 / 6, 4)
    assert found["activation_sparsity"] == 6 / 8
    assert found["synaptic_operations"] == {"Effective_MACs": 2, "Effective_ACs": 1 + 2 + 1, "Dense": 24}
    assert metrics.of_circuit(chain(bias=[0, 1]), {"in": given, "a": spikes})["parameter_count"] == 8


def test_what_a_delay_leaves_under_way_is_no_operation():
    given, spikes = np.ones((1, 5, 3)), np.zeros((1, 5, 2))
    for delay, heard in ((0, 5), (2, 3), (5, 0), (9, 0)):
        found = metrics.of_circuit(chain(delay), {"in": given, "a": spikes})["synaptic_operations"]
        assert found == {"Effective_MACs": 0, "Effective_ACs": 2 * heard, "Dense": 30}


def test_cells_without_spikes_have_no_activations():
    given, v = np.ones((2, 5, 3)), np.full((2, 5, 2), [0.3, 0.0])
    found = metrics.of_circuit(chain(spiking=False), {"in": given, "a": v}, {"a": v})
    assert found["activation_sparsity"] == 0.0
    assert metrics.of_circuit(chain(), {"in": given, "a": v})["activation_sparsity"] == 0.5
    assert found["membrane_updates"] == 2  # in the first step; then nothing changes


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"in": np.ones((1, 5, 3))},
        {"in": np.ones((1, 5, 2)), "a": np.ones((1, 5, 2))},
        {"in": np.ones((1, 4, 3)), "a": np.ones((1, 5, 2))},
        {"in": np.ones((1, 0, 3)), "a": np.ones((1, 0, 2))},
        {"in": np.ones(3), "a": np.ones(2)},
        {"in": np.full((1, 5, 3), "x"), "a": np.ones((1, 5, 2))},
    ],
)
def test_activity_of_another_circuit(given):
    with pytest.raises(ModelError):
        metrics.of_circuit(chain(), given)


def test_counters_and_potentials_that_cannot_be():
    one, counters = CrossbarPlacement.of(1, 2, 2), {"synaptic_operations": 0, "spikes": 0, "neuron_updates": 0}
    for change in ({"spikes": -1}, {"spikes": None}, {"synaptic_operations": 0.5}, {"neuron_updates": "1"}):
        with pytest.raises(ConfigError):
            metrics.of_placement(one, counters | change, 1)
    for ticks in (0, -1, 1.5):
        with pytest.raises(ConfigError):
            metrics.of_placement(one, counters, ticks)
    with pytest.raises(ModelError, match="1 spikes are more than 0 neurons can give in 1 ticks"):
        metrics.of_placement(one, counters | {"spikes": 1}, 1)
    for v in (np.zeros((3, 1, 3), int), np.zeros((3, 1, 2)), np.zeros((0, 1, 2), int)):
        with pytest.raises(ModelError, match="potentials are"):
            metrics.of_placement(one, counters, 3, potentials=v)


def test_a_loihi_chip_is_counted_by_hand():
    # Core 0: axon 0 twice onto compartment 0 and once with weight 0, compartment 2 stands alone; core 1 has a bias.
    synapses = [(0, 0, 0, 5, 0), (0, 0, 0, 3, 2), (0, 0, 1, 0, 0), (0, 1, 1, -4, 0), (1, 0, 0, 7, 0)]
    one = LoihiPlacement.of(
        [3, 1],
        [2, 1],
        synapses=synapses,
        targets=[(0, 0, 1, 0), (1, 0, PIN, 0)],
        outputs=1,
        bias=[0, 0, 0, 9],
        threshold=2,
    )
    counters = {"synaptic_operations": 30, "spikes": 6, "neuron_updates": 40}
    found = metrics.of_placement(one, counters, 10)
    assert found["parameter_count"] == 2 * 2 + 1 * 1 + 1
    assert found["connection_sparsity"] == round(2 / 5, 4)
    assert found["activation_sparsity"] == 24 / 30
    assert found["synaptic_operations"] == {"Effective_MACs": 0, "Effective_ACs": 30, "Dense": 50}
    assert found["membrane_updates"] == 40
