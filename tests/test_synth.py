"""Synthetic scenes: the kernel against a loop, the labels against what moves, and the same seed, the same file."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from itertools import pairwise

import numpy as np
import pytest
from inprocess import called
from naive_datasets import scene
from small import run

import spikestream as ss
from spikestream import checks
from spikestream.batch import EVENT
from spikestream.cli.synth import WHAT
from spikestream.errors import ConfigError
from spikestream.files.labels import read_labels
from spikestream.kernels import saccades, scenes
from spikestream.sensors.datasets.synthetic import KINDS, Synthetic
from spikestream.sensors.datasets.synthetic.glyphs import STROKES, draw
from spikestream.sensors.datasets.synthetic.scenes import SCENES


async def collect(sensor):
    return [batch async for batch in sensor.batches()]


def samples_of(kind, **options):
    """Return (label, events in the sample's own time) of every sample."""
    sensor = Synthetic(kind, **options)
    data = np.concatenate([batch.data for batch in run(collect(sensor))])
    made = []
    for row in sensor.rows:
        part = data[(data["t"] >= row.start) & (data["t"] < row.stop)].copy()
        part["t"] -= row.start
        made.append((row.label, part))
    return made


# The kernel.


def kernel_events(params, strokes, light, size, key, start=0, room=5_000):
    out = np.empty(room, EVENT)
    state = saccades.init(size[0] - saccades.MARGIN, size[1] - saccades.MARGIN)
    count = scenes.run(saccades.design(params), state, strokes, light, key, start, out)
    return count, out[: min(count, room)]


@pytest.mark.parametrize("kind", SCENES)
def test_the_camera_sees_what_a_loop_sees(kind):
    size, steps = (12, 9), 40
    params = saccades.Params(noise=0.002, mismatch=0.2)
    for number, label in enumerate(SCENES[kind].labels):
        strokes = SCENES[kind].move(label, size, np.random.default_rng(number), steps)
        count, got = kernel_events(params, strokes, 0.8, size, (3, 1, number), start=7_000)
        expected = scene(params, strokes.tolist(), 0.8, size, (3, 1, number))
        assert [(t - 7_000, x, y, int(p)) for t, x, y, p in got.tolist()] == [(*e[:3], int(e[3])) for e in expected]
        assert count == len(expected) >= 20


def test_where_strokes_overlap_the_brightest_counts():
    strokes = np.zeros((30, 2, 5))
    strokes[:, 0] = [3, 4, 8, 4, 1.2]
    strokes[:, 1, 0] = strokes[:, 1, 2] = np.linspace(-3, 14, 30)
    strokes[:, 1, 1:] = [0, 0, 8, 0.3]
    strokes[:, 1, 2] = strokes[:, 1, 0]
    for order in ([0, 1], [1, 0]):
        _, got = kernel_events(saccades.Params(noise=0), strokes[:, order], 0.7, (12, 9), (1, 2, 3))
        expected = scene(saccades.Params(noise=0), strokes.tolist(), 0.7, (12, 9), (1, 2, 3))
        assert got.tolist() == [(*event[:3], bool(event[3])) for event in expected]


def test_too_many_events_are_told_and_none_is_written_beyond():
    strokes = SCENES["bars"].move("up", (12, 9), np.random.default_rng(0), 60)
    count, whole = kernel_events(saccades.Params(), strokes, 0.8, (12, 9), (0, 0, 0))
    for room in (count + saccades.EACH, count - 1, 10, 0):
        told, got = kernel_events(saccades.Params(), strokes, 0.8, (12, 9), (0, 0, 0), room=room)
        assert told == min(count, room + 1)
        assert room < count or np.array_equal(got, whole)


# What moves.


def slope(part, name):
    """Return how the events' place changes over time, in pixels a second."""
    return np.polyfit(part["t"] / 1e6, part[name].astype(float), 1)[0]


def turned(part, centre, pieces=40):
    """Return by how many radians the middle of the events has turned about a point, clockwise on a screen."""
    groups = np.array_split(part, pieces)
    angle = [np.arctan2(g["y"].mean() - centre, g["x"].mean() - centre) for g in groups]
    return np.diff(np.unwrap(angle)).sum()


def test_a_bar_moves_where_its_label_says():
    for label, part in samples_of("bars", seconds=6, noise_hz=0):
        across, down = slope(part, "x"), slope(part, "y")
        wanted = {"right": across, "left": -across, "down": down, "up": -down}
        assert wanted[label] > 60  # pixels a second
        assert max(wanted, key=wanted.get) == label


def test_a_spinner_turns_as_its_label_says():
    for label, part in samples_of("spinner", seconds=10, noise_hz=0):
        turn = turned(part, 16.5)
        assert (turn > 2) if label == "clockwise" else (turn < -2)


def test_gestures_move_as_their_labels_say():
    seen = set()
    for label, part in samples_of("gestures", seconds=24, noise_hz=0):
        x, y = (part[name].astype(float) - part[name].mean() for name in ("x", "y"))
        means = np.array([[x[g].mean(), y[g].mean()] for g in np.array_split(np.arange(len(part)), 40)])
        if label in ("clockwise", "counterclockwise"):
            assert np.sign(turned(part, 16.5)) == (1 if label == "clockwise" else -1)
        elif label == "wave":
            assert means[:, 0].std() > 3 * means[:, 1].std()
        elif label == "nod":
            assert means[:, 1].std() > 3 * means[:, 0].std()
        else:
            assert means.std() < 2.5  # two hands, one against the other
            left, right = part[x < 0], part[x >= 0]
            if label == "drum":
                bins = np.arange(0, 1_000_001, 50_000)
                hands = [(hand, np.histogram(hand["t"], bins)[0]) for hand in (left, right)]
                heights = [np.histogram(hand["t"], bins, weights=hand["y"])[0] / n for hand, n in hands]
                assert np.corrcoef(*heights)[0, 1] < -0.5
            else:
                assert x.std() > 1.3 * y.std()
        seen.add(label)
    assert seen == set(SCENES["gestures"].labels)


def test_digits_are_more_like_their_own_kind():
    pictures = {label: [] for label in STROKES}
    for label, part in samples_of("digits", seconds=32, noise_hz=0.1):
        pictures[label].append(np.bincount(part["y"] * 34 + part["x"].astype(int), minlength=34 * 34).astype(float))
    first = {
        label: np.mean([one / np.linalg.norm(one) for one in seen[:7]], axis=0) for label, seen in pictures.items()
    }
    judged = [
        (label, max(first, key=lambda other: first[other] @ (one / np.linalg.norm(one))))
        for label, seen in pictures.items()
        for one in seen[7:]
    ]
    assert len(judged) == 30
    assert sum(label == found for label, found in judged) >= 21  # chance is 3


def test_no_two_digits_are_alike_and_all_fit():
    drawn = {}
    for digit in STROKES:
        for seed in range(20):
            image = draw(digit, (28, 28), np.random.default_rng(seed))
            assert (image.dtype, image.shape, image.max()) == (np.uint8, (28, 28), 255)
            assert not np.any(image[[0, -1]])  # nothing is cut off
            assert not np.any(image[:, [0, -1]])
            drawn[digit, seed] = image.tobytes()
    assert len(set(drawn.values())) == len(drawn)


# The sensor.


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_obeys_the_laws_of_a_sensor(kind):
    for _, check in checks.sensor(lambda: Synthetic(kind, seconds=2.5, seed=4, size="20x16")):
        check()


@pytest.mark.parametrize("kind", KINDS)
def test_every_class_comes_once_before_one_comes_again(kind):
    sensor = Synthetic(kind, seconds=20)
    labels, classes = (
        [row.label for row in sensor.rows],
        set(SCENES[kind].labels if kind in SCENES else STROKES),
    )
    for at in range(0, len(labels) - len(classes), len(classes)):
        assert set(labels[at : at + len(classes)]) == classes
    assert [row.test for row in sensor.rows] == [k >= len(labels) - len(labels) // 4 for k in range(len(labels))]
    assert all(a.stop == b.start for a, b in pairwise(sensor.rows))


def test_a_sample_depends_on_its_seed_and_its_place_only():
    whole = samples_of("bars", seconds=3, seed=1)
    longer = samples_of("bars", seconds=6, seed=1)
    assert all(a[0] == b[0] and np.array_equal(a[1], b[1]) for a, b in zip(whole, longer, strict=False))
    other = samples_of("bars", seconds=3, seed=2)
    assert not any(np.array_equal(a[1], b[1]) for a, b in zip(whole, other, strict=True))
    middles = [part["t"].mean() for label, part in samples_of("bars", seconds=12, noise_hz=0) if label == "left"]
    assert np.std(middles) > 1_000  # no two bars are alike


def test_a_pixel_gets_brighter_first_where_a_bar_comes():
    part = samples_of("bars", seconds=0.3, noise_hz=0)[0][1]
    _, first = np.unique(part["y"] * 34 + part["x"], return_index=True)
    _, last = np.unique((part["y"] * 34 + part["x"])[::-1], return_index=True)
    assert part["p"][first].mean() > 0.95
    assert part["p"][::-1][last].mean() < 0.05


def test_noise_is_as_frequent_as_it_is_asked_to_be():
    calm, noisy = (sum(map(len, run(collect(Synthetic("spinner", seconds=20, noise_hz=hz))))) for hz in (0, 10))
    assert noisy - calm == pytest.approx(20 * 10 * 34 * 34, rel=0.05)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("bar", {}, "did you mean 'bars'?"),
        ("bars", {"size": "9x34"}, "16 to 512 a side"),
        ("bars", {"size": "34"}, "34"),
        ("bars", {"seconds": "soon"}, "seconds"),
        ("bars", {"noise_hz": -1}, "noise_hz"),
        ("bars", {"speed": 2}, "speed"),
    ],
)
def test_options_that_make_no_sense_are_refused(kind, options, words):
    with pytest.raises(ConfigError, match="(?s)" + words.replace("?", r"\?")):
        Synthetic(kind, **options)


