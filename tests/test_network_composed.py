"""The composed network: equal to a plain one for any model, however its input is cut, saved and restored."""

from __future__ import annotations

import numpy as np
import pytest
from composed_cases import models, spikes_for, twin
from filter_cases import pieces, same
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from spikestream.batch import Setting, Spikes, concat, cut
from spikestream.errors import ConfigError, ModelError
from spikestream.model import Input, Model, Population, Projection, Rule
from spikestream.stages.network import Network

COMPILES = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,))
"""The first example may compile the module."""


def rows(spikes):
    return list(zip(spikes.t.tolist(), spikes.axon.tolist(), strict=True))


@given(model=models(), seed=st.integers(0, 9), data=st.data())
@COMPILES
def test_any_model_equals_its_naive_twin_however_its_input_is_cut(model, seed, data):
    batch, net = spikes_for(model, seed=seed), Network.from_model(model)
    expected, made = twin(model, batch)
    cuts = data.draw(st.lists(st.integers(batch.start, batch.stop), max_size=8))
    assert rows(concat([net(part) for part in pieces(batch, cuts)])) == expected
    for name, one in made.items():
        found = net.synapses(name)
        seen = sorted(zip(found.pre, found.post, found.delay_ticks, found.weight, strict=True))
        told = sorted((pre, post, delay, weight) for pre, post, weight, delay in one.synapses)
        np.testing.assert_allclose(np.array(seen, float), np.array(told, float), rtol=0, atol=1e-9)


@given(model=models(), seed=st.integers(0, 9), at=st.integers(0, 60_000))
@COMPILES
def test_a_fresh_network_goes_on_from_a_saved_state_bit_for_bit(model, seed, at):
    left, right = cut(spikes_for(model, seed=seed), at)
    first, second = Network.from_model(model), Network.from_model(model)
    first(left)
    saved = first.state()
    second.restore(saved)
    assert same(second.state(), saved)
    assert rows(second(right)) == rows(first(right))
    assert same(second.state(), first.state())


BASES = [0, 2**31 - 30, -(2**31) - 30, 2**53 - 30, -(2**53), 2**62 // 1000 - 70]
"""First ticks just below where a counter could overflow."""


@pytest.fixture(scope="module")
def busy_model():
    return _busy_model()


def _busy_model(**more):
    rng = np.random.default_rng(4)
    rule = [Rule("pair", {"a_plus": 0.3, "a_minus": 0.2, "w_max": 9.0})]
    exc = Population("exc", 6, neuron="lif", params={"theta_plus": 0.5, "tau_theta_ms": 200.0})
    see = Projection("see", "in", "exc", weights=rng.uniform(0, 9, (5, 6)), rules=rule)
    back = Projection(
        "back", "exc", "exc", connect="random", probability=0.5, weights=[0, 4], delay_ms=[1, 64], rules=rule
    )
    return Model([Input("in", 5)], [exc], [see, back], seed=3, **more)


def input_from(tick, ticks=60, seed=2):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, ticks * 1000, 300))
    return Spikes(tick * 1000, (tick + ticks) * 1000, t + tick * 1000, rng.integers(0, 5, 300).astype(np.int32))


@pytest.mark.parametrize("base", BASES)
def test_a_network_does_the_same_at_any_time(base, busy_model):
    first, later = Network.from_model(busy_model), Network.from_model(busy_model)
    expected, made = first(input_from(0)), later(input_from(base))
    assert len(expected) > 20
    assert made.t.tolist() == [int(t) + base * 1000 for t in expected.t]
    assert made.axon.tolist() == expected.axon.tolist()
    kept = [key for key in first.state() if key.endswith(("weights", ".x", ".y", ".v", ".theta", "recent", "counts"))]
    assert all(np.array_equal(first.state()[key], later.state()[key]) for key in kept)


