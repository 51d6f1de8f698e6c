"""Parameters that change while a network runs: in their tick, however the stream is cut, saved and recorded."""

from __future__ import annotations

import json
from dataclasses import replace

import naive
import numpy as np
import pytest
from filter_cases import pieces, same
from hypothesis import given
from hypothesis import strategies as st
from network_cases import AXONS, LIVELY, NEURONS, SLOW_START, busy, cuts, network, rows_of, spikes, streams, through

from spikestream.batch import Label, Setting, cut
from spikestream.errors import ConfigError, ModelError
from spikestream.kernels.lif_stdp import Params
from spikestream.pipeline import Pipeline
from spikestream.stages.network import Network

CHANGES = {"network.v_thresh": (0.05, 0.6), "network.tau_m_ms": (3.0, 50.0), "learn.rate_start": (0.0, 0.5)}


@st.composite
def settings_for(draw, batch):
    """Draw settings over the stream, some at one time."""
    made = []
    for t in sorted(draw(st.lists(st.integers(batch.start, batch.stop - 1), max_size=5))):
        key = draw(st.sampled_from([*CHANGES, "learn.enabled"]))
        value = draw(st.booleans()) if key == "learn.enabled" else draw(st.sampled_from(CHANGES[key]))
        made.append(Setting(t, key, value))
    return made


