"""AEDAT 4 against files made by hand, and what we write against bytes put together from the specification."""

from __future__ import annotations

import struct
import subprocess
import sys

import aedat4_by_hand as hand
import numpy as np
import pytest
from aedat4_by_hand import as_events, decoded, encoded, random_events
from hypothesis import given, settings
from hypothesis import strategies as st

from spikestream.errors import ConfigError, RecordingError
from spikestream.formats.aedat4 import FORMAT, Decoder, Encoder, table_summary

LEFT = [(5, 1, 2, 1), (5, 63, 47, 0), (1 << 40, 0, 0, 1)]
MORE = [(1 << 41, 7, 8, 0)]
RIGHT = [(6, 300, 200, 1)]
STREAMS = (
    hand.stream_xml(2, "FRME", output="frames", size="64x48"),
    hand.stream_xml(5, "EVTS", output="left", size="64x48", source="CAM_L"),
    hand.stream_xml(1, "EVTS", output="right", size="346x260", source="CAM_R"),
    hand.stream_xml(7, "IMUS"),
    hand.stream_xml(9, "TRIG"),
    hand.stream_xml(11, "POSE"),
)
PACKETS = (
    (2, b"a frame is not looked at"),
    (5, hand.event_body(LEFT)),
    (7, b"i"),
    (1, hand.event_body(RIGHT)),
    (40, b"of a stream that the header does not know"),
    (9, b"t"),
    (7, b"i"),
    (11, b"p"),
    (5, hand.event_body([])),
    (5, hand.event_body(MORE)),
)


@pytest.mark.parametrize("compression", range(5))
@pytest.mark.parametrize("step", [None, 1, 7])
def test_a_file_made_by_hand(compression: int, step: int | None):
    decoder = Decoder()
    data = hand.file(PACKETS, streams=STREAMS, compression=compression)
    np.testing.assert_array_equal(decoded(decoder, data, step), as_events(LEFT + MORE))
    assert (decoder.size, decoder.sensor) == ((64, 48), "CAM_L")
    assert decoder.packets == {2: 1, 5: 3, 7: 2, 1: 1, 9: 1, 11: 1}
    assert decoder.skipped == {
        "frame": 1,
        "imu": 2,
        "trigger": 1,
        "packets of other event streams": 1,
        "POSE": 1,
        "unknown stream": 1,
    }
    (warning,) = decoder.warnings
    assert "read 5 (left, capture, CAM_L)" in warning
    assert "1 (right, capture, CAM_R)" in warning
    assert "stream=" in warning


@pytest.mark.parametrize("stream", [1, "1", "right", "CAM_R"])
def test_another_stream_by_number_or_name(stream: int | str):
    decoder = Decoder(stream=stream)
    np.testing.assert_array_equal(decoded(decoder, hand.file(PACKETS, streams=STREAMS)), as_events(RIGHT))
    assert (decoder.size, decoder.sensor, decoder.warnings) == ((346, 260), "CAM_R", [])
    assert decoder.skipped["packets of other event streams"] == 3


def test_a_number_goes_before_a_name():
    streams = (hand.stream_xml(4, "EVTS", output="6"), hand.stream_xml(6, "EVTS", output="4"))
    decoder = Decoder(stream="6")
    data = hand.file([(4, hand.event_body(LEFT)), (6, hand.event_body(RIGHT))], streams=streams)
    np.testing.assert_array_equal(decoded(decoder, data), as_events(RIGHT))


@pytest.mark.parametrize(("stream", "text"), [("rigth", "did you mean 'right'"), ("capture", "2 of"), (2, "5 (left")])
def test_a_stream_that_is_none_or_several(stream: int | str, text: str):
    with pytest.raises(ConfigError, match="event stream") as error:
        decoded(Decoder(stream=stream), hand.file(PACKETS, streams=STREAMS))
    assert text in str(error.value)


def test_what_the_caller_says_replaces_the_header():
    decoder = Decoder(sensor="mine", size=(10, 20), raw=True)
    np.testing.assert_array_equal(decoded(decoder, hand.file([(0, hand.event_body(LEFT))])), as_events(LEFT))
    assert (decoder.sensor, decoder.size) == ("mine", (10, 20))


def test_left_out_fields_have_their_defaults():
    data = hand.head(hand.header_body(hand.xml_of([hand.stream_xml(0, "EVTS")]), None, None))
    decoder = Decoder()
    np.testing.assert_array_equal(
        decoded(decoder, data + hand.packet(0, hand.prefixed(hand.event_body(LEFT)))), as_events(LEFT)
    )
    assert (decoder.size, decoder.warnings) == (None, [])


def test_the_data_table_is_not_events():
    packets = [(3, b"of another stream"), (0, hand.event_body(LEFT))]
    data = hand.file(packets, position=len(hand.file(packets))) + b"\x00\x00\x00\x00\xff\xff\xff\xff table"
    for step in (None, 1):
        np.testing.assert_array_equal(decoded(Decoder(), data, step), as_events(LEFT))


