"""Sessions without sockets: what each end may say, and who is at fault."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from fuzz import pieces
from hypothesis import given
from hypothesis import strategies as st
from wirebytes import PAGE, golden, maps, put
from wirecases import DATA, HELLO, NOW, refused, served, subscriber

from spikestream.errors import ClientError, ConfigError
from spikestream.wire import (
    BYE,
    MAX_CLIENT_FRAME,
    MAX_FRAME_EVER,
    Bye,
    ClientSession,
    FrameReader,
    Message,
    Ping,
    Pong,
    ServerSession,
    Sub,
    Terms,
    Unsub,
    Unsubscribed,
    Welcome,
    error_frame,
    loss_frame,
)


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(0, 10**6))
def test_frames_come_out_whole_however_they_are_split(payloads, seed):
    data = b"".join(len(payload).to_bytes(4, "little") + payload for payload in payloads)
    reader = FrameReader(64)
    assert [payload for piece in pieces(data, Random(seed)) for payload in reader.feed(bytes(piece))] == payloads
    assert reader.held == 0


@given(st.integers(0, 10**6))
def test_sessions_see_the_same_however_the_bytes_are_split(seed):
    page, rng = golden(), Random(seed)
    stream = b"".join(page[name] for name in ("hello", "sub-answer", *DATA, "gap-slow", "pong", "bye"))
    whole, split = (client(stream, rng if cut else None) for cut in (False, True))
    assert whole == split
    asked = b"".join(page[name] for name in ("client-hello", "sub", "ping", "unsub", "bye"))
    server = ServerSession()
    events = [event for piece in pieces(asked, rng) for event in server.receive(bytes(piece))]
    assert [type(event) for event in events] == [Welcome, Sub, Ping, Unsub, Bye]


def client(stream, rng):
    session = ClientSession()
    session.subscribe(["*"])
    parts = [stream] if rng is None else [bytes(piece) for piece in pieces(stream, rng) if piece]
    events = [event for part in parts for event in session.receive(part)]
    assert session.ended
    shown = [
        (e.topic, e.seq, e.n, np.asarray(e.data).tobytes() if e.kind in ("events", "spikes", "sound") else repr(e.data))
        if isinstance(e, Message)
        else e
        for e in events
    ]
    return shown, session.counts


HELLO_CLIENT = {"op": "hello", "v": [1]}
SUB = {"op": "sub", "id": 1, "topics": ["*"]}
WRONG = [
    ("order", [SUB]),
    ("order", [HELLO_CLIENT, HELLO_CLIENT]),
    ("version", [{"op": "hello", "v": [2, 3]}]),
    ("value", [{"op": "hello", "v": 1}]),
    ("value", [{"op": "hello", "v": [True]}]),
    ("value", [{"op": "hello"}]),
    ("value", [{"op": "hello", "v": [1], "client": 5}]),
    ("key", [HELLO_CLIENT | {"colour": "red"}]),
    ("key", [HELLO_CLIENT, SUB | {"colour": 5}]),
    ("value", [HELLO_CLIENT, SUB | {"since": 5}]),
    ("value", [HELLO_CLIENT, SUB | {"since": None}]),
    ("value", [HELLO_CLIENT, SUB | {"since": "yesterday"}]),
    ("value", [HELLO_CLIENT, SUB | {"since": {"t_ns": -1}}]),
    ("value", [HELLO_CLIENT, SUB | {"since": {"epoch": "5eed"}}]),
    ("value", [HELLO_CLIENT, SUB | {"since": {"epoch": "5eed", "seq": {"no topic": 1}}}]),
    ("value", [HELLO_CLIENT, SUB | {"since": {"epoch": "5eed", "seq": 2**63}}]),
    ("value", [HELLO_CLIENT, SUB | {"since": {"epoch": 5, "seq": 1}}]),
    ("value", [HELLO_CLIENT, SUB | {"credit": -1}]),
    ("value", [HELLO_CLIENT, SUB | {"credit": 2**20 + 1}]),
    ("value", [HELLO_CLIENT, SUB | {"credit": True}]),
    ("value", [HELLO_CLIENT, SUB | {"max_rate": float("nan")}]),
    ("value", [HELLO_CLIENT, SUB | {"max_rate": 1e-9}]),
    ("value", [HELLO_CLIENT, SUB | {"max_bytes": 0.5}]),
    ("value", [HELLO_CLIENT, SUB | {"decimate": 0}]),
    ("value", [HELLO_CLIENT, SUB | {"credit": 3}, {"op": "ack", "id": 1, "n": 0}]),
    ("id", [HELLO_CLIENT, SUB, {"op": "ack", "id": 1, "n": 1}]),
    ("op", [HELLO_CLIENT, {"op": "get"}]),
    ("op", [HELLO_CLIENT, {"op": ["sub"]}]),
    ("op", [HELLO_CLIENT, {"k": "events"}]),
    ("op", [{}]),
    ("topic", [HELLO_CLIENT, SUB | {"topics": []}]),
    ("topic", [HELLO_CLIENT, SUB | {"topics": "main.a.b"}]),
    ("topic", [HELLO_CLIENT, SUB | {"topics": ["a..b"]}]),
    ("topic", [HELLO_CLIENT, SUB | {"topics": [5]}]),
    ("policy", [HELLO_CLIENT, SUB | {"policy": "newest"}]),
    ("policy", [HELLO_CLIENT, SUB | {"policy": ["latest"]}]),
    ("id", [HELLO_CLIENT, SUB | {"id": -1}]),
    ("id", [HELLO_CLIENT, SUB | {"id": 2**32}]),
    ("id", [HELLO_CLIENT, SUB | {"id": True}]),
    ("id", [HELLO_CLIENT, SUB, SUB]),
    ("id", [HELLO_CLIENT, *(SUB | {"id": i} for i in range(65))]),
    ("id", [HELLO_CLIENT, {"op": "unsub", "id": 9}]),
    ("value", [HELLO_CLIENT, {"op": "ping"}]),
    ("value", [HELLO_CLIENT, {"op": "ping", "t": 0.5}]),
]


@pytest.mark.parametrize(("code", "messages"), WRONG, ids=[f"{i}-{code}" for i, (code, _) in enumerate(WRONG)])
def test_a_client_that_breaks_a_rule_is_told_which(code, messages):
    session = ServerSession()
    head, last = b"".join(map(put, messages[:-1])), put(messages[-1])
    list(session.receive(head))
    session.to_send()
    assert refused(session, last)["code"] == code
    assert list(session.receive(put(HELLO_CLIENT))) == [], "it is over"
    assert f"`{code}`" in PAGE.read_text(encoding="utf-8")


def test_a_client_frame_beyond_the_bound_is_refused_by_its_length_alone():
    reader = FrameReader(MAX_CLIENT_FRAME)
    with pytest.raises(ClientError, match="65,537 bytes is larger than the 65,536 allowed"):
        list(reader.feed((MAX_CLIENT_FRAME + 1).to_bytes(4, "little")))
    assert refused(ServerSession(), b"GET / HTTP/1.1\r\n\r\n")["code"] == "frame"


def test_pings_are_answered_with_what_they_sent():
    session = subscriber()
    session.ping(17)
    (ping,) = served(*maps(session.to_send()))[1]
    assert list(session.receive(ping.pong(NOW))) == [Pong(17, NOW)]


def test_what_a_newer_server_adds_is_ignored_and_still_counted():
    session = subscriber()
    (known,) = maps(golden()["spikes"])
    smells = known | {"k": "smells", "c": "main.nose.smells", "d": [1, 2]}
    assert list(session.receive(put({"op": "news", "x": 1}) + put(smells))) == []
    (message,) = session.receive(put(known | {"layer": 2}))
    assert message.data.tolist() == [(1_999, 70_000)]
    assert session.counts["main.nose.smells"].messages == 1


def number(seq):
    return put(maps(golden()["spikes"])[0] | {"s": seq})


def gap(first, stop):
    return loss_frame("main.network.spikes", first, stop, 1)


@pytest.mark.parametrize(
    "frames",
    [
        [number(4), number(6)],
        [number(4), number(4)],
        [number(4), number(3)],
        [number(4), gap(6, 8)],
        [number(4), gap(3, 5)],
        [gap(2, 4), number(5)],
        [gap(2, 4), number(3)],
    ],
)
def test_a_hole_without_a_gap_is_the_servers_fault(frames):
    session = subscriber()
    assert len(list(session.receive(frames[0]))) == 1
    with pytest.raises(ClientError, match="no gap says why"):
        list(session.receive(frames[1]))


def test_messages_and_gaps_add_up_to_the_span():
    session = subscriber()
    list(session.receive(number(4) + number(5) + gap(6, 100) + number(100) + gap(101, 102)))
    count = session.counts["main.network.spikes"]
    assert (count.first, count.next, count.messages, count.missing, count.gaps) == (4, 102, 3, 95, 2)


def test_after_unsubscribing_the_count_begins_anew():
    session = subscriber("main.network.spikes")
    list(session.receive(number(4)))
    session.unsubscribe(1)
    assert session.subscribe(["main.>"]) == 2
    list(session.receive(number(5) + put({"op": "unsub", "id": 1}) + put({"op": "sub", "id": 2}) + number(6)))
    other = subscriber("main.network.spikes")
    list(other.receive(number(4)))
    other.unsubscribe(1)
    assert list(other.receive(number(5) + put({"op": "unsub", "id": 1})))[1:] == [Unsubscribed(1)]
    with pytest.raises(ClientError, match="nobody asked for"):
        list(other.receive(number(6)))
    other.subscribe(["*"])
    assert len(list(other.receive(put({"op": "sub", "id": 2}) + number(60)))) == 2


@pytest.mark.parametrize("topics", [[], ["a..b"], ["main.*", ""], "main"])
def test_a_wrong_pattern_is_refused_before_it_is_sent(topics):
    if topics == "main":
        topics = ["main", "no good"]
    with pytest.raises(ConfigError, match="are not topics"):
        ClientSession().subscribe(topics)


def test_a_wrong_policy_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'drop_oldest'"):
        ClientSession().subscribe(["*"], Terms("drop-oldest"))


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no spikestream server"),
        (b"HTTP/1.1 400 Bad Request\r\n", "no spikestream server"),
        (put({"hello": 1}), "no spikestream server"),
        (put({"op": "sub", "id": 1}), "no spikestream server"),
        (put(maps(HELLO.frame)[0] | {"v": 2}), "speaks version 2"),
        (put(maps(HELLO.frame)[0] | {"max_frame": MAX_FRAME_EVER + 1}), "16,777,217 bytes"),
        (put(maps(HELLO.frame)[0] | {"epoch": 5}), "lacks srv, epoch"),
        (error_frame("full", "all places are taken"), "all places are taken"),
    ],
)
def test_a_greeting_that_is_none_says_what_to_try(stream, text):
    session = ClientSession()
    with pytest.raises(ClientError, match=text) as caught:
        list(session.receive(stream))
    assert caught.value.exit_code == 5
    assert caught.value.remedy or "speaks" not in text
    assert session.to_send() == b""


def test_a_connection_that_breaks_is_no_bye():
    session = subscriber()
    with pytest.raises(ClientError, match="without a bye"):
        list(session.receive(b""))
    list(session.receive(BYE))
    assert session.ended
    assert list(session.receive(b"")) == []
