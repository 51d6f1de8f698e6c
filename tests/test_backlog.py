"""The queue of one slow subscriber, against the law: what it gets and the gaps add up, and memory is bounded."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from wirebytes import maps, put, span

from spikestream.batch import Spikes, no_spikes
from spikestream.wire import Backlog, Outgoing

POLICY = {"a": "drop_oldest", "b": "latest", "c": "drop_oldest", "d": "latest"}


def message(stage, seq, rows=1):
    t = np.arange(rows)
    return Outgoing(f"x.{stage}.spikes", "spikes", seq, 0, Spikes(0, max(1, rows), t, t.astype(np.int32)))


def numbers(frames, stage):
    return [m["s"] for m in maps(b"".join(frames)) if m.get("c") == f"x.{stage}.spikes" and "s" in m]


steps = st.one_of(
    st.tuples(st.just("push"), st.sampled_from("abcd"), st.integers(0, 20)),
    st.tuples(st.just("take"), st.integers(1, 1_500), st.just(0)),
    st.tuples(st.just("control"), st.integers(0, 9), st.just(0)),
)


@given(st.lists(steps, max_size=120), st.integers(0, 2_000))
def test_messages_and_gaps_add_up_under_any_load(script, limit):
    backlog, due, rows, out = Backlog(limit), dict.fromkeys("abcd", 0), dict.fromkeys("abcd", 0), []
    controls = []
    for what, which, count in script:
        if what == "push":
            assert backlog.push(message(which, due[which], count), POLICY[which])
            backlog.flow(f"x.{which}.spikes").due.add(1, count)
            due[which], rows[which] = due[which] + 1, rows[which] + count
        elif what == "take":
            out += backlog.take(which)
        else:
            controls.append(which)
            backlog.control(put({"op": which}))
        assert backlog.bytes <= limit
        assert not any(flow.imbalance() for flow in backlog.accounts().values())
    out += backlog.take(10**9)
    assert not backlog
    assert backlog.bytes == 0
    found = maps(b"".join(out))
    assert [m["op"] for m in found if "op" in m] == controls
    for topic, (first, following, got, lost) in span(found).items():
        assert (first, following, got + lost) == (0, due[topic[2]], rows[topic[2]])
    assert {t[2] for t in span(found)} == {stage for stage in "abcd" if due[stage]}
    backlog.landed(0)
    flows = backlog.accounts()
    for topic, (_, _, got, lost) in span(found).items():
        assert (flows[topic].sent.rows, flows[topic].dropped.rows, flows[topic].held.rows) == (got, lost, 0)


def test_the_oldest_go_first():
    size = len(message("a", 0).frame)
    backlog = Backlog(3 * size)
    for seq in range(8):
        backlog.push(message("a", seq), "drop_oldest")
    gap, *rest = maps(b"".join(backlog.take(10**6)))
    assert (gap["from"], gap["to"], gap["n"], gap["rows"], gap["why"]) == (0, 5, 5, 5, "slow")
    assert [m["s"] for m in rest] == [5, 6, 7]


def test_latest_keeps_one_of_each_topic_in_its_place():
    backlog = Backlog(10**6)
    for seq in range(50):
        backlog.push(message("b", seq), "latest")
        backlog.push(message("a", seq), "drop_oldest")
    frames = backlog.take(10**6)
    assert numbers(frames, "b") == [49]
    assert numbers(frames, "a") == list(range(50))
    assert [m.get("c", "")[2] for m in maps(b"".join(frames))][:2] == ["b", "b"], (
        "its gap, then itself, first as it was"
    )


def test_what_may_not_be_dropped_is_not_and_too_much_of_it_ends_the_connection():
    size = len(message("a", 0).frame)
    recorder, replay = Backlog(3 * size), Backlog(3 * size)
    assert [recorder.push(message("a", seq), "disconnect") for seq in range(4)] == [True, True, True, False]
    assert [replay.push(message("a", seq), "block") for seq in range(9)] == [True] * 9
    assert numbers(recorder.take(10**6), "a") == [0, 1, 2, 3]


def test_droppable_messages_make_room_for_those_that_are_not():
    size = len(message("a", 0).frame)
    backlog = Backlog(4 * size)
    for seq in range(3):
        backlog.push(message("a", seq), "drop_oldest")
        backlog.push(message("b", seq), "latest")
        assert backlog.push(message("c", seq), "disconnect")
    frames = backlog.take(10**6)
    assert numbers(frames, "c") == [0, 1, 2]
    assert len(numbers(frames, "a") + numbers(frames, "b")) == 1


def test_a_message_larger_than_the_queue_is_a_gap():
    backlog = Backlog(10)
    assert backlog.push(message("a", 0, 500), "drop_oldest")
    assert maps(b"".join(backlog.take(1)))[0]["rows"] == 500


def test_an_empty_batch_counts_as_a_message():
    backlog = Backlog(0)
    backlog.push(Outgoing("x.a.spikes", "spikes", 0, 0, no_spikes(0, 5)), "drop_oldest")
    (gap,) = maps(b"".join(backlog.take(1)))
    assert (gap["n"], gap["rows"]) == (1, 0)


def test_gaps_of_a_topic_nobody_wants_any_more_come_before_the_answer():
    size = len(message("a", 0).frame)
    backlog = Backlog(2 * size)
    for seq in range(4):
        backlog.push(message("a", seq), "drop_oldest")
    backlog.push(message("c", 0), "drop_oldest")
    backlog.forget(lambda topic: ("drop_oldest", 0) if topic == "x.c.spikes" else None)
    backlog.control(put({"op": "unsub"}))
    backlog.push(message("a", 90), "drop_oldest")
    kept, gap, answer, later = maps(b"".join(backlog.take(10**6)))
    assert kept["c"] == "x.c.spikes"
    assert (gap["c"], gap["from"], gap["to"]) == ("x.a.spikes", 0, 4)
    assert answer == {"op": "unsub"}
    assert later["s"] == 90


def test_clearing_leaves_gaps_for_everything():
    backlog = Backlog(10**6)
    for seq in range(5):
        backlog.push(message("a", seq), "drop_oldest")
        backlog.push(message("b", seq), "latest")
    backlog.clear()
    assert backlog.bytes == 0
    gaps = {m["c"][2]: (m["from"], m["to"]) for m in maps(b"".join(backlog.settle()))}
    assert gaps == {"a": (0, 5), "b": (0, 5)}
    assert not backlog
    assert backlog.gaps == 2


def test_a_queue_that_never_runs_empty_does_not_grow():
    backlog = Backlog(10**6)
    backlog.push(message("a", 0), "drop_oldest")
    for seq in range(1, 3_000):
        backlog.push(message("a", seq), "drop_oldest")
        backlog.take(1)
    assert len(backlog._old) <= 2


def test_what_is_in_the_connections_buffer_is_sent_when_its_last_byte_has_left():
    backlog = Backlog(10**6)
    sizes = [len(message("a", seq).frame) for seq in range(3)]
    turn = [message("a", seq) for seq in range(3)]
    backlog.wrote(40)
    backlog.flew(turn, {"x.a.spikes": (3, 3)}, sum(sizes), sum(sizes[1:]) + 1)
    tallies = []
    for unsent in (sum(sizes[1:]), sizes[2] + 1, sizes[2], 1):
        backlog.landed(unsent)
        flow = backlog.accounts()["x.a.spikes"]
        tallies.append((flow.sent.rows, flow.flying.rows))
    assert tallies == [(1, 2), (1, 2), (2, 1), (2, 1)]
    backlog.crashed()
    flow = backlog.accounts()["x.a.spikes"]
    assert (flow.sent.rows, flow.dropped.rows, flow.flying.rows) == (2, 1, 0)
