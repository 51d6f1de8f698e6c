"""Every labelled data set of tonic, on files laid out as tonic keeps them: what is played is what was put into them."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
import rosfiles
import scipy.io
from dataset_cases import idx, record
from test_ros import arrays
from test_tonic import samples_of

import spikestream as ss
from spikestream.batch import EVENT
from spikestream.files.datasets.tonic import UNLABELLED
from spikestream.sensors.base import open_sensor

tonic = pytest.importorskip("tonic", reason="tonic is not installed: pip install 'spikestream[datasets]'")
SAMPLES = 6
"""Of two classes in turns, by the place that tonic lists them at."""
Rows = list[tuple[int, int, int, bool]]


def drawn(k: int, width: int, height: int) -> Rows:
    """Return the events of sample k, at whole ms, one of them in each corner that tells."""
    rng = np.random.default_rng(k)
    t = np.sort(rng.integers(1, 700, 40)) * 1_000
    x, y = rng.integers(0, width, 40), rng.integers(0, height, 40)
    x[:2], y[:2] = (0, width - 1), (height - 1, 0)
    return list(zip(t.tolist(), x.tolist(), y.tolist(), rng.integers(0, 2, 40).astype(bool).tolist(), strict=True))


def columns(rows: Rows) -> np.ndarray:
    return np.array(rows, np.int64)


def put(path: Path, data: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def save(path: Path, array: np.ndarray) -> None:
    np.save(put(path), array)


def dvs_gesture(home: Path) -> list[Rows]:
    put(home / "ibmGestureTrain.tar.gz")
    made = [drawn(k, 128, 128) for k in range(SAMPLES)]
    for k, rows in enumerate(made):
        t, x, y, p = columns(rows).T
        place = home / f"ibmGestureTrain/user{k // 2:02}_led/{k % 2}.npy"
        save(place, np.stack([x, y, p, t // 1_000], axis=1))
    return made


def dvs_lip(home: Path) -> list[Rows]:
    made = [drawn(k, 128, 128) for k in range(SAMPLES)]
    for k, rows in enumerate(made):
        kind = [("t", "i4"), ("x", "u1"), ("y", "u1"), ("p", "i1")]
        save(home / f"DVS-Lip/train/{('accused', 'action')[k % 2]}/{k}.npy", np.array(rows, kind))
    return made


def cifar10(home: Path) -> list[Rows]:
    put(home / "CIFAR10DVS.zip")
    made = [drawn(k, 128, 128) for k in range(SAMPLES)]
    for k, rows in enumerate(made):
        events = np.array(rows, EVENT)
        events["t"] += 1_589_163_147_368_868  # as a camera has them
        path = put(home / f"{('airplane', 'automobile')[k % 2]}/{k}.aedat4")
        ss.write(path, ss.Events(0, int(events["t"][-1]) + 1, events, (128, 128)))
    return [[(t - rows[0][0], x, y, p) for t, x, y, p in rows] for rows in made]


def asl(home: Path) -> list[Rows]:
    put(home / "ASLDVS.zip")
    made = [drawn(k, 240, 180) for k in range(SAMPLES)]
    for k, rows in enumerate(made):
        t, x, y, p = columns(rows)[:, :, None].transpose(1, 0, 2)  # columns, as MATLAB has them
        path = put(home / f"{'ab'[k % 2]}/{k}.mat")
        scipy.io.savemat(path, {"ts": t, "x": x, "y": 179 - y, "pol": p})
    return made


def ncaltech(home: Path) -> list[Rows]:
    put(home / "N-Caltech101-archive.zip")
    made = [drawn(k, 240, 180) for k in range(SAMPLES)]
    for k, rows in enumerate(made):
        data = b"".join(record(*row) for row in rows)
        put(home / f"Caltech101/{('ant', 'bee')[k % 2]}/{k}.bin", data)
    return made


def poker(home: Path) -> list[Rows]:
    put(home / "pips_train.tar.gz")
    made = [drawn(k, 35, 35) for k in range(SAMPLES)]
    for k, rows in enumerate(made):
        save(home / f"pips_train/{('cl', 'he')[k % 2]}/{k}.npy", columns(rows))
    return made


def tidigits(home: Path) -> list[Rows]:
    made = [drawn(k, 64, 1) for k in range(SAMPLES)]
    with h5py.File(put(home / "n-tidigits.hdf5"), "w") as file:
        names = [f"man-{k}-a-{('o', '12')[k % 2]}" for k in range(SAMPLES)]
        file["train_labels"] = np.array(names, "S")
        for name, rows in zip(names, made, strict=True):
            file[f"train_addresses/{name}"] = columns(rows)[:, 1].astype(float)
            # whole µs are no 32-bit floats of seconds; half of one is no other
            file[f"train_timestamps/{name}"] = (columns(rows)[:, 0] + 0.5) / 1e6
    return [[(t, x, 0, True) for t, x, _, _ in rows] for rows in made]


def hsd(name: str) -> Callable[[Path], list[Rows]]:
    def lay(home: Path) -> list[Rows]:
        put(home / f"{name}_train.h5.zip")
        made = [drawn(k, 700, 1) for k in range(SAMPLES)]
        with h5py.File(home / f"{name}_train.h5", "w") as file:
            for field, kind in (("times", "f8"), ("units", "u2")):
                rows = file.create_dataset(f"spikes/{field}", (SAMPLES,), dtype=h5py.vlen_dtype(kind))
                for k in range(SAMPLES):
                    t, x, _, _ = columns(made[k]).T
                    rows[k] = ((t + 0.5) / 1e6 if field == "times" else x).astype(kind)
            file["labels"] = np.arange(SAMPLES) % 2
            file["extra/keys"], file["extra/speaker"] = np.array([b"zero", b"one"]), np.zeros(SAMPLES, int)
        return [[(t, x, 0, True) for t, x, _, _ in rows] for rows in made]

    return lay


def smnist(home: Path) -> list[Rows]:
    images = np.random.default_rng(0).integers(0, 255, (SAMPLES, 28, 28)).astype(np.uint8)
    images[:, 14:] = 0
    put(home / "train-images-idx3-ubyte", idx(images))
    put(home / "train-labels-idx1-ubyte", idx((np.arange(SAMPLES) % 2).astype(np.uint8)))
    bounds = np.linspace(0, 254, 49).astype(np.uint8).tolist()
    made = []
    for image in images.reshape(SAMPLES, -1).tolist():
        spikes = []
        for at, (a, b) in enumerate(pairwise(image)):
            spikes += [(at, 99 - k) for k, bound in enumerate(bounds) if a < bound <= b]
            spikes += [(at, 50 - k) for k, bound in enumerate(bounds) if b < bound <= a]
        # each comes twice, a millisecond apart
        made.append(sorted((2_000 * at + 1_000 * j, x, 0, True) for at, x in spikes for j in (0, 1)))
    return made


SETS: dict[str, tuple[Callable[[Path], list[Rows]], str, str, tuple[str, str], tuple[int, int]]] = {
    # class: its files, its folder, more options, the names of its two classes, its size
    "DVSGesture": (dvs_gesture, "DVSGesture", "", ("Hand clapping", "Right hand wave"), (128, 128)),
    "DVSLip": (dvs_lip, "DVSLip", "", ("accused", "action"), (128, 128)),
    "CIFAR10DVS": (cifar10, "CIFAR10DVS", "", ("airplane", "automobile"), (128, 128)),
    "ASLDVS": (asl, "ASLDVS", "", ("a", "b"), (240, 180)),
    "NCALTECH101": (ncaltech, "NCALTECH101", "&size=240x180&slot_ms=700", ("ant", "bee"), (240, 180)),
    "POKERDVS": (poker, "POKERDVS", "", ("cl", "he"), (35, 35)),
    "NTIDIGITS18": (tidigits, "NTIDIGITS18", "", ("o", "12"), (64, 1)),
    "SHD": (hsd("shd"), "SHD", "", ("zero", "one"), (700, 1)),
    "SSC": (hsd("ssc"), "SSC", "", ("zero", "one"), (700, 1)),
    "SMNIST": (smnist, "smnist", "&size=100x1&slot_ms=1600", ("0 - zero", "1 - one"), (100, 1)),
}


@pytest.mark.parametrize("name", SETS)
def test_what_is_in_the_files_is_played(tmp_path, monkeypatch, name):
    # tonic takes a folder with fewer files than all for one that is not unpacked: of ASLDVS that are 100,800.
    monkeypatch.setattr(tonic.dataset.Dataset, "_folder_contains_at_least_n_files_of_type", lambda *asked: True)
    lay, folder, more, names, size = SETS[name]
    made = lay(tmp_path / folder)
    # Some list their files in the order of the disk; the classes are told apart all the same.
    sensor = open_sensor(f"tonic://{name}?root={tmp_path}&split=train&order=stored&names=true{more}")
    assert sensor.size == size
    wanted = sorted((names[k % 2], rows) for k, rows in enumerate(made))
    played = samples_of(sensor)
    assert sorted((row.label, rows) for row, rows in zip(sensor.rows, played, strict=True)) == wanted
    assert not sensor.problems
    assert min(map(len, played)) > 30


@pytest.mark.parametrize("name", ["DVSGesture", "DVSLip", "CIFAR10DVS", "NCALTECH101"])
def test_the_order_is_none_of_the_disk(tmp_path, monkeypatch, name):
    monkeypatch.setattr(tonic.dataset.Dataset, "_folder_contains_at_least_n_files_of_type", lambda *asked: True)
    SETS[name][0](tmp_path / name)
    listdir, walk, seen = os.listdir, os.walk, []
    for turn in (sorted, partial(sorted, reverse=True)):
        monkeypatch.setattr(os, "listdir", lambda path, turn=turn: turn(listdir(path)))
        monkeypatch.setattr(os, "walk", lambda top, turn=turn: ((at, turn(a), turn(b)) for at, a, b in walk(top)))
        for order in ("stored", "mixed"):
            sensor = open_sensor(f"tonic://{name}?root={tmp_path}&order={order}&split=train{SETS[name][2]}")
            seen.append((samples_of(sensor), [(row.label, row.test) for row in sensor.rows]))
    assert seen[:2] == seen[2:]


def test_these_are_all_that_have_labels():
    assert set(tonic.datasets.__all__) == set(SETS) | set(UNLABELLED) | {"NMNIST"}


def bag(path: Path, events: np.ndarray, topic: str) -> Path:
    return rosfiles.write(path, arrays(events, topic))


def one_dataset(path: Path, events: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        file["events"] = np.stack([events[name] for name in "txyp"], axis=1)
    return path


def columns_each(path: Path, events: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name in "txyp":
            file[f"events/{name}"] = events[name]
        file["ms_to_idx"] = np.searchsorted(events["t"], np.arange(0, 701_000, 1_000))
    return path


def one_array(path: Path, events: np.ndarray) -> Path:
    np.savez(path, data=np.stack([events[name] for name in "xypt"], axis=1))
    return path


FILES = {
    "DAVISDATA": partial(bag, topic="/dvs/events"),
    "MVSEC": partial(bag, topic="/davis/left/events"),
    "VPR": partial(bag, topic="/dvs/events"),
    "DSEC": columns_each,
    "TUMVIE": columns_each,
    "ThreeET_Eyetracking": one_dataset,
    "NERDD": one_array,
}


@pytest.mark.parametrize("name", UNLABELLED)
def test_recordings_without_labels_are_played_from_their_files(tmp_path, name):
    with pytest.raises(ss.ConfigError, match="have no label each") as caught:
        open_sensor(f"tonic://{name}?root={tmp_path}")
    assert bool(UNLABELLED[name]) == (name in FILES) == bool(caught.value.remedy)
    if name in FILES:
        assert f"replay FILE{UNLABELLED[name]}" in caught.value.remedy
        events = np.array(drawn(1, 346, 260), EVENT)
        path = FILES[name](tmp_path / f"a{UNLABELLED[name]}", events)
        assert np.array_equal(np.concatenate([batch.data for batch in ss.stream(path)]), events)
