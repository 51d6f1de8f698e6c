"""AEDAT 2.0 files that are cut, bit-flipped, forged or noise: events or a RecordingError, in bounded memory."""

from __future__ import annotations

from random import Random

import goodfiles
import pytest
from aedat2bytes import NO_CHIP, decode, header
from fuzz import drain, mutations, peak

from spikestream.formats.aedat2 import Decoder

# Damage


@pytest.mark.parametrize("seed", range(4))
def test_2500_damaged_files_give_events_or_a_recording_error(seed):
    """Four seeds make 10,000 cases."""
    rng = Random(seed)
    for bad in mutations(goodfiles.aedat2()[seed], 2500, seed):
        assert drain(Decoder, bad, rng) <= len(bad) // 8


@pytest.mark.parametrize("piece", [1 << 16, 1 << 22])
def test_memory_stays_within_its_bound_whatever_is_fed(piece):
    """No event is kept here: what is left is the header held and two arrays of a chunk, the last and the next."""
    bodies = (header() + Random(1).randbytes(1 << 22), header(end=b"#" * (1 << 22)), NO_CHIP + b"\xff" * (1 << 22))
    decode(header() + bytes(8))  # compiled before it is measured
    for body in bodies:
        assert peak(Decoder, body, piece) < (1 << 20) * 2.5
