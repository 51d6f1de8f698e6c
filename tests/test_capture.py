"""From a device's blocks to sound: what is lost leaves a gap at its place, and clocks are compared."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from threading import Thread

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from spikestream.batch import check
from spikestream.sensors.base import capture as under_test
from spikestream.sensors.base.capture import Capture
from spikestream.sensors.base.drift import Drift
from spikestream.sensors.base.ring import Ring

S = 1_000_000_000


def counting(first, n, channels=1):
    """Return blocks whose samples tell their own place in the stream."""
    column = (np.arange(first, first + n) % 30_000).astype(np.int16)
    return np.repeat(column[:, np.newaxis], channels, axis=1)


# The ring.


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 23)), max_size=60), st.integers(1, 16), st.integers(1, 3))
def test_the_ring_hands_out_every_sample_once_or_counts_it_where_it_is_missing(moves, room, channels):
    ring, place, heard, written = Ring(room, channels), 0, [], 0
    for writes, n in [*moves, (False, 0), (False, 0)]:
        if writes:
            ring.write(counting(written, n, channels))
            written += n
        else:
            while True:
                lost, block = ring.take()
                place += lost
                assert np.array_equal(block, counting(place, len(block), channels))
                heard.extend(range(place, place + len(block)))
                place += len(block)
                if not lost and not len(block):
                    break
        assert ring.captured == ring.read + ring.dropped + ring.waiting == written
    assert place == written
    assert len(heard) == ring.read == written - ring.dropped
    assert (ring.dropped > 0) == (len(heard) < written)


def test_the_ring_keeps_what_fits_and_counts_the_rest():
    ring = Ring(4, 1)
    ring.write(counting(0, 3))
    ring.write(counting(3, 3))
    ring.write(counting(6, 2))
    assert [(lost, block[:, 0].tolist()) for lost, block in (ring.take(), ring.take())] == [(0, [0, 1, 2, 3]), (4, [])]
    ring.write(counting(8, 1))
    assert (ring.take()[1].tolist(), ring.captured, ring.read, ring.dropped) == ([[8]], 9, 5, 4)


class Interrupted(deque):
    """Losses of a ring whose reader comes whenever its writer has just taken one back."""

    def pop(self):
        taken = super().pop()
        self.came()
        return taken


def test_the_reader_may_come_in_the_middle_of_a_loss():
    ring, place = Ring(8, 1), 0

    def read():
        nonlocal place
        lost, block = ring.take()
        place += lost
        assert np.array_equal(block, counting(place, len(block)))
        place += len(block)

    ring._losses = Interrupted()
    ring._losses.came = read
    ring.write(counting(0, 10))  # two are lost behind the eighth
    ring.write(counting(10, 1))
    ring.read, place = 4, 4  # half of them have been read
    ring.write(counting(11, 2))  # these fit, and so do two of the next, behind which two are lost
    ring.write(counting(13, 4))
    for _ in range(4):
        read()
    assert (place, ring.captured) == (17, 17)


def test_what_is_lost_while_nobody_reads_takes_no_room():
    ring = Ring(4, 1)
    for _ in range(10_000):
        ring.write(counting(0, 3))
    assert (len(ring._losses), ring.take()[0], ring.take()[0]) == (1, 0, 29_996)


def test_a_writer_in_another_thread_loses_nothing_that_is_not_counted():
    ring, blocks = Ring(700, 1), [counting(at, n) for at, n in zip(range(0, 200_000, 97), [97] * 2_062, strict=True)]
    writer = Thread(target=lambda: [ring.write(block) for block in blocks])
    writer.start()
    place = 0
    while writer.is_alive() or ring.waiting:
        lost, block = ring.take()
        place += lost
        assert np.array_equal(block, counting(place, len(block)))
        place += len(block)
    place += ring.take()[0]
    assert place == ring.captured == sum(map(len, blocks)) == ring.read + ring.dropped


# Sound in stream time.


def drained(capture):
    return list(capture.drain())


@given(st.lists(st.integers(0, 900), min_size=1, max_size=20), st.sampled_from([8_000, 16_000, 44_100, 96_000]))
def test_stream_time_is_the_count_of_samples(lengths, rate):
    capture, made, written = Capture(rate, rate, 2), [], 0
    for n in lengths:
        capture.heard(counting(written, n, 2), 5 * S)
        written += n
        made += drained(capture)
    sounds = [sound for sound, _ in made]
    at = 0
    for sound in sounds:
        check(sound)
        assert (sound.start, sound.stop) == (at * 1_000_000 // rate, (at + len(sound)) * 1_000_000 // rate)
        at += len(sound)
        assert len(sound) <= rate // 10
    assert at == written
    if sounds:
        whole = np.concatenate([sound.samples for sound in sounds])
        assert whole.dtype == np.float32
        assert np.array_equal(whole * 32_768, counting(0, written, 2))


def test_lost_samples_leave_a_gap_at_their_place(monkeypatch):
    monkeypatch.setattr(under_test, "RING_S", 1)
    capture = Capture(8_000, 8_000, 1)
    for at in range(0, 10_000, 100):
        capture.heard(counting(at, 100), S)
    for at in range(10_000, 10_200, 100):
        capture.heard(counting(at, 100), S)  # the ring is full
    first = [sound for sound, _ in drained(capture)]
    capture.heard(counting(10_200, 300), S)
    later = [sound for sound, _ in drained(capture)]
    assert sum(map(len, first)) == 8_000
    assert [(sound.start, sound.stop) for sound in later] == [(10_200 * 125, 10_500 * 125)]
    assert later[0].samples[0, 0] * 32_768 == 10_200
    assert (capture.ring.dropped, capture.lost_us) == (2_200, 2_200 * 125)


def test_the_time_between_two_runs_is_lost_and_no_more():
    capture = Capture(16_000, 16_000, 1)
    capture.begin_run(16_000, 0)
    capture.heard(counting(0, 160), 7 * S + 10_000_000)
    ended = [sound for sound, _ in capture.end_run()]
    capture.begin_run(16_000, 8 * S)
    assert not capture.begun
    capture.bridge()  # nothing has come yet
    capture.heard(counting(0, 160), 9 * S + 10_000_000)  # 10 ms of sound: its first sample was there at 9 s
    assert capture.begun
    capture.bridge()
    (again,) = (sound for sound, _ in drained(capture))
    assert [ended[0].stop, again.start] == [10_000, 2_000_000]
    assert capture.lost_us == 1_990_000


def test_a_run_that_gives_nothing_loses_no_time():
    capture = Capture(16_000, 16_000, 1)
    capture.heard(counting(0, 160), 7 * S)
    list(capture.end_run())
    capture.begin_run(16_000, 10 * S)
    list(capture.end_run())  # it came back, said nothing and went again
    capture.begin_run(16_000, 12 * S)
    capture.heard(counting(0, 160), 17 * S + 10_000_000)
    capture.bridge()
    assert drained(capture)[0][0].start == 10_010_000
    silent = Capture(16_000, 16_000, 1)
    silent.begin_run(16_000, S)
    list(silent.end_run())
    silent.begin_run(16_000, 5 * S)
    silent.heard(counting(0, 160), 6 * S)
    silent.bridge()
    assert drained(silent)[0][0].start == 0  # nothing was ever heard before


def test_a_device_that_is_back_before_its_time_does_not_turn_time_back():
    capture = Capture(16_000, 16_000, 1)
    capture.heard(counting(0, 160), 7 * S)
    list(capture.end_run())
    capture.begin_run(16_000, 7 * S)
    capture.heard(counting(0, 1_600), 7 * S + 1_000)
    capture.bridge()
    assert drained(capture)[0][0].start == 10_000


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_another_rate_is_resampled_however_it_is_cut(rate):
    rng = np.random.default_rng(rate)
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate)[:, np.newaxis] * [[16_000, 8_000]]
    sound = tone.astype(np.int16)
    expected = soxr.resample(sound.astype(np.float32) / 32_768, rate, 16_000)
    made = []
    for cuts in ([], np.sort(rng.integers(0, rate, 90))):
        capture = Capture(rate, 16_000, 2)
        assert not capture.pcm16
        parts = []
        for block in np.split(sound, cuts):
            capture.heard(block, S)
            parts += [one for one, _ in drained(capture)]
        parts += [one for one, _ in capture.end_run()]
        assert parts[0].start == 0
        assert all(a.stop == b.start for a, b in pairwise(parts))
        made.append(np.concatenate([one.samples for one in parts]))
    assert np.array_equal(*made)
    assert abs(len(made[0]) - 16_000) <= 1
    n = min(len(made[0]), len(expected))
    assert np.abs(made[0][:n] - expected[:n]).max() < 1e-4


def test_a_gap_ends_what_is_resampled_and_keeps_its_length(monkeypatch):
    monkeypatch.setattr(under_test, "RING_S", 1)
    capture = Capture(48_000, 16_000, 1)
    capture.heard(np.full((48_000, 1), 3_000, np.int16), S)
    capture.heard(np.full((4_800, 1), 3_000, np.int16), S)  # no room
    first = [one for one, _ in drained(capture)]
    capture.heard(np.full((4_800, 1), -3_000, np.int16), S)
    second = [one for one, _ in [*capture.drain(), *capture.end_run()]]
    assert sum(map(len, first)) == 16_000
    assert (first[-1].stop, second[0].start) == (1_000_000, 1_100_000)
    assert second[0].samples.max() < 0  # nothing of what came before the gap rings on in it


def test_resampled_sound_at_full_scale_stays_in_range():
    capture = Capture(44_100, 16_000, 1)
    square = np.where(np.arange(44_100) // 50 % 2, 32_767, -32_768).astype(np.int16)
    capture.heard(square[:, np.newaxis], S)
    whole = np.concatenate([one.samples for one, _ in drained(capture)])
    assert np.abs(whole).max() == 1.0


def test_the_first_sample_may_be_given_a_time():
    capture = Capture(16_000, 16_000, 1)
    capture.start_at(1_000_001)
    capture.heard(counting(0, 16), S)
    assert drained(capture)[0][0].start == 1_000_062  # of the first whole sample from there on


def test_a_batch_tells_when_its_first_sample_came():
    capture = Capture(16_000, 16_000, 1)
    capture.heard(counting(0, 160), 3 * S)
    capture.heard(counting(160, 160), 4 * S)
    assert [came for _, came in drained(capture)] == [3 * S]
    capture.heard(counting(320, 160), 5 * S)
    assert [came for _, came in drained(capture)] == [5 * S]


# Clocks.


@pytest.mark.parametrize("ppm", [-300.0, 0.0, 45.0])
def test_the_drift_of_a_devices_clock_is_measured_through_late_callbacks(ppm):
    rng, drift, now = np.random.default_rng(1), Drift(16_000), 10 * S
    assert drift.ppm is None
    for number in range(1, 6_001):  # a minute in blocks of 10 ms
        exact = number * 0.01 / (1 + ppm * 1e-6)
        drift.add(number * 160, now + int((exact + rng.exponential(0.004)) * S))
    assert drift.ppm == pytest.approx(ppm, abs=5)


def test_samples_that_never_came_show_as_lateness_that_stays():
    drift = Drift(16_000)
    for number in range(1, 2_001):
        lost = 0.25 if number > 1_000 else 0.0
        drift.add(number * 160, int((number * 0.01 + lost) * S))
    assert drift.behind_ms == pytest.approx(250, abs=1)
