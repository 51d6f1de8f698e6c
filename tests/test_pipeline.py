"""The pipeline: commands at their own times, gaps that stages speak in, the same result however the input is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small import SIZE, TICK, WINDOW, commands_at, events, fed, noise, pieces, pipeline, rows_of, same_state, total

from spikestream.batch import Decision, Label, Setting, Spikes, Window, no_events, no_spikes
from spikestream.checkpoint import state_sha256
from spikestream.errors import ConfigError, SpikestreamError
from spikestream.pipeline import Hop, Pipeline
from spikestream.stages.base import Account
from spikestream.stages.network import Network
from spikestream.stages.readout import Readout

MANY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the first example may compile a kernel


class Book:
    """A stage that passes everything on and writes down what happens to it."""

    def __init__(self, silence=no_events):
        self.account = Account()
        self.log = []
        self.silence = silence

    def __call__(self, batch):
        self.account.taken += len(batch)
        self.account.given += len(batch)
        self.log.append((batch.start, batch.stop, len(batch)))
        return batch

    def skip(self, start, stop):
        self.log.append(("skip", start, stop))
        return self.silence(start, stop)

    def state(self):
        return {}

    def restore(self, state):
        pass


class Diary(Book):
    """The same of a learner, with its commands."""

    learning = True

    def command(self, command):
        self.log.append(command)


class Talker(Diary):
    """A stage that speaks in gaps: a spike at each of these times."""

    def __init__(self, *times):
        super().__init__()
        self.account = Account(conserves=False)
        self.times = times

    def skip(self, start, stop):
        t = np.array([t for t in self.times if start <= t < stop], np.int64)
        self.account.given += len(t)
        return Spikes(start, stop, t, np.zeros(len(t), np.int32))


def on(t):
    return Setting(t, "learn.enabled", True)


def label(t):
    return Label(t, 0, 10, "a")


FIVE = events(0, 100, [(10 * i, 0, 0, True) for i in range(0, 10, 2)])  # at 0, 20, 40, 60, 80


# Commands


@pytest.mark.parametrize(
    ("commands", "log"),
    [
        ([], [(0, 100, 5)]),
        ([on(0)], [on(0), (0, 100, 5)]),
        ([on(-7)], [on(-7), (0, 100, 5)]),
        ([on(100)], [(0, 100, 5), on(100)]),
        ([on(20)], [(0, 20, 1), on(20), (20, 100, 4)]),
        ([on(21)], [(0, 21, 2), on(21), (21, 100, 3)]),
        ([on(99)], [(0, 99, 5), on(99), (99, 100, 0)]),
        ([label(60), on(21)], [(0, 21, 2), on(21), (21, 60, 1), label(60), (60, 100, 2)]),
        ([label(50), on(50)], [(0, 50, 3), label(50), on(50), (50, 100, 2)]),
        ([on(50), label(50)], [(0, 50, 3), on(50), label(50), (50, 100, 2)]),
        ([Window(30, 90)], [(0, 30, 2), Window(30, 90), (30, 100, 3)]),
    ],
)
def test_a_batch_is_cut_where_a_command_takes_effect(commands, log):
    made = Pipeline({"diary": Diary()})
    out = made(FIVE, commands)["diary"]
    assert made.stages["diary"].log == log
    assert (out.start, out.stop, rows_of(out)) == (0, 100, rows_of(FIVE))


def test_a_command_that_comes_late_takes_effect_at_the_start_of_the_batch_it_came_with():
    made = Pipeline({"diary": Diary()})
    made(FIVE)
    made(no_events(100, 200), [on(150), on(3)])
    assert made.stages["diary"].log == [(0, 100, 5), on(3), (100, 150, 0), on(150), (150, 200, 0)]


def test_a_command_from_the_future_is_refused_and_nothing_has_happened():
    made = Pipeline({"diary": Diary()})
    made(FIVE)
    with pytest.raises(SpikestreamError, match="a command for 201 µs came with a batch that ends at 200 µs"):
        made(no_events(100, 200), [on(150), on(201)])
    assert (made.now, made.taken, made.stages["diary"].log) == (100, 5, [(0, 100, 5)])
    made(no_events(100, 200), [on(150), on(200)])


def test_commands_reach_all_learners_and_nobody_else():
    deaf, one, other = Book(), Diary(), Diary()
    Pipeline({"one": one, "deaf": deaf, "other": other})(FIVE, [on(0)])
    assert (deaf.log, one.log, other.log) == ([(0, 100, 5)], [on(0), (0, 100, 5)], [on(0), (0, 100, 5)])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Setting(150, "network.neurons", 3), ["cannot be changed while running", "allowed: learn.enabled"]),
        (Setting(150, "learn.enable", True), ["did you mean 'learn.enabled'?"]),
        (Setting(150, "learn.enabled", "no"), ["'no'", "allowed: true, false"]),
        (Setting(150, "learn.enabled", 0), ["allowed: true, false"]),
    ],
)
def test_a_setting_that_cannot_be_changed_says_which_can_and_changes_nothing(wrong, words):
    made = Pipeline({"diary": Diary()})
    made(FIVE)
    with pytest.raises(ConfigError) as caught:
        made(no_events(100, 200), [on(120), wrong])
    assert all(word in str(caught.value) for word in words)
    assert (made.now, made.stages["diary"].log) == (100, [(0, 100, 5)])


# Time


def test_a_batch_that_starts_before_the_last_one_ended_is_refused_and_nothing_has_happened():
    made = Pipeline({"diary": Diary()})
    made(FIVE)
    with pytest.raises(SpikestreamError, match=r"\[99, 200\) starts before 100"):
        made(no_events(99, 200))
    assert (made.now, made.taken, made.gaps, made.stages["diary"].log) == (100, 5, [], [(0, 100, 5)])


def test_the_first_batch_sets_the_time_and_is_no_gap():
    made = Pipeline({"diary": Diary()})
    assert made.now is None
    made(no_events(10**15, 10**15 + 5))
    assert (made.now, made.gaps, made.stages["diary"].log) == (10**15 + 5, [], [(10**15, 10**15 + 5, 0)])


@pytest.mark.parametrize(
    ("commands", "log"),
    [
        ([], [("skip", 100, 300), (300, 400, 0)]),
        ([on(200)], [on(200), ("skip", 100, 300), (300, 400, 0)]),
        ([on(299)], [on(299), ("skip", 100, 300), (300, 400, 0)]),
        ([on(100), on(300)], [on(100), ("skip", 100, 300), on(300), (300, 400, 0)]),
        ([on(50)], [on(50), ("skip", 100, 300), (300, 400, 0)]),
        (
            [on(350), label(200), on(200)],
            [label(200), on(200), ("skip", 100, 300), (300, 350, 0), on(350), (350, 400, 0)],
        ),
    ],
)
def test_a_gap_is_skipped_whole_once_its_commands_are_handed_out(commands, log):
    made = Pipeline({"diary": Diary()})
    made(FIVE)
    out = made(no_events(300, 400), commands)["diary"]
    assert made.stages["diary"].log[1:] == log
    assert made.gaps == [(100, 300)]
    assert (out.start, out.stop) == (300, 400)  # silence in a gap stays a gap


def test_the_last_hundred_gaps_are_kept():
    made = Pipeline({"diary": Diary()})
    for n in range(150):
        made(no_events(10 * n, 10 * n + 5))
    assert made.gaps == [(10 * n - 5, 10 * n) for n in range(50, 150)]


def test_what_a_stage_says_in_a_gap_is_heard_by_the_next_and_returned():
    made = Pipeline({"talker": Talker(150, 220, 299), "diary": Diary(no_spikes)})
    made(no_spikes(0, 100))
    out = made(no_spikes(300, 400), [on(200)])
    assert made.stages["diary"].log[1:] == [
        on(200),
        (100, 300, 3),
        ("skip", 300, 300),
        (300, 400, 0),
    ]
    assert [rows_of(out[name]) for name in out] == [[(150, 0), (220, 0), (299, 0)]] * 2
    assert (out["diary"].start, out["diary"].stop) == (100, 400)
    assert [hop.missing() for hop in made.hops()] == [0] * len(made.hops())


def test_a_ledger_is_of_one_moment():
    made = pipeline()
    made(noise(0, 20_000))
    before = made.hops()
    said = [str(hop) for hop in before]
    made(noise(20_000, 60_000, seed=1))
    assert [str(hop) for hop in before] == said
    assert [hop.missing() for hop in before] == [0] * len(before)


def test_the_spike_a_network_owes_for_the_tick_a_gap_broke_counts_in_the_window():
    axons = np.zeros(4, np.int32)
    made = Pipeline({"network": Network(1, 1, v_thresh=0.5), "readout": Readout(1, window_us=WINDOW)})
    made(Spikes(0, 9_500, np.array([9_100, 9_200, 9_300, 9_400]), axons))
    out = made(no_spikes(50_300, 51_000))
    assert rows_of(out["network"]) == [(9_999, 0)]
    assert [row for _, row in rows_of(out["readout"])] == [Decision(0, WINDOW, None, 0.0, (), 1.0)]


@pytest.mark.parametrize("command", [on(250_100), on(251_000), label(250_100), label(420_000)])
def test_a_command_in_a_gap_makes_no_decision_about_time_nobody_saw(command):
    windows = []
    for commands in ([], [command]):
        made = pipeline(readout={"window_us": 100_000})
        made(noise(0, 150_000))
        out = made(no_events(450_300, 460_000, SIZE), commands)
        windows.append([(row.start, row.stop) for _, row in rows_of(out["readout"])])
    assert windows == [[(100_000, 200_000)]] * 2


@given(
    labels=st.lists(st.integers(1_500, 60_000), min_size=1, max_size=6),
    stop=st.integers(1_000, 2_000),
    inhibition=st.sampled_from([0.0, 3.0]),
)
@MANY
def test_labels_in_a_gap_move_no_spike_and_no_decision(labels, stop, inhibition):
    """Law 8: a label may arrive at any time in a gap, the network never hears of it."""
    heard = []
    for commands in ([], [label(t) for t in labels]):
        made = pipeline(network={"v_thresh": 0.01, "inhibition": inhibition}, readout={"window_us": 100_000})
        outputs = [made(noise(0, stop)), made(noise(50_000, 60_000), commands), made(noise(60_000, 110_000))]
        rows = [[rows_of(out[name]) for out in outputs] for name in ("network", "readout")]
        heard.append((rows, [made.stages["network"].state()[key].tobytes() for key in ("v", "theta", "weights")]))
    assert heard[0] == heard[1]


def test_settings_from_before_the_stream_began_hold_from_its_first_tick_on():
    frozen, learning = pipeline(learn={"enabled": False}), pipeline()
    stream = noise(1_000_000_000, 1_000_060_000)
    before = [Setting(0, "learn.enabled", True), Setting(17, "learn.enabled", False)]
    assert total(fed(learning, [stream], before)) == total(fed(frozen, [stream]))
    assert np.array_equal(learning.stages["network"].weights, pipeline().stages["network"].weights)


def test_a_mark_that_comes_late_marks_what_is_left_and_sees_no_label_of_before():
    answers = []
    for labels in ([], [label(150)]):
        made = Pipeline({"readout": Readout(1, window_us=100, windows="marked")})
        axons = np.zeros(10, np.int32)
        made(Spikes(0, 160, np.arange(5, 155, 15), axons), [Window(0, 100), *labels])
        row = made(Spikes(160, 250, np.arange(165, 175), axons), [Window(100, 200)])["readout"].rows[0]
        answers.append((row.start, row.stop, row.evidence))
    assert answers == [(160, 200, 10.0)] * 2


def test_a_late_label_leaves_the_window_under_way_alone():
    stream = noise(0, 60_000)
    taught = Label(32_000, 20_000, 30_000, "a")
    alone, late, later = (pipeline() for _ in range(3))
    decided = total(fed(alone, [stream]))["readout"]
    first, second = pieces(stream, [35_000])
    got = [*rows_of(late(first)["readout"]), *rows_of(late(second, [taught])["readout"])]
    assert [row for row in got if row[0] < 40_000] == decided[:4]  # [30000, 40000) was under way when it came
    assert got[4][1].label == "a"
    assert total(fed(later, [stream], [Label(35_000, 20_000, 30_000, "a")]))["readout"] == got


# However it is cut


@st.composite
def cases(draw):
    """Draw segments with gaps between them, two ways to cut these, commands, and the kind of windows."""
    start = draw(st.sampled_from([0, 123_456, 1_600_000_000_000_000]))
    segments, now = [], start
    for number in range(draw(st.integers(1, 3))):
        stop = now + draw(st.integers(1, 25_000))
        segments.append(noise(now, stop, seed=draw(st.integers(0, 99)) + number))
        now = stop + draw(st.sampled_from([1, 700, 1_000, 4_321, 30_000]))
    spans = [segment.start for segment in segments], segments[-1].stop
    edges = st.lists(st.integers(start, spans[1]) | st.sampled_from(stamps_in(segments, start)), max_size=12)
    commands = draw(commands_at(start, spans[1]))
    return segments, draw(edges), commands, draw(st.sampled_from(["grid", "marked"]))


def stamps_in(segments, start):
    """Return the times around every event, on which cuts hurt most."""
    return [
        start,
        *(
            int(t) + more
            for segment in segments
            for t in segment.data["t"]
            for more in (0, 1)
            if t + more <= segment.stop
        ),
    ]


def cut_up(segments, edges):
    return [
        piece
        for segment in segments
        for piece in pieces(segment, [e for e in edges if segment.start <= e <= segment.stop])
    ]


@given(cases())
@settings(MANY, max_examples=300)
def test_spikes_decisions_and_state_are_the_same_however_the_stream_is_cut(case):
    segments, edges, commands, windows = case
    readout = {"windows": windows}
    whole, other = pipeline(readout=readout), pipeline(readout=readout)
    expected = fed(whole, segments, commands)
    got = fed(other, cut_up(segments, edges), commands)
    assert total(got) == total(expected)
    assert same_state(whole, other)
    assert state_sha256(whole) == state_sha256(other)
    assert (whole.gaps, whole.made, whole.taken) == (other.gaps, other.made, other.taken)
    assert not [str(hop) for one in (whole, other) for hop in one.hops() if hop.missing()]


@given(cases())
@settings(MANY, max_examples=150)
def test_nothing_comes_later_than_the_batch_that_completes_its_tick_or_window(case):
    segments, edges, commands, windows = case
    readout = {"windows": windows}
    everything = total(fed(pipeline(readout=readout), segments, commands))
    so_far = {name: [] for name in everything}
    for stop, rows in fed(pipeline(readout=readout), cut_up(segments, edges), commands):
        for name, seen in so_far.items():
            seen += rows[name]
            assert seen == [row for row in everything[name] if row[0] < stop]


def test_the_stream_of_these_tests_does_fire_decide_and_learn():
    made = pipeline()
    commands = [Label(t, t - WINDOW, t, "abba"[t // WINDOW % 4]) for t in range(WINDOW, 300_001, WINDOW)]
    got = total(fed(made, [noise(0, 300_000)], commands))
    assert 600 < len(got["filter"]) < 900
    assert len(got["network"]) > 60
    assert {row.label for _, row in got["readout"]} == {None, "a", "b"}
    assert len(got["readout"]) == 30
    assert all(t % TICK == TICK - 1 for t, _ in got["network"])
    assert not np.array_equal(made.stages["network"].weights, pipeline().stages["network"].weights)


# The ledger's lines


def test_a_hop_says_what_became_of_what_was_sent():
    hop = Hop("filter", 1_000, 900, {"hot": 50, "crop": 0}, {"full": 30}, held=15)
    assert hop.missing() == 5
    assert str(hop) == "filter: 1,000 sent, 900 received, 50 filtered (hot), 30 dropped (full), 15 held, 5 MISSING"
    assert str(Hop("filter", 7, 7)) == "filter: 7 sent, 7 received"
    assert Hop("filter", 7, 8).missing() == -1


def test_every_stage_is_in_the_ledger_with_its_own_count_and_the_pipelines():
    made = Pipeline({"one": Diary(no_spikes), "other": Talker(150)})
    made(Spikes(0, 100, np.arange(5), np.zeros(5, np.int32)))
    made(no_spikes(200, 300))
    assert [str(hop) for hop in made.hops()] == [
        "into one: 5 sent, 5 received",
        "through one: 5 sent, 5 received",
        "out of one: 5 sent, 5 received",
        "into other: 5 sent, 5 received",
        "out of other: 6 sent, 6 received",
    ]
