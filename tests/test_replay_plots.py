"""`replay --plot`: what is kept of a stream for its pictures, and the files that are there at the end."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from cli import LABELS, LOOKS, PATIENCE_S, spikestream
from hypothesis import given, settings
from hypothesis import strategies as st
from inprocess import called

import spikestream as ss
from spikestream.cli.base.keeping import COLUMNS, Bands, Last
from spikestream.errors import RecordingError

# What is kept of a stream.


@given(
    st.lists(st.lists(st.integers(0, 99), max_size=12), min_size=1, max_size=12),
    st.integers(1, 20),
    st.integers(1, 1_200),
)
@settings(max_examples=200, deadline=None)
def test_the_last_spikes_are_kept_however_the_stream_is_cut(batches, most, within_us):
    last, everything = Last(most, within_us), []
    for k, offsets in enumerate(batches):
        t = np.sort(np.array(offsets, np.int64)) + 100 * k
        axon = np.arange(len(t), dtype=np.int32)
        last.add(ss.Spikes(100 * k, 100 * k + 100, t, axon))
        everything += zip(t.tolist(), axon.tolist(), strict=True)
    stop = 100 * len(batches)
    want = [row for row in everything if row[0] >= stop - within_us][-most:]
    kept = last.spikes()
    assert list(zip(kept.t.tolist(), kept.axon.tolist(), strict=True)) == want
    assert kept.stop == stop
    assert kept.start == (want[0][0] if len(want) == most else max(0, stop - within_us))


def test_what_is_kept_does_not_grow():
    last = Last(1_000)
    for k in range(100):
        last.add(ss.Spikes(k * 1_000, (k + 1) * 1_000, np.arange(k * 1_000, k * 1_000 + 700), np.zeros(700, np.int32)))
        assert sum(len(t) for t, _ in last._parts) <= 1_700
    recent = Last(10**9, within_us=1_000)
    for k in range(100):
        recent.add(ss.Spikes(k * 1_000, k * 1_000 + 1_000, np.array([k * 1_000]), np.zeros(1, np.int32)))
    assert len(recent._parts) <= 2
    long = np.arange(10_000)
    last.add(ss.Spikes(200_000, 300_000, 200_000 + long, np.zeros(10_000, np.int32)))
    ((t, axon),) = last._parts
    assert len(t) == len(axon) == 1_000
    assert t.base is None


@given(st.integers(0, 2**40), st.lists(st.integers(1, 3_000_000), min_size=1, max_size=8), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_counts_of_bands_lose_nothing_as_they_grow_coarser(start, lengths, seed):
    rng, bands, at, seen = np.random.default_rng(seed), Bands(4), start, []
    for length in lengths:
        t = np.sort(rng.integers(at, at + length, 20))
        axon = rng.integers(0, 12, 20).astype(np.int32)
        bands.add(ss.Spikes(at, at + length, t, axon))
        seen += zip(t.tolist(), axon.tolist(), strict=True)
        at += length
    cells, (first, stop) = bands.seen()
    assert (first, cells.shape[0]) == (start, 4)
    assert cells.shape[1] <= COLUMNS
    width = (stop - first) // cells.shape[1]
    assert stop - width < at <= stop
    want = np.zeros_like(cells)
    for t, axon in seen:
        want[axon % 4, (t - start) // width] += 1
    np.testing.assert_array_equal(cells, want)


# The command line.

EYES = ["raster.png", "weights.png", "membrane.png", "stdp.png", "decisions.png", "accuracy.png"]


def png_size(path):
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert data.endswith(b"IEND\xaeB`\x82")
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def test_replay_draws_a_run_and_changes_nothing_of_it(tmp_path):
    folder = tmp_path / "new" / "pictures"
    some = ["replay", LOOKS, "--labels", LABELS, "--speed", "max", "--to", "3s", "--json"]
    drawn = spikestream(*some, "--plot", folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(EYES)
    assert {png_size(folder / name) for name in EYES} == {(1_350, 675)}
    assert ", ".join(EYES) in drawn.stderr
    plain = json.loads(spikestream(*some).stdout)
    for key in ("output_sha256", "state_sha256", "decisions", "accuracy"):
        assert json.loads(drawn.stdout)[key] == plain[key]


def test_what_does_not_apply_is_not_drawn_and_older_pictures_are_replaced(tmp_path):
    (tmp_path / "raster.png").write_bytes(b"older")
    called("replay", LOOKS, "--speed", "max", "--to", "1s", "--no-learn", "--json", "--plot", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "decisions.png",
        "membrane.png",
        "raster.png",
        "weights.png",
    ]
    assert png_size(tmp_path / "raster.png") == (1_350, 675)


def test_behind_learned_features_their_kernels_are_drawn_and_no_weights_of_pixels(tmp_path):
    sets = ["--set", "features.kind=stdp", "--set", "features.size=3"]
    called("replay", LOOKS, "--speed", "max", "--to", "500ms", "--json", *sets, "--plot", tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"raster.png", "membrane.png", "kernels.png"} <= names
    assert "weights.png" not in names


def test_a_sound_has_a_cochleagram(tmp_path):
    import soundfile

    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(8_000) / 16_000)
    soundfile.write(tmp_path / "x.wav", tone, 16_000)
    done = called("replay", tmp_path / "x.wav", "--speed", "max", "--plot", tmp_path / "p")
    assert "cochleagram.png" in done.stderr
    assert png_size(tmp_path / "p" / "cochleagram.png") == (1_350, 675)
    assert (tmp_path / "p" / "weights.png").exists()


def test_a_recording_without_an_event_is_drawn_all_the_same(tmp_path):
    from spikestream.batch import no_events

    ss.write(tmp_path / "x.aedat4", no_events(0, 0, (8, 8)))
    called("replay", tmp_path / "x.aedat4", "--speed", "max", "--json", "--plot", tmp_path / "p")
    assert {"raster.png", "weights.png"} <= {path.name for path in (tmp_path / "p").iterdir()}


def test_a_damaged_recording_is_drawn_up_to_the_damage(tmp_path):
    cut = tmp_path / "cut.aedat"
    cut.write_bytes(LOOKS.with_name("wrap.aedat").read_bytes()[:-3])
    done = called("replay", cut, "--speed", "max", "--json", "--plot", tmp_path / "p", code=3)
    assert str(cut) in done.stderr
    assert (tmp_path / "p" / "raster.png").exists()


@pytest.mark.parametrize(
    ("plot", "more", "words"),
    [
        ("FILE", [], "cannot make the folder"),
        ("FILE/below", [], "cannot make the folder"),
        ("", [], "cannot make the folder"),
        ("a\0b", [], "cannot make the folder"),
        ("a\0b", ["--save", "model"], "cannot make the folder"),
        ("both", ["--save", "both"], "cannot be both"),
        ("both", ["--record", "./both"], "cannot be both"),
    ],
)
def test_a_folder_that_cannot_be_is_told_before_the_run(plot, more, words, tmp_path):
    (tmp_path / "FILE").write_text("kept")
    done = called("replay", LOOKS, "--speed", "max", *more, "--plot", plot, code=2, cwd=tmp_path)
    assert words in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"]
    assert (tmp_path / "FILE").read_text() == "kept"


def test_a_folder_for_others_is_told_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # for root every folder can be written
    done = called("replay", LOOKS, "--speed", "max", "--plot", tmp_path, code=2)
    assert "cannot write into the folder" in done.stderr
    assert done.stdout == ""


def test_a_picture_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "raster.png" / "in the way").mkdir(parents=True)
    done = called("replay", LOOKS, "--speed", "max", "--to", "1s", "--plot", tmp_path, code=RecordingError.exit_code)
    assert "raster.png: cannot be written" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["raster.png"]


def test_without_matplotlib_the_error_comes_first_and_says_what_to_install(tmp_path):
    code = (
        "import sys\nsys.modules['matplotlib'] = None\nfrom spikestream.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    args = [sys.executable, "-c", code, "replay", str(LOOKS), "--plot", str(tmp_path / "p")]
    done = subprocess.run(args, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert "pip install 'spikestream[plots]'" in done.stderr
    assert not (tmp_path / "p").exists()
