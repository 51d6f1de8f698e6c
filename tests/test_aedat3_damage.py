"""Damaged AEDAT 3: a `RecordingError` after the events before the damage, and never more memory than promised."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from random import Random

import goodfiles
import numpy as np
import pytest
from aedat3_by_hand import END, MIXED, decode, encode, event, head, packet, rows
from fuzz import drain, mutations

from spikestream import checks
from spikestream.batch import EVENT
from spikestream.errors import RecordingError
from spikestream.formats.aedat3 import Decoder

MIB = 1 << 20


def broken(data: bytes, match: str, step: int | None = None) -> tuple[np.ndarray, RecordingError]:
    """Return the events that come before the error of that text, and the error."""
    decoder, parts = Decoder(), [np.empty(0, EVENT)]

    def run() -> None:
        for at in range(0, len(data), step or len(data)):
            parts.extend(decoder.feed(memoryview(data)[at : at + (step or len(data))]))
        decoder.finish()

    with pytest.raises(RecordingError) as error:
        run()
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


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"#!AER-DAT4.0\r\n", "not AEDAT 3"),
        (b"#!AER-DAT3.2\r\n" + END, "not AEDAT 3"),
        (b"hello", "not AEDAT 3"),
        (b"#!AER-DAT3.1\r\n#Format: RAW\r\n\x01\x00", "header has no end"),
        (b"#!AER-DAT3.1\r\n#Format: SerializedTS,PNGFrames\r\n" + END, "packets are compressed"),
        (b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Sour", "ends inside its header"),
        (b"#!AER-DAT3.1", "ends inside its header"),
        (b"#!AER-DAT3.1\r\n" + b"#" * MIB, "header does not end"),
        (b"#!AER-DAT3.0\r\n" + b"#\r\n" * MIB, "header does not end"),
    ],
)
def test_a_damaged_header(data: bytes, match: str):
    for step in (None, 1 if len(data) < 100 else 1000):
        broken(data, match, step)


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(
    ("forged", "match"),
    [
        (packet(b"", kind=-32767), "impossible kind"),
        (packet(b"", size=-8), "impossible event size"),
        (packet(b"", number=-1, valid=-1), "impossible number of events"),
        (packet(b"", number=-(2**31)), "impossible number of events"),
        (packet(b"", number=5, valid=6), "impossible number of valid events"),
        (packet(b"", valid=-1), "impossible number of valid events"),
        (packet(b"", over=-1), "impossible number of time overflows"),
        (packet(b"", size=2**31 - 1, number=2**31 - 1), "impossible event layout"),
        (packet(b"", size=0, number=2**31 - 1), "impossible event size"),
        (bytes(280), "impossible event size"),
        (packet(b"", at=0), "impossible event layout"),
        (packet(event(5, 6, 7, 1), number=2**31 - 1), "cut inside a packet"),
        (packet(b"", kind=2, size=2**31 - 1, number=2**31 - 1), "cut inside a packet"),
    ],
)
def test_a_forged_packet(forged: bytes, match: str, step: int | None):
    start = head() + packet(event(1, 2, 3, 1))
    events, error = broken(start + forged, match, step)
    assert rows(events)[0] == (1, 2, 3, True)
    assert error.offset == len(start)
    assert peak_of(lambda: broken(start + forged, match, step)) < MIB


@pytest.mark.parametrize("cut", [1, 27, 28, 29, 35, 36, 43])
@pytest.mark.parametrize("step", [None, 1])
def test_a_cut_file(cut: int, step: int | None):
    start = head() + packet(event(1, 2, 3, 1))
    events, error = broken((start + packet(event(4, 5, 6, 1) * 2))[: len(start) + cut], "cut inside a packet", step)
    assert rows(events) == [(1, 2, 3, True)] + [(4, 5, 6, True)] * (cut >= 36)
    assert error.offset == len(start)
    assert "the events before it are read" in error.remedy


def test_a_cut_between_packets_and_nothing_at_all():
    assert rows(decode(head() + packet(event(1, 2, 3, 1)))) == [(1, 2, 3, True)]
    assert len(decode(head("#Source 1: DVS128", version="3.0", end=b""))) == 0
    with pytest.raises(RecordingError, match="is empty"):
        Decoder().finish()


def test_large_packets_take_little_memory():
    decoder, piece = Decoder(), memoryview(event(1, 2, 3, 1) * 100_000)
    list(decoder.feed(memoryview(head() + packet(b"", kind=1, number=2**31 - 1))))
    counts: list[int] = []

    def run() -> None:
        for _ in range(30):
            counts.extend(len(events) for events in decoder.feed(piece))

    assert peak_of(run) < 4 * MIB
    assert (sum(counts), max(counts)) == (3_000_000, 65_536)


@pytest.mark.parametrize("data", [head("#Source 1: ?") + MIXED, encode(np.zeros(99, EVENT), size=(4, 4))])
def test_the_laws_of_a_decoder(data: bytes):
    for _, check in checks.decoder(Decoder, data, memory=4 * MIB):
        check()


def test_ten_thousand_damaged_files():
    found: list[int] = []

    def run() -> None:
        for number, seed in enumerate(goodfiles.aedat3()):
            for bad in mutations(seed, 2_500, number):
                found.append(drain(Decoder, bad, Random(len(found))))

    assert peak_of(run) < 4 * MIB
    assert len(found) == 10_000
    assert sum(found) > 10_000
