"""The rule against a naive twin, and that it does what Bienenstock, Cooper and Munro wanted of it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spikestream_quadratic import bcm

import spikestream as ss
from spikestream import checks
from spikestream.batch import Spikes, cut
from spikestream.errors import ConfigError
from spikestream.model import Input, Model, Population, Projection, Rule
from spikestream.registry import load

LIVELY = {"amplitude": 0.3, "tau_plus_ms": 15.0, "tau_rate_ms": 60.0, "tau_theta_ms": 300.0, "rate_hz": 25.0}
SOURCES, TARGETS = 3, 2


def naive(weights, rows, ticks, learning, amplitude, tau_plus_ms, tau_rate_ms, tau_theta_ms, rate_hz):
    """Learn from {tick: sources}, {tick: targets}, tick by tick in plain Python; weights from 0 to 1."""
    w = [list(row) for row in weights]
    x, u, theta = [0.0] * SOURCES, [0.0] * TARGETS, [0.0] * TARGETS
    keep = math.exp(-1 / tau_theta_ms)
    for n in range(ticks):
        x = [one * math.exp(-1 / tau_plus_ms) for one in x]
        u = [one * math.exp(-1 / tau_rate_ms) for one in u]
        theta = [keep * old + (1 - keep) * rate**2 for old, rate in zip(theta, u, strict=True)]
        for i in rows[0].get(n, []):
            x[i] += 1
        for j in rows[1].get(n, []):
            for i in range(SOURCES) if learning else ():
                w[i][j] = min(max(w[i][j] + amplitude * x[i] * (u[j] - theta[j]), 0.0), 1.0)
            u[j] += 1000 / (tau_rate_ms * rate_hz)
    return w


def taught(weights, rows, ticks, learning=True, dtype="float64", **params):
    """Return the weights after the same, of a network whose targets fire when a teacher makes them."""
    see = Projection("see", "in", "out", weights=weights, rules=[Rule("bcm", params)])
    teach = Projection("teach", "teacher", "out", connect="one_to_one", weights=100.0)
    inputs = [Input("in", SOURCES), Input("teacher", TARGETS)]
    lif = Population("out", TARGETS, params={"v_thresh": 50.0, "tau_refrac_ms": 0.0})
    net = ss.Network.from_model(Model(inputs, [lif], [see, teach], dtype=dtype), learning=learning)
    pairs = [(n, i) for n, found in rows[0].items() for i in found]
    pairs += [(n, SOURCES + j) for n, found in rows[1].items() for j in found]
    t, axon = np.array(sorted(pairs), np.int64).reshape(-1, 2).T
    spikes = net(Spikes(0, ticks * 1000, t * 1000, axon.astype(np.int32)))
    assert len(spikes) == sum(map(len, rows[1].values()))
    return net.weights


def rows_of(most):
    return st.dictionaries(st.integers(0, 199), st.sets(st.integers(0, most - 1), min_size=1).map(sorted), max_size=40)


@pytest.mark.parametrize("law", [name for name, _ in checks.rule(bcm)])
def test_it_keeps_the_laws_of_a_rule(law):
    dict(checks.rule(bcm))[law]()


def test_it_is_found_by_its_name():
    assert load("rules", "bcm") is bcm


@settings(max_examples=40, deadline=None)
@given(incoming=rows_of(SOURCES), outgoing=rows_of(TARGETS), learning=st.booleans())
def test_weights_are_those_of_the_naive_twin(incoming, outgoing, learning):
    weights = np.random.default_rng(1).uniform(0.2, 0.8, (SOURCES, TARGETS))
    rows = (incoming, outgoing)
    expected = naive(weights, rows, 200, learning, **LIVELY)
    np.testing.assert_allclose(taught(weights, rows, 200, learning, **LIVELY), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(taught(weights, rows, 200, learning, "float32", **LIVELY), expected, rtol=0, atol=1e-4)


def test_a_neuron_above_its_threshold_is_strengthened_and_one_below_it_weakened():
    """A burst after calm is above the threshold that calm left; a lone spike after bursts is below theirs."""
    calm, busy = {n: [0] for n in range(0, 1_000, 100)}, {n: [0] for n in range(0, 1_000, 5)}
    weights, incoming = np.full((SOURCES, TARGETS), 0.5), {1_299: [0], 1_305: [0]}
    params = {**LIVELY, "amplitude": 0.01}
    for before, burst, sign in ((calm, range(1_300, 1_310), 1), (busy, [1_300], -1)):
        outgoing = {**before, **{n: [0] for n in burst}}
        after = [taught(weights, (rows, outgoing), 1_400, **params) for rows in (incoming, {})]
        assert np.sign(after[0][0, 0] - 0.5) == sign
        assert np.array_equal(after[1], weights)  # who did not fire did not take part


@pytest.mark.parametrize("weight", [0.41, 1.2])
def test_weak_or_strong_at_first_a_neuron_comes_to_its_rate(weight):
    """Where spikes come irregularly, the mean of u^2 is that of u, squared, and u / (2 tau_rate rate_hz): 9 Hz."""
    rng, second = np.random.default_rng(0), 1_000_000
    start = weight * rng.uniform(0.8, 1.2, (100, 10))
    net, counts = ss.Network(100, 10, neuron="quadratic", rule="bcm", w_max=3.0, init_weights=start), []
    for now in range(0, 200 * second, second):
        t, axon = np.sort(rng.integers(now, now + second, 1_000)), rng.integers(0, 100, 1_000)
        counts.append(len(net(Spikes(now, now + second, t, axon.astype(np.int32)))))
    expected = bcm.Params().rate_hz - 500 / bcm.Params().tau_rate_ms
    assert abs(np.mean(counts[:5]) / 10 - expected) > 2.5
    assert np.mean(counts[-40:]) / 10 == pytest.approx(expected, abs=0.6)


def test_a_schedule_slows_it():
    rng, learned = np.random.default_rng(2), []
    for tau_ms in (0.0, 100.0):
        net = ss.Network(4, 2, neuron="quadratic", rule="bcm", w_max=30.0, amplitude=1e-4, rate_tau_ms=tau_ms)
        t = np.arange(0, 2_000_000, 1_000)
        batch = Spikes(0, 2_000_000, t, rng.integers(0, 4, len(t)).astype(np.int32))
        first, second = cut(batch, 1_000_000)
        net(first)
        before = net.weights
        net(second)
        learned.append(abs(net.weights - before).sum())
    assert 0 < learned[1] < 0.5 * learned[0]


@pytest.mark.parametrize("wrong", [{"w_min": 1.0}, {"rate_hz": 0.0}, {"tau_rate_ms": 0.0}, {"amplitude": math.nan}])
def test_odd_parameters_are_a_config_error(wrong):
    with pytest.raises(ConfigError):
        ss.Network(4, 2, neuron="quadratic", rule="bcm", **wrong)
