"""What `info` tells of a sound file: levels of known signals, clipping, damage; and what it draws."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from cli import LOOKS, PATIENCE_S
from fuzz import mutations
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inprocess import called

from spikestream.cli.base.cochleagram import ASCII, SHADES
from spikestream.errors import RecordingError
from spikestream.files import sound
from spikestream.files.sound import sound_info

RATE = 16_000


def sine(amplitude=1.0, seconds=1.0, hz=1_000, rate=RATE):
    return amplitude * np.sin(2 * np.pi * hz * (np.arange(int(seconds * rate)) + 0.5) / rate)


def saved(path, samples, rate=RATE, **how):
    soundfile.write(path, samples, rate, **how)
    return path


@pytest.fixture
def tone(tmp_path):
    return saved(tmp_path / "tone.wav", sine(0.1, hz=997), subtype="PCM_16")


def test_the_facts_of_a_small_sound(tmp_path):
    path = saved(tmp_path / "x.wav", np.zeros((4_410, 2)), 44_100, subtype="PCM_24")
    got = sound_info(path)
    assert (got.path, got.format, got.subtype, got.bits) == (str(path), "wav", "PCM_24", 24)
    assert (got.samplerate_hz, got.channels, got.bytes, got.samples) == (44_100, 2, path.stat().st_size, 4_410)
    assert (got.duration_us, got.clipped) == (100_000, 0)
    assert (got.peak_db, got.rms_db, got.problems, got.warnings, got.suspicious) == (None, None, {}, (), False)


@pytest.mark.parametrize(("amplitude", "level"), [(0.99, 99.9127), (0.1, 80.0), (0.001, 40.0)])
def test_a_sine_of_full_scale_has_100_db_and_a_tenth_of_it_80(amplitude, level, tmp_path):
    got = sound_info(saved(tmp_path / "x.wav", sine(amplitude, hz=997), subtype="FLOAT"))
    assert got.rms_db == pytest.approx(level, abs=0.01)
    assert got.peak_db == pytest.approx(level, abs=0.01)
    assert sound_info(saved(tmp_path / "y.wav", np.full(99, amplitude), subtype="FLOAT")).rms_db == pytest.approx(
        level + 20 * np.log10(np.sqrt(2)), abs=0.01
    )


def flat_runs(samples, limit):
    """Count, by hand, the samples in rows of three or more at the limit."""
    total = 0
    for channel in samples.T:
        row = 0
        for value in [*channel, 0.0]:
            if abs(value) >= limit:
                row += 1
            else:
                total += row if row >= 3 else 0
                row = 0
    return total


@given(data=st.data())
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_clipped_samples_are_those_of_a_loop_however_they_are_read(data, tmp_path, monkeypatch):
    monkeypatch.setattr(sound, "SCAN_US", data.draw(st.sampled_from([125, 250, 375, 1_000, 10**6])))
    subtype, limit = data.draw(st.sampled_from([("PCM_16", 32_767 / 32_768), ("PCM_U8", 127 / 128), ("FLOAT", 1.0)]))
    channels = data.draw(st.integers(1, 2))
    loud = st.sampled_from([limit, limit, limit, -1.0, 0.3])
    rows = data.draw(st.lists(st.lists(loud, min_size=channels, max_size=channels), min_size=1, max_size=40))
    path = saved(tmp_path / "x.wav", np.array(rows), 8_000, subtype=subtype)
    expected = flat_runs(np.array(rows), limit)
    got = sound_info(path)
    assert got.clipped == expected
    assert got.problems == ({"clipped": expected} if expected else {})


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "ULAW", "ALAW"])
def test_a_sound_driven_too_hard_is_clipped_in_every_format_and_one_that_just_fits_is_not(subtype, tmp_path):
    hard = sound_info(saved(tmp_path / "hard.wav", np.clip(sine(3), -1, 1), subtype=subtype))
    assert hard.clipped > RATE / 2
    assert hard.suspicious
    fits = sound_info(saved(tmp_path / "fits.wav", sine(0.9), subtype=subtype))
    assert (fits.clipped, fits.suspicious) == (0, False)


def test_samples_that_are_no_numbers_are_counted_and_spoil_no_level(tmp_path):
    samples = sine(0.1, hz=997).astype(np.float32)
    samples[[5, 70]] = np.nan, np.inf
    got = sound_info(saved(tmp_path / "x.wav", samples, subtype="FLOAT"))
    assert got.problems == {"not_finite": 2}
    assert (got.peak_db, got.rms_db) == (pytest.approx(80, abs=0.1), pytest.approx(80, abs=0.1))


@pytest.mark.parametrize("format", ["WAV", "AIFF", "FLAC", "OGG"])
def test_sound_is_sound_under_the_suffix_of_bare_samples_and_of_cameras_too(format, tmp_path):
    path = saved(tmp_path / "x.RAW", sine(0.1), format=format)
    assert f"{RATE:,} Hz, mono" in called("info", path).stdout
    assert sum(len(part) for part in sound.sounds(str(path))) == RATE
    called("record", path, tmp_path / "y.wav")
    assert soundfile.info(tmp_path / "y.wav").frames == RATE


def test_what_is_no_sound_under_such_a_name_is_refused_and_no_file_stays_open(tmp_path):
    path = tmp_path / "x.raw"
    path.write_bytes(b"% evt 3.0\n" + bytes(99))
    before = os.listdir("/proc/self/fd")
    with pytest.raises(RecordingError, match="is no sound file that can be read"):
        next(sound.sounds(str(path)))
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("scan", [True, False])
def test_a_cut_wav_is_told(scan, tone):
    tone.write_bytes(tone.read_bytes()[:-1_000])
    got = sound_info(tone, scan=scan)
    assert (got.problems, got.samples, got.duration_us) == ({"damaged": 1}, RATE - 500, 968_750)
    (warning,) = got.warnings
    assert warning.startswith("breaks off after 15,500 samples: the sound ends early; expected 1,000 bytes more")


def test_the_header_alone_leaves_the_levels_open(tone):
    got = sound_info(tone, scan=False)
    assert (got.samples, got.duration_us, got.peak_db, got.rms_db, got.clipped) == (RATE, 1_000_000, None, None, None)
    assert not got.suspicious


@pytest.mark.parametrize("format", ["WAV", "AIFF", "FLAC", "OGG"])
def test_a_damaged_file_raises_our_errors_only(format, tmp_path):
    path = saved(tmp_path / "x", sine(0.1, 0.05), format=format)
    for case, broken in enumerate(mutations(path.read_bytes(), 2_500, seed=1)):
        path.write_bytes(broken)
        try:
            got = sound_info(path, scan=case % 2 == 0)
        except RecordingError:
            continue
        assert 0 <= got.samples < 2**50
        assert got.duration_us == got.samples * 1_000_000 // got.samplerate_hz


# The command line.


def test_info_of_a_sound_for_people_and_as_json(tone):
    told = called("info", tone).stdout
    for words in ("WAV", "16 bit", "16,000 Hz, mono", "16,000 in 1 s", "80.0 dB", "10.0% of full scale"):
        assert words in told, words
    found = json.loads(called("info", "--json", tone).stdout)
    assert (found["samplerate_hz"], found["channels"], found["samples"]) == (RATE, 1, RATE)
    assert (found["problems"], found["warnings"], found["clipped"]) == ({}, [], 0)
    assert found["rms_db"] == pytest.approx(80, abs=0.1)


def test_sounds_and_events_are_told_in_one_go(tone):
    told = [json.loads(line) for line in called("info", "--json", tone, LOOKS).stdout.splitlines()]
    assert [found["format"] for found in told] == ["wav", "aedat4"]


def test_check_exits_with_3_for_a_cut_or_clipped_sound_only(tone, tmp_path):
    called("info", "--check", tone)
    called("info", "--check", saved(tmp_path / "hard.wav", np.clip(sine(3), -1, 1)), code=3)
    tone.write_bytes(tone.read_bytes()[:-1])
    called("info", tone)
    called("info", "--check", tone, code=3)
    called("info", "--check", "--fast", tone, code=3)


def test_the_header_of_a_sound_is_read_without_numba(tone):
    code = (
        "import sys\nfrom spikestream.cli import main\nassert main(sys.argv[1:]) == 0\n"
        "print(sorted({'numba', 'llvmlite', 'aiohttp', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "info", "--fast", tone], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.stdout.endswith("[]\n"), done.stderr


# Pictures.


def rows_of(text):
    """Return the lines of a cochleagram as (frequency or None, marks)."""
    lines = [line for line in text.splitlines() if "|" in line]
    heads = [line.partition("|")[0].strip().replace(",", "") for line in lines]
    return [int(head) if head else None for head in heads], [line.partition("|")[2] for line in lines]


def test_a_low_tone_is_drawn_below_and_first_and_a_high_one_above_and_last(tmp_path):
    silence = np.zeros(RATE // 2)
    path = saved(tmp_path / "x.wav", np.concatenate([sine(0.1, 0.5, 150), silence, sine(0.1, 0.5, 4_000)]))
    done = called("info", "--plot", path)
    names, marks = rows_of(done.stdout)
    assert max(map(len, done.stdout.splitlines())) <= 100
    weight = np.array([[SHADES.index(mark) for mark in line] for line in marks])
    third = weight.shape[1] // 3
    first, middle, last = weight[:, : third - 2], weight[:, third + 2 : -third - 2], weight[:, -third + 2 :]
    assert middle[:, middle.shape[1] // 3 :].max() == 0
    low, high = first[:, 3:].sum(axis=1).argmax(), last[:, 3:].sum(axis=1).argmax()
    assert high < len(marks) / 2 < low
    known = [row for row, name in enumerate(names) if name]
    nearest = {row: min(known, key=lambda at: abs(at - row)) for row in (low, high)}
    assert 60 < names[nearest[low]] < 400 < 2_000 < names[nearest[high]] < 7_000
    assert "0 s" in done.stdout.splitlines()[-1]


def test_where_blocks_cannot_be_printed_the_picture_is_ascii(tone):
    marks = "".join(rows_of(called("info", "--plot", tone, encoding="ascii").stdout)[1])
    assert set(marks) <= set(ASCII)
    assert len(set(marks)) > 1


def test_the_events_of_pixels_are_drawn_where_they_are(tmp_path):
    from spikestream.batch import EVENT, Events
    from spikestream.files.write import write

    rows = [(t, x, y, t % 2) for t, (x, y) in enumerate([(0, 0)] * 16 + [(3, 0)] * 16 + [(2, 2)] * 4)]
    write(tmp_path / "x.aedat4", Events(0, 99, np.array(rows, EVENT), (4, 3)))
    assert called("info", tmp_path / "x.aedat4", "--plot").stdout.splitlines()[-3:] == [
        "██    ██",
        "        ",
        "    ▒▒  ",
    ]


def test_a_wide_sensor_is_drawn_no_wider_than_the_terminal(tmp_path):
    from spikestream.batch import EVENT, Events
    from spikestream.files.write import write

    rows = [(0, 0, 0, True), (1, 639, 479, True)]
    write(tmp_path / "x.aedat4", Events(0, 99, np.array(rows, EVENT), (640, 480)))
    lines = called("info", tmp_path / "x.aedat4", "--plot").stdout.splitlines()[-37:]
    assert lines[0] == "█" + " " * 99
    assert lines[-1] == " " * 99 + "█"
    assert not "".join(lines[1:-1]).strip()


def test_a_picture_of_a_cut_sound_shows_what_is_there(tone):
    tone.write_bytes(tone.read_bytes()[:-1_000])
    assert "breaks off" in called("info", "--plot", tone).stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--plot"], "no file is named"),
        (["TONE", "--plot", "x.bmp"], "allowed: .png, .svg, .pdf"),
        (["TONE", "--plot", "--fast"], "--plot does not go with --fast"),
        (["TONE", "--plot", "--json"], "--plot does not go with --json"),
        (["TONE", "TONE", "--plot", "x.png"], "one picture"),
        (["-", "--plot"], "standard input"),
        (["SMALL", "--plot"], "8,000"),
    ],
)
def test_what_cannot_be_drawn_is_a_usage_error(args, words, tone, tmp_path):
    saved(tmp_path / "small.wav", sine(0.1, rate=4_000), 4_000)
    named = {"TONE": tone, "SMALL": tmp_path / "small.wav"}
    done = called("info", *(named.get(arg, arg) for arg in args), code=2, cwd=tmp_path)
    assert words in done.stderr
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    ("suffix", "magic", "sounding"), [("png", b"\x89PNG", False), ("svg", b"<?xml", True), ("PDF", b"%PDF", True)]
)
def test_a_picture_is_drawn_into_a_file(suffix, magic, sounding, tone, tmp_path):
    target = tmp_path / f"x.{suffix}"
    target.write_bytes(b"older")
    assert str(target) in called("info", tone if sounding else LOOKS, "--plot", target).stderr
    assert target.read_bytes().startswith(magic)
    assert not [path for path in tmp_path.iterdir() if "tmp-" in path.name]


def test_without_matplotlib_the_error_says_what_to_install(tone, tmp_path):
    code = (
        "import sys\nsys.modules['matplotlib'] = None\nfrom spikestream.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    args = [sys.executable, "-c", code, "info", str(tone), "--plot", str(tmp_path / "x.png")]
    done = subprocess.run(args, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert "pip install 'spikestream[plots]'" in done.stderr
