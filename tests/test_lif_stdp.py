"""The network kernel: equal to its naive twin bit for bit, and to what can be reckoned by hand.

All of it also holds for the kernel as plain Python: NUMBA_DISABLE_JIT=1 pytest tests/test_lif_stdp.py
"""

from __future__ import annotations

from dataclasses import replace

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikestream.kernels import lif_stdp
from spikestream.kernels.lif_stdp import Params

F = np.float32
COMPILED = hasattr(lif_stdp.run, "py_func")
LONG = 100_000 if COMPILED else 10_000
HALVING_MS = 1 / np.log(2)  # a time constant that halves in a tick of 1 ms
SLOW_START = settings(max_examples=150, deadline=None)  # the first example may compile the kernel


def make(params, weights, tick_us=1000):
    """Return coefficients and a state at rest with these weights, one row an axon."""
    state = lif_stdp.init(len(weights), len(weights[0]), params, tick_us)
    state.weights[...] = weights
    return lif_stdp.design(params, tick_us), state


def run(made, by_tick, adapting=True, plastic=True, first=0, tick_us=1000):
    """Run one tick for each list of axons; return (tick, neuron) of all spikes and what was consumed."""
    axon = np.array([i for axons in by_tick for i in axons], np.int32)
    t = np.array([(first + k) * tick_us for k, axons in enumerate(by_tick) for _ in axons], np.int64)
    ticks, neurons = np.empty(len(by_tick), np.int64), np.empty(len(by_tick), np.int32)
    span = (first, first + len(by_tick), tick_us)
    count, taken = lif_stdp.run(*made, span, t, axon, (adapting, plastic), ticks, neurons)
    return list(zip(ticks[:count].tolist(), neurons[:count].tolist(), strict=True)), taken


def equal(state, twin):
    """Assert that kernel and twin remember the same, bit for bit."""
    for name in ("weights", "v", "theta"):
        assert getattr(state, name).tobytes() == np.array(getattr(twin, name), F).tobytes(), name
    for name in ("refrac", "wins", "last"):
        assert getattr(state, name).tolist() == getattr(twin, name), name
    assert state.taught.tolist() == [twin.lesson]


PARAMS = st.builds(
    Params,
    tau_m_ms=st.sampled_from([0.7, 20.0, 1e4]),
    v_thresh=st.sampled_from([0.0, 0.25, 0.8]),
    v_reset=st.sampled_from([-7.0, -0.5, -0.1]),
    v_floor=st.sampled_from([0.0, 0.4, 6.0]),
    tau_refrac_ms=st.sampled_from([0.0, 1.0, 3.4]),
    inhibition=st.sampled_from([0.0, 0.3, 3.0]),
    theta_plus=st.sampled_from([0.0, 0.1]),
    tau_theta_ms=st.sampled_from([5.0, 1e5]),
    theta_half=st.sampled_from([0.0, 0.5, 3.0]),
    theta_shared=st.sampled_from([0.0, 0.4, 1.0]),
    lesson_ms=st.sampled_from([0.0, 3.0, 20.0]),
    tau_plus_ms=st.sampled_from([0.05, 1.0, 30.0]),
    rate_start=st.sampled_from([0.05, 1.0]),
    rate_end=st.sampled_from([0.0, 0.02]),
    wins_half=st.sampled_from([0.5, 10.0]),
    w_max=st.sampled_from([0.3, 1.0]),
    w_norm=st.sampled_from([0.5, 1.0, 2.0]),
    seed=st.integers(0, 5),
)
STREAM = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 11)), min_size=40, max_size=120)


def ticks_of(stream, axons):
    """Return at least 110 ticks, each a list of axons, from (ticks since the last spike, axon)."""
    now = 0
    by_tick = {}
    for step, axon in stream:
        now += step
        by_tick.setdefault(now, []).append(axon % axons)
    return [by_tick.get(k, []) for k in range(max(110, now + 20))]


@given(
    params=PARAMS,
    axons=st.integers(1, 12),
    neurons=st.integers(1, 6),
    tick_us=st.sampled_from([250, 1000, 2000]),
    first=st.sampled_from([0, 7, -60, 1_600_000_000_000]),
    modes=st.tuples(st.booleans(), st.booleans()),
    stream=STREAM,
)
@SLOW_START
def test_the_kernel_equals_its_naive_twin(params, axons, neurons, tick_us, first, modes, stream):
    made = lif_stdp.design(params, tick_us), lif_stdp.init(axons, neurons, params, tick_us)
    twin = naive.Lif(params, tick_us, made[1].weights.tolist())
    by_tick = ticks_of(stream, axons)
    fired, taken = run(made, by_tick, *modes, first=first, tick_us=tick_us)
    winners = [(first + k, twin.tick(first + k, axon, *modes)) for k, axon in enumerate(by_tick)]
    assert fired == [(tick, winner) for tick, winner in winners if winner is not None]
    assert taken == len(stream)
    equal(made[1], twin)


