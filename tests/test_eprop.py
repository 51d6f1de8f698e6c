"""The kernel of the classifier: its gradients are those of numbers, and its replay is what ran."""

from __future__ import annotations

import numpy as np
import pytest
from classifier_cases import as_kept, net_of

from spikestream.kernels import eprop
from spikestream.kernels.eprop_learning import learn

AXONS, HIDDEN, CLASSES, TICKS = 6, 5, 3, 23


def network(**options):
    """Return coefficients, weights with a readout drawn at random, and the same as the naive network."""
    params = eprop.Params(**{"hidden": HIDDEN, "w_init": 0.5, **options})
    c, w = eprop.design(params, 1000), eprop.init(AXONS, CLASSES, params, 1000)
    rng = np.random.default_rng(5)
    w.v[:] = rng.normal(0, 0.5, w.v.shape)
    w.b[:] = rng.normal(0, 0.5, CLASSES)
    return c, w, net_of(params, c, w._asdict(), live=CLASSES)


def window(seed=0, count=60):
    rng = np.random.default_rng(seed)
    tick = np.sort(rng.integers(0, TICKS, count)).astype(np.int32)
    return tick, rng.integers(0, AXONS, count).astype(np.int32)


def pairs(tick, axon):
    return list(zip(tick.tolist(), axon.tolist(), strict=True))


OPTIONS = [
    {"update_ms": 5.0, "tau_out_ms": (10.0, 40.0)},
    {"update_ms": 1.0, "recurrent": 0.4, "adaptive": 0.6, "feedback": "random", "tau_out_ms": (15.0,)},
    {"hidden": (3, 2), "w_init": 0.9, "update_ms": 5.0, "tau_out_ms": (10.0, 40.0)},
    {"hidden": (2, 2, 1), "w_init": 0.9, "recurrent": 0.4}
    | {"update_ms": 1.0, "feedback": "random", "tau_out_ms": (15.0,)},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_the_gradients_of_the_readout_are_the_slopes_of_the_loss(options):
    c, w, net = network(**options)
    tick, axon = window()
    room = eprop.scratch(w, TICKS, c)
    learn(c, w, eprop.rest(w), room, TICKS, tick, axon, 1, CLASSES)
    assert any(one for row in net.rest()["o"] for one in row) is False

    def slope(values, place):
        found, step = values[place], 1e-5
        values[place] = found + step
        above = net.loss(TICKS, pairs(tick, axon), 1)
        values[place] = found - step
        below = net.loss(TICKS, pairs(tick, axon), 1)
        values[place] = found
        return (above - below) / (2 * step)

    expected = [[[slope(net.v[q][j], k) for k in range(CLASSES)] for j in range(HIDDEN)] for q in range(len(net.v))]
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(room.gv, expected, atol=2e-4)
    np.testing.assert_allclose(room.gb, [slope(net.b, k) for k in range(CLASSES)], atol=2e-4)


@pytest.mark.parametrize("tau_out_ms", [1e-3, 12.0])
def test_where_nothing_resets_the_gradient_of_an_input_weight_is_exact(tau_out_ms):
    """Below threshold, read every tick without a trace or with one, and heard by a trace as slow as the membrane.

    Then a voltage is linear in the weights, and z may be what the surrogate derivative is the slope of, less its
    value here: the loss of that has the slopes that the factorised eligibility says.
    """
    c, w, _ = network(update_ms=1.0, tau_out_ms=(tau_out_ms,), tau_m_ms=(9.0, 9.0), tau_trace_ms=9.0)
    w.w[:] *= np.float32(0.2)
    tick, axon = window(count=30)
    weights = w.w.astype(np.float64)
    ramp = np.arange(1, TICKS + 1) / TICKS
    seen = np.zeros((TICKS, AXONS))
    for at in range(TICKS):
        seen[at] = (seen[at - 1] * np.exp(-1 / 9) if at else 0) + np.bincount(axon[tick == at], minlength=AXONS)
    assert (seen @ weights).max() < 0.95
    assert seen[:, seen.any(axis=0)].max() > 0.01

    def soft(u):  # the integral of 0.3 max(0, 1 - |u|)
        u = np.clip(u, -1, 1)
        return 0.3 * (u + 0.5 - np.sign(u) * u * u / 2)

    def loss(values):
        z = soft(seen @ values - 1) - soft(seen @ weights - 1)
        fade = np.exp(-np.arange(TICKS) / tau_out_ms)
        o = np.array([fade[at::-1] @ z[: at + 1] for at in range(TICKS)])
        y = o @ w.v[0].astype(np.float64) + w.b
        return float((ramp * (np.log(np.exp(y).sum(axis=1)) - y[:, 2])).sum())

    expected = np.zeros((AXONS, HIDDEN))
    for place in np.ndindex(expected.shape):
        step = np.zeros_like(expected)
        step[place] = 1e-5
        expected[place] = (loss(weights + step) - loss(weights - step)) / 2e-5
    learn(c, w, eprop.rest(w), eprop.scratch(w, TICKS, c), TICKS, tick, axon, 2, CLASSES)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(w.w_mean * 10, expected, atol=2e-3)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_replay_ends_where_the_run_did(options):
    c, w, _ = network(**options)
    tick, axon = window()
    ran, replayed = eprop.rest(w), eprop.rest(w)
    s, evidence = np.zeros(CLASSES, np.float32), np.zeros(CLASSES + 1, np.float32)
    t = tick.astype(np.int64) * 1000 + 999
    heard, fired = eprop.run(c, w, ran, (0, TICKS, 1000), t, axon, 0, CLASSES, s, evidence)
    learn(c, w, replayed, eprop.scratch(w, TICKS, c), TICKS, tick, axon, 1, CLASSES)
    assert heard == len(tick)
    assert fired > 5
    for mine, its in zip(ran, replayed, strict=True):
        assert np.array_equal(mine, its)


def test_scratch_is_left_as_it_was_found():
    c, w, _ = network(recurrent=0.4)
    room = eprop.scratch(w, TICKS, c)
    learn(c, w, eprop.rest(w), room, TICKS, *window(), 1, CLASSES)
    assert not room.x.any()
    assert not room.xr.any()
    assert (room.place == -1).all()


@pytest.mark.parametrize("options", OPTIONS)
def test_the_gradients_of_hidden_weights_are_those_of_eligibilities_filtered_synapse_by_synapse(options):
    c, w, net = network(**options)
    tick, axon = window(2)
    learn(c, w, eprop.rest(w), eprop.scratch(w, TICKS, c), TICKS, tick, axon, 1, CLASSES)
    gw, gr, _, _ = net.gradients(TICKS, pairs(tick, axon), 1, net.rest())
    assert np.abs(gw).max() > 0.01
    np.testing.assert_allclose(w.w_mean * 10, gw, rtol=1e-3, atol=1e-4)  # the first mean is a tenth of the gradient
    np.testing.assert_allclose(w.r_mean * 10, as_kept(net, gr, w.r.shape), rtol=1e-3, atol=1e-4)
