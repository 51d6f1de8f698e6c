"""AEDAT 2.0 files that are cut, bit-flipped, forged or noise: events or a RecordingError, in bounded memory."""

from __future__ import annotations

from random import Random

import pytest
from aedat2bytes import END, NO_CHIP, davis, decode, header, records, scene
from fuzz import drain, mutations, peak

from spikestream.formats.aedat2 import Decoder, Encoder

# Damage


def seeds() -> list[bytes]:
    davis_body = Encoder(sensor="davis240").feed(scene("davis240", 24)).partition(END)[2]
    long_body = Encoder(sensor="davis346").feed(scene("davis346", 280)).partition(END)[2]
    return [
        header("davis240") + davis_body,
        header("davis240", b"") + records(*((davis(5 * i, 140 + i % 4, 1), i) for i in range(20))),
        Encoder(sensor="dvs128").feed(scene("dvs128", 30)),
        NO_CHIP + long_body,
    ]


@pytest.mark.parametrize("seed", range(4))
def test_2500_damaged_files_give_events_or_a_recording_error(seed):
    """Four seeds make 10,000 cases."""
    rng = Random(seed)
    for bad in mutations(seeds()[seed], 2500, seed):
        assert drain(Decoder, bad, rng) <= len(bad) // 8


@pytest.mark.parametrize("piece", [1 << 16, 1 << 22])
def test_memory_stays_within_its_bound_whatever_is_fed(piece):
    """No event is kept here: what is left is the header held and two arrays of a chunk, the last and the next."""
    bodies = (header() + Random(1).randbytes(1 << 22), header(end=b"#" * (1 << 22)), NO_CHIP + b"\xff" * (1 << 22))
    decode(header() + bytes(8))  # compiled before it is measured
    for body in bodies:
        assert peak(Decoder, body, piece) < (1 << 20) * 2.5
