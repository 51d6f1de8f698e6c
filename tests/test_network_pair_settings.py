"""The network stage with rule "pair" while its options change: against its twin, cut anywhere, saved in between."""

from __future__ import annotations

import math

import numpy as np
import pytest
from filter_cases import pieces, same
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_cases import (
    AXONS,
    LIVELY,
    SLOW_START,
    batch_of,
    busy,
    cuts,
    fired_of,
    inputs,
    network,
    options,
    random_weights,
    through,
    twin_run,
)

from spikestream.batch import Setting, concat, cut
from spikestream.errors import ConfigError

VALUES = {
    "a_plus": [0.0, 0.0173, 0.0571, 0.21],
    "a_minus": [0.0, 0.0313, 0.11],
    "tau_plus_ms": [0.03, 0.3, 4.0, 20.0, 90.0, 5000.0],
    "tau_minus_ms": [0.3, 4.0, 20.0, 90.0, 5000.0],
    "tau_m_ms": [5.0, 40.0, 1000.0],
    "v_thresh": [0.8137, 1.0137, 1.5137],
    "v_reset": [-0.31, 0.11],
    "inhibition": [0.0, 0.2179],
    "theta_plus": [0.0, 0.0173, 0.31],
    "tau_theta_ms": [0.5, 40.0, 1e7],
}
LEARN = ("tau_plus_ms", "tau_minus_ms", "a_plus", "a_minus")
SEEDS = st.integers(0, 99)


def key_of(name):
    return f"{'learn' if name in LEARN else 'network'}.{name}"