@pytest.mark.parametrize("modes", [(True, True), (True, False), (False, False), (False, True)])
def test_a_busy_network_equals_its_twin_too(modes):
    rng = np.random.default_rng(5)
    params = Params(theta_plus=0.002)
    made = lif_stdp.design(params, 1000), lif_stdp.init(12, 6, params, 1000)
    twin = naive.Lif(params, 1000, made[1].weights.tolist())
    by_tick = [rng.integers(0, 12, rng.integers(0, 9)).tolist() for _ in range(600)]
    fired, _ = run(made, by_tick, *modes)
    assert len(fired) > 50
    assert len({neuron for _, neuron in fired}) > 1
    assert fired == [(k, j) for k, axon in enumerate(by_tick) if (j := twin.tick(k, axon, *modes)) is not None]
    equal(made[1], twin)


# One tick, in the order: decay, deliver, integrate, clamp, fire, inhibit, learn.

HALVES = Params(tau_m_ms=HALVING_MS, tau_theta_ms=HALVING_MS, tau_plus_ms=HALVING_MS, v_thresh=100.0, w_max=10.0)


def test_voltage_decays_before_input_arrives():
    made = make(HALVES, [[0.5]])
    made[1].v[0] = 1
    run(made, [[0]])
    assert made[1].v[0] == 1.0  # 1 / 2 + 1/2; input first would make it 3/4


def test_the_threshold_decays_before_it_is_compared_and_grows_after():
    made = make(replace(HALVES, v_thresh=0.25, theta_plus=0.75), [[0.8]])
    made[1].theta[0] = 1
    assert run(made, [[0]], plastic=False)[0] == [(0, 0)]  # 0.8 > 0.25 + 1 / 2
    assert made[1].theta[0] == 1.25  # 1 / 2 + 3/4, not (1 + 3/4) / 2


def test_the_traces_hold_the_spikes_of_the_same_tick():
    made = make(replace(HALVES, v_thresh=0.5, rate_start=1.0, w_norm=1.0), [[0.75], [0.25]])
    run(made, [[0]])
    assert made[1].last.tolist() == [0, -(2**62)]
    assert made[1].weights.tolist() == [[1.0], [0.0]]  # at rate 1 the weights are the traces


def test_a_clamped_neuron_loses_the_input_of_its_tick():
    made = make(HALVES, [[0.5]])
    made[1].refrac[0] = 1
    run(made, [[0]])
    assert (made[1].v[0], made[1].refrac[0]) == (0.0, 0)


def test_a_clamped_neuron_cannot_fire_and_leaves_the_tick_to_others():
    made = make(replace(HALVES, v_thresh=0.25), [[5.0, 0.5]])
    made[1].refrac[0] = 1
    assert run(made, [[0], [0]], plastic=False)[0] == [(0, 1), (1, 0)]


def test_inhibition_comes_after_the_spike_and_spares_the_winner():
    params = replace(HALVES, v_thresh=0.25, inhibition=1.0, v_floor=0.75, v_reset=-0.5)
    made = make(params, [[1.0, 0.5, 5.0, -0.5]])
    made[1].refrac[2] = 2
    assert run(made, [[0]], plastic=False)[0] == [(0, 0)]
    # The winner at reset; 1/2 - 1; a clamped rival at -1/2 - 1 and a low one at -1/2 - 1 down to the floor.
    assert made[1].v.tolist() == [-0.5, -0.5, -0.75, -0.75]


def test_learning_comes_last_and_its_rate_from_the_wins_before():
    params = replace(HALVES, v_thresh=0.5, rate_start=0.5, rate_end=0.25, wins_half=1.0, w_norm=2.0)
    made = make(params, [[2.0, 1.0], [1.0, 0.5]])
    run(made, [[0]])
    moved = np.array([1.5, 0.5])  # half of the way to the traces 1 and 0: the rate of a neuron without wins
    assert made[1].weights[:, 0] == pytest.approx(2 * moved / np.hypot(*moved), rel=1e-6)
    assert made[1].weights[:, 1].tolist() == [1.0, 0.5]  # the loser got the input, but no lesson
    assert made[1].wins.tolist() == [1, 0]