# The verb.


def test_the_verb_tells_of_every_scene():
    assert set(WHAT) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_makes_the_same_files(kind, tmp_path):
    bytes_of = {}
    for folder, seed in (("a", 5), ("b", 5), ("c", 6)):
        (tmp_path / folder).mkdir()
        called("synth", kind, "x.aedat4", "--seed", seed, "--for", "4s", cwd=tmp_path / folder)
        assert sorted(os.listdir(tmp_path / folder)) == ["x.aedat4", "x.aedat4.json", "x.csv"]
        bytes_of[folder] = {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}
    assert bytes_of["a"] == bytes_of["b"]
    assert bytes_of["a"]["x.aedat4"] != bytes_of["c"]["x.aedat4"]
    told = json.loads(bytes_of["a"]["x.aedat4.json"])
    assert told["sha256"] == sha256(bytes_of["a"]["x.aedat4"]).hexdigest()
    sensor = Synthetic(kind, seconds=4, seed=5)
    assert read_labels(tmp_path / "a" / "x.csv") == sensor.rows
    assert bytes_of["a"]["x.csv"].startswith(b"start_us,stop_us,label\n0,")
    recording = ss.read(tmp_path / "a" / "x.aedat4")
    assert recording.size == (34, 34)
    assert np.array_equal(recording.data, np.concatenate([batch.data for batch in run(collect(sensor))]))
    assert told["events"] == len(recording)
    assert sum(told["samples"].values()) == len(sensor.rows)
    again = told["origin"].split(": ")[1]  # is the sensor that makes it once more
    assert again.startswith(f"synth://{kind}?seconds=4.0&")


