"""Requests on the wire: their bytes, what is answered and what ends the connection, and both ends under damage."""

from __future__ import annotations

import pytest
from fuzz import mutations
from hypothesis import given
from hypothesis import strategies as st
from test_wire_damage import reframed
from wirebytes import golden, maps, put
from wirecases import HELLO, refused, served, subscriber

from spikestream.errors import ClientError, ConfigError
from spikestream.wire import (
    MAX_OPEN,
    ClientSession,
    Hello,
    Lesson,
    Refusal,
    Reply,
    Request,
    ServerSession,
    Taught,
    lesson,
    taught,
)

YES = Lesson("yes")
ASKED = Request(2, "teach", YES.fields())
DONE = Reply(2, Taught(5_000_000, 2_000_000, 5_000_000, 2).fields())
FROZEN = Reply(2, code="frozen", what="learning is off")


def asking(numbers=1):
    """Return a session that has subscribed and made requests; their numbers follow that of the subscription."""
    session = subscriber()
    for _ in range(numbers):
        session.request("teach", YES.fields())
    return session


def test_requests_and_answers_have_the_bytes_of_the_specification():
    session = subscriber()
    assert session.request("teach", {"pipeline": "main", "label": "yes", "for": 3_000_000, "reward": 0.0}) == 2
    assert session.to_send() == golden()["req"] == ASKED.frame
    assert DONE.frame == golden()["rep"]
    assert FROZEN.frame == golden()["rep-refused"]


def test_both_ends_understand_the_bytes_of_the_specification():
    server, events = served()
    assert [*events, *server.receive(golden()["req"])] == [ASKED]
    assert lesson(ASKED.d) == Lesson("yes", 3_000_000, 0.0, "main")
    server.answer(DONE)
    assert server.to_send() == golden()["rep"]
    (done,) = asking().receive(golden()["rep"])
    assert taught(done.value()) == Taught(5_000_000, 2_000_000, 5_000_000, 2)
    (frozen,) = asking().receive(golden()["rep-refused"])
    with pytest.raises(Refusal, match="learning is off") as caught:
        frozen.value()
    assert (caught.value.code, caught.value.exit_code) == ("frozen", 1)


def test_what_is_left_out_has_its_default():
    _, (asked,) = served({"op": "req", "id": 0, "do": "teach", "d": {"label": "a"}})
    assert lesson(asked.d) == Lesson("a", 3_000_000, 0.0, "main")
    _, (bare,) = served({"op": "req", "id": 0, "do": "status"})
    assert bare == Request(0, "status", {})


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"id": -1}, "id"),
        ({"id": 2**32}, "id"),
        ({"id": "1"}, "id"),
        ({"id": True}, "id"),
        ({"do": 5}, "value"),
        ({"do": ""}, "value"),
        ({"do": "Teach"}, "value"),
        ({"do": "teach me"}, "value"),
        ({"do": "x" * 33}, "value"),
        ({"do": "../teach"}, "value"),
        ({"d": None}, "value"),
        ({"d": ["label", "a"]}, "value"),
        ({"d": {"label": "x" * 1_025}}, "frame"),
        ({"d": {"label": b"x"}}, "frame"),
        ({"d": {f"k{i}": 0 for i in range(257)}}, "frame"),
        ({"d": {1: 0}}, "frame"),
        ({"label": "a"}, "key"),
    ],
)
def test_what_is_no_request_ends_the_connection(wrong, code):
    session, _ = served()
    asked = {"op": "req", "id": 1, "do": "teach", "d": {"label": "a"}}
    assert refused(session, put(asked | wrong))["code"] == code


def test_a_request_comes_after_the_hello():
    assert refused(ServerSession(), golden()["req"])["code"] == "order"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "value"),
        ({"label": None}, "value"),
        ({"label": ""}, "value"),
        ({"label": "x" * 257}, "value"),
        ({"label": "two\nlines"}, "value"),
        ({"label": "\u202e"}, "value"),
        ({"for": 0}, "value"),
        ({"for": 3_600_000_001}, "value"),
        ({"for": -(2**63)}, "value"),
        ({"for": 1.0}, "value"),
        ({"for": True}, "value"),
        ({"reward": float("nan")}, "value"),
        ({"reward": float("inf")}, "value"),
        ({"reward": 1e7}, "value"),
        ({"reward": "1"}, "value"),
        ({"reward": True}, "value"),
        ({"reward": 10**30}, "value"),
        ({"pipeline": 5}, "value"),
        ({"window": [0, 1], "for": 1}, "key"),
        ({"window": [1, 1]}, "value"),
        ({"window": [0, 2**62 + 1]}, "value"),
        ({"window": [0, 1.0]}, "value"),
        ({"window": [0, 1, 2]}, "value"),
        ({"window": {"0": 1}}, "value"),
        ({"for_us": 5}, "key"),
    ],
)
def test_a_lesson_out_of_range_is_refused(fields, code):
    with pytest.raises(Refusal) as caught:
        lesson({"label": "a"} | fields if fields else {})
    assert (caught.value.code, caught.value.exit_code) == (code, 2)


