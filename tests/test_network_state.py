"""What the network stage remembers, saves and takes: its state, its account, its options."""

from __future__ import annotations

import numpy as np
import pytest
from filter_cases import pieces, same
from hypothesis import given
from hypothesis import strategies as st
from network_cases import (
    AXONS,
    EAGER,
    NEURONS,
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

from spikestream.batch import cut, no_events
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.kernels import lif_stdp
from spikestream.pipeline import Pipeline
from spikestream.stages.network import Network


@given(data=st.data(), batch=streams())
@SLOW_START
def test_a_fresh_network_goes_on_from_a_saved_state_bit_for_bit(data, batch):
    at = data.draw(st.integers(batch.start, batch.stop))
    left, right = cut(batch, at)
    first, second = network(), network(seed=9)
    through(first, [left], data.draw(switches(batch)))
    first.command(enabled(at, data.draw(st.booleans())))
    saved = first.state()
    second.restore(saved)
    assert same(second.state(), saved)
    answer = first(right)
    for array in saved.values():
        array[...] = 1  # neither network may hold on to it
    assert rows_of([second(right)]) == rows_of([answer])
    assert same(first.state(), second.state())


def test_a_ledger_closes_after_a_network_was_saved_inside_a_tick():
    first, second = network(), Pipeline({"network": network()})
    left, right = cut(busy(), 50_500)
    first(left)
    assert first.account.held > 0
    second.stages["network"].restore(first.state())
    second.now = left.stop
    assert all(hop.missing() == 0 for hop in second.hops())
    second(right)
    assert all(hop.missing() == 0 for hop in second.hops())


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("weights", np.zeros((AXONS, NEURONS + 1), np.float32)),
        ("weights", np.zeros((AXONS + 1, NEURONS), np.float32)),
        ("weights", np.zeros((AXONS, NEURONS))),
        ("theta", np.zeros(NEURONS + 1, np.float32)),
        ("last", np.zeros(AXONS + 1, np.int64)),
        ("next", np.zeros(1, np.int64)),
        ("agenda", np.array("[null, [], {}")),
        ("held_t", np.array([100_000, 100_001], np.int64)),  # there is one axon only
        ("held_axon", np.array([AXONS], np.int32)),
        ("held_axon", np.array([-1], np.int32)),
        ("last", np.full(AXONS, 101, np.int64)),  # after the tick that runs next
        ("next", np.int64(99)),  # not the tick of the spike that waits
        ("next", np.int64(2**62)),
        ("held_t", np.array([101_000], np.int64)),
        ("agenda", np.array(f'[null, [[{2**63}, "learn.enabled", true]], {{}}]')),
        ("agenda", np.array('[null, [[1.5, "learn.enabled", true]], {}]')),
        ("agenda", np.array('[null, [[7, "learn.enabled", 1]], {}]')),
        ("agenda", np.array('[null, [[7, "network.neurons", 1]], {}]')),
        ("agenda", np.array('[null, [[7, "", true]], {}]')),
        ("agenda", np.array('[null, [], {"network.v_thresh": NaN}]')),
        ("agenda", np.array('[null, [], {"network.v_thresh": "1"}]')),
        ("agenda", np.array('["now", [], {}]')),
        ("agenda", np.array("7")),
        ("weights", np.full((AXONS, NEURONS), np.nan, np.float32)),
        ("weights", np.full((AXONS, NEURONS), -1, np.float32)),
        ("v", np.full(NEURONS, np.inf, np.float32)),
        ("theta", np.full(NEURONS, -1, np.float32)),
        ("wins", np.full(NEURONS, -11, np.int64)),
        ("refrac", np.full(NEURONS, -1, np.int64)),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(name, wrong):
    net = network()
    net(spikes([(99_000, 0), (100_000, 3)], 90_000, 100_001))
    saved = net.state()
    assert saved["held_axon"].tolist() == [3]
    with pytest.raises(ModelError):
        net.restore({**saved, name: wrong})
    assert same(net.state(), saved)


def test_a_state_of_another_network_or_stage_is_refused():
    for axons, neurons in ((AXONS + 1, NEURONS), (AXONS, NEURONS + 1), (NEURONS, AXONS)):
        with pytest.raises(ModelError):
            network().restore(Network(axons, neurons).state())
    with pytest.raises(ModelError, match="another kind of stage"):
        network().restore({})


def test_what_it_shows_of_itself_are_copies():
    net = network()
    for shown in (net.weights, *net.state().values()):
        shown[...] = 0
    assert net.weights.shape == (AXONS, NEURONS)
    assert net.weights.dtype == np.float32
    assert same(net.state(), network().state())


def test_what_waits_for_the_end_of_a_tick_is_a_copy_too():
    net, batch = network(**EAGER), spikes([(500, 0)], 0, 700)
    net(batch)
    batch.t[...], batch.axon[...] = 0, 5
    assert net.state()["held_t"].tolist() == [500]
    assert net.state()["held_axon"].tolist() == [0]


@given(data=st.data(), batch=streams())
@SLOW_START
def test_what_is_taken_and_held_is_what_was_handed_over(data, batch):
    net, handed, got = network(), 0, 0
    for part in pieces(batch, data.draw(cuts(batch))):
        got += len(net(part))
        handed += len(part)
        assert net.account.taken + net.account.held == handed
        assert net.account.held == len([t for t in batch.t if part.stop // 1000 * 1000 <= t < part.stop])
        assert net.account.given == got
    assert not net.account.conserves


def test_a_spike_the_kernel_never_hears_is_missed(monkeypatch):
    def deaf(coeffs, state, ticks, t, axon, *rest):
        return heard(coeffs, state, ticks, t[1:], axon[1:], *rest)

    heard = lif_stdp.run
    monkeypatch.setattr(lif_stdp, "run", deaf)
    net = network()
    net(spikes([(500, 0), (700, 1), (2_500, 2)], 0, 3_200))
    assert net.account.taken + net.account.held == 2


@pytest.mark.parametrize("axon", [-1, AXONS, 2**31 - 1, -(2**31)])
def test_an_axon_out_of_range_is_refused(axon):
    with pytest.raises(ModelError, match=f"do not fit a network of {AXONS}"):
        network()(spikes([(5, 0), (6, axon), (7, AXONS - 1)], 0, 1_000))


def test_it_takes_spikes_only():
    with pytest.raises(SpikestreamError, match="the network takes spikes, not Events"):
        network()(no_events(0, 1_000))


@pytest.mark.parametrize(
    ("options", "key", "near"),
    [
        ({"rule": "sdtp"}, "rule", "stdp"),
        ({"neuron": "lfi"}, "neuron", "lif"),
        ({"tau_n_ms": 5.0}, "tau_n_ms", "tau_m_ms"),
        ({"theta_pluss": 5.0}, "theta_pluss", "theta_plus"),
        ({"tick_us": 0}, "tick_us", ""),
        ({"axons": 0}, "axons", ""),
        ({"neurons": -1}, "neurons", ""),
        ({"seed": -1}, "seed", ""),
        ({"seed": 1.5}, "seed", ""),
        ({"tau_m_ms": 0.0}, "tau_m_ms", ""),
        ({"tau_plus_ms": -1.0}, "tau_plus_ms", ""),
        ({"wins_half": 0}, "wins_half", ""),
        ({"w_norm": 0}, "w_norm", ""),
        ({"inhibition": -0.1}, "inhibition", ""),
        ({"v_thresh": float("nan")}, "v_thresh", ""),
        ({"v_floor": float("inf")}, "v_floor", ""),
        ({"w_max": True}, "w_max", ""),
        ({"w_max": "1"}, "w_max", ""),
        ({"v_reset": 0.25, "v_thresh": 0.25}, "v_reset", ""),
    ],
)
def test_a_wrong_option_is_named_with_the_nearest_right_one(options, key, near):
    with pytest.raises(ConfigError) as caught:
        Network(**{"axons": 4, "neurons": 2, **options})
    assert caught.value.key == key
    assert caught.value.nearest == near


def test_whole_numbers_are_numbers_and_any_seed_will_do():
    net = Network(4, 2, tau_m_ms=20, v_thresh=1, seed=2**40)
    assert net.weights.tobytes() != Network(4, 2).weights.tobytes()