# By hand.


def test_voltage_and_threshold_decay_by_their_time_constants():
    made = make(Params(tau_m_ms=20, tau_theta_ms=50, v_thresh=9), [[0.5]], tick_us=500)
    made[1].v[0], made[1].theta[0] = 2, 3
    run(made, [[]] * 40, tick_us=500)
    assert made[1].v[0] == pytest.approx(2 * np.exp(-1), rel=1e-5)
    assert made[1].theta[0] == pytest.approx(3 * np.exp(-0.4), rel=1e-5)


def test_one_lesson_moves_each_weight_towards_its_trace_and_keeps_the_length():
    params = Params(tau_plus_ms=2 * HALVING_MS * 2, rate_start=0.25, rate_end=0.0, wins_half=3.0, w_norm=1.0)
    made = make(params, [[0.6], [0.8], [0.0]])
    made[1].wins[0] = 9  # rate 0.25 / (1 + 9 / 3) = 1/16
    made[1].last[:] = [10, 6, -(2**62)]
    lif_stdp.learn(*made, 10, 0)
    moved = np.array([0.6 + (1 - 0.6) / 16, 0.8 + (0.5 - 0.8) / 16, 0.0])  # traces 1, 1/2 after 4 ms, 0
    assert made[1].weights[:, 0] == pytest.approx(moved / np.sqrt((moved**2).sum()), rel=1e-6)


def test_a_weight_above_the_limit_is_cut_before_it_learns():
    made = make(Params(rate_start=0.5, rate_end=0.5, w_max=0.5, w_norm=1.0), [[4.0], [0.25]])
    made[1].last[:] = 0
    lif_stdp.learn(*made, 0, 0)
    assert made[1].weights[:, 0] == pytest.approx(np.array([0.75, 0.625]) / np.hypot(0.75, 0.625), rel=1e-6)


def test_an_all_but_empty_column_is_not_blown_up():
    made = make(Params(rate_start=0, rate_end=0, w_norm=2.0), [[0.0, 3e-4], [0.0, 4e-4]])
    for neuron in (0, 1):
        lif_stdp.learn(*made, 0, neuron)
    assert made[1].weights[:, 0].tolist() == [0.0, 0.0]
    assert made[1].weights[:, 1] == pytest.approx([0.6, 0.8], rel=1e-6)  # times 2 / 0.001, not 2 / 0.0005


def test_one_neuron_fires_in_a_tick_the_farthest_above_its_own_threshold():
    params = Params(v_thresh=0.25, inhibition=0.0, tau_refrac_ms=0.0, tau_m_ms=1e9)
    made = make(params, [[0.5, 1.0, 0.75, 0.75]])
    made[1].theta[1] = 0.5  # above threshold by 0.25, 0.25, 0.5, 0.5
    fired, _ = run(made, [[0], [], [], [], []], adapting=False, plastic=False)
    assert fired == [(0, 2), (1, 3), (2, 0), (3, 1)]  # of equals, the first


def test_at_the_threshold_is_not_above_it():
    edge = F(0.25) + F(0.5)
    for weight, fires in ((edge, []), (np.nextafter(edge, F(1)), [(0, 0)])):
        made = make(Params(v_thresh=0.25), [[weight]])
        made[1].theta[0] = 0.5
        assert run(made, [[0]], adapting=False)[0] == fires


@pytest.mark.parametrize(("tau_refrac_ms", "period"), [(0.0, 1), (1.0, 2), (3.0, 4), (2.6, 4)])
def test_a_neuron_is_clamped_for_just_its_refractory_ticks(tau_refrac_ms, period):
    made = make(Params(tau_refrac_ms=tau_refrac_ms), [[1.0]])
    fired, _ = run(made, [[0]] * 13, adapting=False, plastic=False)
    assert [tick for tick, _ in fired] == list(range(0, 13, period))


def test_a_trace_is_cut_at_fourteen_time_constants():
    for age, expected in ((139, np.exp(-13.9)), (140, 0.0), (10**12, 0.0)):
        made = make(Params(tau_plus_ms=10.0, rate_start=1.0, rate_end=1.0), [[0.0], [0.5]])
        made[1].last[:] = [10**12 - age, 10**12]
        lif_stdp.learn(*made, 10**12, 0)
        assert made[1].weights[0, 0] == pytest.approx(expected, rel=1e-5)


