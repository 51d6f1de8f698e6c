"""Prophesee files that are cut, bit-flipped, forged or noise: events or a RecordingError, in bounded memory."""

from __future__ import annotations

import contextlib
import tracemalloc
from random import Random

import numpy as np
import pytest
from fuzz import drain, mutations
from naive_evt import words_of
from test_prophesee import scene

from spikestream.errors import RecordingError
from spikestream.formats.prophesee import DAT, EVT2, EVT3, EVT21

MOST = {"evt2": 1 / 4, "evt21": 32 / 8, "evt3": 12 / 2, "dat": 1 / 8}
"""Events a byte can become, at the most."""


def seeds(format):
    rng = np.random.default_rng(5)
    if format is EVT21:
        head = b"% evt 2.1\n% geometry 640x480\n% end\n"
        return [head + words_of([0, 1, 8, 10], 64, 80, rng).tobytes(), words_of([0, 1, 8], 64, 50, rng).tobytes()]
    made = format.encoder(size=(640, 480)).feed(scene(60))
    vectors = words_of([0, 2, 3, 4, 5, 6, 8], 16, 200, rng).tobytes()
    return [made, b"% evt 3.0\n% system_ID 48\n" + vectors if format is EVT3 else format.encoder().feed(scene(60))]


@pytest.mark.parametrize("format", [EVT2, EVT21, EVT3, DAT], ids=lambda one: one.name)
def test_2000_damaged_files_give_events_or_a_recording_error(format):
    rng = Random(1)
    for number, seed in enumerate(seeds(format)):
        for bad in mutations(seed, 1000, number):
            assert drain(format.decoder, bad, rng) <= len(bad) * MOST[format.name]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "format"), [("evt2/gen3.raw", EVT2), ("evt3/gen41.raw", EVT3), ("dat/ncars.dat", DAT)]
)
def test_2000_damaged_copies_of_real_files(data, name, format):
    good = (data / "events" / name).read_bytes()[:3000]
    rng = Random(2)
    for bad in mutations(good, 2000, 7):
        assert drain(format.decoder, bad, rng) <= len(bad) * MOST[format.name]


@pytest.mark.parametrize("format", [EVT2, EVT21, EVT3, DAT], ids=lambda one: one.name)
def test_twenty_bytes_of_a_header_that_hang_others_do_not_hang_here(format):
    """expelliarmus never returns from a file of 20 bytes."""
    for size in range(21):
        drain(format.decoder, b"% evt 3.0 without end"[:size], Random(size))


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
