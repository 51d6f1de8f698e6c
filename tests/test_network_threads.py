"""The network stage with rule "pair" in two threads: bit for bit what one thread makes of it."""

from __future__ import annotations

import gc
import os
import threading

import numpy as np
import pytest
from filter_cases import pieces, same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pair_cases import AXONS, SLOW_START, batch_of, fired_of, inputs, network, options, random_weights, through

from spikestream.batch import Setting, concat
from spikestream.errors import ConfigError
from spikestream.kernels.lif_pair_design import HALVED
from spikestream.stages.helper import Helper
from spikestream.stages.network import Network, fused

MANY = HALVED + 9
APART = {"inhibition": 0.0}


@pytest.fixture
def eager(monkeypatch):
    """Every batch is worth a second thread."""
    monkeypatch.setattr(fused, "WORTH", 1)


def helpers():
    return [thread for thread in threading.enumerate() if thread.name == "network half"]


def busy(ticks=300, first=0, axons=12, seed=1):
    """Return weights (axons, MANY) and a stream on which most neurons fire, not all at once."""
    rng = np.random.default_rng(seed)
    rows = [(k, int(i)) for k in range(ticks) for i in np.unique(rng.integers(0, axons, rng.poisson(2)))]
    return random_weights(seed, axons, MANY), batch_of(rows, ticks, 1000, first)


@given(data=st.data(), made=inputs(), more=options(), dtype=st.sampled_from(["float32", "float64"]))
@settings(SLOW_START, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_two_threads_make_the_same_spikes_and_state(eager, data, made, more, dtype):
    batch = batch_of(*made, 1000)
    weights = random_weights(1, AXONS, MANY)
    edges = data.draw(st.lists(st.integers(batch.start, batch.stop), max_size=6))
    found = [Setting(t, "learn.enabled", k % 2 == 1) for k, t in enumerate(sorted(edges)[:3]) if t < batch.stop]
    one, two = (network(weights, dtype=dtype, threads=threads, **{**more, **APART}) for threads in (1, 2))
    expected = through(one, [batch], found)
    got = through(two, pieces(batch, edges), found)
    assert np.array_equal(got.t, expected.t)
    assert np.array_equal(got.axon, expected.axon)
    assert same(one.state(), two.state())
    assert one.account == two.account


def test_batches_worth_it_and_others_may_alternate(monkeypatch):
    monkeypatch.setattr(fused, "WORTH", 50 * MANY)
    weights, batch = busy()
    one, two = (network(weights, dtype="float32", threads=threads, **APART) for threads in (1, 2))
    expected = one(batch)
    got = [two(part) for part in pieces(batch, [100_000, 101_000, 101_500, 150_000, 299_000])]
    assert two._engine._helper is not None
    assert one._engine._helper is None
    assert len(expected) > 1000
    assert fired_of(concat(got), 1000) == fired_of(expected, 1000)
    assert same(one.state(), two.state())


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_a_state_saved_with_some_threads_goes_on_with_others(eager, before, after):
    weights, batch = busy()
    left, right = pieces(batch, [150_300])
    first, other, steady = (network(weights, threads=threads, **APART) for threads in (before, after, before))
    first(left)
    other.restore(first.state())
    steady(batch)
    assert fired_of(other(right), 1000) == fired_of(first(right), 1000)
    assert same(other.state(), steady.state())


def test_a_network_with_a_second_thread_goes_back_to_an_earlier_state(eager):
    weights, batch = busy()
    left, right = pieces(batch, [150_000])
    net = network(weights, threads=2, **APART)
    net(left)
    saved = net.state()
    expected = fired_of(net(right), 1000)
    net.restore(saved)
    assert fired_of(net(right), 1000) == expected


def test_settings_and_gaps_in_between(eager):
    weights, batch = busy(ticks=400)
    found = [
        Setting(100_000, "network.inhibition", 0.02),  # from here on one thread has to run both halves
        Setting(180_000, "network.inhibition", 0.0),
        Setting(230_000, "learn.tau_plus_ms", 7.0),
    ]
    states = []
    for threads in (1, 2):
        net = network(weights, dtype="float32", threads=threads, **APART)
        out = [through(net, [batch], found), net.skip(400_000, 455_000), net(busy(first=455)[1])]
        states.append({**net.state(), "out": concat(out).axon, "t": concat(out).t})
    assert same(*states)
    assert len(states[0]["out"]) > 10_000


def test_the_second_thread_comes_when_it_is_needed_and_ends_with_its_network(eager):
    gc.collect()
    before = len(helpers())
    weights, batch = busy()
    net = network(weights, threads=2, **APART)
    assert len(helpers()) == before
    parts = pieces(batch, range(0, 300_000, 10_000))
    for part in parts:
        net(part)
    assert len(helpers()) == before + 1
    thread = net._engine._helper._thread
    assert thread.daemon
    del net
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("more", [{"inhibition": 0.2}, {"threads": 1}])
def test_no_second_thread_where_it_could_not_help(eager, more):
    weights, batch = busy(ticks=30)
    net = network(weights, **{**APART, "threads": 2, **more})
    net(batch)
    assert net._engine._helper is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process")  # newer Pythons warn of forks beside threads
def test_a_fork_of_the_process_has_its_own_second_thread(eager):
    weights, batch = busy()
    left, right = pieces(batch, [150_000])
    net = network(weights, threads=2, **APART)
    net(left)
    child = os.fork()
    if child == 0:
        alone = network(weights, **APART)
        alone(left)
        os._exit(0 if fired_of(net(right), 1000) == fired_of(alone(right), 1000) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_error_in_the_second_thread_is_raised_in_the_first():
    helper = Helper("network half")
    with pytest.raises(ZeroDivisionError):
        helper.start(divmod, 1, 0).result()
    assert helper.start(divmod, 7, 2).result() == (3, 1)
    assert helper.alive


@pytest.mark.parametrize(
    ("rule", "threads"), [("pair", 0), ("pair", 3), ("pair", True), ("pair", 2.0), ("pair", "2"), ("stdp", 2)]
)
def test_other_numbers_of_threads_are_refused(rule, threads):
    with pytest.raises(ConfigError) as caught:
        Network(4, 2, rule=rule, threads=threads)
    assert caught.value.key == "threads"
