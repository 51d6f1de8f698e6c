"""Uncompressed packets that are alike are decoded at once, to the events and errors that one by one gives."""

from __future__ import annotations

import struct

import aedat4_by_hand as hand
import numpy as np
import pytest
from aedat4_by_hand import decoded, random_events

from spikestream.errors import RecordingError
from spikestream.formats.aedat4 import Decoder

SIZES = (3, 4, 0, 5, 1, 3)
EVENTS = random_events(sum(SIZES))
XML = hand.xml_of([hand.stream_xml(0, "EVTS", size="346x260"), hand.stream_xml(1, "IMUS")])
HEAD = hand.head(hand.header_body(XML))


def packets() -> list[bytes]:
    """Packets as a writer makes them, all with the same first bytes but for what tells their size."""
    made = []
    for at, n in zip(np.cumsum((0, *SIZES)), SIZES, strict=False):
        body = b"".join(struct.pack("<qhhBxxx", *event) for event in EVENTS[at : at + n].tolist())
        head = struct.pack("<I4s2xHHHiII", 16, b"EVTS", 6, 8, 4, 6, 4, n)
        made.append(hand.packet(0, hand.prefixed(head + body)))
    return made


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


def test_they_hold_what_one_after_the_other_does():
    data = HEAD + b"".join(packets())
    whole = Decoder()
    assert np.array_equal(decoded(whole, data), EVENTS)
    assert whole.packets == {0: len(SIZES)}
    assert whole.tidy
    assert outcome(data, None) == outcome(data, 1)


@pytest.mark.parametrize("value", [0, 1, 5, 0xFF])
def test_a_byte_that_is_another_is_seen_as_one_after_the_other(value):
    made, seen = packets(), set()
    for at in range(len(made[1]) - 40):
        broken = bytearray(made[1])
        broken[at] = value
        data = HEAD + made[0] + bytes(broken) + b"".join(made[2:])
        assert outcome(data, None) == outcome(data, 1), at
        seen.add(outcome(data, None)[-1])
    assert len(seen) > 3


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 12, 40, 60])
def test_a_cut_file_and_another_stream(cut):
    made = packets()
    data = HEAD + made[0] + made[1] + hand.packet(1, b"imu") + b"".join(made[2:])
    assert outcome(data[: len(data) - cut], None) == outcome(data[: len(data) - cut], 1)
    longer = hand.packet(0, made[1][8:] + bytes(70))  # what lies behind the events is not in the buffer's size
    assert outcome(HEAD + made[0] + longer, None) == outcome(HEAD + made[0] + longer, 1)


@pytest.mark.parametrize(
    ("x", "y", "t_us"), [(346, 0, 0), (0, 260, 0), (-1, 0, 0), (0, -1, 0), (3, 3, -1), (0, 0, 2_000_000)]
)
def test_what_is_not_tidy_is_told(x, y, t_us):
    made = packets()
    body = struct.pack("<I4s2xHHHiII", 16, b"EVTS", 6, 8, 4, 6, 4, 1)
    last = int(EVENTS["t"][-1]) + t_us
    data = HEAD + b"".join(made) + hand.packet(0, hand.prefixed(body + struct.pack("<qhhBxxx", last, x, y, 1)))
    decoder = Decoder()
    assert len(decoded(decoder, data)) == len(EVENTS) + 1
    assert not decoder.tidy
    inside = data[:-8] + struct.pack("<hhBxxx", 345, 259, 1)
    decoder = Decoder()
    decoded(decoder, inside)
    assert decoder.tidy == (t_us == 0)


def test_the_data_table_is_no_packet():
    made = packets()
    end = len(HEAD) + sum(map(len, made[:3]))
    data = hand.head(hand.header_body(XML, position=end)) + b"".join(made)
    assert outcome(data, None)[0] == EVENTS[:7].tolist()
    assert outcome(data, None) == outcome(data, 1)