def test_a_data_table_made_by_hand():
    row = hand.TableRow
    rows = [row(0, 3, 50, 70), row(2, 9, 1, 99), row(0, 4, 40, 60)]
    assert table_summary(hand.with_table(rows)) == (7, 40, 70)
    assert table_summary(hand.with_table(rows), 2) == (9, 1, 99)
    assert table_summary(hand.with_table([row(2, 9, 1, 99)])) == (0, 0, 0)
    assert table_summary(hand.with_table([*rows, row(0, 0, 0, 0)])) is None  # a packet without a count
    assert table_summary(hand.with_table([*rows, row(0, 2**40, 0, 0)])) is None
    assert table_summary(hand.with_table(rows, fields=2)) is None
    assert table_summary(hand.with_table(rows)[:-1]) is None
    assert table_summary(hand.file([])) is None
    assert table_summary(b"") is None


def test_a_header_is_known_without_decoding_and_without_numba():
    code = f"""if True:
        import sys
        from spikestream.formats.aedat4 import Decoder, FORMAT, table_summary
        decoder = Decoder()
        decoder.feed(memoryview({hand.file(PACKETS, streams=STREAMS)!r}))
        assert (decoder.size, decoder.sensor) == ((64, 48), "CAM_L")
        assert table_summary({encoded(random_events(10))!r})[0] == 10
        assert "numba" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_large_packet_comes_in_bounded_arrays():
    events = random_events(600_000)
    structs = np.zeros(len(events), [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"), ("pad", "V3")])
    for name in events.dtype.names:
        structs[name] = events[name]
    body = struct.pack("<I4siII", 8, b"EVTS", 8 - 20 - structs.nbytes, 4, len(events)) + structs.tobytes()
    parts = list(Decoder().feed(memoryview(hand.file([(0, body + struct.pack("<HHH", 6, 8, 4))]))))
    assert [len(part) for part in parts] == [262_144, 262_144, 75_712]
    np.testing.assert_array_equal(np.concatenate(parts), events)


def test_sniffing():
    assert FORMAT.sniff(hand.file([])[:4096])
    assert not FORMAT.sniff(b"#!AER-DAT3.1\r\n")
    assert FORMAT.name == "aedat4"


def test_what_is_written_byte_by_byte():
    encoder = Encoder(size=(64, 48), sensor="a<b", compression="none")
    data = encoder.feed(as_events(LEFT)) + encoder.finish()
    size = struct.unpack_from("<I", data, 14)[0]
    packet = (
        struct.pack("<ii", 0, 32 + 48)
        + struct.pack("<II4s", 28 + 48, 16, b"EVTS")
        + struct.pack("<xxHHHiII", 6, 8, 4, 6, 4, 3)
        + b"".join(struct.pack("<qhhBxxx", *event) for event in LEFT)
    )
    assert data[18 + size :] == packet
    assert b'<attr key="source" type="string">a&lt;b</attr>' in data
    assert struct.unpack_from("<q", data, 54)[0] == -1
    tail, at, patch = encoder.index()
    assert (at, struct.unpack_from("<q", patch)[0], patch[8:]) == (54, len(data), data[62 : 18 + size])
    entry = tail.index(struct.pack("<ii", 0, 80))
    assert struct.unpack_from("<qqqq", tail, entry + 8) == (18 + size + 8, 3, 5, 1 << 40)


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 2**62 - 1), st.integers(0, 2**15 - 1), st.integers(0, 2**15 - 1), st.integers(0, 1)),
        max_size=40,
    ),
    compression=st.sampled_from(["lz4", "zstd", "none"]),
    indexed=st.booleans(),
    step=st.sampled_from([None, 1, 5, 64]),
    size=st.tuples(st.integers(1, 2**15), st.integers(1, 2**15)),
    sensor=st.text(st.characters(codec="utf-8"), min_size=1, max_size=9).filter(str.isprintable).map(str.strip),
)
@settings(max_examples=150, deadline=None)
def test_a_round_trip(rows, compression, indexed, step, size, sensor):
    rows = [(t, x % size[0], y % size[1], p) for t, x, y, p in rows]
    data = encoded(as_events(rows), indexed, compression=compression, size=size, sensor=sensor)
    decoder = Decoder()
    np.testing.assert_array_equal(decoded(decoder, data, step), as_events(rows))
    assert (decoder.size, decoder.sensor) == (size, sensor or "spikestream")
    stamps = [t for t, *_ in rows]
    expected = (len(rows), min(stamps, default=0), max(stamps, default=0))
    assert table_summary(data) == (expected if indexed else None)


@pytest.mark.parametrize("event", [(-1, 0, 0, 1), (1 << 62, 0, 0, 1), (0, 1 << 15, 0, 1), (0, 0, 65535, 0)])
def test_events_outside_of_the_domain(event: tuple[int, int, int, int]):
    events = as_events([(0, 0, 0, 1), event])
    with pytest.raises(RecordingError, match="event 1 does not fit AEDAT 4") as error:
        Encoder(size=(4, 4)).feed(events)
    assert error.value.remedy
    assert error.value.expected == ("x < 4, y < 4" if event[0] == 0 else "0 <= t < 2^62 µs")


def test_an_encoder_that_cannot_write():
    with pytest.raises(RecordingError, match="size of the sensor"):
        Encoder()
    with pytest.raises(RecordingError, match="of that size"):
        Encoder(size=(0, 5))
    with pytest.raises(RecordingError, match="characters"):
        Encoder(size=(4, 4), sensor="a\x00b")
    with pytest.raises(ConfigError, match="did you mean 'lz4'"):
        Encoder(size=(4, 4), compression="lz5")
