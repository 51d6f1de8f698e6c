"""AEDAT 1.0 against bytes written by hand, a naive decoder from the specification, evutils, and damaged files."""

from __future__ import annotations

import struct
from random import Random

import goodfiles
import numpy as np
import pytest
from aedat2bytes import END, read
from fuzz import drain, mutations, peak
from hypothesis import given
from hypothesis import strategies as st
from naive_clock import unwrapped

import spikestream as ss
from spikestream.batch import EVENT
from spikestream.errors import ConfigError, RecordingError
from spikestream.formats.aedat2 import AEDAT1, FORMAT, EarlyDecoder
from spikestream.formats.sniff import sniff

CHIP = b"# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n"
HEADER = b"#!AER-DAT1.0\r\n# This is a raw AE data file - do not edit\r\n" + CHIP + END


def records(*pairs: tuple[int, int]) -> bytes:
    return b"".join(struct.pack(">HI", address, stamp) for address, stamp in pairs)


def naive(body: bytes, raw: bool = False) -> list[tuple[int, int, int, bool]]:
    """Decode records one by one as the specification says, in plain Python."""
    found, rows = [], list(struct.iter_unpack(">HI", body[: len(body) // 6 * 6]))
    for (address, _), t in zip(rows, unwrapped(stamp for _, stamp in rows), strict=True):
        if address >= 2**15:
            continue
        x, y = address // 2 % 128, address // 256
        x, y = (x, y) if raw else (127 - x, 127 - y)
        found.append((t, x, y, address % 2 == 0))
    return found


def decode(data: bytes, step: int = 0, **options) -> np.ndarray:
    return read(EarlyDecoder(**options), data, step=step)


def test_records_by_hand():
    data = HEADER + bytes.fromhex("070A 00000001 070B 000003E8 8000 000003E9")
    decoder = EarlyDecoder()
    assert read(decoder, data).tolist() == [(1, 122, 120, True), (1000, 122, 120, False)]
    assert (decoder.sensor, decoder.size, decoder.skipped) == ("dvs128", (128, 128), {"special": 1})
    assert decode(data, raw=True).tolist() == [(1, 5, 7, True), (1000, 5, 7, False)]
    assert decode(data, polarity="inivation")["p"].tolist() == [False, True]


@pytest.mark.parametrize("polarity", ["jaer", "inivation"])
def test_how_the_polarity_is_read_is_said(polarity, tmp_path):
    path = tmp_path / "old.aedat"
    path.write_bytes(HEADER + records((0, 1)))
    found = ss.info(path, polarity=polarity)
    assert f"bit 0 = {int(polarity != 'jaer')} is read as ON" in found.notes[0]
    assert not found.suspicious


@pytest.mark.parametrize("header", [HEADER, b"# no version\n" + CHIP, b""])
@pytest.mark.parametrize("step", [0, 1, 5, 7, 4096])
@pytest.mark.parametrize("raw", [False, True])
def test_random_records_in_any_pieces_decode_as_the_specification_says(header, step, raw):
    body = np.random.default_rng(1).bytes(6 * 2000)
    wanted = naive(body, raw)
    assert len(wanted) > 900
    assert max(wanted)[0] > 2**35
    assert decode(header + body, step, raw=raw, sensor="dvs128").tolist() == wanted


@given(
    rows=st.lists(st.tuples(st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)), min_size=5), step=st.integers(1, 9)
)
def test_a_bare_recording_that_starts_as_a_header_line_does_is_records(rows, step):
    """A stored row of 35 in a DVS128 spells '#'."""
    body = records((0x2300, 5), *((0x2301 + 2 * i, 6 + i) for i in range(4)), *rows)
    assert decode(body, step, sensor="dvs128").tolist() == naive(body)


def test_a_camera_that_is_not_known_is_an_error_that_says_what_to_choose():
    body = records((0, 1)) * 400
    for header, why in (
        (b"#!AER-DAT1.0\r\n", "does not say which camera"),
        (b"#!AER-DAT1.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n", "DAVIS240C"),
        (b"", "does not say which camera"),
    ):
        with pytest.raises(RecordingError, match=f"{why}[^$]*try: --sensor dvs128") as error:
            EarlyDecoder().feed(memoryview(header + body))
        assert "--format nas" in error.value.remedy
        assert len(decode(header + body, sensor="dvs128")) == 400
    with pytest.raises(ConfigError, match="16 bits"):
        EarlyDecoder(sensor="davis240")


def test_a_cut_recording_gives_what_comes_before():
    data = HEADER + records((2, 1), (2, 2))
    for lost in range(1, 6):
        decoder = EarlyDecoder()
        assert len(read(decoder, data[:-lost], finish=False)) == 1
        with pytest.raises(RecordingError, match="cut inside its last record") as error:
            decoder.finish()
        assert (error.value.offset, error.value.expected) == (len(HEADER) + 6, "6 bytes")
    for head in (b"", b"#!AER", HEADER[:50]):
        with pytest.raises(RecordingError, match=r"is empty|inside its header"):
            decode(head)


@pytest.mark.parametrize(
    ("head", "format"),
    [
        (HEADER, "aedat1"),
        (b"#!AER-DAT1.5\n", "aedat1"),
        (b"# no version\r\n# at all\r\n" + records((0x070A, 300_000_000)) * 4, "aedat1"),
        (b"# no version\r\n" + records((0x230A, 300_000_000)) * 4, "aedat1"),
        (b"#!AER-DAT2.0\r\n" + records((0x070A, 1)) * 4, "aedat2"),
    ],
)
def test_it_is_told_by_its_header(head, format):
    assert sniff(head, "a.dat") == format
    assert AEDAT1.sniff(head) == (format == "aedat1")
    assert FORMAT.sniff(head) == (format == "aedat2")


@pytest.mark.parametrize("head", [b"#ROSBAG V2.0\n\0\0", b"# Title\n\nText", b"#!/bin/sh\n\0", b"#\x01", b"x"])
def test_other_files_are_not_taken_for_it(head):
    assert not AEDAT1.sniff(head)


def test_a_bare_recording_says_it_may_be_one_or_sound():
    with pytest.raises(RecordingError, match=r"--format aedat1 --sensor dvs128[^$]*--format nas"):
        sniff(records((0x070A, 1)) * 9, "a.aedat")


def test_evutils_reads_it_alike(tmp_path):
    """It leaves x, y and bit 0 as they are."""
    io = pytest.importorskip("evutils.io")
    rng = np.random.default_rng(3)
    body = records(*((int(rng.integers(0, 2**15)), 50 * i) for i in range(3000)))
    path = tmp_path / "old.aedat"
    path.write_bytes(HEADER + body)
    theirs = io.EventReader(path, layout="dvs128").read_all()
    ours = decode(HEADER + body, raw=True, polarity="inivation")
    assert len(ours) == 3000
    assert all(np.array_equal(np.asarray(theirs[name]), ours[name]) for name in "txyp")


# Damage


@pytest.mark.parametrize("good", goodfiles.aedat1(), ids=len)
def test_2000_damaged_files_give_events_or_a_recording_error(good):
    rng = Random(2)
    for bad in mutations(good, 2000, 4):
        assert drain(lambda: EarlyDecoder(sensor="dvs128"), bad, rng) <= len(bad) // 6


def test_memory_stays_within_its_bound_whatever_is_fed():
    decode(HEADER + bytes(6))  # compiled before it is measured
    for body in (HEADER + Random(1).randbytes(1 << 22), b"#" * (1 << 22), bytes(1 << 22)):
        for piece in (1 << 16, 1 << 22):
            assert peak(lambda: EarlyDecoder(sensor="dvs128"), body, piece) < (1 << 20) * 4


def test_an_empty_array_of_records_is_no_event():
    assert np.array_equal(decode(HEADER), np.empty(0, EVENT))
