"""The network stage: ticks on an absolute grid, cut anywhere, switched, skipped, and equal to its naive twin."""

from __future__ import annotations

from dataclasses import replace

import naive
import numpy as np
import pytest
from filter_cases import pieces, same
from hypothesis import given, settings
from hypothesis import strategies as st
from network_cases import (
    EAGER,
    LIVELY,
    SLOW_START,
    busy,
    cuts,
    enabled,
    network,
    rows_of,
    spikes,
    streams,
    switches,
    through,
)

from spikestream.batch import Label, Setting, check, no_spikes
from spikestream.kernels.lif_stdp import Params
from spikestream.pipeline import Pipeline


def twin_of(net, batch, commands):
    """Run the naive twin on a whole batch; return it and the (stamp, neuron) of its spikes."""
    tick_us = net.tick_us
    twin = naive.Lif(Params(**LIVELY), tick_us, net.weights.tolist())
    learning, fired = net.learning, []
    for k in range(batch.start // tick_us, batch.stop // tick_us):
        begin, end = k * tick_us, (k + 1) * tick_us
        for command in commands:
            # In force from the first tick that starts at or after its time.
            if begin - tick_us < command.t <= begin:
                learning = command.value
        inside = [int(i) for t, i in zip(batch.t, batch.axon, strict=True) if begin <= t < end]
        if (winner := twin.tick(k, inside, learning, learning and net.rule == "stdp")) is not None:
            fired.append((end - 1, winner))
    return twin, fired


@given(data=st.data(), batch=streams(), rule=st.sampled_from(["stdp", "none"]), learning=st.booleans())
@settings(SLOW_START, max_examples=200)
def test_the_stage_equals_its_naive_twin_however_it_is_cut(data, batch, rule, learning):
    net = network(rule=rule, learning=learning, tick_us=data.draw(st.sampled_from([500, 1000])))
    commands = data.draw(switches(batch))
    twin, fired = twin_of(net, batch, commands)
    parts = pieces(batch, data.draw(cuts(batch)))
    assert rows_of(through(net, parts, commands)) == fired
    state = net.state()
    for name in ("weights", "v", "theta"):
        assert state[name].tobytes() == np.array(getattr(twin, name), np.float32).tobytes(), name
    for name in ("refrac", "wins", "last"):
        assert state[name].tolist() == getattr(twin, name), name


@given(data=st.data(), batch=streams())
@SLOW_START
def test_any_cut_gives_the_same_spikes_state_and_account(data, batch):
    whole, parted = network(), network()
    commands = data.draw(switches(batch))
    expected = through(whole, [batch], commands)
    parts = pieces(batch, data.draw(cuts(batch)))
    got = through(parted, parts, commands)
    assert rows_of(got) == rows_of(expected)
    assert same(whole.state(), parted.state())
    assert whole.account == parted.account
    # In each answer: its interval, and no spike that an earlier part had completed or that this one has not.
    for part, answer in zip(parts, got, strict=True):
        check(answer)
        assert (answer.start, answer.stop) == (part.start, part.stop)
        assert np.all(answer.t % 1000 == 999)


def test_cut_around_every_spike_it_is_still_the_same():
    whole, parted, batch = network(), network(), busy()
    expected = rows_of([whole(batch)])
    assert len(expected) > 20
    edges = sorted({int(t) + d for t in batch.t for d in (0, 1)})
    assert rows_of([parted(part) for part in pieces(batch, edges)]) == expected
    assert same(whole.state(), parted.state())
    assert whole.state()["wins"].sum() == len(expected)


def test_a_spike_comes_with_the_batch_that_completes_its_tick():
    net = network(**EAGER)
    parts = pieces(spikes([(10, 0), (1_700, 1)], 0, 3_000), [10, 11, 999, 1_000, 1_999, 2_000, 2_001])
    assert [answer.t.tolist() for answer in through(net, parts)] == [[], [], [], [999], [], [1_999], [], []]


# Gaps.


@given(batch=streams(most=25), data=st.data())
@SLOW_START
def test_a_gap_finishes_the_tick_under_way_and_rests(batch, data):
    net, on = network(), data.draw(st.booleans())
    net.learning = on
    twin, fired = twin_of(net, replace(batch, stop=batch.stop // 1000 * 1000), [])
    first, stop = batch.stop // 1000, batch.stop + data.draw(st.integers(1, 40_000))
    rested = stop // 1000 - first
    if rested > 0 and batch.stop % 1000:  # it broke off inside a tick
        held = [int(i) for t, i in zip(batch.t, batch.axon, strict=True) if t >= first * 1000]
        if (winner := twin.tick(first, held, on, on)) is not None:
            fired.append((first * 1000 + 999, winner))
        rested -= 1
    twin.rest(max(0, rested), on)
    answers = [net(batch), net.skip(batch.stop, stop)]
    check(answers[1])
    assert (answers[1].start, answers[1].stop) == (batch.stop, stop)
    assert rows_of(answers) == fired
    assert net.state()["v"].tobytes() == np.array(twin.v, np.float32).tobytes()
    assert net.state()["theta"].tobytes() == np.array(twin.theta, np.float32).tobytes()
    assert net.account.held == len(net.state()["held_t"])
    assert net.account.taken + net.account.held == len(batch)
    assert net.account.held == 0 or stop // 1000 == first


def test_a_gap_inside_a_tick_leaves_the_tick_under_way():
    net = network(**EAGER)
    assert rows_of([net(spikes([(1_100, 0)], 1_000, 1_200)), net.skip(1_200, 1_700)]) == []
    assert net.state()["held_t"].tolist() == [1_100]
    assert rows_of([net(spikes([(1_800, 1)], 1_700, 2_000))]) == [(1_999, net.state()["wins"].argmax())]
    assert net.state()["last"].tolist() == [1, 1, *[-(2**62)] * 4]


def test_a_gap_is_forgotten_thresholds_and_an_old_trace():
    net = network()
    net(busy())
    theta = net.state()["theta"]
    net.skip(100_000, 30_100_000)
    assert net.state()["theta"] == pytest.approx(theta * np.exp(-0.3), rel=1e-4)
    assert np.abs(net.state()["v"]).max() == 0
    before = net.state()["last"]
    net(spikes([(30_100_000, 0)], 30_100_000, 30_101_000))
    assert net.state()["last"].tolist() == [30_100, *before[1:].tolist()]


def test_a_setting_inside_a_gap_stops_the_decay_there():
    net = network(tau_theta_ms=1000.0)
    pipeline = Pipeline({"network": net})
    pipeline(busy())
    theta = net.state()["theta"]
    pipeline(no_spikes(1_100_000, 1_100_000), [enabled(600_000, False), enabled(900_000, True)])
    assert net.state()["theta"] == pytest.approx(theta * np.exp(-0.5 - 0.2), rel=1e-4)


def test_a_setting_handed_over_before_a_gap_counts_inside_it():
    net, cut_there = network(tau_theta_ms=1000.0), network(tau_theta_ms=1000.0)
    for stage in (net, cut_there):
        stage(busy())
    net.command(enabled(600_500, False))
    net.skip(100_000, 1_100_000)
    cut_there.skip(100_000, 601_000)
    cut_there.learning = False
    cut_there.skip(601_000, 1_100_000)
    assert net.state()["theta"] == pytest.approx(cut_there.state()["theta"], rel=1e-6)
    assert not net.learning
    unmoved = network(tau_theta_ms=1000.0)
    unmoved(busy())
    unmoved.skip(100_000, 1_100_000)
    assert net.state()["v"].tobytes() == unmoved.state()["v"].tobytes()


def test_a_gap_that_begins_between_two_ticks_runs_none():
    net = network(**EAGER)
    net(spikes([(100, 0)], 0, 1_000))
    net.restore({**net.state(), "v": np.full(net.neurons, 9, np.float32)})
    assert rows_of([net.skip(1_000, 900_000)]) == []


# Commands.


@pytest.mark.parametrize(("t", "first"), [(2_999, 3), (3_000, 3), (3_001, 4), (3_999, 4), (4_000, 4)])
def test_a_setting_takes_effect_at_the_first_tick_that_starts_at_or_after_its_time(t, first):
    each_tick = spikes([(k * 1000 + 5, 0) for k in range(8)], 0, 8_000)
    for cut_at in ([], [t], [t - 1, t + 1], range(0, 8_000, 250)):
        net = network(**EAGER)
        assert len(rows_of(through(net, pieces(each_tick, cut_at), [enabled(t, False)]))) == 8
        assert net.state()["wins"].sum() == first


def test_settings_take_effect_in_the_order_of_their_times():
    each_tick = spikes([(k * 1000 + 5, 0) for k in range(8)], 0, 8_000)
    net = network(**EAGER)
    for command in (enabled(7_000, False), enabled(2_000, False), enabled(4_000, True)):
        net.command(command)
    net(each_tick)
    assert net.state()["wins"].sum() == 2 + 3
    assert not net.learning


@pytest.mark.parametrize("t", [-5_000, 0, 41_999, 42_000])
def test_a_setting_from_before_the_first_batch_is_in_force_from_its_start(t):
    net = network()
    through(net, [busy(start=42_000, stop=60_000)], [])
    assert net.state()["wins"].sum() > 0
    net = network()
    pipeline = Pipeline({"network": net})
    assert len(pipeline(busy(start=42_000, stop=60_000), [enabled(t, False)])["network"]) > 0
    assert net.state()["wins"].sum() == 0


def test_it_takes_no_notice_of_labels_and_other_settings():
    net = network()
    net.command(Label(0, 0, 1_000, "a"))
    net.command(Setting(0, "readout.memory", 0.5))
    net(busy())
    assert net.learning
    assert same(net.state(), (other := network(), other(busy()))[0].state())


def test_without_a_rule_thresholds_adapt_and_weights_stay():
    net = network(rule="none")
    weights = net.weights
    assert len(net(busy())) > 20
    assert net.weights.tobytes() == weights.tobytes()
    assert net.state()["wins"].sum() == 0
    assert net.state()["theta"].max() > 0.1


def test_without_learning_nothing_moves():
    net = network(learning=False)
    before = net.state()
    assert len(net(busy())) > 20
    net.skip(100_000, 200_000)
    for name in ("weights", "theta", "wins"):
        assert net.state()[name].tobytes() == before[name].tobytes(), name
