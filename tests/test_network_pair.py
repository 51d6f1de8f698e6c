"""The network stage with rule "pair": cut anywhere, switched, skipped, and at far times."""

from __future__ import annotations

import numpy as np
import pytest
from filter_cases import pieces, same
from hypothesis import given
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

from spikestream.batch import Setting, concat
from spikestream.kernels import lif_pair

DTYPES = st.sampled_from(["float32", "float64"])


@st.composite
def switches(draw, batch):
    times = sorted(draw(st.lists(st.integers(batch.start, batch.stop - 1), max_size=4)))
    return [Setting(t, "learn.enabled", draw(st.booleans())) for t in times]


@given(data=st.data(), made=inputs(), more=options(), neurons=st.sampled_from([3, 24]), dtype=DTYPES)
@SLOW_START
def test_any_cut_gives_the_same_spikes_state_and_account(data, made, more, neurons, dtype):
    batch = batch_of(*made, 1000, data.draw(st.sampled_from([0, -777, 1_600_000_000_000])))
    weights = random_weights(1, AXONS, neurons)
    whole, parted = (network(weights, dtype=dtype, **more) for _ in range(2))
    commands = data.draw(switches(batch))
    expected = through(whole, [batch], commands)
    parts = pieces(batch, data.draw(cuts(batch)))
    got = through(parted, parts, commands)
    assert fired_of(got, 1000) == fired_of(expected, 1000)
    assert np.all(got.t % 1000 == 999)
    assert same(whole.state(), parted.state())
    assert whole.account == parted.account


def test_cut_at_every_tick_and_read_in_between_it_is_still_the_same():
    weights, batch = busy()
    whole, parted = (network(weights, dtype="float32") for _ in range(2))
    expected = whole(batch)
    got = []
    for part in pieces(batch, range(0, 600_000, 1000)):
        got.append(parted(part))
        parted.weights[...] = 7  # reading settles a copy: neither that nor writing to it may show
    assert len(expected) > 1000
    assert fired_of(concat(got), 1000) == fired_of(expected, 1000)
    assert same(whole.state(), parted.state())
    assert whole.weights.tobytes() == parted.weights.tobytes()


def test_more_spikes_than_one_call_of_the_kernel_has_room_for():
    weights = np.full((1, 300_000), LIVELY["w_max"])
    eager = {"v_thresh": 0.01, "v_reset": 0.0, "tau_refrac_ms": 0.0, "inhibition": 0.0, "theta_plus": 0.0}
    net = network(weights, dtype="float32", **eager)
    out = net(batch_of([(tick, 0) for tick in range(7)], 7, 1000))
    assert len(out) == 7 * 300_000
    assert np.array_equal(out.t, np.repeat(np.arange(7) * 1000 + 999, 300_000))
    assert np.array_equal(out.axon, np.tile(np.arange(300_000), 7))


@given(made=inputs(), more=options(), seed=st.integers(0, 9), edges=st.lists(st.integers(0, 2000), max_size=4))
@SLOW_START
def test_learning_is_switched_at_the_start_of_a_tick(made, more, seed, edges):
    rows, ticks = made
    edges = sorted(edges)

    def learning(tick):
        return sum(edge <= tick for edge in edges) % 2 == 0

    weights = random_weights(seed, AXONS, 24)
    twin, fired = twin_run(weights, rows, ticks, 1000, learning, **more)
    net = network(weights, **more)
    for k, edge in enumerate(edges):
        net.command(Setting(edge * 1000, "learn.enabled", k % 2 == 1))
    assert fired_of(net(batch_of(rows, ticks, 1000)), 1000) == fired
    assert net.weights == pytest.approx(twin.w, rel=1e-9, abs=1e-10)
    assert net.state()["theta"] * net.state()["fade"] == pytest.approx(twin.theta, rel=1e-9, abs=1e-12)


