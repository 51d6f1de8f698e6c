"""Damaged AEDAT 4: a `RecordingError` after the events before the damage, and never more memory than promised."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from random import Random

import aedat4_by_hand as hand
import goodfiles
import lz4.frame
import numpy as np
import pytest
import zstandard
from aedat4_by_hand import as_events, decoded, encoded, random_events
from fuzz import drain, mutations

from spikestream import checks
from spikestream.errors import RecordingError
from spikestream.formats.aedat4 import Decoder, Encoder, table_summary

GOOD = [(5, 1, 2, 1), (6, 3, 4, 0)]
BODY = hand.event_body(GOOD)
MIB = 1 << 20
PROMISED = (1 + 64 + 128) * MIB  # what the decoder's docstring allows of header, packet and its unpacked form
XML = hand.xml_of([hand.stream_xml(0, "EVTS")])


def broken(data: bytes, match: str, step: int | None = None) -> tuple[np.ndarray, RecordingError]:
    """Return the events that come before the error of that text, and the error."""
    decoder, parts = Decoder(), [as_events([])]

    def decode() -> None:
        for at in range(0, len(data), step or len(data)):
            parts.extend(decoder.feed(memoryview(data)[at : at + (step or len(data))]))
        decoder.finish()

    with pytest.raises(RecordingError) as error:
        decode()
    assert match in str(error.value)
    return np.concatenate(parts), error.value


def peak_of(run: Callable[[], object]) -> int:
    """Return the most bytes that Python's allocators held while it ran."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def put(body: bytes, at: int, kind: str, value: int) -> bytes:
    return body[:at] + struct.pack("<" + kind, value) + body[at + struct.calcsize(kind) :]


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(
    ("head", "match"),
    [
        (b"#!AER-DAT4.1\r\n" + bytes(4), "not an AEDAT 4 file"),
        (b"#!AER-DAT4.0\r\n" + struct.pack("<I", 0), "header has an impossible size"),
        (b"#!AER-DAT4.0\r\n" + struct.pack("<I", MIB + 1), "header has an impossible size"),
        (b"#!AER-DAT4.0\r\n" + struct.pack("<I", 2**32 - 1), "header has an impossible size"),
        (hand.head(put(hand.header_body(XML), 0, "I", 2**31)), "outside of its packet"),
        (hand.head(put(hand.header_body(XML), 4, "4s", b"EVTS")), "another kind"),
        (hand.head(hand.header_body(XML, compression=5)), "compression is unknown"),
        (hand.head(hand.header_body(XML, compression=-1)), "compression is unknown"),
        (hand.head(put(hand.header_body(XML), 28, "I", 2**32 - 1)), "vector of 4,294,967,295 elements"),
        (hand.head(hand.header_body(b"\xff" + XML)), "not UTF-8"),
        (hand.head(hand.header_body(XML[:-1])), "XML is damaged"),
        (hand.head(hand.header_body(b"")), "XML is damaged"),
        (hand.head(hand.header_body(b"<!DOCTYPE dv>" + XML)), "declares entities"),
        (hand.head(hand.header_body(b'<!DOCTYPE d [<!ENTITY a "aaaa">]><d>&a;&a;</d>')), "declares entities"),
        (hand.head(hand.header_body(b"<a>" * 300_000)), "XML is damaged"),
        (hand.head(hand.header_body(b"<a>" * 140_000 + b"</a>" * 140_000)), "no event stream"),
        (hand.head(hand.header_body(b"<node>" * 80_000 + b"</node>" * 80_000)), "no event stream"),
        (hand.head(hand.header_body(b"<dv/>")), "no event stream"),
        (hand.head(hand.header_body(hand.xml_of([hand.stream_xml(0, "FRME")]))), "no event stream"),
        (hand.head(hand.header_body(hand.xml_of([hand.stream_xml("9" * 5000, "EVTS")]))), "no event stream"),
        (hand.head(hand.header_body(hand.xml_of([hand.stream_xml("-1", "EVTS")]))), "no event stream"),
    ],
)
def test_a_damaged_header(head: bytes, match: str, step: int | None):
    if step == 1 and len(head) > 100_000:
        step = 1000
    events, error = broken(head, match, step)
    assert len(events) == 0
    assert error.offset in (0, 14)


VECTOR, TABLE, VTABLE = 16, 8, 20 + 16 * len(GOOD)


