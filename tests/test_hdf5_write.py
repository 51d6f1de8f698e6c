"""HDF5 as we write it: what h5py and evutils see in it, its index as OpenEB builds it, its domain."""

from __future__ import annotations

import os
import subprocess
import sys

import evutils.io
import h5py
import hdf5files
import numpy as np
import pytest
from hdf5files import SIZE, batch, scene

import spikestream as ss
from spikestream.batch import EVENT, Events
from spikestream.errors import RecordingError


@pytest.mark.parametrize("n", [1, 16_384, 16_385, 70_000])
def test_what_is_written_is_read_here_and_by_others(tmp_path, n):
    events, path = scene(n) if n > 100 else scene(100)[:n], tmp_path / "a.hdf5"
    assert ss.write(path, batch(events)) == n
    back = ss.read(path)
    assert np.array_equal(back.data, events)
    assert back.size == SIZE
    with h5py.File(path) as file:
        assert file["CD/events"].dtype == hdf5files.CD
        assert np.array_equal(file["CD/events"][:], hdf5files.cd(events))
    theirs = evutils.io.EventReader(str(path)).read_all()
    assert all(
        np.array_equal(np.asarray(theirs[name]).astype(np.int64), events[name].astype(np.int64)) for name in "txyp"
    )


def index_of(events: np.ndarray) -> list[tuple[int, int]]:
    """Return the index as OpenEB's writer builds it, event by event."""
    first, found, at, last = int(events["t"][0]), [], (0, -1), (0, -1)
    for number, t in enumerate(events["t"].tolist()):
        while (t - first) // 2_000 + 1 > len(found):
            if number != at[0]:
                last = at
            found.append(last)
            at = (number, t - first)
    return [*found, at]


@pytest.mark.parametrize("cut", [1, 7, 100_000])
def test_the_index_is_that_of_openeb(tmp_path, cut):
    events = scene(3_000, start=777)
    events["t"] += np.repeat([0, 0, 50_000_000, 50_000_100], 750)  # 25,000 entries of silence
    parts = [batch(events[at : at + cut]) for at in range(0, len(events), cut)]
    ss.write(tmp_path / "a.h5", parts)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["CD/indexes"][:].tolist() == index_of(events)
        assert file["CD/indexes"].attrs["offset"] == str(-events["t"][0])
        assert sorted(file["EXT_TRIGGER"]) == ["events", "indexes"]


@pytest.mark.parametrize("t", [4, 5 + 2**36])
def test_what_does_not_fit_is_refused_and_nothing_is_left(tmp_path, t):
    events = np.array([(5, 0, 0, True), (t, 0, 0, True)], EVENT)
    with pytest.raises(RecordingError, match="event 1 does not fit Prophesee's HDF5"):
        ss.write(
            tmp_path / "a.h5",
            Events(min(t, 5), max(t, 5) + 1, np.sort(events, order="t"), None)
            if t > 5
            else [
                Events(5, 6, events[:1], None),
                Events(4, 5, events[1:], None),
            ],
        )
    assert os.listdir(tmp_path) == []


def test_edges_and_no_events(tmp_path):
    edges = np.array([(-(2**61), 0, 0, False), (-(2**61) + 2**36 - 1, 65_535, 65_535, True)], EVENT)
    edges["t"][1] = -(2**61) + 5_000
    ss.write(tmp_path / "a.h5", Events(-(2**61), 0, edges, None))
    assert np.array_equal(ss.read(tmp_path / "a.h5").data, edges)
    assert ss.write(tmp_path / "b.h5", Events(0, 5, edges[:0], SIZE)) == 0
    assert (len(ss.read(tmp_path / "b.h5")), ss.read(tmp_path / "b.h5").size) == (0, SIZE)


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from spikestream.cli import main
sys.exit(main(["synth", "spinner", sys.argv[1], "--for", "2s", "-q"]))
"""


def test_a_disk_that_is_full_is_one_error_and_leaves_nothing(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "a.h5")], capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert "cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