@pytest.mark.parametrize("name", ["x.aedat", "x.aedat3", "x.dat", "x.es", "x.bin"])
def test_every_format_holds_it(name, tmp_path):
    size = ["--size", "128x128"] if name == "x.aedat" else []
    called("synth", "bars", tmp_path / name, "--for", "1s", *size)
    called("synth", "bars", tmp_path / "y.aedat4", "--for", "1s", *size)
    assert np.array_equal(ss.read(tmp_path / name).data, ss.read(tmp_path / "y.aedat4").data)


def test_it_can_be_learned_and_is_suspicious_to_nobody(tmp_path):
    called("synth", "bars", tmp_path / "x.aedat4", "--for", "3s")
    called("info", tmp_path / "x.aedat4", "--check")
    called(
        "replay", tmp_path / "x.aedat4", "--labels", tmp_path / "x.csv", "--speed", "max", "--set", "network.neurons=8"
    )


def test_files_that_are_there_stay_unless_forced(tmp_path):
    for name in ("x.csv", "x.aedat4.json", "x.aedat4"):
        (tmp_path / name).write_bytes(b"older")
        done = called("synth", "bars", tmp_path / "x.aedat4", code=2)
        assert "is there already" in done.stderr
        assert sorted(os.listdir(tmp_path)) == [name]
        (tmp_path / name).unlink()
    (tmp_path / "x.aedat4").write_bytes(b"older")
    called("synth", "bars", tmp_path / "x.aedat4", "-f", "--for", "1s", "--labels", tmp_path / "other.csv")
    assert sorted(os.listdir(tmp_path)) == ["other.csv", "x.aedat4", "x.aedat4.json"]
    for args, words in (
        (["bar", "y.aedat4"], "did you mean 'bars'?"),
        (["bars", "y.aedat5"], "no format"),
        (["bars", "y.wav"], "cannot be recorded"),
        (["bars", "y.aedat4", "--labels", "y.aedat4"], "one file"),
        (["bars", "y.aedat4", "--size", "1x1"], "16 to 512"),
    ):
        assert words in called("synth", *args, code=2, cwd=tmp_path).stderr
    assert len(os.listdir(tmp_path)) == 3
