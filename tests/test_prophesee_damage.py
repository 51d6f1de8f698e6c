"""Prophesee files that are cut, bit-flipped, forged or noise: events or a RecordingError, in bounded memory."""

from __future__ import annotations

import contextlib
import tracemalloc
from random import Random

import numpy as np
import pytest
from fuzz import drain, mutations
from goodfiles import GOOD

from spikestream.errors import RecordingError
from spikestream.formats.prophesee import DAT, EVT2, EVT3, EVT21

MOST = {"evt2": 1 / 4, "evt21": 32 / 8, "evt3": 12 / 2, "dat": 1 / 8}
"""Events a byte can become, at the most."""


@pytest.mark.parametrize("format", [EVT2, EVT21, EVT3, DAT], ids=lambda one: one.name)
def test_2000_damaged_files_give_events_or_a_recording_error(format):
    rng = Random(1)
    for number, seed in enumerate(GOOD[format.name].files()):
        for bad in mutations(seed, 1000, number):
            assert drain(format.decoder, bad, rng) <= len(bad) * MOST[format.name]


@pytest.mark.parametrize("format", [EVT2, EVT21, EVT3, DAT], ids=lambda one: one.name)
def test_memory_stays_within_its_bound_whatever_is_fed(format):
    """What is left is the header held, and arrays of what 65,536 words become: the last one and the next."""
    head = b"% Version 2\n\x0c\x08" if format is DAT else b"% evt 2.0\n% end\n"
    vectors = np.array([0x8000, 0x0001, *[0x3000, 0x4FFF] * (1 << 20)], "<u2").tobytes()
    full = np.array([8 << 60, *[0xFFFFFFFF] * (1 << 18)], "<u8").tobytes()
    drain(format.decoder, head + bytes(64), Random(0))  # compiled before it is measured
    for body in (head + Random(1).randbytes(1 << 22), head + vectors, head + full, b"% a b\n" * (1 << 19)):
        tracemalloc.start()
        decoder = format.decoder(size=(2048, 2048))
        with contextlib.suppress(RecordingError):
            for at in range(0, len(body), 1 << 16):
                for _ in decoder.feed(memoryview(body)[at : at + (1 << 16)]):
                    pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < (1 << 20) * 10
