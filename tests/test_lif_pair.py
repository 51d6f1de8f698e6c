"""The pair-STDP network against its dense twin, published numbers, and itself by another way of counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_cases import (
    AXONS,
    LIVELY,
    SLOW_START,
    batch_of,
    busy,
    fired_of,
    inputs,
    network,
    of_workload,
    options,
    random_weights,
    twin_run,
    workloads,
)

from spikestream.kernels import lif_pair

ALWAYS_LIST, ALWAYS_SUMS = 0, 1 << 40
"""Values of ``one_by_one`` that leave only one way to pay a row what it is owed."""


def kernel_run(weights, rows, ticks, tick_us, one_by_one=None, parts=1, **more):
    """Run the kernel itself; return its state, its settled weights and the (tick, neuron) of its spikes."""
    params = lif_pair.Params(**{"dtype": "float64", **LIVELY, **more})
    c = lif_pair.design(params, tick_us)
    c = c if one_by_one is None else c._replace(one_by_one=one_by_one)
    s = lif_pair.init(*weights.shape, params, tick_us, parts)
    s.weights[...] = weights
    batch = batch_of(rows, ticks, tick_us)
    out = np.empty(ticks * weights.shape[1], np.int64), np.empty(ticks * weights.shape[1], np.int32)
    span = (0, ticks, tick_us)
    count, heard = lif_pair.run(c, s, (0, len(s.start)), span, batch.t, batch.axon, (True, True), *out)
    assert heard == len(rows)
    return s, lif_pair.settled(c, s), list(zip(out[0][:count].tolist(), out[1][:count].tolist(), strict=True))


@given(
    made=inputs(),
    more=options(),
    neurons=st.sampled_from([1, 3, 24]),
    parts=st.sampled_from([1, 2]),
    tick_us=st.sampled_from([500, 1000, 1300]),
    seed=st.integers(0, 99),
    one_by_one=st.sampled_from([ALWAYS_LIST, None, ALWAYS_SUMS]),
)
@settings(SLOW_START, max_examples=120)
def test_the_kernel_equals_its_dense_twin(made, more, neurons, parts, tick_us, seed, one_by_one):
    rows, ticks = made
    weights = random_weights(seed, AXONS, neurons)
    twin, fired = twin_run(weights, rows, ticks, tick_us, **more)
    state, learned, got = kernel_run(weights, rows, ticks, tick_us, one_by_one, parts, **more)
    assert len(state.start) == (parts if neurons == 24 else 1)
    assert got == fired
    assert learned == pytest.approx(twin.w, rel=1e-9, abs=1e-10)
    assert state.v == pytest.approx(twin.v, rel=1e-9, abs=1e-12)
    assert state.theta * state.fade[0] == pytest.approx(twin.theta, rel=1e-9, abs=1e-12)
    assert state.y == pytest.approx(twin.y, rel=1e-9, abs=1e-11)


@pytest.mark.parametrize("tau_plus_ms", [0.3, 4.0, 20.0, 700.0])
def test_weights_may_be_read_after_any_tick(tau_plus_ms):
    weights, batch = busy(ticks=200)
    net = network(weights, tau_plus_ms=tau_plus_ms)
    rows = list(zip((batch.t // 1000).tolist(), batch.axon.tolist(), strict=True))
    twin, _ = twin_run(weights, [], 0, 1000, tau_plus_ms=tau_plus_ms)
    for tick in range(200):
        net(batch_of([(0, i) for k, i in rows if k == tick], 1, 1000, tick))
        twin.tick([i for k, i in rows if k == tick])
        assert net.weights == pytest.approx(twin.w, rel=1e-10), tick


@pytest.mark.parametrize("axons", [1, 256, 700, 1031])
def test_rows_of_silent_axons_are_swept_in_time_whatever_their_number(axons):
    # The last axon drives one neuron all along; each other one spikes once, and is owed for longer than the rings last.
    weights = random_weights(3, axons, 3)
    weights[-1] = LIVELY["w_max"]
    ticks = 2600
    rows = sorted([(3 * k % 900, k) for k in range(axons - 1)] + [(k, axons - 1) for k in range(0, ticks, 2)])
    more = {"tau_plus_ms": 600.0, "a_plus": 1e-4, "a_minus": 0.0}
    twin, fired = twin_run(weights, rows, ticks, 1000, **more)
    _, learned, got = kernel_run(weights, rows, ticks, 1000, **more)
    assert got == fired
    assert len(fired) > 300
    assert learned == pytest.approx(twin.w, rel=1e-9)


@pytest.mark.parametrize(
    ("workload", "spikes", "fingerprint", "share", "apart"),
    [
        (lambda: workloads.w1(100), 584, "0ffd564968036e93", 12075.765233 / 78_400, 7.8e-7),
        (lambda: workloads.w2(10_000).first(500), 11738, "4bd156c68f16d264", 0.5001101, 1.4e-6),
        (lambda: workloads.w2(100_000).first(100), 1871, "913e726b40230bc4", 0.5018168, 1.4e-6),
    ],
)
def test_the_published_spikes_of_a_workload(workload, spikes, fingerprint, share, apart):
    loads = workload()
    exact, batch = of_workload(loads, "float64")
    out = exact(batch)
    ticks = out.t // exact.tick_us
    assert len(out) == spikes
    assert workloads.fingerprint(ticks, out.axon) == fingerprint
    assert exact.weights.mean() / loads.params.w_max == pytest.approx(share, abs=6e-8)
    single, _ = of_workload(loads, "float32")
    again = single(batch)
    per_tick = np.bincount(ticks, minlength=loads.length)
    assert np.bincount(again.t // exact.tick_us, minlength=loads.length).tolist() == per_tick.tolist()
    assert single.weights.dtype == np.float32
    assert np.abs(single.weights - exact.weights).max() <= apart * loads.params.w_max


@pytest.mark.parametrize(
    "workload",
    [lambda: workloads.w1(100).first(1500), lambda: workloads.w2(10_000, neurons=120).first(150)],
    ids=["w1", "w2"],
)
def test_weights_of_a_short_workload_equal_the_dense_twin(workload):
    loads = workload()
    net, batch = of_workload(loads, "float64")
    out = net(batch)
    constants = {key: getattr(loads.params, key) for key in loads.params.__dataclass_fields__ if key != "dt_ms"}
    rows = list(zip(loads.ticks.tolist(), loads.inputs.tolist(), strict=True))
    twin, fired = twin_run(loads.weights, rows, loads.length, net.tick_us, **constants)
    assert fired_of(out, net.tick_us) == fired
    assert len(fired) > 30
    assert net.weights == pytest.approx(twin.w, rel=1e-9, abs=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_by_one_and_by_sums_come_to_the_same(dtype):
    rng = np.random.default_rng(5)
    weights = random_weights(5, 40, 60)
    rows = [(tick, int(i)) for tick in range(900) for i in np.unique(rng.integers(0, 40, rng.poisson(0.8)))]
    runs = [kernel_run(weights, rows, 900, 1000, way, dtype=dtype) for way in (ALWAYS_LIST, None, ALWAYS_SUMS)]
    assert len(runs[0][2]) > 2000
    for _, learned, fired in runs[1:]:
        if dtype == "float64":
            assert fired == runs[0][2]
            assert learned == pytest.approx(runs[0][1], rel=1e-11)
        else:  # a spike may move where rounding differs
            assert len(fired) == pytest.approx(len(runs[0][2]), rel=0.01)


# Numbers of the pair window, A_plus 0.005, A_minus 0.00525, both 20 ms: Song et al. 2000, computed by hand from exp().


@pytest.mark.parametrize(
    ("apart", "pairs", "moved"),
    [
        (10, 1, 0.00303265),
        (-10, 1, -0.00318429),
        (1, 1, 0.00475615),
        (-1, 1, -0.00499395),
        (0, 1, 0.005),
        (10, 60, 0.1819592),
        (-10, 60, -0.1910572),
    ],
)
def test_the_pair_window(apart, pairs, moved):
    # Axon 1 makes the neuron fire in its own tick, axon 0 is too weak to; apart = ticks from axon 0's spike to it.
    rows = [(50 + 1000 * k + (0 if axon == 0 else apart), axon) for k in range(pairs) for axon in (0, 1)]
    more = {"v_thresh": 10.0, "v_reset": 0.0, "w_max": 40.0, "a_plus": 0.005, "a_minus": 0.00525, "theta_plus": 0.0}
    net = network(np.array([[1.0], [20.0]]), **more)
    assert len(net(batch_of(sorted(rows), 1000 * pairs, 1000))) == pairs
    assert net.weights[0, 0] - 1 == pytest.approx(moved, rel=2e-6)


def test_weights_stay_between_their_bounds_and_reach_them():
    rng = np.random.default_rng(8)
    rows = [(tick, int(i)) for tick in range(4000) for i in np.unique(rng.integers(0, 12, 3))]
    for more, bound in (({"a_plus": 0.3, "a_minus": 0.01}, LIVELY["w_max"]), ({"a_plus": 0.01, "a_minus": 0.3}, 0.0)):
        net = network(random_weights(8, 12, 30), dtype="float32", **more)
        net(batch_of(rows, 4000, 1000))
        assert net.weights.min() >= 0
        assert net.weights.max() <= np.float32(LIVELY["w_max"])
        assert np.mean(net.weights == np.float32(bound)) > 0.5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_subnormal_number_outlives_a_silence(dtype):
    rng = np.random.default_rng(9)
    rows = [(tick, int(i)) for tick in range(200) for i in np.unique(rng.integers(0, 12, 2))]
    net = network(random_weights(9, 12, 30), dtype=dtype)
    assert len(net(batch_of(rows, 200, 1000))) > 100
    least = np.finfo(dtype).tiny
    for first in range(200, 12_000, 100):
        net(batch_of([], 100, 1000, first))
        for name in ("weights", "v", "theta", "y", "x", "sums"):
            array = np.abs(net.state()[name])
            assert not np.any((array > 0) & (array < least)), (name, first)
    assert not net.state()["x"].any()
    assert not net.state()["v"].any()
    assert not net.state()["y"].any()
