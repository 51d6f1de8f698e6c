"""Data sets as sensors: the laws of a sensor, samples that depend on themselves only, and figures of real ones."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from dataset_cases import RATE, collected, idx, images_of, mnist_folder, nmnist_bytes, opened, recorded, word_folder
from naive_datasets import poisson, saccades
from small import run

from spikestream import checks
from spikestream.batch import EVENT
from spikestream.errors import ConfigError, RecordingError
from spikestream.files.datasets.mnist import read_images
from spikestream.files.datasets.recordings import find_recordings, read_recording
from spikestream.kernels import poisson as poisson_kernel
from spikestream.kernels import saccades as camera

CASES = {
    "mnist": ("mnist", {"gap_ms": 7.5, "epochs": 2, "order": "shuffled"}),
    "mnist together": ("mnist", {"together": 5, "rate_hz": 200}),
    "saccades": ("saccades", {"take": 4, "gap_ms": 1}),
    "nmnist": ("nmnist", {"slot_ms": 310}),
    "spoken": ("spoken", {"gap_ms": 40.5, "test": "0"}),
    "spoken cut": ("spoken", {"length_us": 7_000, "noise_db": 40, "gain_db": "-6:6", "test": "1"}),
}


def folder_of(scheme, folder):
    if scheme in ("mnist", "saccades"):
        return mnist_folder(folder)
    if scheme == "spoken":
        return word_folder(folder)
    for k in range(6):
        (folder / str(k % 2)).mkdir(exist_ok=True)
        (folder / str(k % 2) / f"{k:05}.bin").write_bytes(nmnist_bytes(k))
    return folder


@pytest.mark.parametrize("case", CASES)
def test_a_data_set_obeys_the_laws_of_a_sensor(case, tmp_path):
    scheme, options = CASES[case]
    folder = folder_of(scheme, tmp_path)
    for _, check in checks.sensor(lambda: opened(scheme, folder, **options)):
        check()


@pytest.mark.parametrize("case", CASES)
def test_the_rows_are_known_before_and_lie_in_the_stream(case, tmp_path):
    scheme, options = CASES[case]
    sensor = opened(scheme, folder_of(scheme, tmp_path), **options)
    rows = list(sensor.rows)
    batches = run(collected(sensor))
    assert sensor.rows == rows
    assert batches[0].start == rows[0].start == 0
    assert rows[-1].stop <= batches[-1].stop
    assert all(a.stop <= b.start for a, b in pairwise(rows))
    assert {row.test for row in rows} == {False, True}
    assert not sensor.live


def spikes_of(sensor):
    """Return the events of each row, in the row's own time."""
    data = np.concatenate([batch.data for batch in run(collected(sensor))])
    return [
        [(t - row.start, x, y, p) for t, x, y, p in data[(data["t"] >= row.start) & (data["t"] < row.stop)].tolist()]
        for row in sensor.rows
    ]


@pytest.mark.parametrize("scheme", ["mnist", "saccades", "nmnist"])
def test_a_sample_is_the_same_whatever_comes_before_it(scheme, tmp_path):
    folder = folder_of(scheme, tmp_path)
    whole = spikes_of(opened(scheme, folder, split="train", seed=3, take=4))
    assert all(whole[1:])
    assert spikes_of(opened(scheme, folder, split="train", seed=3, skip=2, take=2, gap_ms=3)) == whole[2:]
    assert spikes_of(opened(scheme, folder, split="train", seed=3, take=4, together=3)) == whole
    if scheme != "nmnist":
        assert spikes_of(opened(scheme, folder, split="train", seed=4, take=4)) != whole


@pytest.mark.parametrize("scheme", ["mnist", "saccades"])
def test_every_epoch_draws_new_spikes(scheme, tmp_path):
    made = spikes_of(opened(scheme, folder_of(scheme, tmp_path), split="train", take=2, epochs=2))
    assert made[0] != made[2]
    assert made[1] != made[3]


# Poisson spikes


def table_of(grey):
    table = poisson_kernel.init(len(grey))
    bright, total = poisson_kernel.fill(table, grey)
    rows = list(zip(*(column[:bright].tolist() for column in table[:3]), strict=True))
    return rows, int(total)


@pytest.mark.parametrize("seed", range(5))
def test_the_alias_table_is_exact(seed):
    rng = np.random.default_rng(seed)
    grey = (rng.integers(0, 256, 200) * (rng.random(200) < 0.3)).astype(np.uint8)
    rows, total = table_of(grey)
    mass = np.zeros(200, np.int64)
    for pixel, share, other in rows:
        assert 0 < share <= total
        mass[pixel] += share
        mass[other] += total - share
    assert mass.tolist() == (grey.astype(int) * len(rows)).tolist()


