"""The main job: from random weights to a classifier that beats one centroid a class, on things it has not seen."""

from __future__ import annotations

import csv
import functools
import importlib.util
import json
import random
import re

import pytest
from cli import ROOT, replay_json, spikestream

import spikestream as ss

SHIPPED = 0
SEEDS = (SHIPPED, 11)


@pytest.fixture(scope="module")
def made():
    """What the maker of recordings makes of a seed, once."""
    spec = importlib.util.spec_from_file_location("make", ROOT / "recordings" / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return functools.cache(module.looks)


@pytest.fixture(scope="module", params=SEEDS)
def looks(request, made, tmp_path_factory):
    """The demo's recording, or one of its kind from another seed, and its labels."""
    folder = tmp_path_factory.mktemp("looks")
    events, rows = made(request.param)
    ss.write(folder / "looks.aedat4", events, size=events.size)
    write_labels(folder / "looks.csv", rows)
    return folder / "looks.aedat4", folder / "looks.csv", rows


def write_labels(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("start_us", "stop_us", "label", "split"), *rows])


def scored(looks, *args):
    return replay_json(looks[0], "--labels", looks[1], "--speed", "max", *args)


def test_it_learns_and_stdp_is_what_learns(looks, tmp_path):
    learned, frozen = scored(looks), scored(looks, "--set", "learn.rule=none")
    assert learned["accuracy"] >= 0.9
    assert learned["accuracy"] > learned["baseline_accuracy"] + 0.05
    assert frozen["accuracy"] <= learned["accuracy"] - 0.15
    assert learned["chance"] == 0.25


def test_shuffled_labels_leave_it_at_chance(looks, tmp_path):
    path, _, rows = looks
    names = [row[2] for row in rows]
    random.Random(0).shuffle(names)
    write_labels(
        tmp_path / "shuffled.csv", [(a, b, name, split) for (a, b, _, split), name in zip(rows, names, strict=True)]
    )
    shuffled = replay_json(path, "--labels", tmp_path / "shuffled.csv", "--speed", "max")
    # 160 held-out windows: four standard errors of a guess among four are 0.137
    assert abs(shuffled["accuracy"] - 0.25) < 0.14


def test_shuffling_only_what_is_taught_leaves_it_near_chance(looks, tmp_path):
    path, _, rows = looks
    names = [row[2] for row in rows if row[3] == "train"]
    random.Random(0).shuffle(names)
    taught = iter(names)
    told = [(a, b, next(taught) if split == "train" else name, split) for a, b, name, split in rows]
    write_labels(tmp_path / "shuffled.csv", told)
    shuffled = replay_json(path, "--labels", tmp_path / "shuffled.csv", "--speed", "max")
    assert shuffled["accuracy"] < 0.55  # neurons of one look vote alike, so guesses come in blocks of ten windows


def test_the_demo_prints_everything_and_its_json_last():
    done = spikestream("demo")
    *lines, last = done.stdout.splitlines()
    summary = json.loads(last)
    assert summary["accuracy"] >= 0.9
    assert summary["accuracy"] > summary["baseline_accuracy"] > summary["chance"]
    # Two processes print at once: windows are counted, not lines.
    windows = re.findall(r"\d+% in \[(\d+), \d+\) µs", done.stdout)
    assert sorted(map(int, windows)) == list(range(1_000_000, 1_000_000 + summary["decisions"] * 100_000, 100_000))
    assert f"received main.network.spikes: 5,600 messages, {summary['spikes_out']:,} rows" in lines
    text = done.stdout
    words = ("loss ledger", "every hop closes", "real-time factor", "latency", "p99", "held-out accuracy", "chance")
    assert all(word in text for word in (*words, "nearest centroid"))


def test_shipped_recordings_are_what_the_script_makes(made, tmp_path):
    events, rows = made(SHIPPED)
    shipped = ss.read(ROOT / "recordings" / "looks.aedat4")
    assert shipped.size == events.size
    assert shipped.data.tobytes() == events.data.tobytes()
    with (ROOT / "recordings" / "looks.csv").open() as file:
        assert [tuple(row) for row in list(csv.reader(file))[1:]] == [(str(a), str(b), c, d) for a, b, c, d in rows]


@pytest.mark.parametrize("name", ["looks.aedat4", "wrap.aedat", "noisy_hot.aedat3"])
def test_sidecars_tell_the_truth(name):
    import hashlib

    path = ROOT / "recordings" / name
    sidecar = json.loads(path.with_name(f"{name}.json").read_text())
    t = ss.read(path).data["t"]
    assert sidecar["licence"] == "CC0-1.0"
    assert sidecar["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (sidecar["events"], sidecar["first_t"], sidecar["last_t"]) == (len(t), t[0], t[-1])


def test_one_shipped_recording_crosses_the_sign_bit_of_its_clock():
    t = ss.read(ROOT / "recordings" / "wrap.aedat").data["t"]
    assert t[0] < 2**31 < t[-1]
