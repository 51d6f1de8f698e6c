"""What holds of every format that is no row of bytes, from end to end: headers, commands, the time policy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rosfiles
from plainformat import whole
from test_ros import arrays, evt3, packets

import spikestream as ss
from spikestream.batch import EVENT, Events
from spikestream.cli import main
from spikestream.errors import RecordingError
from spikestream.files.reader import Reader

SUFFIXES = (".npy", ".npz", ".h5", ".bag", ".db3", ".mcap")
SIZE = (346, 260)


def scene(n: int) -> np.ndarray:
    rng = np.random.default_rng(8)
    events = np.empty(n, EVENT)
    events["t"] = 5_000_000 + np.sort(rng.integers(0, 300_000, n))
    events["x"], events["y"] = rng.integers(0, SIZE[0], n), rng.integers(0, SIZE[1], n)
    events["p"] = rng.integers(0, 2, n)
    return events


def recording(folder: Path, suffix: str, events: np.ndarray, name: str = "a") -> Path:
    path = folder / f"{name}{suffix}"
    if suffix == ".npy":
        np.save(path, events)
    elif suffix in (".npz", ".h5"):
        ss.write(path, Events(int(events["t"].min()), int(events["t"].max()) + 1, events, SIZE))
    else:
        words = evt3(events)
        cut = [words[at : at + 50_000] for at in range(0, len(words), 50_000)]
        return rosfiles.write(path, packets(cut, "evt3"))
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_header_alone_needs_no_numba(tmp_path, suffix):
    path = recording(tmp_path, suffix, scene(500))
    code = (
        "import sys; from spikestream.cli import main; code = main(['info', '--fast', '--json', sys.argv[1]]);"
        "sys.exit(code or ('numba' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    assert facts["format"] == suffix[1:].replace("h5", "hdf5")
    assert facts["events"] == (None if suffix in (".bag", ".db3", ".mcap") else 500)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_batches_gaps_and_selections_are_those_of_the_events(tmp_path, suffix):
    events = scene(3_000)
    path = recording(tmp_path, suffix, events)
    batches = list(ss.stream(path, length_us=7_000, from_us=50_000, to_us=90_000))
    chosen = events[(events["t"] >= events["t"][0] + 50_000) & (events["t"] < events["t"][0] + 90_000)]
    assert np.array_equal(np.concatenate([batch.data for batch in batches]), chosen)
    assert all(a.stop == b.start for a, b in pairwise(batches))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_how_much_of_the_file_was_read_is_known_on_the_way(tmp_path, suffix):
    with Reader(recording(tmp_path, suffix, scene(150_000))) as reader:
        shares = [reader.consumed / reader.bytes for _ in reader] + [reader.consumed / reader.bytes]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert suffix == ".bag" or 0 < shares[len(shares) // 2] < 1 or suffix == ".mcap"


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".bag"])
def test_steps_back_are_dealt_with_as_everywhere(tmp_path, suffix):
    events = scene(300)
    events["t"][200] -= 3_000
    if suffix == ".bag":
        path = rosfiles.write(tmp_path / "a.bag", arrays(events))
    else:
        path = recording(tmp_path, suffix, events)
    assert np.array_equal(whole(Reader(path, time="keep"))["t"], events["t"])
    assert np.array_equal(whole(Reader(path))["t"], np.maximum.accumulate(events["t"]))
    assert ss.info(path).problems == {"backward": 1}


@pytest.mark.parametrize("source", SUFFIXES)
@pytest.mark.parametrize("target", [".npz", ".h5", ".aedat4"])
def test_any_of_them_is_converted_to_any_that_is_written(tmp_path, source, target, capsys):
    events = scene(800)
    path = recording(tmp_path, source, events)
    out = tmp_path / f"out{target}"
    assert main(["convert", str(path), str(out), "-q"]) == 0
    assert np.array_equal(ss.read(out).data, events)
    assert main(["convert", str(path), str(out), "-fq", "--from", "1ms", "--to", "100ms"]) == 0
    assert 0 < len(ss.read(out)) < 500


def test_they_replay(tmp_path, capsys):
    path = recording(tmp_path, ".npz", scene(800))
    assert main(["replay", str(path), "--speed", "max", "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["events_in"] == 800


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    for suffix in (".npz", ".h5"):
        path = recording(tmp_path, suffix, scene(10))
        old = path.read_bytes()

        def interrupted():
            yield Events(0, 10_000_000, scene(10), SIZE)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ss.write(path, interrupted())
        assert path.read_bytes() == old
        with pytest.raises(RecordingError, match="cannot be written"):
            ss.write(tmp_path / "nowhere" / f"a{suffix}", Events(0, 10_000_000, scene(10), SIZE))
    assert sorted(os.listdir(tmp_path)) == ["a.h5", "a.npz"]
