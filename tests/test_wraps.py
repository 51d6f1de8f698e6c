"""The clocks of 32 bits and fewer: each wrap is undone, and an event that comes late across one is late and no more."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from aedat2bytes import header
from hypothesis import example, given, settings
from hypothesis import strategies as st
from naive_clock import unwrapped

import spikestream as ss
from spikestream.batch import EVENT
from spikestream.errors import RecordingError
from spikestream.formats import nas
from spikestream.formats.aedat2 import AEDAT1
from spikestream.formats.aedat2 import FORMAT as AEDAT2
from spikestream.formats.base.records import Stamps, wraps_of
from spikestream.formats.prophesee import DAT

TURN = 2**32
LATE = (TURN - 20, TURN - 10, 3, TURN - 5, 4, 5, 10)
"""One event, 8 µs late, over the end of the clock."""


def dat(stamps) -> bytes:
    return b"% Version 2\n% Height 4\n% Width 4\n\x0c\x08" + b"".join(struct.pack("<II", t, 0) for t in stamps)


def aedat2(stamps) -> bytes:
    return header("dvs128") + b"".join(struct.pack(">II", 0, t) for t in stamps)


def aedat1(stamps) -> bytes:
    chip = b"# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n#End Of ASCII Header\r\n"
    return b"#!AER-DAT1.0\r\n" + chip + b"".join(struct.pack(">HI", 0, t) for t in stamps)


def sound(stamps) -> bytes:
    return b"".join(struct.pack(">II", 0, t) for t in [0] * nas.TRIAL + list(stamps))  # or disorder speaks of no NAS


CLOCKS = {
    "dat": (DAT.decoder, dat),
    "aedat2": (AEDAT2.decoder, aedat2),
    "aedat1": (AEDAT1.decoder, aedat1),
    "nas": (lambda: nas.Decoder("stereo16:jaer"), sound),
}


def times(name: str, stamps, cut: int) -> list[int]:
    make, written = CLOCKS[name]
    data, decoder = memoryview(written(stamps)), make()
    found = [t for part in (data[:cut], data[cut:]) for some in decoder.feed(part) for t in some["t"].tolist()]
    return found[-len(stamps) :]


near = st.builds(lambda half, off: (half * 2**31 + off) % TURN, st.integers(0, 1), st.integers(-3, 3))
lates = st.builds(
    lambda now, late: [(now - back) % TURN for back in late], near, st.lists(st.integers(0, 9), max_size=9)
)
clock = st.lists(st.one_of(lates, st.lists(st.integers(0, TURN - 1), max_size=3)), max_size=9).map(
    lambda parts: [stamp for part in parts for stamp in part]
)


@pytest.mark.parametrize("name", CLOCKS)
@settings(deadline=None)  # the first one loads the kernel
@given(stamps=clock.filter(len), cut=st.integers(0, 200))
@example(stamps=list(LATE), cut=100)
@example(stamps=[*LATE, 2**31 + 10, 2**31 + 11, 10, 2**31 + 11], cut=100)
@example(stamps=[3, TURN - 5, 4], cut=100)
def test_each_stamp_is_the_time_nearest_to_the_last_one(name: str, stamps: list[int], cut: int):
    assert times(name, stamps, cut) == unwrapped(stamps)


@given(stamps=clock, cut=st.integers(0, 40), bits=st.sampled_from([31, 32]))
def test_whole_columns_of_stamps_are_undone_alike(stamps: list[int], cut: int, bits: int):
    column = np.array(stamps, np.int64) % 2**bits
    first, rest = column[:cut], column[cut:]
    wraps = wraps_of(first, 2**bits, 0)
    last = (int(first[-1]), int(wraps[-1])) if len(first) else (0, 0)
    wraps = np.concatenate([wraps, wraps_of(rest, 2**bits, *last)])
    assert (column + 2**bits * wraps).tolist() == unwrapped(column.tolist(), 2**bits)


@given(
    steps=st.lists(
        st.one_of(st.integers(-9, 9), near.map(lambda step: step - 2**31), st.integers(-TURN, TURN)), max_size=12
    ),
    first=near,
)
def test_what_is_written_is_what_comes_back_and_all_of_that(steps: list[int], first: int):
    events = np.zeros(len(steps) + 1, EVENT)
    events["t"] = np.cumsum([first, *steps])
    stamps = (events["t"] % TURN).tolist()
    if unwrapped(stamps) == events["t"].tolist():
        assert Stamps("it").of(events).tolist() == stamps
        return
    with pytest.raises(RecordingError, match="does not fit it"):
        Stamps("it").of(events)


@pytest.mark.parametrize(("suffix", "written"), [("dat", dat), ("aedat", aedat2), ("aedat", aedat1)])
def test_an_event_late_across_a_wrap_is_put_in_its_place_and_the_wrap_counted_once(suffix, written, tmp_path: Path):
    path = tmp_path / f"late.{suffix}"
    for stamps in (LATE, LATE[:4]):  # there is more behind it, or it is the last one
        path.write_bytes(written(stamps))
        wanted = unwrapped(stamps)
        assert ss.read(path, time="sort").data["t"].tolist() == sorted(wanted)
        found = ss.info(path)
        assert (found.last_t, found.problems) == (max(wanted), {"backward": 1})
        assert [note for note in found.notes if "wrapped" in note] == [
            "the stamps wrapped 1 time: 32 bits of µs last 71.6 minutes"
        ]