def test_a_gap_is_silence_and_then_rest(busy_model):
    for gap in (7_000, 500_000, 3_600_000_000, 2**60):
        gone, ticked = Network.from_model(busy_model), Network.from_model(busy_model)
        start, stop = 60_000, 60_000 + gap // 1000 * 1000
        gone(input_from(0))
        skipped = gone.skip(start, stop)
        assert (skipped.start, skipped.stop) == (start, stop)
        if gap <= 500_000:
            ticked(input_from(0))
            silent = ticked(Spikes(start, stop, np.empty(0, np.int64), np.empty(0, np.int32)))
            assert rows(skipped) == rows(silent)
            assert same(gone.state(), ticked.state())
        assert len(gone(input_from(stop // 1000)))


def test_spikes_under_way_arrive_after_a_restore(busy_model):
    first, second = Network.from_model(busy_model), Network.from_model(busy_model)
    first(input_from(0))
    saved = first.state()
    assert len(saved["sources.exc.recent"]) > 0
    second.restore(saved)
    after = Spikes(60_000, 140_000, np.empty(0, np.int64), np.empty(0, np.int32))
    assert rows(first(after)) == rows(second(after))
    assert same(first.state(), second.state())


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("sources.exc.recent", lambda a: a[:-1]),
        ("sources.exc.recent", lambda a: a + 6),
        ("sources.exc.counts", lambda a: -a),
        ("sources.exc.counts", lambda a: a + 1),
        ("projections.see.weights", lambda a: a * np.nan),
        ("populations.exc.queue", lambda a: a + 7),
        ("populations.exc.held", lambda a: a - 1),
        ("populations.exc.v", lambda a: a + np.inf),
        ("projections.see.pair.x", lambda a: a - 99),
        ("agenda", lambda a: np.array('[0, [], {"network.exc.tau_m_ms": 0.0}]')),
    ],
)
def test_a_state_that_cannot_be_is_refused_and_changes_nothing(key, wrong, busy_model):
    net = Network.from_model(busy_model)
    net(input_from(0))
    saved = net.state()
    with pytest.raises(ModelError):
        net.restore({**saved, key: wrong(saved[key])})
    assert same(net.state(), saved)


def test_parameters_of_populations_and_rules_change_by_their_names(busy_model):
    net, plain = Network.from_model(busy_model), Network.from_model(busy_model)
    assert net.settings["learn.see.pair.a_plus"] == 0.3
    net.command(Setting(30_000, "network.exc.v_thresh", 3.0))
    net.command(Setting(0, "learn.back.pair.a_plus", 0.0))
    made, told = rows(net(input_from(0))), rows(plain(input_from(0)))
    assert made != told
    assert [row for row in made if row[0] < 5_000] == [row for row in told if row[0] < 5_000]
    assert net.settings["network.exc.v_thresh"] == 3.0
    with pytest.raises(ConfigError, match="v_reset"):
        net.check(Setting(90_000, "network.exc.v_thresh", -1.0))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"neuron": "liff"}, "lif"),
        ({"params": {"v_tresh": 1.0}}, "v_thresh"),
        ({"params": {"tau_m_ms": 0.0}}, "above 0"),
        ({"params": {"reset": "never"}}, "value or subtract"),
        ({"initial": {"w": 1.0}}, "no state 'w'"),
    ],
)
def test_what_a_neuron_cannot_be_is_told_with_its_place(change, told):
    population = Population(**{"name": "exc", "size": 2, "neuron": "lif", **change})
    with pytest.raises(ConfigError) as caught:
        Network.from_model(Model([Input("in", 1)], [population], []))
    assert told in f"{caught.value} {caught.value.details}"
    assert "exc" in str(caught.value.key)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rules": [Rule("paire")]}, "pair"),
        ({"rules": [Rule("pair"), Rule("pair")]}, "twice"),
        ({"rules": [Rule("pair", {"a_pluss": 1.0})]}, "a_plus"),
        ({"rules": [Rule("pair", {"w_min": 2.0})]}, "w_min must lie below"),
        ({"receptor": "g"}, "no receptor 'g'"),
    ],
)
def test_what_a_projection_cannot_be_is_told_with_its_place(change, told):
    projection = Projection(**{"name": "see", "source": "in", "target": "exc", "weights": 1.0, **change})
    with pytest.raises(ConfigError) as caught:
        Network.from_model(Model([Input("in", 1)], [Population("exc", 2)], [projection]))
    assert told in f"{caught.value} {caught.value.details}"
    assert "see" in str(caught.value.key)