@pytest.mark.parametrize("compression", range(5))
@pytest.mark.parametrize(
    ("body", "match"),
    [
        (put(BODY, 4, "4s", b"FRME"), "another kind"),
        (put(BODY, 0, "I", len(BODY) - 3), "an offset points outside"),
        (put(BODY, 0, "I", 2**32 - 1), "an offset points outside"),
        (put(BODY, TABLE, "i", TABLE + 1), "a vtable points outside"),
        (put(BODY, TABLE, "i", TABLE - len(BODY) + 3), "a vtable points outside"),
        (put(BODY, TABLE, "i", -(2**31)), "a vtable points outside"),
        (put(BODY, VTABLE, "H", 5), "vtable has an impossible length"),
        (put(BODY, VTABLE, "H", 2), "vtable has an impossible length"),
        (put(BODY, VTABLE, "H", 8), "vtable has an impossible length"),
        (put(BODY, VTABLE + 2, "H", 65535), "end of a table points outside"),
        (put(BODY, VTABLE + 2, "H", 3), "end of a table points outside"),
        (put(BODY, VTABLE + 4, "H", 3), "a field points outside"),
        (put(BODY, VTABLE + 4, "H", 5), "a field points outside"),
        (put(BODY, VTABLE + 4, "H", 65535), "a field points outside"),
        (put(BODY, TABLE + 4, "I", 2**32 - 1), "an offset points outside"),
        (put(BODY, TABLE + 4, "I", len(BODY) - 15), "an offset points outside"),
        (put(BODY, VECTOR, "I", 3), "vector of 3 elements points outside"),
        (put(BODY, VECTOR, "I", 2**28), "points outside"),
        (put(BODY, VECTOR, "I", 2**32 - 1), "points outside"),
        (BODY[:-30], "outside"),
        (BODY[:7], "impossible unpacked size"),
        (b"", "impossible unpacked size"),
    ],
)
def test_a_damaged_packet(body: bytes, match: str, compression: int):
    events, error = broken(hand.file([(0, BODY), (0, body), (0, BODY)], compression=compression), match)
    np.testing.assert_array_equal(events, as_events(GOOD))
    assert error.offset == len(hand.file([(0, BODY)], compression=compression))


@pytest.mark.parametrize("size", [0, -1, -(2**31), 2**31 - 1, 64 * MIB + 1])
@pytest.mark.parametrize("step", [None, 1])
def test_a_forged_packet_size(size: int, step: int | None):
    start = hand.file([(0, BODY)])
    data, match = start + struct.pack("<ii", 0, size) + BODY, "stream 0 has an impossible size"
    events, error = broken(data, match, step)
    np.testing.assert_array_equal(events, as_events(GOOD))
    assert error.offset == len(start)
    assert peak_of(lambda: broken(data, match, step)) < MIB


@pytest.mark.parametrize("compression", [0, 1, 3])
@pytest.mark.parametrize("size", [0, 7, len(BODY) + 1, 128 * MIB, 128 * MIB + 1, 2**32 - 1])
def test_a_forged_unpacked_size(size: int, compression: int):
    forged = hand.PACK[compression](struct.pack("<I", size) + BODY)
    match = "shorter than" if len(BODY) < size <= 128 * MIB else "impossible unpacked size"
    events, _ = broken(hand.file([(0, BODY)], compression=compression) + hand.packet(0, forged), match)
    np.testing.assert_array_equal(events, as_events(GOOD))


@pytest.mark.parametrize("compression", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1000, 129 * MIB])
def test_a_bomb_costs_only_what_its_prefix_says_or_a_few_times_its_own_size(size: int, compression: int):
    bomb = hand.PACK[compression](struct.pack("<I", size) + b"\1" * (40 * MIB))
    data = hand.file([], compression=compression) + hand.packet(0, bomb)
    assert len(bomb) < MIB
    assert peak_of(
        lambda: broken(data, "does not end" if size == 1000 else "impossible unpacked size")
    ) < MIB + 10 * len(bomb)


@pytest.mark.parametrize("compression", [1, 2, 3, 4])
@pytest.mark.parametrize("more", [-1, 1])
def test_what_shrinks_to_hardly_anything_ends_where_it_says(more: int, compression: int):
    packed = hand.PACK[compression](struct.pack("<I", MIB) + b"\1" * (MIB + more))
    data = hand.file([], compression=compression) + hand.packet(0, packed)
    broken(data, "shorter than" if more < 0 else "does not end")


def test_a_zstandard_window_beyond_the_bound():
    frame = b"\x28\xb5\x2f\xfd" + bytes([0x00, (28 - 10) << 3]) + b"\x01\x00\x00"  # window 2^28, one empty block
    broken(hand.file([], compression=3) + hand.packet(0, frame), "not the zstd frame")


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_flipped_bit_in_what_we_write_is_found(compression: str):
    encoder, events, rng = Encoder(size=(346, 260), compression=compression), random_events(300), Random(4)
    head = encoder.feed(events[:0])
    good, found = encoder.feed(events), 0
    for _ in range(500):
        bad = bytearray(good)
        bad[rng.randrange(8, len(good))] ^= 1 << rng.randrange(8)
        try:
            np.testing.assert_array_equal(decoded(Decoder(), head + bad), events)
        except RecordingError:
            found += 1
    assert found > 400  # the others make no difference to what is unpacked


