"""Voice activity: what stands out of the noise is marked, however the sound is cut, and nothing else is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from spikestream.batch import Sound
from spikestream.sensors.voice import LONGEST_US, Voice
from spikestream.stages.readout import Readout

RATE = 16_000


def noise(seconds, db, seed=0):
    return (np.random.default_rng(seed).standard_normal(int(seconds * RATE)) * 10 ** ((db - 100) / 20) / 2**0.5).astype(
        np.float32
    )


def windows(sound, cuts=(), rate=RATE, gap_at=None):
    """Return the windows (start, stop) that a readout sees, which joins marks."""
    voice, found = Voice(rate), []
    edges = [0, *sorted(cuts), len(sound)]
    for begin, end in pairwise(edges):
        start, stop = begin * 1_000_000 // rate, end * 1_000_000 // rate
        for mark in voice(Sound(start, stop, sound[begin:end, np.newaxis])):
            assert start <= mark.start <= stop  # in time: a mark that came late would mark less
            if found and mark.start < found[-1][1]:
                found[-1][1] = mark.stop
            else:
                found.append([mark.start, mark.stop])
    return found


def test_a_sine_at_full_scale_has_100_db_and_silence_a_number():
    sine = np.sin(2 * np.pi * 2_000 * np.arange(RATE) / RATE).astype(np.float32)
    frames = [part[:160] for part in (sine, sine / 10, sine + np.float32(0.3), sine * 0)]
    assert Voice(RATE)._levels(np.stack(frames)) == pytest.approx([100, 80, 100, -200], abs=0.1)


@pytest.mark.parametrize("floor_db", [-40, 20, 45, 60])
def test_bursts_above_the_noise_are_one_window_each(floor_db):
    quiet = 2 * floor_db if floor_db < 0 else floor_db
    parts = [noise(6, quiet)]
    for n in range(3):
        parts += [noise(0.3, quiet + 25 if quiet > 20 else 60, n + 1), noise(0.7, quiet, n + 9)]
    found = [w for w in windows(np.concatenate(parts)) if w[0] >= 5_900_000]
    assert len(found) == 3
    for (start, stop), at in zip(found, (6_000_000, 7_000_000, 8_000_000), strict=True):
        assert at < start <= at + 20_000
        assert at + 400_000 <= stop <= at + 530_000


def test_silence_and_steady_noise_are_no_voice():
    assert windows(np.zeros(5 * RATE, np.float32)) == []
    assert windows(noise(5, 30)) == []
    for db in (45, 60, 66):
        assert windows(noise(5, db)) == []
    begun = windows(noise(20, 85))
    assert begun[-1][1] < 9_000_000  # it is voice until it turns out to go on for ever


@pytest.mark.parametrize("offset", [0.003, 0.02, -0.3])
def test_an_offset_hides_no_voice(offset):
    parts = [noise(1, 20), noise(0.3, 60, 1), noise(1, 20), noise(0.3, 60, 2), noise(1, 20)]
    sound = np.concatenate(parts)
    assert windows(sound + np.float32(offset)) == windows(sound)
    assert len(windows(sound)) == 2


def test_rumble_is_no_voice():
    rng = np.random.default_rng(5)
    spectrum = np.fft.rfft(rng.standard_normal(20 * RATE))
    hz = np.fft.rfftfreq(20 * RATE, 1 / RATE)
    spectrum *= np.where(hz > 20, 1 / np.maximum(hz, 1), 0)
    rumble = np.fft.irfft(spectrum)
    rumble = (rumble / rumble.std() * 10 ** ((45 - 100) / 20) / 2**0.5).astype(np.float32)
    assert sum(stop - start for start, stop in windows(rumble)) < 0.1 * 20_000_000
    words = np.concatenate([noise(0.7, 0), noise(0.3, 65, 3)] * 20)
    assert 20 <= len(windows(words + rumble)) <= 22


def test_what_goes_on_is_cut_after_a_while():
    found = windows(np.concatenate([noise(0.1, db, db) for db in (40, 60, 64, 68, 72)] * 40))
    assert len(found) > 2
    assert max(stop - start for start, stop in found) <= LONGEST_US


@given(data=st.data(), seed=st.integers(0, 50), rate=st.sampled_from([8_000, 11_025, 16_000, 44_100]))
@settings(max_examples=60, deadline=None)
def test_the_marks_do_not_depend_on_how_the_sound_is_cut(data, seed, rate):
    rng = np.random.default_rng(seed)
    levels = np.repeat(10 ** (rng.uniform(-5, -1, 25)), rate // 20).astype(np.float32)
    sound = levels * rng.standard_normal(len(levels)).astype(np.float32) / 3
    cuts = data.draw(st.lists(st.integers(0, len(sound)), max_size=30))
    assert windows(sound, cuts, rate) == windows(sound, (), rate)


def test_a_gap_begins_a_new_count_and_keeps_the_floor():
    voice = Voice(RATE)
    voice(Sound(0, 1_000_000, noise(1, 60)[:, np.newaxis]))
    later = noise(1, 60, 1)
    marks = voice(Sound(5_000_003, 6_000_003, later[:, np.newaxis]))
    assert all((mark.start - 5_000_003) % 10_000 == 0 for mark in marks)


def test_a_readout_decides_what_is_voiced():
    sound = np.concatenate([noise(1, 20), noise(0.3, 70), noise(1, 20), noise(0.2, 70), noise(1, 20)])
    marks = Voice(RATE)(Sound(0, 3_500_000, sound[:, np.newaxis]))
    readout, rows = Readout(1, windows="voice"), []
    from network_cases import spikes

    for start in range(0, 3_500_000, 10_000):
        for mark in (mark for mark in marks if start <= mark.start < start + 10_000):
            readout.command(mark)
        rows += readout(spikes([(start + 5_000, 0)], start, start + 10_000)).rows
    assert [(row.start, row.stop) for row in rows] == [tuple(window) for window in windows(sound)]
    assert len(rows) == 2
    assert [row.evidence for row in rows] == [(row.stop - row.start) // 10_000 for row in rows]


@pytest.mark.realdata
@pytest.mark.parametrize("gain_db", [-10, 10])
def test_spoken_digits_are_found_among_noise(data, gain_db):
    rng, parts, spans, at = np.random.default_rng(3), [noise(1, 35, 7)], [], RATE
    for path in sorted((data / "speech" / "recordings").glob("?_*_7.wav"))[:40]:
        samples, rate = soundfile.read(path, dtype="float32")
        word = soxr.resample(samples, rate, RATE) * np.float32(0.5 * 10 ** (gain_db / 20))
        pause = noise(rng.uniform(0.5, 0.9), 35, at)
        spans.append((at, at + len(word)))
        parts += [word, pause]
        at += len(word) + len(pause)
    found = windows(np.clip(np.concatenate(parts), -1, 1))
    met = 0
    for begin, end in spans:
        begin_us, end_us = begin * 1_000_000 // RATE, end * 1_000_000 // RATE
        over = [min(stop, end_us) - max(start, begin_us) for start, stop in found]
        met += max(over) >= 0.6 * (end_us - begin_us)
    assert met >= 0.9 * len(spans)
    assert len(found) <= 1.3 * len(spans)
