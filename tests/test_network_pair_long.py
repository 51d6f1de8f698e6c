"""The network stage with rule "pair" over hours, at far times, and as its ways of counting change with the spikes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from filter_cases import same
from pair_cases import LIVELY, batch_of, busy, fired_of, network, random_weights

from spikestream.batch import Spikes, cut
from spikestream.kernels import lif_pair

HOUR = 3_600_000
"""Ticks of a millisecond."""
DTYPES = ["float32", "float64"]


def decayed(since_ms, tau_ms):
    """Return what is left in sum of all that began so long ago."""
    return np.exp(-np.asarray(since_ms) / tau_ms).sum()


def subnormal(net):
    least = np.finfo(net.weights.dtype).tiny
    arrays = [np.abs(net.state()[name]) for name in ("weights", "v", "theta", "y", "x", "sums")]
    return any(np.any((array > 0) & (array < least)) for array in arrays)


# An hour. Once a second axon 0 spikes, axon 1 makes the neuron fire 10 ms later, axon 2 spikes 7 ms after that.


@pytest.mark.parametrize("tau_ms", [20.0, 5000.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_after_an_hour_traces_thresholds_and_weights_are_what_the_equations_say(dtype, tau_ms):
    seconds = HOUR // 1000
    begun = np.arange(seconds) * 1000
    t = (begun[:, None] + [100, 110, 117]).ravel() * 1000 + 300
    batch = Spikes(0, HOUR * 1000, t, np.tile(np.arange(3, dtype=np.int32), seconds))
    # A weight of 20 and no other makes the neuron fire; nothing comes near a bound.
    more = {"v_thresh": 10.0, "v_reset": 0.0, "w_max": 40.0, "theta_plus": 1e-4, "tau_theta_ms": 1e7, "tau_m_ms": 2.0}
    rates = {"a_plus": 1e-4, "a_minus": 0.7e-4, "tau_plus_ms": tau_ms}
    net = network(np.array([[1.0], [20.0], [1.0]]), dtype=dtype, tau_minus_ms=tau_ms, **rates, **more)
    size = {key: array.shape for key, array in net.state().items() if key != "agenda"}
    out = net(batch)
    last, close = HOUR - 1, 1e-9 if dtype == "float64" else 3e-4  # a factor's last digit, 5,000 times
    fired = begun + 110
    assert fired_of(out, 1000) == [(tick, 0) for tick in fired.tolist()]
    state = net.state()
    since = last - np.maximum(state["seen"], 0)
    assert state["x"] * np.exp(-since / tau_ms) == pytest.approx(
        [decayed(last - begun - apart, tau_ms) for apart in (100, 110, 117)], rel=close, abs=1e-12
    )
    assert state["y"][0] == pytest.approx(decayed(last - fired, tau_ms), rel=close, abs=1e-12)
    assert state["theta"][0] * state["fade"][0] == pytest.approx(1e-4 * decayed(last - fired, 1e7), rel=close)
    earlier = np.arange(seconds) * 1000.0
    pairs = (seconds - np.arange(seconds)) * np.exp(-earlier / tau_ms)
    first = rates["a_plus"] * (pairs * math.exp(-10 / tau_ms)).sum()
    # Axon 0 is depressed by the spikes of earlier seconds, axon 2 potentiated by those of later ones.
    other = (pairs[1:] * math.exp(10 / tau_ms)).sum() * rates["a_minus"]
    assert net.weights[0, 0] == pytest.approx(1 + first - other, rel=close)
    down = rates["a_minus"] * (pairs * math.exp(-7 / tau_ms)).sum()
    up = (pairs[1:] * math.exp(7 / tau_ms)).sum() * rates["a_plus"]
    assert net.weights[2, 0] == pytest.approx(1 - down + up, rel=close)
    assert {key: array.shape for key, array in net.state().items() if key != "agenda"} == size
    assert not subnormal(net)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_hour_of_silence_leaves_nothing_but_what_was_learned(dtype):
    weights, batch = busy()
    net = network(weights, dtype=dtype)
    assert len(net(batch)) > 1000
    net(batch_of([], 5_000, 1000, 600))
    learned = net.weights
    for first in range(5_600, HOUR, 900_000):
        net(batch_of([], 900_000, 1000, first))
        assert not subnormal(net)
    state = net.state()
    assert not any(state[name].any() for name in ("v", "x", "y"))
    assert net.weights.tobytes() == learned.tobytes()


# Ticks of a microsecond reach the far numbers.


@pytest.mark.parametrize("first", [-(2**61), -(2**53) - 512, 2**31 - 512, 2**53 - 512, 2**61 - 512])
@pytest.mark.parametrize("dtype", DTYPES)
def test_ticks_may_be_numbers_that_no_float_holds(first, dtype):
    scaled = {"tau_m_ms": 0.1, "tau_plus_ms": 0.02, "tau_minus_ms": 0.02, "tau_theta_ms": 0.3, "tau_refrac_ms": 0.001}
    weights, here = busy(ticks=1500, tick_us=1)
    there = busy(ticks=1500, tick_us=1, first=first)[1]
    near, far = (network(weights, tick_us=1, dtype=dtype, **scaled) for _ in range(2))
    expected = fired_of(near(here), 1)
    left, right = cut(there, first + 511)
    assert fired_of(far(left), 1) + fired_of(far(right), 1) == [(tick + first, j) for tick, j in expected]
    assert len(expected) > 1000
    assert far.weights.tobytes() == near.weights.tobytes()


# Ways of counting.


def shifting(neurons=240):
    """Return weights (40, neurons) and a stream whose output is sparse for a second and dense for another."""
    rng = np.random.default_rng(5)
    many = [0 if tick % 7 else 1 + (tick % 210 == 0) if tick < 1000 else 6 for tick in range(2000)]
    rows = [(tick, int(i)) for tick in range(2000) for i in np.unique(rng.integers(0, 40, many[tick]))]
    return random_weights(5, 40, neurons), rows


def kernel_run(weights, rows, ways, dtype="float32", each=None, **more):
    """Run the kernel tick by tick, with `each` called on its state before; return state and counts of spikes."""
    few = {"tau_m_ms": 4.0, "tau_minus_ms": 2.0, "v_thresh": 1.85, "a_plus": 0.005, "a_minus": 0.003}
    params = lif_pair.Params(**{**LIVELY, "dtype": dtype, **few, **more})
    c, s = lif_pair.design(params, 1000), lif_pair.init(*weights.shape, params, 1000)
    c = c._replace(**ways)
    s.weights[...] = weights
    batch, counts = batch_of(rows, 2000, 1000), []
    out = np.empty(weights.shape[1], np.int64), np.empty(weights.shape[1], np.int32)
    at = np.searchsorted(batch.t, np.arange(2001) * 1000)
    for tick in range(2000):
        if each:
            each(s)
        inside = slice(at[tick], at[tick + 1])
        span = (tick, tick + 1, 1000)
        counts.append(lif_pair.run(c, s, (0, 1), span, batch.t[inside], batch.axon[inside], (True, True), *out)[0])
    return lif_pair.settled(c, s), np.array(counts), s


def test_rows_are_paid_one_by_one_or_by_sums_as_the_output_gets_dense():
    weights, rows = shifting()
    early = [row for row in rows if row[0] < 1000]
    ways = {"list": {"one_by_one": 0}, "sums": {"one_by_one": 1 << 40}, "own": {}}
    for stream, dense in ((early, False), (rows, True)):
        found = {way: kernel_run(weights, stream, more, inhibition=0.0)[:2] for way, more in ways.items()}
        counts = found["own"][1]
        assert bool(counts[1000:].mean() > 20 * counts[:1000].mean() > 0) is dense
        own, listed, summed = (found[way][0] for way in ("own", "list", "sums"))
        assert (own.tobytes() == listed.tobytes()) is not dense
        if not dense:
            assert own.tobytes() != summed.tobytes()
        assert np.abs(own - listed).max() < 1e-5
        assert np.abs(own - summed).max() < 1e-5


@pytest.mark.parametrize("dtype", DTYPES)
def test_sparse_and_dense_depression_are_the_same_bit_for_bit(dtype):
    weights, rows = shifting()

    def as_if_many(s):
        s.lives[:] = len(s.y)

    def counted(s):
        seen.append(int(np.count_nonzero(s.y)) * 8 <= len(s.y))
        s.lives[:] = -1

    seen = []
    dense, few = (kernel_run(weights, rows, {}, dtype, each) for each in (as_if_many, counted))
    own = kernel_run(weights, rows, {}, dtype)
    assert 0.1 < np.mean(seen) < 0.9
    for other in (dense, few):
        assert other[0].tobytes() == own[0].tobytes()
        keep = [name for name in own[2]._fields if name not in lif_pair.SCRATCH]
        assert same({k: getattr(other[2], k) for k in keep}, {k: getattr(own[2], k) for k in keep})
