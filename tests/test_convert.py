"""`convert`: sound to spikes as NumPy reads them, events from format to format, damage, and what stays as it is."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import soundfile
from cli import LOOKS, PATIENCE_S, ROOT, on_terminal, spikestream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inprocess import called

import spikestream as ss
from spikestream.batch import EVENT, Events, Spikes
from spikestream.errors import RecordingError
from spikestream.files.atomic import replacing
from spikestream.files.spikes import write_spikes

RATE = 16_000


def noise(seconds=1.0, channels=1):
    return 0.05 * np.random.default_rng(0).standard_normal((int(seconds * RATE), channels))


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "speech.wav"
    soundfile.write(path, noise(), RATE)
    return path


def loaded(path):
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def left(folder):
    """Return what is in a folder that should not be."""
    return [path.name for path in folder.iterdir() if "tmp" in path.name]


# Spikes in a file.


rows = st.lists(st.tuples(st.integers(0, 9_999), st.integers(0, 500)), max_size=30)


@given(batches=st.lists(rows, max_size=5))
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_what_numpy_reads(batches, tmp_path):
    made = []
    for number, spikes in enumerate(batches):
        t, axon = np.array(sorted(spikes), np.int64).reshape(-1, 2).T
        made.append(Spikes(number * 10_000, (number + 1) * 10_000, t + number * 10_000, axon.astype(np.int32)))
    count = write_spikes(tmp_path / "x.npz", made, {"bands": 7, "centres_hz": np.array([1.5, 2.5])})
    got = loaded(tmp_path / "x.npz")
    assert (got["t"].dtype, got["axon"].dtype, len(got["t"])) == (np.int64, np.int32, count)
    assert got["t"].tolist() == [t for one in made for t in one.t.tolist()]
    assert got["axon"].tolist() == [axon for one in made for axon in one.axon.tolist()]
    assert (int(got["start"]), int(got["stop"]), int(got["bands"])) == (0, len(batches) * 10_000, 7)
    assert got["centres_hz"].tolist() == [1.5, 2.5]


def test_the_same_spikes_make_the_same_file(tmp_path):
    one = Spikes(0, 9, np.array([1, 2]), np.array([3, 4], np.int32))
    for name in "ab":
        write_spikes(tmp_path / name, [one], {"bands": 2})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with zipfile.ZipFile(tmp_path / "a") as packed:
        assert packed.testzip() is None
        assert packed.namelist() == ["t.npy", "axon.npy", "start.npy", "stop.npy", "bands.npy"]


def test_an_error_in_the_middle_leaves_the_older_file(tmp_path):
    def batches():
        yield Spikes(0, 9, np.array([1]), np.array([1], np.int32))
        raise RecordingError("no more")

    (tmp_path / "x.npz").write_bytes(b"older")
    with pytest.raises(RecordingError, match="no more"):
        write_spikes(tmp_path / "x.npz", batches(), {})
    assert (tmp_path / "x.npz").read_bytes() == b"older"
    assert os.listdir(tmp_path) == ["x.npz"]


def test_what_cannot_be_replaced_is_our_error_and_leaves_nothing(tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "missing" / "x"):
        with pytest.raises(RecordingError, match="cannot be written") as caught, replacing(path) as temporary:
            temporary.write_bytes(b"x")
        assert caught.value.file == str(path)
    assert os.listdir(tmp_path) == ["folder"]


# Sound.


def test_a_sound_becomes_the_spikes_the_cochlea_makes_of_it(wav, tmp_path):
    done = called("convert", wav, tmp_path / "x.npz")
    got = loaded(tmp_path / "x.npz")
    samples = soundfile.read(wav, dtype="float32", always_2d=True)[0]
    ear = ss.Cochlea(RATE)
    expected = ear(ss.Sound(0, 1_000_000, samples))
    assert np.array_equal(got["t"], expected.t)
    assert np.array_equal(got["axon"], expected.axon)
    assert (int(got["samplerate_hz"]), int(got["bands"]), int(got["fibres"])) == (RATE, 64, 3)
    assert (int(got["start"]), int(got["stop"])) == (0, 1_000_000)
    assert np.array_equal(got["centres_hz"], ear.centres_hz)
    assert got["thresholds"].tolist() == [0.4, 0.8, 1.6]
    assert f"{len(expected):,} spikes of 64 bands" in done.stdout
    assert not left(tmp_path)


def test_the_cochlea_is_the_one_that_is_asked_for(wav, tmp_path):
    spikestream(
        "convert", wav, tmp_path / "x.npz", "--bands", "16", "--set", "hear.low_hz=200", "--set", "hear.off=true"
    )
    got = loaded(tmp_path / "x.npz")
    assert (int(got["bands"]), int(got["fibres"]), got["centres_hz"].shape) == (16, 6, (16,))
    assert got["centres_hz"][0] == pytest.approx(200, abs=0.1)
    assert got["axon"].max() < 96


def test_a_part_of_a_sound_has_its_own_spikes(wav, tmp_path):
    called("convert", wav, tmp_path / "x.npz", "--from", "250ms", "--to", "500ms")
    got = loaded(tmp_path / "x.npz")
    samples = soundfile.read(wav, dtype="float32", always_2d=True)[0][RATE // 4 : RATE // 2]
    expected = ss.Cochlea(RATE)(ss.Sound(250_000, 500_000, samples))
    assert np.array_equal(got["t"], expected.t)
    assert np.array_equal(got["axon"], expected.axon)
    assert (int(got["start"]), int(got["stop"])) == (250_000, 500_000)


def test_a_cut_sound_is_an_error_and_with_partial_what_there_is(wav, tmp_path):
    wav.write_bytes(wav.read_bytes()[:-1_000])
    done = called("convert", wav, tmp_path / "x.npz", code=3)
    assert "--partial" in done.stderr
    assert not (tmp_path / "x.npz").exists()
    done = called("convert", wav, tmp_path / "x.npz", "--partial")
    assert "ends early" in done.stderr
    assert int(loaded(tmp_path / "x.npz")["stop"]) == 968_750
    wav.write_bytes(wav.read_bytes()[:44])
    called("convert", wav, tmp_path / "y.npz", "--partial", code=3)  # nothing comes before the damage
    assert not (tmp_path / "y.npz").exists()


# Events.


@pytest.mark.parametrize("suffix", ["aedat", "aedat3", "aedat4", "bin"])
def test_events_go_to_every_format_that_holds_them_and_come_back(suffix, tmp_path):
    rng = np.random.default_rng(1)
    data = np.zeros(5_000, EVENT)
    data["t"], data["p"] = np.sort(rng.integers(0, 3_000_000, 5_000)), rng.random(5_000) < 0.5
    data["x"], data["y"] = rng.integers(0, 34, (2, 5_000))
    ss.write(tmp_path / "a.aedat4", Events(0, 3_000_000, data, (34, 34)))
    done = called("convert", tmp_path / "a.aedat4", tmp_path / f"b.{suffix}")
    assert "5,000 events" in done.stdout
    assert np.array_equal(ss.read(tmp_path / f"b.{suffix}").data, data)
    called("convert", tmp_path / f"b.{suffix}", tmp_path / "c.aedat4")
    assert np.array_equal(ss.read(tmp_path / "c.aedat4").data, data)
    assert not left(tmp_path)


def test_a_part_of_a_recording_is_counted_from_its_first_event(tmp_path):
    called("convert", LOOKS, tmp_path / "x.aedat4", "--from", "1s", "--to", "2500ms")
    data = ss.read(LOOKS).data
    since = data["t"] - data["t"][0]
    expected = data[(since >= 1_000_000) & (since < 2_500_000)]
    assert np.array_equal(ss.read(tmp_path / "x.aedat4").data, expected)


def test_a_part_of_a_recording_is_half_open(tmp_path):
    data = np.zeros(4, EVENT)
    data["t"] = [70, 999_070, 1_000_070, 2_000_070]
    ss.write(tmp_path / "a.aedat4", Events(0, 3_000_000, data, (34, 34)))
    for selection, expected in (
        (["--from", "999ms", "--to", "2s"], [999_070, 1_000_070]),
        (["--to", "1s"], [70, 999_070]),
        (["--from", "1s", "--time", "keep"], [1_000_070, 2_000_070]),
        (["--from", "3s"], []),
    ):
        called("convert", tmp_path / "a.aedat4", tmp_path / "x.aedat4", "-f", *selection)
        assert ss.read(tmp_path / "x.aedat4").data["t"].tolist() == expected


def test_standard_input_can_be_converted(tmp_path):
    with open(LOOKS, "rb") as file:
        spikestream("convert", "-", tmp_path / "x.aedat4", stdin=file)
    assert np.array_equal(ss.read(tmp_path / "x.aedat4").data, ss.read(LOOKS).data)


def test_a_damaged_recording_is_an_error_and_with_partial_what_comes_before(tmp_path):
    whole = ss.read(LOOKS).data
    source = tmp_path / "cut.aedat4"
    source.write_bytes(LOOKS.read_bytes()[: LOOKS.stat().st_size // 2])
    done = called("convert", source, tmp_path / "x.aedat4", code=3)
    assert "--partial" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["cut.aedat4"]
    done = called("convert", source, tmp_path / "x.aedat4", "--partial")
    assert str(source) in done.stderr
    got = ss.read(tmp_path / "x.aedat4").data
    assert 0 < len(got) < len(whole)
    assert np.array_equal(got, whole[: len(got)])
    source.write_bytes(LOOKS.read_bytes()[:20])
    called("convert", source, tmp_path / "y.aedat4", "--partial", code=3)  # nothing comes before


def test_steps_back_in_time_are_told_and_kept_where_asked(tmp_path):
    rows = [(t, 1, 1, True) for t in (5, 9, 7, 12)]
    (tmp_path / "x.bin").write_bytes(
        b"".join(bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255]) for t, x, y, p in rows)
    )
    done = called("convert", tmp_path / "x.bin", tmp_path / "c.aedat4", "--size", "34x34")
    assert "backward" in done.stderr
    assert ss.read(tmp_path / "c.aedat4").data["t"].tolist() == [5, 9, 9, 12]
    called("convert", tmp_path / "x.bin", tmp_path / "k.bin", "--size", "34x34", "--time", "keep")
    assert (tmp_path / "k.bin").read_bytes() == (tmp_path / "x.bin").read_bytes()


# What is refused.


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("sounding", [True, False])
def test_what_is_read_is_never_written_over(link, sounding, wav, tmp_path):
    source, other = (wav, "x.npz") if sounding else (tmp_path / "a.aedat4", "x.aedat4")
    if not sounding:
        source.write_bytes(LOOKS.read_bytes())
    before = source.read_bytes()
    link(source, tmp_path / other)
    for target in (source, tmp_path / other, tmp_path / "." / source.name):
        assert "written over" in called("convert", source, target, code=2).stderr
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["WAV", "x.aedat4"], 2, ".npz"),
        (["WAV", "x"], 2, ".npz"),
        (["LOOKS", "x.tiff"], 2, "allowed: .aedat, .aedat"),
        (["LOOKS", "x"], 2, ".aedat4"),
        (["LOOKS", "x.npz", "--bands", "8"], 2, "--bands is not for events"),
        (["WAV", "x.npz", "--sensor", "dvs128"], 2, "--sensor is not for sound"),
        (["WAV", "x.npz", "--as", "aedat2"], 2, "--as is not for sound"),
        (["WAV", "x.npz", "--bands", "7"], 2, "8 to 256"),
        (["WAV", "x.npz", "--set", "network.neurons=3"], 2, "hear.KEY=VALUE"),
        (["WAV", "x.npz", "--set", "hear.bnads=3"], 2, "bands"),
        (["WAV", "x.npz", "--from", "2s", "--to", "1s"], 2, "empty"),
        (["LOOKS", "x.aedat4", "--to", "0s"], 2, "empty"),
        (["LOOKS", "x.aedat4", "--as", "aedat9"], 4, "aedat"),
        (["missing.wav", "x.npz"], 3, "no such file"),
        (["LOOKS", "nowhere/x.aedat4"], 3, "cannot be written"),
        (["WAV", "nowhere/x.npz"], 3, "cannot be written"),
        (["WAV"], 2, "OUT"),
    ],
)
def test_what_makes_no_sense_says_so_and_writes_nothing(args, code, words, wav, tmp_path):
    named = {"WAV": wav, "LOOKS": LOOKS}
    done = called("convert", *(named.get(arg, arg) for arg in args), code=code, cwd=tmp_path)
    assert words in done.stderr
    assert os.listdir(tmp_path) == ["speech.wav"]


def test_a_long_sound_is_converted_in_bounded_memory(tmp_path):
    peaks = []
    for name, seconds in (("short.wav", 2), ("long.wav", 240)):
        soundfile.write(tmp_path / name, noise(seconds), RATE)
        code = (
            "import re, sys\nfrom spikestream.cli import main\nassert main(sys.argv[1:]) == 0\n"
            "print(int(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1]) // 1024)"
        )
        args = [sys.executable, "-c", code, "convert", tmp_path / name, tmp_path / f"{name}.npz"]
        done = subprocess.run(args, capture_output=True, text=True, timeout=PATIENCE_S)
        peaks.append(int(done.stdout.split()[-1]))
    assert len(loaded(tmp_path / "long.wav.npz")["t"]) > 500_000  # 6 MB of spikes, 15 MB of samples
    assert peaks[1] - peaks[0] < 6, peaks


def test_progress_is_for_terminals_only(wav, tmp_path):
    assert "[#" not in spikestream("convert", wav, tmp_path / "x.npz").stderr
    shown = on_terminal("convert", wav, tmp_path / "y.npz")
    assert "[#" in shown
    assert "of 1 s" in shown


def test_the_docs_show_how_the_spikes_are_read():
    text = (ROOT / "docs" / "cli.md").read_text()
    for name in ("t", "axon", "samplerate_hz", "bands", "fibres", "centres_hz", "thresholds", "start", "stop"):
        assert f"`{name}`" in text, name