def test_a_lesson_is_about_the_last_so_long_or_about_a_window_that_is_over():
    assert Lesson("a", 3_000).span(10_000) == (7_000, 10_000)
    exact = Lesson("a", window=(2_000, 9_000))
    assert lesson(exact.fields()) == exact
    assert exact.span(9_000) == (2_000, 9_000)
    with pytest.raises(Refusal, match="ends at 9000 µs, and the stream is at 8999") as caught:
        exact.span(8_999)
    assert caught.value.code == "early"


@given(
    st.dictionaries(
        st.sampled_from(["label", "for", "window", "reward", "pipeline", "x"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=300)
        | st.lists(st.integers(), max_size=3),
    )
)
def test_whatever_is_asked_to_be_taught_is_lawful_or_refused(fields):
    try:
        made = lesson(fields)
    except Refusal:
        return
    assert 0 < len(made.label) <= 256
    assert made.label.isprintable()
    assert 0 < made.for_us <= 3_600_000_000
    assert abs(made.reward) <= 1e6


def test_so_many_requests_may_be_open_and_an_answer_makes_room():
    session, events = served(*({"op": "req", "id": n, "do": "teach"} for n in range(MAX_OPEN)))
    assert [event.id for event in events] == list(range(MAX_OPEN))
    session.answer(Reply(7))
    assert maps(session.to_send()) == [{"op": "rep", "id": 7, "ok": True, "d": {}}]
    assert [event.id for event in session.receive(put({"op": "req", "id": 7, "do": "teach"}))] == [7]
    assert refused(session, put({"op": "req", "id": 99, "do": "teach"}))["code"] == "flood"


def test_a_number_is_used_once_at_a_time():
    session, _ = served({"op": "req", "id": 3, "do": "teach"})
    assert refused(session, put({"op": "req", "id": 3, "do": "teach"}))["code"] == "id"


def test_who_has_been_cut_is_answered_no_more():
    session, _ = served({"op": "req", "id": 3, "do": "teach"})
    refused(session, put({"op": "sing"}))
    session.answer(Reply(3))
    assert session.to_send() == b""


def test_a_client_asks_only_for_what_can_be_sent_and_is_known():
    session = subscriber()
    for fields in ({"label": "x" * 1_025}, {"label": b"x"}, {"label": "\ud800"}, {"label": object()}, {"for": 2**64}):
        with pytest.raises(ConfigError, match="cannot be sent"):
            session.request("teach", fields)
    with pytest.raises(ConfigError, match="cannot be sent"):
        session.request("teach", {"label": ["x" * 1_000] * 100})
    for _ in range(MAX_OPEN):
        session.request("teach", {})
    with pytest.raises(ClientError, match="wait for their answers"):
        session.request("teach", {})


def test_a_server_that_does_not_teach_is_not_asked_to():
    session = ClientSession()
    list(session.receive(Hello("spikestream/0.1.0", "7f3a", 0, caps=("drop_oldest", "save")).frame))
    session.request("save", {})
    with pytest.raises(ClientError, match="does not know how to teach") as caught:
        session.request("teach", {})
    assert caught.value.exit_code == 5


def test_caps_that_are_no_policies_are_none():
    session = ServerSession((*HELLO.caps, "teach"))
    list(session.receive(golden()["client-hello"]))
    assert refused(session, put({"op": "sub", "id": 1, "topics": ["*"], "policy": "teach"}))["code"] == "policy"


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": 9},
        {"id": "2"},
        {"ok": 1},
        {"ok": False},
        {"d": 5},
        {"code": "frozen"},
        {"ok": False, "code": 5},
        {"ok": False, "code": "x", "what": None},
    ],
)
def test_an_answer_that_is_none_is_refused(wrong):
    with pytest.raises(ClientError):
        list(asking().receive(put(maps(golden()["rep"])[0] | wrong)))


def test_an_answer_is_given_once_and_may_know_more_than_we_do():
    session = asking(2)
    answer = maps(golden()["rep"])[0]
    (done,) = session.receive(put(answer | {"new": 1, "d": answer["d"] | {"also": "new"}}))
    assert taught(done.value()).windows == 2
    with pytest.raises(ClientError, match="which nobody made"):
        list(session.receive(put(answer)))


@pytest.mark.parametrize("key", ["t", "start", "stop", "windows"])
def test_an_answer_that_does_not_say_what_was_taught_is_refused(key):
    with pytest.raises(ClientError, match="does not say"):
        taught(DONE.d | {key: "much"})


def test_damage_inside_an_answer_is_understood_or_refused():
    understood = 0
    for data in reframed(("rep", "rep-refused"), 4_000, seed=12):
        try:
            for reply in asking().receive(data):
                understood += isinstance(reply, Reply)
                taught(reply.value())
        except ClientError:
            pass
    assert 0 < understood < 4_000


def test_damage_inside_a_lesson_is_understood_or_refused():
    learned = 0
    for payload in mutations(golden()["req"][4:], 4_000, seed=13):
        session, _ = served()
        try:
            for asked in session.receive(len(payload).to_bytes(4, "little") + payload):
                learned += lesson(getattr(asked, "d", {})).for_us > 0
        except ClientError:
            pass
    assert 0 < learned < 4_000