def drawn(grey, rate, stop, key, start=0, room=5_000):
    out = np.empty(room, EVENT)
    count = poisson_kernel.draw(poisson_kernel.init(len(grey)), grey, 5, rate, stop, key, start, out)
    return count, out[: min(count, room)]


@pytest.mark.parametrize("key", [(0, 0, 0), (7, 0, 3), (2**31 - 1, 5, 59_999)])
def test_spikes_are_the_naive_ones(key):
    grey = images_of(4)[key[2] % 4].ravel()
    rate = 0.01 / 255
    count, out = drawn(grey, rate, 20_000, key, start=50)
    expected = poisson(table_of(grey)[0], grey.tolist(), rate, 20_000, key)
    assert count > 500
    assert [(t - 50, 5 * y + x, p) for t, x, y, p in out.tolist()] == [(t, pixel, True) for t, pixel in expected]


def test_counts_are_poisson_and_stamps_are_even():
    grey, n = np.array([0, 255, 51, 0, 1], np.uint8), 4_000
    counts, stamps = np.zeros((n, 5)), []
    for k in range(n):
        _, out = drawn(grey, 63.75e-6 / 255, 100_000, (0, 0, k))
        counts[k] = np.bincount(out["x"], minlength=5)
        stamps.append(out["t"])
    mean = grey / 255 * 6.375  # spikes in 100 ms
    assert np.all(np.abs(counts.mean(axis=0) - mean) <= 4 * np.sqrt(mean / n))
    assert counts[:, 1].var() == pytest.approx(6.375, rel=0.1)
    even = np.histogram(np.concatenate(stamps), 10, (0, 100_000))[0]
    assert np.all(np.abs(even - even.mean()) < 4 * math.sqrt(even.mean()))
    assert abs(np.corrcoef(counts[:, 1], counts[:, 2])[0, 1]) < 4 / math.sqrt(n)


def test_too_little_room_is_told_and_darkness_is_silent():
    assert drawn(images_of(1)[0].ravel(), 1e-3, 100_000, (0, 0, 0), room=10)[0] == 11
    assert drawn(np.zeros(20, np.uint8), 1.0, 100_000, (0, 0, 0))[0] == 0


@pytest.mark.parametrize(("options", "mean"), [({"least_spikes": 400}, 400), ({"most_spikes": 20}, 20), ({}, None)])
def test_faint_images_are_raised_and_bright_ones_lowered(options, mean, tmp_path):
    made = spikes_of(opened("mnist", mnist_folder(tmp_path, 60), split="train", **options))
    natural = images_of(60)[:50].sum(axis=(1, 2)) / 255 * 12.75
    expected = natural.sum() if mean is None else 50 * mean
    assert sum(map(len, made)) == pytest.approx(expected, abs=4 * math.sqrt(expected))


def test_an_image_without_light_stays_dark_whatever_is_asked(tmp_path):
    mnist_folder(tmp_path, 6, zipped=False)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(np.zeros((6, 4, 5), np.uint8)))
    assert spikes_of(opened("mnist", tmp_path, least_spikes=100)) == [[]] * 6


# The simulated camera


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"thr_on": 0.1, "thr_off": 0.25, "mismatch": 0.4, "noise": 0.01},
        {"tau_ms": 2.5, "jitter": 0.7, "blur": 0.0, "refrac_ms": 1},
    ],
    ids=["plain", "noisy", "slow"],
)
def test_the_camera_sees_what_the_naive_one_sees(changed):
    params = camera.Params(steps=60, starts_ms=(2.0, 21.3, 41.0), lasts_ms=(15.0, 16.2, 14.0), **changed)
    image = images_of(3, (5, 4))[2]
    out = np.empty(20_000, EVENT)
    key = (3, 1, 17)
    count = camera.run(camera.design(params), camera.init(5, 4), image.ravel(), 5, key, 0, out)
    assert count > 150
    assert out[:count].tolist() == saccades(params, image.tolist(), key)


def test_a_camera_without_room_says_so():
    out = np.empty(50, EVENT)
    design, state = camera.design(camera.Params()), camera.init(28, 28)
    image = np.zeros((28, 28), np.uint8)
    image[5:20, 8:20] = 255
    assert camera.run(design, state, image.ravel(), 28, (0, 0, 0), 0, out) == 51


