"""The example that makes spikes audible: what it must keep, and that its measure tells spikes from chance."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
import soundfile
from cli import ROOT, script
from inprocess import called

EXAMPLE = ROOT / "examples" / "resynthesize.py"
RATE = 16_000
sys.path.insert(0, str(EXAMPLE.parent))

import resynthesize as example  # noqa: E402


def syllables(seconds=3.0):
    """Return a voice: a pulse train that glides, through two resonances that move, in syllables of different levels."""
    n = np.arange(int(seconds * RATE)) / RATE
    rng = np.random.default_rng(3)
    pitch = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * n)) / RATE
    voice = np.zeros(len(n))
    for harmonic in range(1, 40):
        hz = harmonic * 120
        formants = [
            np.exp(-(((hz - centre) / 250) ** 2)) for centre in (600 + 250 * np.sin(7 * n), 1_800 + 600 * np.cos(5 * n))
        ]
        voice += sum(formants) * np.sin(harmonic * pitch)
    levels = np.repeat(10 ** rng.uniform(-1.5, 0, int(seconds * 4) + 1), RATE // 4)[: len(n)]
    return (0.05 * voice * levels * np.clip(np.sin(2 * np.pi * 4 * n), 0, 1)).astype(np.float32)


def resynthesized(*args, code=0):
    return script(EXAMPLE, *args, code=code)


def figures(text):
    """Return the correlations printed: (envelopes, waveform) of the spikes, and of spikes at random times."""
    found = re.findall(r"(?:the spikes|at random times)\s+(-?\d\.\d+)\s+(-?\d\.\d+)", text)
    return [tuple(map(float, pair)) for pair in found]


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    soundfile.write(path, syllables(), RATE)
    return path


@pytest.fixture(scope="module")
def heard(voice):
    """What is heard of it with the defaults, and what is printed."""
    made = voice.with_name("heard.wav")
    return made, resynthesized(voice, made).stdout


def test_what_comes_back_is_far_above_chance_and_its_measure_says_so(heard):
    (envelopes, waveform), (chance, noise) = figures(heard[1])
    assert envelopes > chance + 0.4
    assert waveform > noise + 0.1
    assert abs(chance) < 0.1
    assert abs(noise) < 0.1
    sound, rate = soundfile.read(heard[0])
    assert (rate, len(sound)) == (RATE, 3 * RATE)
    assert np.abs(sound).max() == pytest.approx(0.5, abs=1e-3)


def test_without_gain_control_the_spikes_keep_the_level_too(voice, heard, tmp_path):
    with_control = figures(heard[1])[0][0]
    without = figures(resynthesized(voice, tmp_path / "b.wav", "--no-gain-control").stdout)[0][0]
    assert without > with_control + 0.1


def test_spikes_from_a_file_sound_like_those_of_the_sound(voice, heard, tmp_path):
    called("convert", voice, tmp_path / "voice.npz")
    resynthesized(tmp_path / "voice.npz", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == heard[0].read_bytes()
    called("convert", voice, tmp_path / "part.npz", "--from", "1s", "--to", "2s", "--set", "hear.off=true")
    resynthesized(tmp_path / "part.npz", tmp_path / "c.wav")
    assert len(soundfile.read(tmp_path / "c.wav")[0]) == RATE


@pytest.mark.parametrize("band", [10, 30, 55])
def test_one_spike_is_the_response_of_its_band_before_it(band):
    centres = example.hear(np.zeros(100, np.float32), RATE, 64, True).centres_hz
    heard = example.Heard(np.array([8_000]), np.array([band]), centres, np.array([0.4]), RATE, RATE)
    sound = example.resynthesize(heard)
    assert np.abs(sound[8_001:]).max() < 1e-9
    spectrum = np.abs(np.fft.rfft(sound))
    assert abs(spectrum.argmax() - centres[band]) <= max(0.02 * centres[band], 2)
    # A gammatone of order 4 is highest after 3 time constants of its bandwidth.
    peak = np.abs(sound).argmax()
    delay = 3 / (2 * np.pi * 1.019 * 24.7 * (4.37 * centres[band] / 1_000 + 1))
    assert abs((8_000 - peak) / RATE - delay) < 1 / centres[band]


def test_higher_thresholds_are_louder_and_off_fibres_silent():
    centres, thresholds = np.array([500.0, 2_000.0]), np.array([0.5, 1.5])
    one = [
        example.Heard(np.array([9_000, 9_000]), np.array(axons), centres, thresholds, RATE, RATE)
        for axons in ([0, 3], [2, 1])
    ]
    spectra = [np.abs(np.fft.rfft(example.resynthesize(heard))) for heard in one]
    assert spectra[0][2_000] / spectra[0][500] == pytest.approx(3, rel=0.05)
    assert spectra[1][500] / spectra[1][2_000] == pytest.approx(3, rel=0.05)
    off = example.Heard(np.array([9_000]), np.array([4]), centres, thresholds, RATE, RATE)
    assert not example.resynthesize(off).any()


def test_silence_comes_back_as_silence(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros(RATE), RATE)
    done = resynthesized(tmp_path / "x.wav", tmp_path / "y.wav")
    assert figures(done.stdout) == [(0, 0), (0, 0)]
    assert not soundfile.read(tmp_path / "y.wav")[0].any()


def test_what_cannot_be_read_is_said_in_a_line(voice, tmp_path):
    before = voice.read_bytes()
    resynthesized(voice, voice, code=2)
    assert voice.read_bytes() == before
    (tmp_path / "x.npz").write_bytes(b"PK but no zip")
    np.savez(tmp_path / "y.npz", t=np.arange(3))
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    for name in ("x.npz", "y.npz", "missing.npz", "missing.wav", "empty.wav"):
        assert "error: " in resynthesized(tmp_path / name, tmp_path / "out.wav", code=1).stderr
    assert not (tmp_path / "out.wav").exists()
