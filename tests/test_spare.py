"""Memory that is taken again once nobody has it: never while an array, a part or a column of it is still held."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_prophesee import scene

import spikestream as ss
from spikestream.files.reader import Reader
from spikestream.formats.base import Spare

KEEP = {
    "the array": lambda events: events,
    "a part": lambda events: events[3:],
    "a column": lambda events: events["t"],
    "a view": lambda events: events.view("u1"),
    "a buffer": memoryview,
    "a part of a part": lambda events: events[1:][2:]["x"],
}


def address(events: np.ndarray) -> int:
    return events.__array_interface__["data"][0]


def test_memory_that_nobody_has_is_taken_again():
    spare = Spare()
    places = [address(spare(n)) for n in (100, 100, 7)]
    assert len(set(places)) == 1
    assert [len(spare(n)) for n in (7, 101)] == [7, 101]


@pytest.mark.parametrize("keep", KEEP.values(), ids=KEEP)
def test_what_is_held_keeps_its_memory(keep):
    spare = Spare()
    made = spare(100)
    place, held = address(made), keep(made)
    del made
    others = [spare(100) for _ in range(5)]
    assert place not in [address(one) for one in others]
    assert len({address(one) for one in others}) == 5
    del held, others
    assert len({address(spare(100)) for _ in range(5)}) == 1


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans(), st.integers(0, 9)), max_size=40))
def test_what_is_written_is_never_written_over(steps):
    spare, held = Spare(), []
    for number, (n, kept, dropped) in enumerate(steps):
        made = spare(n)
        made["t"] = number
        if kept:
            held.append((made[: n // 2], number))
        del made
        held = [one for i, one in enumerate(held) if i != dropped]
        assert all((part["t"] == known).all() for part, known in held)


@pytest.mark.parametrize("format", ["evt2", "evt3", "dat", "aedat4"])
@pytest.mark.parametrize("every", [1, 2, 3])
def test_arrays_of_a_stream_that_are_kept_stay_as_they_were(tmp_path, format, every):
    path = tmp_path / f"a.{format if format in ('dat', 'aedat4') else 'raw'}"
    ss.write(path, ss.Events(0, 60_000_001, scene(400_000), (640, 480)), format=format)
    kept, at = [], 0
    with Reader(path) as reader:
        for number, events in enumerate(reader):
            if number % every == 0:
                kept.append((at, events[::2]))
            at += len(events)
    assert at == 400_000
    for at, events in kept:
        assert np.array_equal(events, scene(400_000)[at : at + 2 * len(events) : 2])