def in_tiny_blocks(compression: int, data: bytes) -> bytes:
    pieces = [data[at : at + 3] for at in range(0, len(data), 3)]
    if compression == 3:
        compressor = zstandard.ZstdCompressor().compressobj()
        flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK
        return b"".join(compressor.compress(p) + compressor.flush(flush) for p in pieces) + compressor.flush()
    compressor = lz4.frame.LZ4FrameCompressor(auto_flush=True, content_checksum=True)
    return compressor.begin() + b"".join(compressor.compress(p) for p in pieces) + compressor.flush()


@pytest.mark.parametrize("compression", [1, 3])
def test_a_frame_of_many_tiny_blocks(compression: int):
    body = hand.event_body([(t, t % 64, t % 48, t % 2) for t in range(500)])
    frame = in_tiny_blocks(compression, hand.prefixed(body))
    data = hand.file([(0, body)], compression=compression) + hand.packet(0, frame)
    first, second = np.split(decoded(Decoder(), data), 2)
    np.testing.assert_array_equal(first, second)
    assert first["t"][-1] == 499


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(
    ("cut", "match"),
    [(0, "is cut\n"), (3, "inside a packet's header\n"), (8, "inside a packet\n"), (30, "inside a packet\n")],
)
def test_a_cut_file(cut: int, match: str, step: int | None):
    start = hand.file([(0, BODY)])
    whole = hand.file([(0, BODY), (0, BODY)], position=2 * len(start))
    events, error = broken(whole[: len(start) + cut], match, step)
    np.testing.assert_array_equal(events, as_events(GOOD))
    assert error.offset == len(start)
    assert "the events before it are read" in error.remedy


def test_a_cut_inside_the_header_and_nothing_at_all():
    for size in (1, 13, 17, 18, 100):
        broken(hand.file([])[:size], "ends inside its header")
    with pytest.raises(RecordingError, match="is empty"):
        Decoder().finish()


def test_without_a_table_a_file_may_end_after_any_packet():
    np.testing.assert_array_equal(decoded(Decoder(), hand.file([(0, BODY)])), as_events(GOOD))


def test_a_packet_that_runs_into_the_data_table():
    start = hand.file([(0, BODY)])
    data = hand.file([(0, BODY), (0, BODY)], position=len(start) + 20)
    events, error = broken(data, "impossible size")
    np.testing.assert_array_equal(events, as_events(GOOD))
    assert error.offset == len(start)
    broken(hand.file([(0, BODY), (7, BODY)], position=len(start) + 3), "impossible size")


def test_a_table_inside_the_header_is_not_believed():
    for position in (0, 5, 100):
        decoder = Decoder()
        events = decoded(decoder, hand.file([(0, BODY)], position=position))
        np.testing.assert_array_equal(events, as_events(GOOD))
        assert "inside the header" in decoder.warnings[0]


def test_a_skipped_packet_takes_no_memory():
    decoder = Decoder()
    list(decoder.feed(memoryview(hand.file([]) + struct.pack("<ii", 3, 2**31 - 1))))
    piece = memoryview(bytes(MIB))
    assert peak_of(lambda: [list(decoder.feed(piece)) for _ in range(2047)]) < MIB
    assert list(decoder.feed(piece[:-1])) == []
    decoder.finish()
    assert decoder.skipped == {"unknown stream": 1}


@pytest.mark.parametrize("compression", range(5))
def test_the_laws_of_a_decoder(compression: int):
    many = hand.event_body([(t, t % 64, t % 48, t % 2) for t in range(60)])
    data = hand.file([(0, many), (3, b"?"), (0, BODY)], compression=compression)
    for _, check in checks.decoder(Decoder, data, memory=PROMISED):
        check()


def test_ten_thousand_damaged_files():
    good, found = goodfiles.aedat4(), []

    def run() -> None:
        for number, one in enumerate(good):
            for bad in mutations(one, 10_000 // len(good) + 1, number):
                found.append(drain(Decoder, bad, Random(len(found))))

    assert peak_of(run) < PROMISED
    assert len(found) >= 10_000
    assert sum(found) > 10_000


def test_damaged_data_tables_are_no_error():
    found = set()
    for compression in ("none", "lz4", "zstd"):
        good = encoded(random_events(60), compression=compression)
        table = struct.unpack_from("<q", good, 54)[0]
        for bad in mutations(good[table:], 1_000, 5):
            found.add(type(table_summary(good[:table] + bad)))
        for bad in mutations(good, 200, 6):
            found.add(type(table_summary(bad)))
    assert found == {tuple, type(None)}
