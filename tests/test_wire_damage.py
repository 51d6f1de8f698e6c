"""Everything that may come in damaged or hostile: refused, at a bounded cost."""

from __future__ import annotations

import tracemalloc
from random import Random

import pytest
from fuzz import mutations, pieces
from wirebytes import golden, maps, put
from wirecases import DATA, refused, served, subscriber

from spikestream.errors import ClientError
from spikestream.wire import (
    MAX_FRAME_EVER,
    ClientSession,
    Message,
    ServerSession,
)
from spikestream.wire.frames import FROM_CLIENT, FROM_SERVER, MAX_CONTAINERS, MAX_DEPTH, unpack

HOSTILE = {
    "array of 2^32": b"\xdd\xff\xff\xff\xff",
    "map of 2^32": b"\xdf\xff\xff\xff\xff",
    "bin of 4 GiB": b"\xc6\xff\xff\xff\xff",
    "text of 4 GiB": b"\xdb\xff\xff\xff\xff",
    "array in a map": b"\x81\xa1d\xdd\xff\xff\xff\xff",
    "nesting of arrays": b"\x91" * 60_000,
    "nesting of maps": b"\x81\xa1a" * 20_000,
    "never used": b"\xc1",
    "bad utf-8": b"\x81\xa2op\xa2\xff\xfe",
    "a timestamp": b"\x81\xa2op\xd6\xff\x00\x00\x00\x00",
    "an ext": b"\x81\xa2op\xc7\x01\x05\x00",
    "an empty ext": b"\x81\xa2op\xc7\x00\x05",
    "number as key": b"\x81\x01\x02",
    "map as key": b"\x81\x80\x02",
    "array as key": b"\x81\x90\x02",
    "bytes as key": b"\x81\xc4\x00\x02",
    "bytes as a topic": b"\x81\xa5since\x81\xa3seq\x81\xc4\x00\x01",
    "deep": b"\x81\xa2op" + b"\x91" * 1_000 + b"\x01",
    "one too deep": b"\x81\xa2op" + b"\x91" * 32 + b"\x81\xa1a" * 32 + b"\x01",
    "many nils": b"\xdc\xea\x60" + b"\xc0" * 60_000,
    "many maps": b"\xdc\xea\x60" + b"\x80" * 60_000,
    "many keys": b"\xde\x4e\x20" + b"\xa1a\xc0" * 20_000,
    "more than one": b"\x80\x80",
    "cut": b"\x82\xa2op",
    "a number": b"\x07",
    "a list": b"\x90",
    "nothing but nil": b"\xc0",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_msgpack_is_refused(name):
    payload = HOSTILE[name]
    with pytest.raises(ClientError):
        unpack(payload, FROM_CLIENT)
    assert refused(ServerSession(), len(payload).to_bytes(4, "little") + payload)["code"] == "frame"
    if not name.startswith("many"):
        with pytest.raises(ClientError):
            unpack(payload, FROM_SERVER)


def test_a_frame_of_many_small_containers_costs_a_bounded_amount_of_memory():
    row = b"\xdc\xff\xff" + b"\x80" * 65_535
    payload = b"\x81\xa1d\xdc\x00\xff" + row * 255
    assert len(payload) < MAX_FRAME_EVER
    tracemalloc.start()
    try:
        with pytest.raises(ClientError, match="65,536 maps and arrays"):
            unpack(payload, FROM_SERVER)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * MAX_CONTAINERS


def test_what_lies_as_deep_as_it_may_is_read():
    inner = message = {"op": "x"}
    for _ in range(MAX_DEPTH - 1):
        inner["d"] = inner = {}
    assert unpack(put(message)[4:], FROM_CLIENT) == message


def test_the_answer_to_a_large_mistake_is_small():
    for wrong in ({"op": ["\0" * 250] * 250}, {"op": "sub", "\0" * 1_000: 1}, {"op": "\0" * 1_000}):
        session, _ = served()
        assert len(put(refused(session, put(wrong)))) < 500


REQUESTS = ("client-hello", "sub", "sub-terms", "ack", "req", "ping", "unsub", "bye")
TERMS = ("events-decimated", "gap-rate", "gap-log")
ANSWERS = ("hello", "sub-answer", "sub-answer-since", *DATA, *TERMS, "gap-slow", "rep", "pong", "ping-server", "error")


def reframed(names, n, seed):
    """Yield damaged payloads of single messages, in frames of the right length: damage that reaches what is inside."""
    for name in names:
        for payload in mutations(golden()[name][4:], n // len(names), seed):
            yield len(payload).to_bytes(4, "little") + payload


def asked(session, data, case):
    """Return how many requests a server understands of damaged bytes; it may do nothing else but refuse."""
    understood = 0
    try:
        for piece in pieces(data, Random(case)):
            for _ in session.receive(bytes(piece)):
                understood += 1
    except ClientError:
        assert maps(session.to_send())[-1]["op"] == "error"
        assert session.over
    return understood


def got(session, data, case):
    """Return how many messages a client understands of damaged bytes; it may do nothing else but refuse."""
    understood = 0
    try:
        for piece in pieces(data, Random(case)):
            for event in session.receive(bytes(piece)) if piece else ():
                understood += isinstance(event, Message)
    except ClientError:
        pass
    return understood


def test_ten_thousand_damaged_requests_are_understood_or_refused():
    stream = b"".join(golden()[name] for name in REQUESTS)
    understood = sum(asked(ServerSession(), data, case) for case, data in enumerate(mutations(stream, 10_000, seed=7)))
    assert 10_000 < understood < 60_000


def test_damage_inside_a_request_is_understood_or_refused():
    cases = enumerate(reframed(REQUESTS[1:7], 8_000, seed=9))
    understood = sum(asked(served()[0], data, case) for case, data in cases)
    assert 0 < understood < 8_000


def test_ten_thousand_damaged_answers_are_understood_or_refused():
    stream = b"".join(golden()[name] for name in ANSWERS)
    understood = 0
    for case, data in enumerate(mutations(stream, 10_000, seed=8)):
        session = ClientSession()
        session.subscribe(["*"])
        session.request("teach", {})
        understood += got(session, data, case)
    assert 10_000 < understood < 70_000


def test_damage_inside_a_message_is_understood_or_refused():
    cases = enumerate(reframed((*DATA, *TERMS, "gap-slow"), 10_000, seed=10))
    understood = sum(got(subscriber(), data, case) for case, data in cases)
    assert 0 < understood < 10_000


SPIKE_MAP, EVENT_MAP, ANSWER_MAP = (maps(golden()[name])[0] for name in ("spikes", "events", "decisions"))
ROW = ANSWER_MAP["d"][0]
WEIGHTS = maps(golden()["weights"])[0]
UNLAWFUL = [
    EVENT_MAP | {"n": 3},
    EVENT_MAP | {"d": EVENT_MAP["d"][:-1]},
    EVENT_MAP | {"d": EVENT_MAP["d"][:-1] + b"\x02"},
    EVENT_MAP | {"d": EVENT_MAP["d"][13:] + EVENT_MAP["d"][:13]},
    EVENT_MAP | {"d": [1, 2]},
    EVENT_MAP | {"t0": 10_001},
    EVENT_MAP | {"t1": 19_999},
    EVENT_MAP | {"t0": 30_000, "n": 0, "d": b""},
    EVENT_MAP | {"t0": -(2**63)},
    EVENT_MAP | {"t1": 2**64 - 1},
    EVENT_MAP | {"t0": 10_000.0},
    EVENT_MAP | {"s": -1},
    EVENT_MAP | {"s": True},
    EVENT_MAP | {"size": [346]},
    EVENT_MAP | {"size": [346, 0]},
    EVENT_MAP | {"size": [346, 2**20]},
    EVENT_MAP | {"c": 5},
    EVENT_MAP | {"k": None},
    SPIKE_MAP | {"d": SPIKE_MAP["d"][:-4] + b"\xff\xff\xff\xff"},
    ANSWER_MAP | {"n": 1},
    ANSWER_MAP | {"d": [ROW, 5]},
    ANSWER_MAP | {"d": [ROW, ROW | {"label": 5}]},
    ANSWER_MAP | {"d": [ROW, ROW | {"scores": [["bar", 1.0]]}]},
    ANSWER_MAP | {"d": [ROW, ROW | {"scores": {"bar": "much"}}]},
    ANSWER_MAP | {"d": [ROW, ROW | {"scores": {b"bar": 1.0}}]},
    ANSWER_MAP | {"d": [ROW, ROW | {"confidence": None}]},
    ANSWER_MAP | {"d": [ROW, ROW | {"confidence": True}]},
    ANSWER_MAP | {"d": [ROW, ROW | {"stop": 2**63}]},
    maps(golden()["stats"])[0] | {"d": []},
    maps(golden()["stats"])[0] | {"t0": 40_001},
    maps(golden()["gap-sensor"])[0] | {"why": 5},
    maps(golden()["gap-slow"])[0] | {"n": 5},
    maps(golden()["gap-slow"])[0] | {"to": 5, "n": 0},
    maps(golden()["gap-slow"])[0] | {"to": 4, "n": -1},
    maps(golden()["gap-slow"])[0] | {"rows": "many"},
    maps(golden()["events-decimated"])[0] | {"of": 0},
    WEIGHTS | {"n": 3},
    WEIGHTS | {"shape": [2, 2]},
    WEIGHTS | {"shape": [-2, -1]},
    WEIGHTS | {"shape": [1] * 9},
    WEIGHTS | {"shape": 2},
    WEIGHTS | {"dtype": "object"},
    WEIGHTS | {"layer": None},
    WEIGHTS | {"rev": -1},
]


@pytest.mark.parametrize("message", UNLAWFUL, ids=range(len(UNLAWFUL)))
def test_data_that_breaks_the_law_of_batches_is_refused(message):
    with pytest.raises(ClientError):
        list(subscriber().receive(put(message)))
