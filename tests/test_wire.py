"""Messages against the bytes of the specification, batches larger than a frame, topics."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wirebytes import golden, maps, put
from wirecases import DATA, DECISIONS, EVENTS, HELLO, NOW, SPIKES, sent, served, subscriber

from spikestream import batch as flow
from spikestream.batch import EVENT, SPIKE, Decision, Decisions, Events, Label, Sound, Spikes, concat, no_spikes
from spikestream.errors import ClientError, SpikestreamError
from spikestream.wire import (
    BYE,
    Ack,
    Bye,
    ClientSession,
    Gap,
    Interest,
    Outgoing,
    Ping,
    ServerSession,
    Stats,
    Stored,
    Sub,
    Subscribed,
    Terms,
    Thinner,
    Unsub,
    Weights,
    Welcome,
    error_frame,
    is_pattern,
    is_topic,
    kind_of,
    loss_frame,
    matches,
    outgoing,
    ping_frame,
)

DECIDED = Decisions(30_000, 40_000, (Decision(30_000, 40_000, "bar", 0.75, (("bar", 3.0),), 4.0),))
TERMS = Terms("latest", {"epoch": "7f3a", "seq": {"main.network.spikes": 17}}, 3, 30, 1_000_000, 4)


def test_the_specification_shows_every_message():
    assert set(golden()) == {
        *DATA,
        "decisions-at",
        *("hello", "client-hello", "sub", "sub-answer", "unsub", "ping", "pong", "bye", "error", "gap-slow"),
        *("req", "rep", "rep-refused", "token-hello"),
        *("sub-terms", "sub-answer-since", "ack", "ping-server", "events-decimated", "gap-rate"),
        *("gap-log", "gap-reconnect"),
        *("ws-client-hello", "ws-spikes", "ws-events", "ws-bye"),  # test_websocket.py
    }


@pytest.mark.parametrize("name", DATA)
def test_data_has_the_bytes_of_the_specification(name):
    assert sent(*DATA[name]) == golden()[name]


def test_decisions_say_when_their_batch_came_and_was_through():
    message = Outgoing("main.readout.decisions", "decisions", 2, NOW + 9, DECIDED, at=(NOW + 7, NOW + 8))
    assert message.frame == golden()["decisions-at"]


def test_the_server_says_the_bytes_of_the_specification():
    assert HELLO.frame == golden()["hello"]
    assert Ping(1_000).pong(NOW) == golden()["pong"]
    assert error_frame("slow", "too slow") == golden()["error"]
    assert loss_frame("main.filter.events", 5, 11, 6_000) == golden()["gap-slow"]
    assert loss_frame("main.filter.events", 11, 20, 9_000, "rate") == golden()["gap-rate"]
    assert loss_frame("main.filter.events", 0, 1_000, None, "log") == golden()["gap-log"]
    assert loss_frame("main.filter.events", 0, 3, None, "reconnect") == golden()["gap-reconnect"]
    assert ping_frame(NOW) == golden()["ping-server"]
    assert golden()["bye"] == BYE
    session, _ = served({"op": "sub", "id": 1, "topics": ["*"]})
    assert session.to_send() == golden()["sub-answer"]
    session.subscribed(2, recovered=True, first={"main.network.spikes": 17})
    assert session.to_send() == golden()["sub-answer-since"]
    thinner, event = Thinner(Terms(decimate=2)), Stored("main.filter.events", 3, NOW + 1, 2, golden()["events"])
    assert thinner(event) == (1, golden()["events-decimated"])


def test_the_client_says_the_bytes_of_the_specification():
    session = ClientSession("viewer")
    session.subscribe(["main.*.spikes"], Terms("latest"))
    session.unsubscribe(1)
    session.ping(1_000)
    session.bye()
    assert session.to_send() == b"", "the server speaks first"
    list(session.receive(golden()["hello"]))
    page = golden()
    assert session.to_send() == b"".join(page[name] for name in ("client-hello", "sub", "unsub", "ping", "bye"))
    assert session.to_send() == b""
    session.subscribe(["main.>"], TERMS)
    session.interest.remove(1)
    session.acknowledge("main.network.spikes", 3)
    assert session.to_send() == page["sub-terms"] + page["ack"]


def test_a_token_has_the_bytes_of_the_specification():
    client = ClientSession("viewer", token="0123456789abcdef")
    list(client.receive(replace(HELLO, caps=(*HELLO.caps, "token")).frame))
    assert client.to_send() == golden()["token-hello"]
    server = ServerSession(token="0123456789abcdef")
    assert list(server.receive(golden()["token-hello"])) == [Welcome("viewer")]


def test_a_server_understands_the_bytes_of_the_specification():
    page, session = golden(), ServerSession()
    events = list(session.receive(b"".join(page[name] for name in ("client-hello", "sub", "ping", "unsub", "bye"))))
    topics = ("main.*.spikes",)
    assert events == [Welcome("viewer"), Sub(1, topics, Terms("latest")), Ping(1_000), Unsub(1), Bye()]
    assert maps(session.to_send()) == [{"op": "sub", "id": 1}, {"op": "unsub", "id": 1}, {}]
    _, events = served(*maps(page["sub-terms"] + page["ack"]))
    assert events == [Sub(2, ("main.>",), TERMS), Ack(2, 3)]


def test_a_client_understands_the_bytes_of_the_specification():
    page, session = golden(), subscriber()
    events, empty = list(session.receive(page["events"] + page["events-empty"]))
    assert (events.kind, events.topic, events.seq, events.published_ns) == ("events", "main.filter.events", 3, NOW + 1)
    assert (events.start, events.stop, events.n, events.size) == (10_000, 20_000, 2, (346, 260))
    assert events.data.tolist() == [(10_000, 1, 2, True), (19_999, 345, 259, False)]
    assert events.data.dtype == EVENT
    assert (empty.n, len(empty.data), empty.size) == (0, 0, None)
    (spikes,) = session.receive(page["spikes"])
    assert spikes.data.dtype == SPIKE
    assert spikes.data.tolist() == [(1_999, 70_000)]
    (decisions,) = session.receive(page["decisions"])
    assert decisions.data == DECISIONS.rows
    (stats,) = session.receive(page["stats"])
    assert stats.data == {"in": 1_000}
    (weights,) = session.receive(page["weights"])
    assert (weights.n, weights.data["layer"], weights.data["rev"]) == (2, "hidden", 3)
    assert (weights.data["values"].dtype, weights.data["values"].tolist()) == (np.float32, [[0.5], [-1.0]])
    assert list(session.receive(page["ping-server"])) == []


def test_a_client_understands_what_the_terms_bring():
    page, session = golden(), subscriber()
    session.subscribe(["*"], TERMS)
    assert list(session.receive(page["sub-answer-since"])) == [Subscribed(2, True, {"main.network.spikes": 17})]
    (decimated,) = session.receive(page["events-decimated"])
    assert (decimated.n, decimated.of, decimated.data.tolist()) == (1, 2, [(10_000, 1, 2, True)])
    other = subscriber()
    rate, log = [*other.receive(page["gap-rate"]), *subscriber().receive(page["gap-log"])]
    assert rate.data == {"from": 11, "to": 20, "rows": 9_000, "why": "rate"}
    assert (log.n, log.data) == (1_000, {"from": 0, "to": 1_000, "rows": None, "why": "log"})
    count = other.counts["main.filter.events"]
    assert (count.left_out, count.left_out_rows, count.missing, count.next) == (9, 9_000, 0, 20)


def test_weights_that_no_frame_can_hold_are_left_out_and_counted():
    large = Weights(0, 1, "hidden", 0, np.zeros((5, 1_000), np.float32))
    ((piece, left_out),) = outgoing.pieces(large, ever=10_000)
    assert (piece.values.shape, left_out) == ((0,), 5_000)
    ((piece, left_out),) = outgoing.pieces(large, max_frame=10_000)
    assert (piece, left_out) == (large, 0)


def test_batches_come_out_as_they_went_in():
    session = subscriber()
    events, spikes, decisions = (
        next(iter(session.receive(sent(*DATA[name])))).batch() for name in ("events", "spikes", "decisions")
    )
    assert (events.start, events.stop, events.size) == (EVENTS.start, EVENTS.stop, EVENTS.size)
    assert events.data.tobytes() == EVENTS.data.tobytes()
    assert (spikes.t.dtype, spikes.axon.dtype) == (np.int64, np.int32)
    assert (spikes.t.tolist(), spikes.axon.tolist()) == ([1_999], [70_000])
    assert spikes.t.flags.c_contiguous
    assert decisions == DECISIONS
    (stats,) = session.receive(sent(*DATA["stats"]))
    with pytest.raises(ClientError, match="holds no batch"):
        stats.batch()


def test_the_two_gaps_are_told_apart():
    session = subscriber()
    (sensor,) = session.receive(golden()["gap-sensor"])
    (slow,) = session.receive(golden()["gap-slow"])
    assert (sensor.kind, sensor.lost, sensor.topic, sensor.seq) == ("gap", False, "main.sensor.gap", 0)
    assert (sensor.start, sensor.stop, sensor.data) == (40_000, 50_000, {"why": "sensor"})
    assert (slow.kind, slow.lost, slow.topic, slow.seq, slow.n) == ("gap", True, "main.filter.events", 5, 6)
    assert slow.data == {"from": 5, "to": 11, "rows": 6_000, "why": "slow"}
    sensor_count, slow_count = session.counts["main.sensor.gap"], session.counts["main.filter.events"]
    assert (sensor_count.messages, sensor_count.gaps) == (1, 0)
    assert (slow_count.messages, slow_count.gaps, slow_count.missing, slow_count.missing_rows) == (0, 1, 6, 6_000)
    assert (slow_count.first, slow_count.next) == (5, 11)


stamps = st.integers(-(2**61), 2**61)
rows = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 65_535), st.integers(0, 65_535), st.booleans()), max_size=40
)


@given(stamps, rows, st.none() | st.tuples(st.integers(1, 65_536), st.integers(1, 65_536)))
def test_any_events_survive_the_wire(start, found, size):
    data = np.array(sorted((start + t, x, y, p) for t, x, y, p in found), EVENT)
    batch = Events(start, start + 10**6 + 1, data, size)
    (message,) = subscriber().receive(sent("a.b.events", 0, NOW, batch))
    back = message.batch()
    assert (back.start, back.stop, back.size) == (batch.start, batch.stop, batch.size)
    assert back.data.tobytes() == data.tobytes()


texts = st.text(max_size=8)
numbers = st.floats(allow_nan=False)
decisions = st.builds(
    Decision,
    st.integers(-(2**61), 2**61),
    st.integers(-(2**61), 2**61),
    st.none() | texts,
    numbers,
    st.lists(st.tuples(texts, numbers), max_size=5, unique_by=lambda pair: pair[0]).map(tuple),
    numbers,
)


@given(st.lists(decisions, max_size=10))
def test_any_decisions_survive_the_wire(found):
    (message,) = subscriber().receive(sent("a.b.decisions", 0, NOW, Decisions(0, 1, tuple(found))))
    assert message.batch() == Decisions(0, 1, tuple(found))


def test_numbers_of_numpy_are_as_good_as_ours():
    stamp, half = np.int64(5), np.float32(0.5)
    row = Decision(stamp, np.int64(6), "a", half, (("a", half),), np.float64(1))
    plain = Decision(5, 6, "a", 0.5, (("a", 0.5),), 1.0)
    frames = [sent("a.b.decisions", 0, NOW, Decisions(s, 9, (r,))) for s, r in ((stamp, row), (5, plain))]
    assert frames[0] == frames[1]


def test_a_strided_view_is_sent_as_what_it_shows():
    data = np.array([(t, t, 0, True) for t in range(10)], EVENT)
    spikes = Spikes(0, 10, np.arange(20)[::2][:5], np.arange(20, dtype=np.int32)[::4])
    (events,) = subscriber().receive(sent("a.b.events", 0, NOW, Events(0, 10, data[::3])))
    (out,) = subscriber().receive(sent("a.b.spikes", 0, NOW, spikes))
    assert events.data["t"].tolist() == [0, 3, 6, 9]
    assert out.data.tolist() == [(0, 0), (2, 4), (4, 8), (6, 12), (8, 16)]


def test_what_is_no_batch_is_not_published():
    with pytest.raises(SpikestreamError, match="Label is not published"):
        kind_of(Label(0, 0, 1, "a"))


@given(st.integers(0, 3_000), st.integers(1, 3), st.integers(1_100, 3_000), st.integers(0, 10**6))
def test_sound_travels_in_pieces_of_whole_samples_and_comes_out_as_it_went_in(n, channels, most, length):
    samples = np.random.default_rng(n).uniform(-1, 1, (n, channels)).astype(np.float32)
    parts, left_out = zip(*outgoing.pieces(Sound(7, 7 + length, samples), most), strict=True)
    assert not any(left_out)
    assert [part.start for part in parts] == [7, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == 7 + length
    frames = [sent("record.sensor.sound", seq, NOW, part) for seq, part in enumerate(parts)]
    assert max(map(len, frames)) <= most + 4
    got = [message.batch().samples for message in subscriber().receive(b"".join(frames))]
    assert np.array_equal(np.concatenate(got), samples)
    for part in parts:  # each piece is as long as its samples last, to the microsecond
        assert abs((part.stop - part.start) * n - len(part) * length) <= n


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": 0},
        {"channels": 1_025},
        {"channels": True},
        {"channels": None},
        {"channels": 3},
        {"n": 1},
        {"d": b"\0\0\xc0\x7f" * 2},
        {"d": "text"},
    ],
)
def test_sound_that_is_wrong_is_refused(wrong):
    fields = {
        "k": "sound",
        "c": "a.b.sound",
        "s": 0,
        "t": NOW,
        "t0": 0,
        "t1": 125,
        "n": 2,
        "d": bytes(8),
        "channels": 1,
    }
    with pytest.raises(ClientError):
        list(subscriber().receive(put(fields | wrong)))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.integers(1_100, 2_000))
def test_a_large_batch_travels_in_contiguous_pieces_that_fit(times, most):
    data = np.zeros(len(times), EVENT)
    data["t"] = sorted(times)
    spikes = Spikes(-5, 40, data["t"].copy(), np.arange(len(times), dtype=np.int32))
    answers = Decisions(-5, 40, tuple(Decision(0, t + 1, "x", 0.5, (("x", 1.0),)) for t in sorted(times)))
    for batch, row_bytes in ((Events(-5, 40, data, (1, 1)), 13), (spikes, 12), (answers, 120)):
        parts, left_out = zip(*outgoing.pieces(batch, most, 2 * most), strict=True)
        assert [part.start for part in parts] == [batch.start, *(part.stop for part in parts[:-1])]
        assert parts[-1].stop == batch.stop
        sizes = [len(sent("a" * 80 + ".b.c", 2**40, NOW, part)) for part in parts]
        assert max(sizes) <= 2 * most + 4
        stamped = [set(flow.stamps(part).tolist()) for part in parts]
        assert all(size <= most + 4 or len(of) == 1 for size, of in zip(sizes, stamped, strict=True))
        assert sum(left_out) == len(batch) - sum(map(len, parts))
        fullest = max(map(times.count, times))
        if fullest * row_bytes > 2 * most:
            assert sum(left_out) > 0
        elif fullest * row_bytes <= 2 * most - 1_024:
            whole = concat(parts)
            assert sent("a.b.c", 0, 0, whole) == sent("a.b.c", 0, 0, batch)


def test_most_batches_are_one_piece():
    for batch in (EVENTS, SPIKES, DECISIONS, no_spikes(0, 5), Decisions(0, 5), Stats(0, 1, {}), Gap(0, 1)):
        assert list(outgoing.pieces(batch)) == [(batch, 0)]


def test_a_row_that_no_frame_can_hold_is_left_out():
    broad = Decision(0, 1, "x", 1.0, tuple((f"label {i}", 0.0) for i in range(300_000)))
    ((piece, left_out),) = outgoing.pieces(Decisions(0, 1, (broad,)))
    assert (piece, left_out) == (Decisions(0, 1), 1)


def naive_match(pattern, topic):
    """Return what the specification says, token by token."""
    if pattern == ["*"] and topic:
        return True
    return _naive_tokens(pattern, topic)


def _naive_tokens(pattern, topic):
    if not pattern or not topic:
        return pattern == topic
    if pattern == [">"]:
        return True
    return pattern[0] in ("*", topic[0]) and _naive_tokens(pattern[1:], topic[1:])


def test_patterns_match_as_a_naive_matcher_says():
    topics = list(product("ab", repeat=3)) + list(product("ab", repeat=2))
    heads = [p for n in (1, 2, 3, 4) for p in product("ab*", repeat=n)]
    patterns = heads + [(*head, ">") for head in heads] + [(">",)]
    outcomes = [(matches(".".join(p), ".".join(t)), naive_match(list(p), list(t))) for p in patterns for t in topics]
    assert all(ours == naive for ours, naive in outcomes)
    assert 0 < sum(ours for ours, _ in outcomes) < len(outcomes)
    assert all(is_pattern(".".join(p)) for p in patterns)


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a.>.b", ">.a", "a*", "a.b*", "a b", "a.b\n", "ä", "**"])
def test_what_is_no_pattern(text):
    assert not is_pattern(text)
    assert not is_topic(text)


@pytest.mark.parametrize("text", ["main.filter", "main", "a.b.c.d", "a.*.c", "a.b.>", "x" * 260 + ".b.c"])
def test_what_is_no_topic(text):
    assert not is_topic(text)


def test_the_oldest_subscription_decides_on_the_policy():
    interest = Interest()
    interest.add(7, ("main.*.spikes",), Terms("latest"))
    interest.add(3, ("main.>",), Terms("block"))
    assert [interest.policy(f"main.x.{kind}") for kind in ("spikes", "events")] == ["latest", "block"]
    assert interest.policy("left.x.spikes") is None
    assert interest.blocks
    interest.remove(7)
    assert interest.policy("main.x.spikes") == "block"
    interest.remove(3)
    assert (interest.policy("main.x.spikes"), interest.blocks, len(interest)) == (None, False, 0)