def test_a_tick_longer_than_all_traces_still_hears_its_own_spikes():
    made = make(Params(tau_plus_ms=0.01, rate_start=1.0, rate_end=1.0), [[0.5], [0.5]])
    made[1].v[0] = 1
    run(made, [[0], [1]], plastic=False)
    lif_stdp.learn(*made, 1, 0)
    assert made[1].weights[:, 0].tolist() == [0.0, 1.0]


def test_a_seed_decides_the_weights():
    one, same, other = (lif_stdp.init(50, 7, Params(seed=seed, w_norm=3.0), 1000).weights for seed in (1, 1, 2))
    assert one.tobytes() == same.tobytes() != other.tobytes()
    assert one.min() >= 0
    assert np.linalg.norm(one, axis=0) == pytest.approx(np.full(7, 3.0), rel=1e-6)
    drawn = np.random.default_rng(1).random((50, 7), dtype=F)
    assert one / one[0] == pytest.approx(drawn / drawn[0], rel=1e-5)  # scaled column by column, all else as drawn


def test_only_the_spikes_of_the_ticks_run_are_consumed():
    made = make(Params(), [[0.25], [0.25]])
    t = np.array([5000, 5999, 6000, 6999, 7000, 9000], np.int64)
    ticks, neurons = np.empty(4, np.int64), np.empty(4, np.int32)
    for span, expected in (((5, 5, 1000), 0), ((5, 6, 1000), 2), ((6, 7, 1000), 2), ((7, 9, 1000), 1)):
        _, taken = lif_stdp.run(*made, span, t, np.zeros(len(t), np.int32), (False, False), ticks, neurons)
        assert taken == expected
        t = t[taken:]
    assert (t.tolist(), made[1].last.tolist()) == ([9000], [7, -(2**62)])


# Lessons that are apart, thresholds that share.


def test_a_lesson_comes_to_a_spike_only_when_the_last_is_long_enough_ago():
    params = Params(lesson_ms=3.0, tau_refrac_ms=0.0, inhibition=0.0, theta_plus=0.0, rate_start=0.5, v_thresh=0.1)
    made = make(params, [[0.5], [0.5]])
    fired, wins = [], []
    for tick in range(7):
        fired += run(made, [[0]], first=tick)[0]
        wins.append(int(made[1].wins[0]))
    assert fired == [(tick, 0) for tick in range(7)]  # it fires, and is inhibited, in between
    assert wins == [1, 1, 1, 2, 2, 2, 3]


def test_between_lessons_thresholds_stand_still_too():
    made = make(Params(lesson_ms=5.0, tau_refrac_ms=0.0, theta_plus=0.01, tau_theta_ms=1e12), [[1.0]])
    assert len(run(made, [[0]] * 5)[0]) == 5
    assert made[1].theta.tolist() == [F(0.01)]


def test_the_rise_of_a_threshold_falls_with_the_wins_of_its_neuron_alone():
    made = make(Params(theta_plus=0.5, theta_half=4.0, tau_refrac_ms=0.0, tau_theta_ms=1e12), [[9.0, 0.0]])
    made[1].wins[:] = [12, 0]
    lif_stdp.adapt(*made, 0)
    lif_stdp.adapt(*made, 1)
    assert made[1].theta.tolist() == [0.125, 0.5]  # 1/2 / (1 + 12 / 4)


def test_shared_thresholds_keep_their_sum():
    made = make(Params(theta_plus=0.75, theta_shared=1.0), [[1.0, 1.0, 1.0]])
    lif_stdp.adapt(*made, 1)
    assert made[1].theta.tolist() == [-0.25, 0.5, -0.25]
    made = make(Params(theta_plus=0.75, theta_shared=0.5), [[1.0, 1.0, 1.0]])
    lif_stdp.adapt(*made, 1)
    assert made[1].theta.tolist() == [-0.125, 0.625, -0.125]


def test_a_neuron_that_never_wins_is_recruited_where_thresholds_are_shared():
    rng = np.random.default_rng(4)
    shared = Params(v_thresh=0.25, theta_plus=0.05, theta_shared=1.0, tau_refrac_ms=0.0, tau_theta_ms=1e12)
    for params, winners in ((replace(shared, theta_plus=0.0), 1), (shared, 6)):
        weights = 0.1 * rng.random((12, 6), dtype=F)
        weights[:, 0] = 0.3  # at first it matches everything best
        made = make(params, weights)
        run(made, [[0, 1, 2]] * 4000)
        assert np.count_nonzero(made[1].wins) == winners


