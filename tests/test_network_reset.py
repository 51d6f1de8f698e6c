"""A network that windows reset: in the first whole tick of each, however it is cut or saved; thresholds that share."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import naive
import pytest
from filter_cases import pieces, same
from hypothesis import given
from hypothesis import strategies as st
from network_cases import EAGER, LIVELY, SLOW_START, busy, cuts, network, rows_of, spikes, streams, through

from spikestream import build
from spikestream.batch import Setting, Window, cut
from spikestream.errors import ConfigError, ModelError
from spikestream.kernels.lif_stdp import Params
from spikestream.pipeline import Pipeline

LESSONS = {"lesson_ms": 4.0, "theta_shared": 1.0, "theta_half": 2.0}


@st.composite
def marks(draw, batch):
    """Draw windows that begin anywhere, on the borders of ticks and beside them, with and without silence between."""
    starts = draw(st.lists(st.integers(batch.start, batch.stop - 1), max_size=5))
    on_grid = [t // 1000 * 1000 for t in draw(st.lists(st.sampled_from(starts), max_size=2))] if starts else []
    times = [*sorted({t for t in starts + on_grid if t >= batch.start}), batch.stop]
    return [Window(t, end) for t, end in pairwise(times)]


def starts_before(windows, begin, tick):
    """Return whether a window starts after the tick before began, and no later than ``begin``."""
    return any(begin - tick < window.start <= begin for window in windows)


@given(data=st.data(), batch=streams())
@SLOW_START
def test_a_network_that_windows_reset_equals_its_naive_twin_however_it_is_cut(data, batch):
    net, windows = network(reset=True, **LESSONS), data.draw(marks(batch))
    tick = net.tick_us
    twin, expected = naive.Lif(replace(Params(), **LIVELY, **LESSONS), tick, net.weights.tolist()), []
    due = [k for k in range(batch.start // tick, batch.stop // tick + 1) if starts_before(windows, k * tick, tick)]
    for k in range(batch.start // tick, batch.stop // tick):
        if k in due:
            twin.reset()
        axons = [int(i) for t, i in zip(batch.t, batch.axon, strict=True) if k * tick <= t < (k + 1) * tick]
        if (winner := twin.tick(k, axons, True, True)) is not None:
            expected.append(((k + 1) * tick - 1, winner))
    if batch.stop // tick in due:  # before the tick that would run next
        twin.reset()
    parts = pieces(batch, data.draw(cuts(batch)))
    assert rows_of(through(net, parts, windows)) == expected
    state = net.state()
    assert state["weights"].tolist() == twin.weights
    assert (state["theta"].tolist(), state["v"].tolist()) == (twin.theta, twin.v)
    assert (state["last"].tolist(), state["taught"].tolist()) == (twin.last, [twin.lesson])


# By hand: a tick is 1 ms, and neurons sum up what they hear for long.

SUMS = {**EAGER, "v_thresh": 99.0, "tau_m_ms": 1e9, "reset": True, "learning": False}


@pytest.mark.parametrize(
    ("start", "heard"),
    [(0, [0, 1, 2, 3]), (1, [1, 2, 3]), (1_000, [1, 2, 3]), (1_001, [2, 3]), (2_999, [3]), (3_000, [3])],
)
def test_a_window_resets_the_first_tick_that_starts_at_or_after_its_start(start, heard):
    marked, never = (network(**SUMS) for _ in range(2))
    stream = [(0, 0), (1_000, 1), (2_000, 2), (3_000, 3)]
    through(marked, [spikes(stream, 0, 4_000)], [Window(start, 9_000)])
    through(never, [spikes([row for row in stream if row[0] // 1_000 in heard], 0, 4_000)])
    assert marked.v.tolist() == never.v.tolist()


def test_unless_asked_for_a_window_changes_nothing():
    plain, marked = network(), network()
    windows = [Window(t, t + 10_000) for t in range(0, 100_000, 10_000)]
    assert rows_of(through(plain, [busy()])) == rows_of(through(marked, [busy()], windows))
    assert same(plain.state(), marked.state())


def test_each_window_is_as_if_it_were_the_first():
    net = network(reset=True, learning=False, v_thresh=0.6)
    first, second = busy(start=0, stop=50_000), busy(start=50_000, stop=100_000)
    windows = [Window(0, 50_000), Window(50_000, 100_000)]
    made = rows_of(through(net, [first, second], windows))
    early = [(t, j) for t, j in made if t < 50_000]
    assert early
    assert [(t - 50_000, j) for t, j in made if t >= 50_000] == early


@given(data=st.data(), batch=streams())
@SLOW_START
def test_a_reset_that_waits_is_saved_with_the_network(data, batch):
    windows, at = data.draw(marks(batch)), data.draw(st.integers(batch.start, batch.stop))
    left, right = cut(batch, at)
    first, second = network(reset=True, **LESSONS), network(reset=True, seed=9, **LESSONS)
    through(first, [left], windows)
    for window in windows:
        if window.start >= at:
            first.command(window)
    second.restore(first.state())
    assert rows_of([second(right)]) == rows_of([first(right)])
    assert same(first.state(), second.state())


def test_a_reset_in_a_gap_counts_from_its_time():
    """What was heard before the gap is forgotten in it; a setting that waits there too is taken as well."""
    nets = [network(**SUMS) for _ in range(2)]
    for net, windows in zip(nets, ([], [Window(150_000, 210_000)]), strict=True):
        pipeline = Pipeline({"network": net})
        pipeline(spikes([(0, 0)], 0, 100_000))
        pipeline(spikes([], 200_000, 201_000), [*windows, Setting(160_000, "network.v_thresh", 98.0)])
        assert net.settings["network.v_thresh"] == 98.0
    assert any(nets[0].v)
    assert not any(nets[1].v)


def test_lessons_after_a_state_that_claims_one_to_come_are_refused():
    net = network(reset=True)
    net(busy())
    state = net.state()
    state["taught"][0] = state["next"] + 5
    with pytest.raises(ModelError, match="lessons later than its time"):
        net.restore(state)


@pytest.mark.parametrize("options", [{"rule": "pair"}, {"engine": "composed"}, {"rule": "oja"}])
def test_a_network_that_cannot_be_reset_says_so(options):
    given = {key: value for key, value in LIVELY.items() if options.get("rule") != "oja"}
    with pytest.raises(ConfigError, match="cannot be reset by windows"):
        network(reset=True, **options) if given else _plain(options)


def _plain(options):
    from spikestream.stages.network import Network

    return Network(6, 3, reset=True, **options)


def test_thresholds_are_shared_in_whole_or_part():
    with pytest.raises(ConfigError, match="0 to 1"):
        network(theta_shared=1.5)


def test_a_configuration_asks_for_resets_and_a_model_has_none():
    tables = {"network": {"neurons": 3, "reset": True, "theta_shared": 1.0}, "learn": {"lesson_ms": 100.0}}
    pipeline = build(tables, (4, 4))
    assert pipeline.settings["learn.lesson_ms"] == 100.0
    pipeline.stages["network"].command(Window(5_000, 9_000))
    assert '"!"' in str(pipeline.stages["network"].state()["agenda"])
    with pytest.raises(ConfigError, match="not used beside a model"):
        build({"network": {"reset": True}, "model": {"inputs": {"in": {}}}}, (4, 4))


def test_thresholds_below_zero_are_taken_back_only_where_they_are_shared():
    shared, other, plain = network(theta_shared=1.0), network(theta_shared=1.0, seed=7), network()
    shared(busy())
    state = shared.state()
    assert state["theta"].min() < 0
    other.restore(state)
    assert same(other.state(), state)
    with pytest.raises(ModelError, match="negative"):
        plain.restore(state)
