"""What `info` counts of pixels and stamps and says of a clock in another unit, its pictures, and what is fast."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli import LOOKS, PATIENCE_S, on_terminal
from hypothesis import given, settings
from hypothesis import strategies as st
from inprocess import called
from plainformat import at, events, plain, save

import spikestream as ss
from spikestream.batch import EVENT, Events
from spikestream.files.info import info
from spikestream.files.tally import MAP_SIDE, Tally

__all__ = ["plain"]
RECORDINGS = LOOKS.parent

t = st.one_of(st.integers(-20, 20), st.integers(-(2**62), 2**62 - 1), st.integers(0, 9).map(lambda k: 7_000 * k))
place = st.sampled_from([0, 1, 2, MAP_SIDE - 1, MAP_SIDE, 65_535])


@given(rows=st.lists(st.tuples(t, place, place, st.booleans()), max_size=30), cut=st.integers(0, 30))
@settings(deadline=None, max_examples=200)
def test_the_counts_are_those_of_a_loop_however_the_events_are_cut(rows, cut):
    tally = Tally()
    for part in (rows[:cut], rows[cut:]):
        tally.add(events(part))
    latest, twins = {}, 0
    for stamp, x, y, _ in rows:
        if max(x, y) < MAP_SIDE:
            twins += latest.get((x, y)) == stamp % 2**32
            latest[x, y] = stamp % 2**32
    stamps = [row[0] for row in rows] or [0]
    assert tally.counts == {
        "seen": len(rows),
        "on": sum(row[3] for row in rows),
        "first": min(stamps),
        "last": max(stamps),
        "origin": stamps[0],
        "divisor": _divisor(stamps),
        "twins": twins,
    }


def _divisor(stamps):
    """Return the divisor as it is known once it has become 1: no other can follow."""
    return math.gcd(*(stamp - stamps[0] for stamp in stamps))


def scene(rate_hz: float, seconds: float = 2.0, side: int = 40) -> np.ndarray:
    """Return events at random places, none of a pixel within the same microsecond as its last."""
    rng = np.random.default_rng(0)
    data = np.zeros(int(rate_hz * seconds), EVENT)
    data["t"] = np.sort(rng.choice(int(seconds * 1e6), len(data), replace=False))
    data["x"], data["y"] = rng.integers(0, side, (2, len(data)))
    return data


UNITS = {
    "seconds": lambda t: t // 1_000_000,
    "milliseconds": lambda t: t // 1_000,
    "nanoseconds": lambda t: t * 1_000,
    "nanoseconds since 1970": lambda t: (t + 1_700_000_000_000_000) * 1_000 + t % 7,
}


@pytest.mark.parametrize("rate_hz", [5_000, 100_000])
@pytest.mark.parametrize("unit", UNITS)
def test_a_clock_in_another_unit_is_a_problem(unit, rate_hz, plain, tmp_path):
    data = scene(rate_hz)
    data["t"] = UNITS[unit](data["t"])
    path = save(tmp_path / "a.plain", data, size="40x40")
    got = info(path)
    assert got.problems["time_unit"] == 1
    (said,) = (warning for warning in got.warnings if "microseconds are meant" in warning)
    assert unit.split()[0] in said
    done = called("info", path, "--check", code=3)
    assert "problem     time_unit: 1" in done.stdout
    assert said in done.stdout


def test_pixels_that_fire_twice_in_a_microsecond_are_a_problem_where_few_are_active(plain, tmp_path):
    data = scene(200_000, side=20)
    data["t"] //= 1_000
    assert info(save(tmp_path / "a.plain", data, size="20x20")).problems == {"time_unit": 1}
    data = scene(900_000, side=20)  # a lamp
    assert info(save(tmp_path / "b.plain", data, size="20x20")).problems == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t,
        lambda t: t // 1_000 * 1_000,  # a clock of milliseconds, in µs
        lambda t: t + 1_700_000_000_000_000,  # since 1970
        lambda t: t * 5,  # few events
    ],
)
def test_a_clock_in_microseconds_is_none(change, plain, tmp_path):
    data = scene(20_000)
    data["t"] = change(data["t"])
    assert info(save(tmp_path / "a.plain", data, size="40x40")).problems == {}
    few = at([0] * 999)
    assert info(save(tmp_path / "b.plain", few)).problems == {}


@pytest.mark.parametrize("name", ["looks.aedat4", "wrap.aedat"])
def test_the_recordings_that_ship_are_well(name):
    assert not info(RECORDINGS / name).suspicious


@pytest.mark.realdata
def test_no_real_recording_has_another_clock(data: Path):
    paths = [path for path in data.glob("events/*/*") if path.suffix in (".raw", ".dat", ".es", ".aedat4", ".bin")]
    found = {path.name: info(path).problems for path in paths if path.name != "generic.es"}
    assert len(found) >= 6
    assert not [name for name, problems in found.items() if "time_unit" in problems]


@pytest.mark.parametrize("name", ["a.dat", "a.aedat"])
@pytest.mark.parametrize("wraps", [0, 1, 3])
def test_wraps_of_32_bits_are_undone_and_counted(name, wraps, tmp_path):
    data = at([5, *((k << 30) - 7 for k in range(1, 4 * wraps + 1)), (wraps << 32) + 1_000])
    data["x"] = 0
    ss.write(tmp_path / name, Events(0, 1 << 40, data, (128, 128)))
    got = info(tmp_path / name)
    assert (got.last_t, got.problems.get("backward")) == (int(data["t"][-1]), None)
    (said,) = [note for note in got.notes if "wrapped" in note] or [""]
    assert said.partition(":")[0] == ("", "the stamps wrapped 1 time", "", "the stamps wrapped 3 times")[wraps]


# Pictures.


def test_the_picture_of_events_counts_every_one_in_time_and_place(tmp_path):
    from spikestream.cli.base import drawing

    found = info(LOOKS)
    image = drawing.of_events(found, True, {})
    data = ss.read(LOOKS).data
    assert image.cells.sum() == image.rates.sum() == len(data)
    assert image.rates.sum(axis=1).tolist() == [np.count_nonzero(~data["p"]), np.count_nonzero(data["p"])]
    edges = np.linspace(found.first_t, found.last_t + 1, image.rates.shape[1] + 1)
    expected, _ = np.histogram(data["t"], edges)
    assert np.abs(np.cumsum(image.rates.sum(axis=0)) - np.cumsum(expected)).max() <= 2  # at the very edges
    assert (image.start, image.stop) == (found.first_t, found.last_t + 1)


def test_a_drawn_recording_has_two_panels(tmp_path):
    called("info", LOOKS, "--plot", tmp_path / "x.svg")
    text = (tmp_path / "x.svg").read_text()
    assert {"axes_1", "axes_2"} <= {part.partition('"')[0] for part in text.split('id="')}
    assert "axes_3" not in text


def test_times_beyond_64_bits_times_parts_are_drawn(plain, tmp_path):
    path = save(tmp_path / "a.plain", at([-(2**61), 5, 2**61]))
    called("info", path, "--plot", tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


# Progress, and large files.


def test_a_terminal_sees_how_much_was_read():
    shown = on_terminal("info", LOOKS)
    assert f"of {LOOKS.stat().st_size / 1e6:.1f} MB" in shown
    assert shown.endswith("\x1b[K")  # and is gone again


@pytest.mark.parametrize("suffix", ["aedat4", "aedat3", "aedat", "raw", "dat", "es", "bin"])
def test_the_header_of_a_gigabyte_is_told_without_numba_and_without_reading_it(suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    data = at(range(100))
    data["x"] = data["y"] = 1
    ss.write(path, Events(0, 100, data, (128, 128)), format="evt3" if suffix == "raw" else None)
    os.truncate(path, 1 << 30)  # sparse
    code = """
import json, sys
from spikestream.cli import main
code = main(["info", "--fast", "--json", sys.argv[1]])
read = [line.split()[1] for line in open("/proc/self/io") if line.startswith("rchar")]
print(json.dumps([code, sorted({"numba", "llvmlite", "aiohttp"} & set(sys.modules)), int(read[0])]))
"""
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=PATIENCE_S)
    told, heavy, read = json.loads(done.stdout.splitlines()[-1])
    facts = json.loads(done.stdout.splitlines()[0])
    assert (told, heavy, facts["bytes"]) == (0, [], 1 << 30)
    assert facts["size"] == [34, 34] if suffix == "bin" else facts["size"] in ([128, 128], None, [34, 34], [1280, 720])
    assert read < 64 << 20  # of which the interpreter's own modules are the most