@pytest.mark.parametrize("kind", ["normalise", "scaling"])
def test_weights_that_synapses_share_are_not_scaled_once_for_each(kind):
    conv = Projection("p", "in", "exc", connect="conv", kernel=3, weights=2.0, rules=[Rule(kind)])
    with pytest.raises(ConfigError, match="share"):
        Network.from_model(Model([Input("in", shape=(1, 4, 4))], [Population("exc", shape=(1, 2, 2))], [conv]))


def test_a_long_gap_adapts_while_learning_was_on_and_settles_in_time_not_in_ticks():
    exc = Population("exc", 1, neuron="lif", params={"v_thresh": 1.0, "theta_plus": 1.0, "tau_theta_ms": 10_000.0})
    model = Model([Input("in", 1)], [exc], [Projection("p", "in", "exc", weights=2.0)])
    skipped, ticked = Network.from_model(model), Network.from_model(model)
    for net in (skipped, ticked):
        net(Spikes(0, 1_000, np.array([0]), np.array([0], np.int32)))
        net.command(Setting(15_001_000, "learn.enabled", False))
    skipped.skip(1_000, 30_001_000)
    ticked(Spikes(1_000, 30_001_000, np.empty(0, np.int64), np.empty(0, np.int32)))
    key = "populations.exc.theta"
    np.testing.assert_allclose(skipped.state()[key], np.exp(-1.5), rtol=1e-3)
    np.testing.assert_allclose(ticked.state()[key], np.exp(-1.5), rtol=1e-3)


def test_a_short_tick_does_not_cut_the_time_a_gap_takes_to_settle():
    cells = Population("cells", 1, neuron="izhikevich", initial={"u": 25.0})
    net = Network.from_model(Model([Input("in", 1)], [cells], [], tick_us=10))
    net(Spikes(0, 10, np.empty(0, np.int64), np.empty(0, np.int32)))
    net.skip(10, 5_000_000)
    assert net.state()["populations.cells.u"][0] == pytest.approx(-14.0, abs=0.1)


@pytest.mark.parametrize(
    "options",
    [
        {"init_weights": [[1.0], [1.0, 2.0]]},
        {"seed": -1},
        {"seed": "x"},
        {"inhibition": "x"},
        {"w_max": "x"},
        {"tick_us": 2.5},
        {"v_rest": float("nan")},
    ],
)
def test_what_a_network_of_one_population_cannot_be_is_refused(options):
    with pytest.raises(ConfigError) as caught:
        Network(2, 2, neuron="alif", rule="none", **options)
    assert next(iter(options)) in f"{caught.value} {caught.value.key}"


def test_a_population_cannot_begin_with_what_it_could_not_go_on_with():
    with pytest.raises(ConfigError, match="exc"):
        Network.from_model(Model([Input("in", 1)], [Population("exc", 2, initial={"theta": -1.0})], []))


def test_batches_of_other_types_and_strides_give_the_same(busy_model):
    plain, odd = Network.from_model(busy_model), Network.from_model(busy_model)
    batch = input_from(0)
    t = np.repeat(batch.t, 2)[::2]
    t.flags.writeable = False
    given = Spikes(batch.start, batch.stop, t, batch.axon.astype(np.int64))
    assert rows(odd(given)) == rows(plain(batch))