def test_without_learning_nothing_moves_but_the_traces():
    weights, batch = busy()
    net = network(weights, learning=False)
    assert len(net(batch)) > 1000
    assert net.weights.tobytes() == weights.tobytes()
    assert not net.state()["theta"].any()
    assert net.state()["x"].any()
    assert net.state()["y"].any()


# Gaps and far times.


@given(made=inputs(), more=options(), gap=st.integers(1, 3000), seed=st.integers(0, 9))
@SLOW_START
def test_a_gap_comes_to_what_silence_does(made, more, gap, seed):
    rows, ticks = made
    weights = random_weights(seed, AXONS, 24)
    skipped, silent = (network(weights, **more) for _ in range(2))
    skipped(batch_of(rows, ticks, 1000))
    assert len(skipped.skip(ticks * 1000, (ticks + gap) * 1000)) == 0
    silent(batch_of(rows, ticks, 1000))
    if len(silent(batch_of([], gap, 1000, ticks))):
        return  # its threshold fell below it, which a gap does not wait for
    one, other = skipped.state(), silent.state()
    assert skipped.weights == pytest.approx(silent.weights, rel=1e-9, abs=1e-10)
    assert one["v"] == pytest.approx(other["v"], rel=1e-9, abs=1e-12)
    assert one["theta"] * one["fade"] == pytest.approx(other["theta"] * other["fade"], rel=1e-9, abs=1e-12)
    assert one["y"] == pytest.approx(other["y"], rel=1e-6, abs=1e-12)
    again = batch_of([(tick, axon) for tick, axon in rows], ticks, 1000, ticks + gap)
    assert fired_of(skipped(again), 1000) == fired_of(silent(again), 1000)
    assert skipped.weights == pytest.approx(silent.weights, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("gap", [424, 700, 724, 1024, 1748, 5000])
def test_after_a_gap_no_old_spike_of_the_rings_comes_back(gap):
    weights, batch = busy()
    skipped, silent = network(weights), network(weights)
    answers = []
    for net, pause in ((skipped, skipped.skip), (silent, lambda a, b: silent(batch_of([], gap, 1000, a // 1000)))):
        net(batch)
        pause(600_000, (600 + gap) * 1000)
        answers.append(fired_of(net(busy(first=600 + gap)[1]), 1000))
    assert answers[0] == answers[1]
    assert len(answers[0]) > 1000
    assert skipped.weights == pytest.approx(silent.weights, rel=1e-9, abs=1e-10)


def test_a_gap_of_a_million_years_is_forgotten():
    weights, batch = busy()
    net = network(weights, tau_theta_ms=1000.0)
    net(batch)
    learned = net.weights
    net.skip(600_000, 2**61 // 1000 * 1000)
    assert net.weights.tobytes() == learned.tobytes()
    for name in ("v", "x", "y", "theta"):
        assert not net.state()[name].any()
    assert len(net(busy(first=2**61 // 1000)[1])) > 100


@pytest.mark.parametrize("first", [-(2**31) - 512, -512, 2**31 - 512, 2**32 - 512, (2**62 // 1000 - 2048) // 512 * 512])
def test_spikes_and_weights_do_not_depend_on_the_epoch(first):
    weights, batch = busy(ticks=1500)
    there, here = network(weights, dtype="float32"), network(weights, dtype="float32")
    far = busy(ticks=1500, first=first)[1]
    assert fired_of(there(far), 1000) == [(tick + first, j) for tick, j in fired_of(here(batch), 1000)]
    assert there.weights.tobytes() == here.weights.tobytes()


@pytest.mark.parametrize("spikes", [2**31 - 5, 2**32 - 5, 2**62 - 5])
def test_counts_of_spikes_may_pass_the_edge_of_an_integer(spikes):
    weights, batch = busy()
    old, new = network(weights), network(weights)
    old.restore({**old.state(), "start": np.full((1, lif_pair.RING), spikes)})
    assert fired_of(old(batch), 1000) == fired_of(new(batch), 1000)
    assert old.weights.tobytes() == new.weights.tobytes()
    assert old.state()["start"].max() > spikes + 1000