def maps(events):
    """Return counts of events in 6 times, 2 polarities and 34x34 pixels, (13872,)."""
    bins = np.minimum(events["t"] * 6 // 310_000, 5)
    return np.bincount(((bins * 2 + events["p"]) * 34 + events["y"]) * 34 + events["x"], minlength=12 * 34 * 34)


@pytest.mark.realdata
def test_simulated_saccades_are_like_the_real_ones(data):
    sensor = opened("saccades", data / "digits", skip=500, take=60, split="train")
    simulated = [
        np.array([(t, x, y, p) for t, x, y, p in one], EVENT) for one in spikes_of(sensor)
    ]  # recording i is image i - 1, and none of these was used to fit the camera
    real = [read_recording(one.path, (34, 34), {}) for one in find_recordings(str(data / "nmnist"))[500:560]]
    same = [np.corrcoef(maps(a), maps(b))[0, 1] for a, b in zip(simulated, real, strict=True)]
    other = [np.corrcoef(maps(a), maps(b))[0, 1] for a, b in zip(simulated, real[1:], strict=False)]
    assert np.mean(same) >= 0.8
    assert np.mean(other) <= 0.4
    assert np.mean([len(one) for one in simulated]) == pytest.approx(4_133, rel=0.1)


@pytest.mark.realdata
def test_the_real_recordings_are_those_of_the_facts(data):
    sensor = opened("nmnist", data / "nmnist", together=100)
    digits = read_images(str(data / "digits"))
    assert [row.label for row in sensor.rows] == [str(label) for label in digits.labels[:1_000].tolist()]
    assert [row.test for row in sensor.rows] == [False] * 800 + [True] * 200
    events = np.concatenate([batch.data for batch in run(collected(sensor))])
    assert len(events) == 4_133_231
    assert events["p"].mean() == pytest.approx(0.5, abs=0.005)
    assert sensor.problems == {}
    assert (digits.test.sum(), len(digits)) == (10_000, 60_000)


# Recordings in slots


def test_a_recording_begins_with_its_slot_and_ends_with_it(tmp_path):
    sensor = opened("nmnist", folder_of("nmnist", tmp_path), slot_ms=300.002, gap_ms=0.998, split="train")
    made = spikes_of(sensor)
    assert [row.start for row in sensor.rows] == [0, 301_000, 602_000, 903_000, 1_204_000]
    kept = [[row for row in recorded(k) if row[0] < 300_002] for k in range(5)]
    assert made == [[(*row[:3], bool(row[3])) for row in rows] for rows in kept]
    assert sensor.problems == {"beyond slot_ms": 3}


# Words


def test_words_stand_where_the_rows_say_and_silence_between(tmp_path):
    sensor = opened("spoken", word_folder(tmp_path), gap_ms=30, test=2)
    samples = np.concatenate([batch.samples for batch in run(collected(sensor))])[:, 0]
    assert (sensor.samplerate_hz, sensor.channels) == (RATE, 1)
    silent = np.ones(len(samples), bool)
    rows = sorted(sensor.rows, key=lambda row: row.test)
    for place, row in enumerate(rows, 1):
        first = row.start * RATE // 1_000_000
        tone = 0.25 * np.sin(2 * np.pi * 500 * np.arange(100 * place) / RATE)
        assert np.allclose(samples[first : first + len(tone)], tone, atol=1e-6)
        assert row.stop - row.start == math.ceil(100 * place / 8) * 1_000
        silent[first : first + len(tone)] = False
    assert not samples[silent].any()
    assert [row.label for row in rows] == ["no", "yes"] * 6
    assert [row.test for row in rows] == [False] * 8 + [True] * 4
    assert len(samples) == sum((row.stop - row.start) // 125 + 240 for row in rows)


@pytest.mark.parametrize(
    ("options", "taught", "tests"),
    [
        ({"unseen": "bob"}, ["a0", "a0", "a1", "a1", "a2", "a2"], ["b0", "b0", "b1", "b1", "b2", "b2"]),
        ({"unseen": "bob", "test": "0-1"}, ["a2", "a2"], ["a0", "a0", "b0", "b0", "a1", "a1", "b1", "b1", "b2", "b2"]),
        ({"speakers": "ann", "test": 1}, ["a0", "a0", "a2", "a2"], ["a1", "a1"]),
        ({"test": "2", "order": "speakers", "labels": "no"}, ["a0", "a1", "b0", "b1"], ["a2", "b2"]),
    ],
)
def test_speakers_and_numbers_make_the_test_part(options, taught, tests, tmp_path):
    sensor = opened("spoken", word_folder(tmp_path), **options)
    names = {}
    for place in range(12):
        number, rest = divmod(place, 4)
        names[math.ceil(100 * (place + 1) / 8) * 1_000] = f"{'ab'[rest // 2]}{number}"
    made = [(names[row.stop - row.start], row.test) for row in sensor.rows]
    assert [name for name, test in made if not test] == taught
    assert [name for name, test in made if test] == tests


def test_gain_and_noise_have_the_levels_asked_for(tmp_path):
    folder = word_folder(tmp_path)
    plain = opened("spoken", folder)
    peaks = []
    for options in ({}, {"gain_db": 6}, {"gain_db": "-12:6", "seed": 1}):
        batches = run(collected(opened("spoken", folder, **options)))
        peaks.append([float(np.abs(batch.samples).max()) for batch in batches])
    ratios = 20 * np.log10(np.array(peaks) / peaks[0])
    assert np.allclose(ratios[1], 6, atol=1e-3)
    assert -12 <= ratios[2].min() < -6 < 0 < ratios[2].max() <= 6
    noisy = run(collected(opened("spoken", folder, noise_db=60, gap_ms=1_000)))
    pause = np.concatenate([batch.samples[-7_000:] for batch in noisy])
    assert 20 * math.log10(np.sqrt(np.mean(pause**2)) * math.sqrt(2)) + 100 == pytest.approx(60, abs=0.2)
    loud = opened("spoken", folder, gain_db=20)
    assert max(float(np.abs(batch.samples).max()) for batch in run(collected(loud))) == 1
    assert loud.problems["clipped"] > 100
    assert plain.problems == {}


def test_words_that_do_not_fit_together_are_one_clear_error(tmp_path):
    word_folder(tmp_path, numbers=[0])
    soundfile.write(tmp_path / "no_cat_0.wav", np.zeros(300), 16_000)
    with pytest.raises(RecordingError, match="rate or channels"):
        opened("spoken", tmp_path)
    soundfile.write(tmp_path / "no_cat_0.wav", np.zeros(61 * RATE), RATE)
    with pytest.raises(RecordingError, match="is not one word"):
        opened("spoken", tmp_path)
    (tmp_path / "no_cat_0.wav").write_bytes(b"RIFF")
    with pytest.raises(RecordingError, match=r"no_cat_0\.wav"):
        opened("spoken", tmp_path)


def test_a_word_cut_short_ends_the_stream_with_an_error(tmp_path):
    word_folder(tmp_path)
    path = tmp_path / "yes_bob_1.wav"
    path.write_bytes(path.read_bytes()[:-100])
    sensor = opened("spoken", tmp_path, split="all", test=0)
    with pytest.raises(RecordingError, match=r"yes_bob_1\.wav"):
        run(collected(sensor))


WRONG = [
    ("mnist", {"rate_hz": "fast"}, "rate_hz"),
    ("mnist", {"rate_hz": "nan"}, "rate_hz"),
    ("mnist", {"rate_hz": 1e6, "present_ms": 600_000}, "rate_hz"),
    ("mnist", {"present_ms": 0}, "present_ms"),
    ("mnist", {"present_ms": 0.0005}, "present_ms"),
    ("mnist", {"gap_ms": -1}, "gap_ms"),
    ("mnist", {"least_spikes": 30, "most_spikes": 20}, "least_spikes"),
    ("mnist", {"take": 0}, "take"),
    ("mnist", {"seed": 2**31}, "seed"),
    ("mnist", {"skip": "9" * 5_000}, "skip"),
    ("mnist", {"epochs": 2**31 - 1}, "epochs"),
    ("mnist", {"tke": 3}, "take"),
    ("mnist", {"labels": ""}, "labels"),
    ("saccades", {"slot_ms": 300}, "slot_ms"),
    ("saccades", {"eps": 0}, "eps"),
    ("saccades", {"noise": 1}, "noise"),
    ("nmnist", {"size": "34"}, "sensor size"),
    ("nmnist", {"order": "speakers"}, "order"),
    ("spoken", {"speakers": "eve"}, "nobody called 'eve'"),
    ("spoken", {"unseen": "bobby"}, "nobody called 'bobby'"),
    ("spoken", {"gain_db": "6:-6"}, "gain_db"),
    ("spoken", {"noise_db": 101}, "noise_db"),
]


@pytest.mark.parametrize(("scheme", "options", "words"), WRONG)
def test_a_wrong_option_is_named(scheme, options, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        opened(scheme, folder_of(scheme, tmp_path), **options)