@given(data=st.data(), batch=streams())
@SLOW_START
def test_the_network_equals_a_naive_twin_whose_parameters_change_in_the_same_ticks(data, batch):
    net, commands = network(), data.draw(settings_for(batch))
    params, tick = replace(Params(), **LIVELY), net.tick_us
    twin, learning, expected = naive.Lif(params, tick, net.weights.tolist()), True, []
    for k in range(batch.start // tick, batch.stop // tick):
        for command in commands:
            if (k - 1) * tick < command.t <= k * tick:
                if command.key == "learn.enabled":
                    learning = command.value
                else:
                    params = replace(params, **{command.key.partition(".")[2]: command.value})
                    twin.params = params
        axons = [int(i) for t, i in zip(batch.t, batch.axon, strict=True) if k * tick <= t < (k + 1) * tick]
        if (winner := twin.tick(k, axons, learning, learning)) is not None:
            expected.append(((k + 1) * tick - 1, winner))
    parts = pieces(batch, data.draw(cuts(batch)))
    assert rows_of(through(net, parts, commands)) == expected
    assert net.state()["weights"].tolist() == twin.weights


@given(data=st.data(), batch=streams())
@SLOW_START
def test_settings_that_are_in_force_or_wait_are_saved_with_the_network(data, batch):
    commands, at = data.draw(settings_for(batch)), data.draw(st.integers(batch.start, batch.stop))
    left, right = cut(batch, at)
    first, second = network(), network(seed=9)
    through(first, [left], commands)
    for command in commands:
        if command.t >= at:
            first.command(command)
    saved = first.state()
    second.restore(saved)
    assert same(second.state(), saved)
    assert second.settings == first.settings
    assert rows_of([second(right)]) == rows_of([first(right)])
    assert same(first.state(), second.state())


def test_a_network_that_takes_over_a_state_drops_its_own_changes():
    plain, changed = network(), network()
    changed.command(Setting(0, "network.v_thresh", 0.7))
    changed(busy())
    changed.restore(plain.state())
    assert changed.settings == plain.settings
    assert rows_of([changed(busy())]) == rows_of([plain(busy())])


def test_a_setting_inside_a_gap_counts_from_its_time():
    before, after = network(), network()
    for net, t in ((before, 100_000), (after, 150_000)):
        pipeline = Pipeline({"network": net})
        pipeline(busy())
        pipeline(busy(start=200_000, stop=300_000), [Setting(t, "network.tau_m_ms", 1.0)])
        assert net.settings["network.tau_m_ms"] == 1.0
    assert rows_of([before(busy(start=300_000, stop=310_000))])


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("network.v_tresh", 1.0, "network.v_thresh"),
        ("network.neurons", 3, "cannot be changed while running"),
        ("network.v_thresh", "high", "a number"),
        ("network.v_thresh", True, "a number"),
        ("network.v_thresh", float("nan"), "v_thresh"),
        ("network.tau_m_ms", 0.0, "above 0"),
        ("network.tau_m_ms", -1.0, "above 0"),
        ("network.theta_plus", -0.1, "from 0 on"),
        ("network.v_reset", 99.0, "below v_thresh"),
        ("learn.enabled", 1, "true, false"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_and_changes_nothing(key, value, named):
    pipeline = Pipeline({"network": network()})
    pipeline(busy())
    saved = pipeline.stages["network"].state()
    with pytest.raises(ConfigError) as caught:
        pipeline(busy(start=100_000, stop=200_000), [Setting(150_000, key, value)])
    assert named in f"{caught.value} {caught.value.details} {caught.value.remedy}"
    assert same(pipeline.stages["network"].state(), saved)


def test_a_reward_is_nothing_to_a_network_without_a_rule_for_it():
    plain, rewarded = network(), network()
    rewarded.command(Label(10_000, 0, 10_000, "a", 1.0))
    assert rows_of([plain(busy())]) == rows_of([rewarded(busy())])


def test_learning_rates_fall_with_stream_time_and_no_further_than_told():
    net = Network(AXONS, NEURONS, rate_tau_ms=500.0, rate_floor=0.01, **LIVELY)
    fixed = Network(AXONS, NEURONS, **LIVELY)
    rates = []
    for second in range(12):
        net(busy(start=second * 1_000_000, stop=(second + 1) * 1_000_000))
        rates.append(net._engine._coeffs.rate_end)
    told = fixed._engine._coeffs.rate_end * np.maximum(np.exp(-2.0 * np.arange(1, 13)), 0.01)
    np.testing.assert_allclose(rates, told, rtol=1e-6)


@given(data=st.data(), batch=streams())
@SLOW_START
def test_a_schedule_does_not_depend_on_how_the_stream_is_cut(data, batch):
    whole, parts = (Network(AXONS, NEURONS, rate_tau_ms=0.8, **LIVELY) for _ in range(2))
    assert rows_of([whole(batch)]) == rows_of([parts(part) for part in pieces(batch, data.draw(cuts(batch)))])
    assert same(whole.state(), parts.state())


@pytest.mark.parametrize("options", [{"rate_tau_ms": -1.0}, {"rate_floor": 1.5}, {"rate_tau_ms": float("nan")}])
def test_a_schedule_that_cannot_be_is_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        Network(AXONS, NEURONS, **options)


@pytest.mark.parametrize("engine", ["fused", "composed"])
def test_settings_are_checked_together_tick_by_tick(engine):
    def pair():
        net = Network(2, 2, rule="pair", engine=engine, v_thresh=13.0, v_reset=5.0)
        return net, Pipeline({"network": net})

    net, pipeline = pair()
    pipeline(spikes([(100, 0)], 0, 1_000))
    saved = net.state()
    each = [Setting(1_500, "network.v_thresh", 8.0), Setting(2_600, "network.v_reset", 9.0)]
    with pytest.raises(ConfigError, match="v_reset"):
        pipeline(spikes([(1_100, 0)], 1_000, 5_000), each)
    assert same(net.state(), saved)
    both = [Setting(1_500, "network.v_reset", 20.0), Setting(1_500, "network.v_thresh", 30.0)]
    pipeline(spikes([(1_100, 0)], 1_000, 5_000), both)
    assert (net.settings["network.v_reset"], net.settings["network.v_thresh"]) == (20.0, 30.0)
    net.restore(net.state())
    late, _ = pair()
    late.command(Setting(10_000, "network.v_thresh", 30.0))
    with pytest.raises(ConfigError, match="v_reset"):
        late.check(Setting(5_000, "network.v_reset", 20.0))


@pytest.mark.parametrize("engine", ["fused", "composed"])
@pytest.mark.parametrize(
    "waiting",
    [
        [-(2**62), "network.v_thresh", 14.0],
        [9, "network.tau_m_ms", 0.0],
        [9, "network.tau_m_ms", -5.0],
        [9, "network.v_thresh", -50.0],
    ],
)
def test_a_saved_state_with_settings_that_cannot_be_is_refused(engine, waiting):
    net = Network(2, 2, rule="pair", engine=engine)
    net(spikes([(100, 0)], 0, 3_000))
    saved = net.state()
    with pytest.raises(ModelError):
        net.restore({**saved, "agenda": np.array(json.dumps([0, [waiting], {}]))})
    assert same(net.state(), saved)


def test_numbers_of_numpy_are_numbers_and_no_number_is_none():
    net = network()
    net.command(Setting(0, "network.v_thresh", np.float32(0.5)))
    net.command(Label(0, 0, 1, "a", np.float32(1)))
    net(busy())
    net.restore(net.state())
    with pytest.raises(ConfigError, match="reward"):
        net.command(Label(200_000, 0, 1, "a", float("nan")))
    with pytest.raises(ConfigError, match="tau_m_ms"):
        net.check(Setting(200_000, "network.tau_m_ms", 0.0))


def test_a_setting_of_no_such_name_is_refused_by_the_network_itself():
    with pytest.raises(ConfigError, match="v_tresh"):
        network().command(Setting(0, "network.v_tresh", 1.0))
    network().command(Setting(0, "readout.memory", 1.0))  # another stage's


def test_a_model_is_wanted():
    with pytest.raises(ConfigError, match="a Model is wanted, not str"):
        Network.from_model("model.toml")