@st.composite
def changes(draw, ticks):
    """Draw (tick, name, value), several in one tick as well."""
    names = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=6))
    when = [draw(st.sampled_from(range(0, ticks, max(1, ticks // 7)))) for _ in names]
    return [(tick, name, draw(st.sampled_from(VALUES[name]))) for tick, name in zip(sorted(when), names, strict=True)]


def as_settings(found, tick_us=1000):
    return [Setting(tick * tick_us, key_of(name), value) for tick, name, value in found]


@given(data=st.data(), made=inputs(), more=options(), neurons=st.sampled_from([3, 24]), seed=SEEDS)
@settings(SLOW_START, max_examples=120)
def test_changed_options_count_from_their_tick_on(data, made, more, neurons, seed):
    rows, ticks = made
    found = data.draw(changes(ticks))
    weights = random_weights(seed, AXONS, neurons)
    twin, fired = twin_run(weights, rows, ticks, 1000, changes=found, **more)
    net = network(weights, **more)
    for setting in as_settings(found):
        net.command(setting)
    assert fired_of(net(batch_of(rows, ticks, 1000)), 1000) == fired
    assert net.weights == pytest.approx(twin.w, rel=1e-9, abs=1e-10)
    assert net.v == pytest.approx(twin.v, rel=1e-9, abs=1e-12)
    assert net.state()["y"] == pytest.approx(twin.y, rel=1e-9, abs=1e-11)


@pytest.mark.parametrize("name", VALUES)
def test_on_a_busy_network_each_option_may_change_again_and_again(name):
    weights, batch = busy(ticks=900)
    rows = list(zip((batch.t // 1000).tolist(), batch.axon.tolist(), strict=True))
    wheel = VALUES[name]
    found = [(64 * (k + 1) + k % 2 * 26, name, wheel[k % len(wheel)]) for k in range(12)]  # at a block's edge and not
    twin, fired = twin_run(weights, rows, 900, 1000, changes=found)
    net = network(weights)
    for setting in as_settings(found):
        net.command(setting)
    assert fired_of(net(batch), 1000) == fired
    assert len(fired) > 500
    assert net.weights == pytest.approx(twin.w, rel=1e-9, abs=1e-12)
    assert not np.allclose(net.weights, plain_weights(weights, batch), rtol=1e-6)


def plain_weights(weights, batch):
    net = network(weights)
    net(batch)
    return net.weights


@given(data=st.data(), made=inputs(), more=options(), dtype=st.sampled_from(["float32", "float64"]))
@SLOW_START
def test_with_changes_any_cut_gives_the_same(data, made, more, dtype):
    batch = batch_of(*made, 1000, data.draw(st.sampled_from([0, -777, 1_600_000_000_000])))
    found = [(tick + batch.start // 1000, name, value) for tick, name, value in data.draw(changes(made[1]))]
    weights = random_weights(1, AXONS, 24)
    whole, parted = (network(weights, dtype=dtype, **more) for _ in range(2))
    expected = through(whole, [batch], as_settings(found))
    got = through(parted, pieces(batch, data.draw(cuts(batch))), as_settings(found))
    assert fired_of(got, 1000) == fired_of(expected, 1000)
    assert same(whole.state(), parted.state())


@given(data=st.data(), made=inputs(), more=options(), dtype=st.sampled_from(["float32", "float64"]))
@SLOW_START
def test_a_state_saved_right_after_a_change_goes_on_bit_for_bit(data, made, more, dtype):
    rows, ticks = made
    batch = batch_of(rows, ticks, 1000)
    found = data.draw(changes(ticks))
    left, right = cut(batch, found[len(found) // 2][0] * 1000)
    first, second, steady = (network(random_weights(seed, AXONS, 24), dtype=dtype, **more) for seed in (1, 2, 1))
    for setting in as_settings(found):
        first.command(setting)
        steady.command(setting)
    first(left)
    second.restore(first.state())
    assert second.settings == first.settings
    assert second.weights.tobytes() == first.weights.tobytes()
    assert fired_of(second(right), 1000) == fired_of(first(right), 1000)
    steady(batch)
    assert same(first.state(), second.state())
    assert same(first.state(), steady.state())


def test_depression_that_is_switched_on_has_known_the_traces_all_along():
    # One spike out at 50 ms, depression from 55 ms on, one spike in at 60 ms: the window at -10 ms.
    more = {"v_thresh": 10.0, "v_reset": 0.0, "w_max": 40.0, "a_plus": 0.0, "a_minus": 0.0, "theta_plus": 0.0}
    net = network(np.array([[1.0], [20.0]]), **more)
    net.command(Setting(55_000, "learn.a_minus", 0.00525))
    assert len(net(batch_of([(50, 1), (60, 0)], 100, 1000))) == 1
    assert net.weights[0, 0] - 1 == pytest.approx(-0.00525 * math.exp(-10 / 20), rel=1e-12)


def test_what_waits_is_paid_with_the_old_rate_and_what_comes_with_the_new_one():
    more = {"v_thresh": 10.0, "v_reset": 0.0, "w_max": 40.0, "a_plus": 0.005, "a_minus": 0.0, "theta_plus": 0.0}
    net = network(np.array([[1.0], [20.0]]), tau_refrac_ms=0.0, inhibition=0.0, **more)
    net.command(Setting(65_000, "learn.a_plus", 0.5))
    net.command(Setting(65_000, "learn.tau_plus_ms", 5.0))
    assert len(net(batch_of([(50, 0), (60, 1), (70, 1)], 100, 1000))) == 2
    # The trace falls by the old constant up to tick 64, by the new one in tick 65 and on.
    left = math.exp(-14 / 20) * math.exp(-6 / 5)
    assert net.weights[0, 0] - 1 == pytest.approx(0.005 * math.exp(-10 / 20) + 0.5 * left, rel=1e-12)


def test_a_change_may_follow_a_gap_at_once():
    weights, batch = busy()
    later = busy(first=630)[1]
    rows = [(t // 1000, i) for part in (batch, later) for t, i in zip(part.t.tolist(), part.axon.tolist(), strict=True)]
    found = [(630, "tau_plus_ms", 7.0)]
    twin, fired = twin_run(weights, rows, 1230, 1000, changes=found)
    net = network(weights)
    for setting in as_settings(found):
        net.command(setting)
    out = fired_of(net(batch), 1000)
    assert len(net.skip(600_000, 630_000)) == 0
    assert out + fired_of(net(later), 1000) == fired
    assert net.weights == pytest.approx(twin.w, rel=1e-9, abs=1e-12)


def test_an_option_that_does_not_move_potentiation_leaves_the_sums_alone():
    weights, batch = busy()
    net = network(weights)
    net(batch)
    before = net.state()
    net._engine.set({"network.v_thresh": 1.5, "learn.a_minus": 0.2, "learn.tau_minus_ms": 3.0})
    assert same(net.state(), before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rates_that_fade_do_so_by_the_second(dtype):
    weights, batch = busy(ticks=3500)
    rows = list(zip((batch.t // 1000).tolist(), batch.axon.tolist(), strict=True))
    net = network(weights, dtype=dtype, rate_tau_ms=900.0, rate_floor=0.1)
    twice = network(weights, dtype=dtype, rate_tau_ms=900.0, rate_floor=0.1)
    factors = [max(0.1, math.exp(-k * 1000 / 900)) for k in range(4)]
    found = [(1000 * k, name, LIVELY[name] * factors[k]) for k in range(4) for name in ("a_plus", "a_minus")]
    out = net(batch)
    again = concat([twice(part) for part in pieces(batch, range(0, 3_500_000, 99_900))])
    assert fired_of(again, 1000) == fired_of(out, 1000)
    assert same(net.state(), twice.state())
    if dtype == "float64":
        twin, fired = twin_run(weights, rows, 3500, 1000, changes=found)
        assert fired_of(out, 1000) == fired
        assert len(fired) > 3000
        assert net.weights == pytest.approx(twin.w, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("learn.a_minus", -0.1),
        ("learn.tau_plus_ms", 0),
        ("learn.tau_plus_ms", math.nan),
        ("network.v_thresh", math.inf),
        ("network.v_reset", 1.0137),
        ("network.tau_m_ms", True),
        ("network.tau_m_ms", "20"),
        ("network.tau_refrac_ms", 1.0),
        ("learn.a_plu", 0.1),
    ],
)
def test_a_change_that_cannot_be_is_refused(key, value):
    net = network(random_weights(1, AXONS, 3))
    with pytest.raises(ConfigError) as caught:
        net.check(Setting(0, key, value))
    assert caught.value.key in (key, key.rpartition(".")[2])
    assert net.settings == network(random_weights(1, AXONS, 3)).settings
