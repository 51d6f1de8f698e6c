"""A network as a circuit: where both mean the same, they give the same spikes."""

from __future__ import annotations

import numpy as np
import pytest

import spikestream as ss
from spikestream.model.circuit import Circuit

TICKS = 300


def stream(seed, axons, mean):
    """Return spikes, each axon at most once in a tick."""
    rng = np.random.default_rng(seed)
    pairs = np.unique(rng.integers(0, TICKS * axons, int(mean * TICKS)))
    return ss.Spikes(0, TICKS * 1000, pairs // axons * 1000 + 300, (pairs % axons).astype(np.int32))


def alike(network, spikes):
    """Return how many spikes there are where network and circuit agree in all of them."""
    wanted, found = network(spikes), ss.Simulator(network.circuit())(spikes)
    order = np.lexsort((wanted.axon, wanted.t))
    assert np.array_equal(wanted.t[order], found.t)
    assert np.array_equal(wanted.axon[order], found.axon)
    return len(wanted)


@pytest.mark.parametrize("inhibition", [0.0, 1.5])
def test_lif_neurons_of_rule_pair(inhibition):
    options = {"w_max": 1.5, "v_thresh": 8.0, "v_reset": 2.0, "inhibition": inhibition}
    network = ss.Network(40, 12, rule="pair", dtype="float64", learning=False, seed=3, **options)
    assert alike(network, stream(1, 40, 4)) > 100


def test_learned_thresholds_and_weights_are_in_it():
    options = {"rule": "pair", "dtype": "float64", "v_thresh": 6.0, "theta_plus": 0.7, "a_plus": 0.05}
    learned = ss.Network(40, 12, seed=3, inhibition=0.0, **options)
    learned(stream(1, 40, 6))
    fresh = ss.Network(40, 12, init_weights=learned.weights, learning=False, inhibition=0.0, **options)
    state = fresh.state()
    state["theta"], state["fade"] = learned.state()["theta"], learned.state()["fade"]
    fresh.restore(state)
    threshold = fresh.circuit().place("out").threshold
    assert threshold.min() > 6.5
    assert np.array_equal(fresh.circuit().links[0].matrix(12), learned.weights)
    assert alike(fresh, stream(2, 40, 6)) > 50


def model(**second):
    """Return a model of two populations: dense, sparse with delays, convolution, and a loop."""
    return ss.Model(
        [ss.Input("eye", shape=(1, 6, 6)), ss.Input("ear", 10)],
        [
            ss.Population(
                "a", shape=(2, 4, 4), params={"v_thresh": 2.0, "v_rest": -1.0, "v_reset": -1.5, "tau_refrac_ms": 3.0}
            ),
            ss.Population("b", 9, **second),
        ],
        [
            ss.Projection("seen", "eye", "a", weights=[0.2, 1.4], connect="conv", kernel=3),
            ss.Projection("heard", "ear", "b", weights=[0.0, 2.0], delay_ms=[0.0, 7.0]),
            ss.Projection("on", "a", "b", weights=[-0.5, 2.0], connect="random", probability=0.4, delay_ms=3.0),
            ss.Projection("back", "b", "a", weights=-0.4, delay_ms=2.0),
            ss.Projection("apart", "b", "b", weights=-0.5, connect="lateral"),
        ],
        outputs=("b", "a"),
        dtype="float64",
    )


@pytest.mark.parametrize(
    "second",
    [
        {"params": {"v_thresh": 3.0}},
        {"params": {"v_thresh": 3.0, "reset": "subtract", "tau_refrac_ms": 0.0}},
        {"neuron": "cubalif", "params": {"v_thresh": 1.2}},
    ],
    ids=["value", "subtract", "cubalif"],
)
def test_models_of_several_populations(second):
    network = ss.Network.from_model(model(**second), learning=False)
    assert alike(network, stream(4, 46, 9)) > 150


def test_of_winner_take_all_the_circuit_inhibits_a_step_later():
    weights = np.array([[0.4, 0.2], [0.1, 0.5]], np.float32)
    network = ss.Network(2, 2, init_weights=weights, rule="none", v_thresh=0.25, inhibition=3.0, v_floor=6.0)
    circuit = network.circuit()
    (cells,), (forward, lateral) = circuit.cells, circuit.links
    decay = np.exp(-1 / 20)
    assert cells.decay[0] == pytest.approx(decay)
    assert (cells.floor[0], cells.refractory[0], cells.threshold[0]) == (-6.0, 0, 0.25)
    assert np.allclose(forward.matrix(2), weights)
    assert np.allclose(lateral.matrix(2), [[0, -3 * decay], [-3 * decay, 0]])
    assert lateral.delay == 1
    # Axon 1 lets only the second fire; its rival is at -3 in the tick after, and so it is in the step after.
    spikes = ss.Spikes(0, 10_000, np.array([0, 2_000, 5_000]), np.array([1, 0, 1], np.int32))
    assert alike(network, spikes) == 2
    composed = ss.Network(2, 2, neuron="lif_wta", init_weights=weights, rule="none", engine="composed").circuit()
    assert isinstance(composed, Circuit)
    assert np.allclose(composed.links[0].matrix(2), lateral.matrix(2))


@pytest.mark.parametrize(
    ("second", "text"),
    [
        ({"neuron": "izhikevich"}, "'b' has neurons 'izhikevich'"),
        ({"neuron": "cobalif"}, "'b' has neurons 'cobalif'"),
        ({"neuron": "alif"}, "'b' has neurons 'alif'"),
        ({"params": {"reset": "subtract", "tau_refrac_ms": 2.0}}, "'b' integrates while it is refractory"),
    ],
)
def test_what_has_no_circuit_says_so(second, text):
    with pytest.raises(ss.ModelError, match=text) as caught:
        ss.Network.from_model(model(**second)).circuit()
    assert caught.value.remedy


def test_two_currents_are_one_too_many():
    both = [ss.Projection(f"p{k}", "in", "b", weights=1.0, receptor=k) for k in ("excitatory", "inhibitory")]
    made = {}
    for tau_ms in (5.0, 10.0):
        population = ss.Population("b", 3, neuron="cubalif", params={"tau_syn_e_ms": tau_ms})
        made[tau_ms] = ss.Network.from_model(ss.Model([ss.Input("in", 4)], [population], both))
    with pytest.raises(ss.ModelError, match="'b' has two currents"):
        made[5.0].circuit()
    assert made[10.0].circuit().place("b").current_decay[0] == pytest.approx(np.exp(-1 / 10))