def test_reset_forgets_what_was_heard_and_nothing_that_was_learned():
    params = Params(lesson_ms=50.0)
    made = lif_stdp.design(params, 1000), lif_stdp.init(12, 4, params, 1000)
    run(made, [[i % 12, (i * 5) % 12] for i in range(33)])
    kept = [array.tobytes() for array in (made[1].weights, made[1].theta, made[1].wins)]
    lif_stdp.reset(made[1])
    rest = lif_stdp.init(12, 4, params, 1000)
    for name in ("v", "refrac", "last", "taught"):
        assert getattr(made[1], name).tolist() == getattr(rest, name).tolist(), name
    assert [array.tobytes() for array in (made[1].weights, made[1].theta, made[1].wins)] == kept


# Silence, and the long run.


@given(
    ticks=st.integers(0, 400),
    v=st.lists(st.floats(-6, 0.25, width=32), min_size=4, max_size=4),
    theta=st.lists(st.floats(0, 50, width=32), min_size=4, max_size=4),
    refrac=st.lists(st.integers(0, 12), min_size=4, max_size=4),
    v_reset=st.sampled_from([-2.0, 0.0, 0.1]),
    adapting=st.booleans(),
)
@SLOW_START
def test_rest_is_what_silent_ticks_come_to(ticks, v, theta, refrac, v_reset, adapting):
    params = Params(tau_m_ms=15.0, tau_theta_ms=90.0, v_reset=v_reset)
    ticked, rested = (make(params, [[0.5] * 4], 500) for _ in range(2))
    for _, state in (ticked, rested):
        state.v[...], state.theta[...], state.refrac[...] = v, theta, refrac
    assert run(ticked, [[]] * ticks, adapting, tick_us=500)[0] == []
    lif_stdp.rest(params, rested[1], ticks, ticks * adapting, 500)
    for name in ("v", "theta"):
        assert getattr(rested[1], name) == pytest.approx(getattr(ticked[1], name), rel=1e-4, abs=1e-6), name
    assert rested[1].refrac.tolist() == ticked[1].refrac.tolist()


@given(ticks=st.integers(0, 10**13), refrac=st.lists(st.integers(0, 9), min_size=3, max_size=3), adapting=st.booleans())
@SLOW_START
def test_rest_equals_its_naive_twin(ticks, refrac, adapting):
    params = Params(v_reset=-0.5)
    made = make(params, [[0.5] * 3], 700)
    twin = naive.Lif(params, 700, [[0.5] * 3])
    for state in (made[1], twin):
        state.v[:], state.theta[:], state.refrac[:] = [F(-3), F(0.2), F(7)], [F(1), F(0), F(9)], refrac
    lif_stdp.rest(params, made[1], ticks, ticks * adapting, 700)
    twin.rest(ticks, adapting)
    equal(made[1], twin)


def test_a_long_silence_leaves_everything_finite_and_the_network_able_to_learn():
    rng = np.random.default_rng(2)
    made = lif_stdp.design(Params(), 1000), lif_stdp.init(12, 3, Params(), 1000)
    busy = [rng.integers(0, 12, 6).tolist() for _ in range(50)]
    assert run(made, busy)[0]
    run(made, [[]] * LONG, first=50)
    lif_stdp.rest(Params(), made[1], 10**15, 10**15, 1000)
    assert np.abs(made[1].v).max() == made[1].theta.max() == 0
    assert run(made, busy, first=10**15)[0]
    assert all(np.isfinite(array).all() for array in made[1])


def test_a_long_run_keeps_weights_in_bounds_and_columns_at_their_length():
    rng = np.random.default_rng(3)
    params = Params(w_norm=0.75, theta_plus=0.02)
    made = lif_stdp.design(params, 1000), lif_stdp.init(12, 4, params, 1000)
    t = np.sort(rng.integers(0, LONG * 1000, LONG * 2))
    ticks, neurons = np.empty(LONG, np.int64), np.empty(LONG, np.int32)
    axon = rng.integers(0, 12, len(t)).astype(np.int32)
    count, taken = lif_stdp.run(*made, (0, LONG, 1000), t, axon, (True, True), ticks, neurons)
    assert taken == len(t)
    assert made[1].wins.tolist() == np.bincount(neurons[:count], minlength=4).tolist()
    assert made[1].wins.min() > LONG // 1000
    assert 0 <= made[1].weights.min() <= made[1].weights.max() <= 0.75
    assert np.linalg.norm(made[1].weights, axis=0) == pytest.approx(np.full(4, 0.75), rel=1e-5)
    assert np.isfinite(made[1].theta).all()
