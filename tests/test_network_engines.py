"""The composed kernel beside the fused ones, and beside what other simulators made of the same network."""

from __future__ import annotations

import numpy as np
import pytest
from network_cases import rows_of
from test_network_composed import rows
from test_workloads import golden, workloads

from spikestream.batch import Spikes, no_spikes
from spikestream.errors import ConfigError
from spikestream.model import Model, Population, Projection
from spikestream.stages.network import Network


def noise(axons, stop=400_000, rate=20_000, seed=3):
    rng = np.random.default_rng(seed)
    count = rate * stop // 1_000_000
    t = np.sort(rng.integers(0, stop, count))
    return Spikes(0, stop, t, rng.integers(0, axons, count).astype(np.int32))


def both(**options):
    batch, made = noise(40), []
    for engine in ("fused", "composed"):
        net = Network(40, 12, seed=5, engine=engine, **options)
        made.append((net, rows_of([net(batch)])))
    return made


@pytest.mark.parametrize("rule", ["stdp", "none"])
def test_winner_take_all_is_the_same_composed_bit_for_bit(rule):
    weights = np.random.default_rng(1).random((40, 12), np.float32)
    (fused, one), (composed, two) = both(rule=rule, init_weights=weights / 4, theta_plus=0.02, v_thresh=0.4)
    assert len(one) > 100
    assert one == two
    assert np.array_equal(fused.weights, composed.weights)
    assert np.array_equal(fused.v, composed.v)
    assert (rule == "none") == np.array_equal(fused.weights, weights / 4)


@pytest.mark.parametrize("more", [{}, {"theta_plus": 0.5, "tau_theta_ms": 50.0}, {"inhibition": 0.0}])
def test_pair_stdp_is_the_same_composed(more):
    options = {"v_thresh": 6.0, "v_reset": 0.0, "tau_m_ms": 30.0, "a_plus": 0.03, "a_minus": 0.035, **more}
    (fused, one), (composed, two) = both(rule="pair", dtype="float64", **options)
    assert len(one) > 100
    assert one == two
    np.testing.assert_allclose(fused.weights, composed.weights, rtol=0, atol=1e-9)
    np.testing.assert_allclose(fused.v, composed.v, rtol=0, atol=1e-9)


def test_the_composed_network_spikes_as_brian_2_does():
    work = workloads.w2(100_000).first(100)
    options = {key: value for key, value in vars(work.params).items() if key != "dt_ms"}
    shape = {"tick_us": 1000, "init_weights": work.weights, "dtype": "float64", "engine": "composed"}
    net = Network(work.axons, work.neurons, rule="pair", **shape, **options)
    made = net(Spikes(0, 100_000, work.ticks * np.int64(1000), work.inputs))
    ticks, neurons = golden("w2_100k_brian2")
    assert np.array_equal(made.t // 1000, ticks)
    assert np.array_equal(made.axon, neurons)


def cuba(dtype):
    work = workloads.w3()
    keys = ("v_rest", "v_thresh", "v_reset", "tau_m_ms", "tau_refrac_ms")
    params = {key: getattr(work, key) for key in keys} | {"tau_syn_e_ms": work.tau_e_ms, "tau_syn_i_ms": work.tau_i_ms}
    cells = Population("cells", work.neurons, neuron="cubalif", params=params, initial={"v": work.v0})
    excites, made = work.pre < work.excitatory, []
    for name, weight, own in (("excitatory", work.w_e, excites), ("inhibitory", work.w_i, ~excites)):
        ends = {"connect": "pairs", "pre": work.pre[own], "post": work.post[own]}
        made.append(Projection(name, "cells", "cells", receptor=name, weights=weight, **ends))
    return Network.from_model(Model([], [cells], made, tick_us=100, dtype=dtype))


def test_four_thousand_recurrent_neurons_spike_as_in_nest_for_a_whole_second():
    net, made = cuba("float64"), []
    for start in range(0, 1_000_000, 100_050):  # cut inside of ticks
        made += rows(net(no_spikes(start, min(start + 100_050, 1_000_000))))
    ticks, neurons = golden("w3_nest")
    assert made == [(n * 100 - 1, j) for n, j in zip(ticks.tolist(), neurons.tolist(), strict=True)]


def test_in_single_precision_they_spike_as_often():
    count = len(cuba("float32")(no_spikes(0, 1_000_000)))
    assert count == pytest.approx(21_391, rel=0.02)  # the network is chaotic: trains differ, rates do not


@pytest.mark.parametrize("rule", ["stdp", "none"])
def test_both_kernels_begin_with_the_same_weights(rule):
    (fused, one), (composed, two) = both(rule=rule)
    assert one == two
    assert np.array_equal(fused.weights, composed.weights)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"neuron": "alif"}, "centroid"),
        ({"rule": "oja", "threads": 2}, "second thread"),
        ({"rule": "pair", "engine": "composed", "threads": 2}, "second thread"),
    ],
)
def test_what_only_a_fused_kernel_does_is_told(options, told):
    with pytest.raises(ConfigError) as caught:
        Network(4, 2, **options)
    assert told in f"{caught.value} {caught.value.details}"
