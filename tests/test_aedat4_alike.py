"""Packets that are alike are unpacked and decoded many at a time, to the events and errors that one by one gives."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise

import aedat4_by_hand as hand
import lz4.frame
import numpy as np
import pytest
from aedat4_by_hand import decoded, random_events

from spikestream.errors import RecordingError
from spikestream.formats.aedat4 import Decoder
from spikestream.formats.aedat4.decoder import ROOM

SIZES = (3, 4, 0, 5, 1, 3)
EVENTS = random_events(sum(SIZES))
XML = hand.xml_of([hand.stream_xml(0, "EVTS", size="346x260"), hand.stream_xml(1, "IMUS")])
KINDS = {"none": 0, "lz4": 1, "lz4 with check sums": 2, "zstd": 3, "zstd with no size": 4}
PACK = hand.PACK | {2: lambda data: lz4.frame.compress(data, block_checksum=True, content_checksum=True)}


@pytest.fixture(params=KINDS)
def kind(request) -> int:
    return KINDS[request.param]


def head(kind: int, position: int = -1) -> bytes:
    return hand.head(hand.header_body(XML, kind, position))


def packed(kind: int, events: Sequence[hand.Event]) -> bytes:
    """A packet as a writer makes it: all have the same first bytes but for what tells their size."""
    start = struct.pack("<I4s2xHHHiII", 16, b"EVTS", 6, 8, 4, 6, 4, len(events))
    body = b"".join(struct.pack("<qhhBxxx", *event) for event in events)
    return hand.packet(0, PACK[kind](hand.prefixed(start + body)))


def packets(kind: int) -> list[bytes]:
    at = np.cumsum((0, *SIZES))
    return [packed(kind, EVENTS[i:j].tolist()) for i, j in pairwise(at)]


def outcome(data: bytes, step: int | None) -> tuple[object, ...]:
    """Return the events, what else is known and the error; byte by byte no packet lies whole in a piece."""
    decoder, parts, error = Decoder(), [EVENTS[:0]], ""
    try:
        for at in range(0, len(data), step or len(data)):
            parts.extend(decoder.feed(memoryview(data)[at : at + (step or len(data))]))
        decoder.finish()
    except RecordingError as found:
        error = str(found)
    return np.concatenate(parts).tolist(), decoder.packets, decoder.skipped, error


def test_they_hold_what_one_after_the_other_does(kind):
    data = head(kind) + b"".join(packets(kind))
    whole = Decoder()
    assert np.array_equal(decoded(whole, data), EVENTS)
    assert whole.packets == {0: len(SIZES)}
    assert whole.tidy
    assert outcome(data, None) == outcome(data, 1)


@pytest.mark.parametrize("value", [0, 1, 5, 0xFF])
def test_a_byte_that_is_another_is_seen_as_one_after_the_other(value, kind):
    made, seen = packets(kind), set()
    for at in range(len(made[1]) - 40 if kind == 0 else len(made[1])):
        broken = bytearray(made[1])
        broken[at] = value
        data = head(kind) + made[0] + bytes(broken) + b"".join(made[2:])
        assert outcome(data, None) == outcome(data, 1), at
        seen.add(outcome(data, None)[-1])
    assert len(seen) > 3


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 12, 40, 60])
def test_a_cut_file_and_another_stream(cut, kind):
    made = packets(kind)
    data = head(kind) + made[0] + made[1] + hand.packet(1, b"imu") + b"".join(made[2:])
    assert outcome(data[: len(data) - cut], None) == outcome(data[: len(data) - cut], 1)
    longer = hand.packet(0, made[1][8:] + bytes(70))  # what lies behind the events is not in the buffer's size
    assert outcome(head(kind) + made[0] + longer, None) == outcome(head(kind) + made[0] + longer, 1)


def test_packets_of_two_writers_and_a_size_that_is_not_true(kind):
    made, events = packets(kind), EVENTS[:3].tolist()
    other = hand.packet(0, PACK[kind](hand.prefixed(hand.event_body(events))))
    data = head(kind) + b"".join([*made, *made[:5], other, *made[:4], other, other, *made])
    assert outcome(data, None) == outcome(data, 1)
    assert len(outcome(data, None)[0]) == 2 * len(EVENTS) + sum(SIZES[:5]) + sum(SIZES[:4]) + 9
    body = hand.prefixed(hand.event_body(events))
    for size in (0, len(body) - 5, len(body) - 3, 2**32 - 1):
        lying = hand.packet(0, PACK[kind](struct.pack("<I", size) + body[4:]))
        data = head(kind) + b"".join([*made, lying, *made])
        assert outcome(data, None) == outcome(data, 1)
        assert outcome(data, None)[-1]


def test_more_than_there_is_room_for(kind):
    events = random_events(100_000)
    at = [0, 1, ROOM - 1, *range(ROOM + 1, len(events), 3_000), len(events)]
    made = [packed(kind, events[i:j].tolist()) for i, j in pairwise(at)]
    decoder = Decoder()
    assert np.array_equal(decoded(decoder, head(kind) + b"".join(made)), events)
    assert decoder.packets == {0: len(made)}


@pytest.mark.parametrize(
    ("x", "y", "t_us"), [(346, 0, 0), (0, 260, 0), (-1, 0, 0), (0, -1, 0), (3, 3, -1), (0, 0, 2_000_000)]
)
def test_what_is_not_tidy_is_told(x, y, t_us, kind):
    made = packets(kind)
    last = int(EVENTS["t"][-1]) + t_us
    data = head(kind) + b"".join(made)
    decoder = Decoder()
    assert len(decoded(decoder, data + packed(kind, [(last, x, y, 1)]))) == len(EVENTS) + 1
    assert not decoder.tidy
    decoder = Decoder()
    decoded(decoder, data + packed(kind, [(last, 345, 259, 1)]))
    assert decoder.tidy == (t_us == 0)


def test_the_data_table_is_no_packet(kind):
    made = packets(kind)
    end = len(head(kind)) + sum(map(len, made[:3]))
    data = head(kind, end) + b"".join(made)
    assert outcome(data, None)[0] == EVENTS[:7].tolist()
    assert outcome(data, None) == outcome(data, 1)
