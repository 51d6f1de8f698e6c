"""ST-MNIST against SciPy, on a real file and on ones that SciPy writes in every way it can."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from random import Random

import numpy as np
import pytest
import scipy.io
from fuzz import drain, mutations, taken
from test_nmnist import read

import spikestream as ss
from spikestream.errors import RecordingError
from spikestream.formats.mat import Decoder


def saved(compressed: bool, **arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, arrays, do_compression=compressed)
    return file.getvalue()


def array(n: int = 500) -> np.ndarray:
    rng = np.random.default_rng(2)
    made = np.zeros((101, n))
    made[:100] = rng.choice([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, -1], (100, n))
    made[100] = np.sort(rng.random(n))
    return made


def events_of(train: np.ndarray) -> list[tuple[int, int, int, bool]]:
    """Return what an array says, moment by moment and taxel by taxel."""
    found = []
    for column in train.T:
        found += [(round(column[100] * 1e6), a % 10, a // 10, bool(column[a] > 0)) for a in range(100) if column[a]]
    return found


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("step", [0, 1, 997])
def test_what_scipy_writes(compressed, step):
    data = saved(compressed, a=np.arange(3.0), spiketrain=array(60 if step == 1 else 500), other=np.zeros((101, 4)))
    decoder = Decoder()
    got = read(decoder, data, step=step)
    assert got.tolist() == events_of(array(60 if step == 1 else 500))
    assert (decoder.size, decoder.skipped) == ((10, 10), {"variable": 2})


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "f4", "f8", ">f8", "i8"])
def test_every_type_of_number(dtype):
    train = array(40)
    train[100] = np.arange(40)
    assert read(Decoder(), saved(True, spiketrain=train.astype(dtype))).tolist() == events_of(train)


def test_a_train_of_nothing_is_no_events():
    assert len(read(Decoder(), saved(False, spiketrain=np.zeros((101, 9))))) == 0


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"other": np.zeros((101, 3))}, "holds no 'spiketrain'"),
        ({"spiketrain": np.zeros((100, 3))}, "is none of ST-MNIST"),
        ({"spiketrain": np.zeros((101, 3)) + 2}, "a moment of the spiketrain is none"),
        ({"spiketrain": np.full((101, 3), np.nan)}, "a moment of the spiketrain is none"),
        ({"spiketrain": -np.eye(101)[:, ::-1][:, :1]}, "a moment of the spiketrain is none"),
        ({"spiketrain": np.array(["text"])}, "ST-MNIST|holds no real numbers"),
        ({"spiketrain": np.zeros((101, 3)) + 1j}, "holds no real numbers"),
        ({"spiketrain": np.array([[{"a": 1}]], object)}, "ST-MNIST|holds no real numbers"),
    ],
)
@pytest.mark.parametrize("compressed", [True, False])
def test_what_is_no_recording_is_refused(arrays, what, compressed):
    with pytest.raises(RecordingError, match=what):
        read(Decoder(), saved(compressed, **arrays))


def test_a_cut_file_gives_what_came_before():
    data = saved(False, spiketrain=array())
    whole = read(Decoder(), data)
    for cut in (100, 130, 190, 5_000, len(data) - 8):
        decoder = Decoder()
        got, error = taken(decoder.feed(memoryview(data)[:cut]), decoder.finish)
        assert got == whole[: len(got)].tolist()
        assert len(got) > len(whole) - 40 or cut < 10_000
        assert "cut short" in error or "holds no" in error


def test_a_bomb_is_inflated_piece_by_piece():
    train = np.zeros((101, 300_000), np.int8)
    train[0] = train[100] = 1
    bomb = saved(True, spiketrain=train)
    read(Decoder(), saved(True, spiketrain=array()))
    tracemalloc.start()
    assert sum(len(part) for part in Decoder().feed(memoryview(bomb))) == 300_000
    assert tracemalloc.get_traced_memory()[1] < 4 << 20 < train.nbytes
    tracemalloc.stop()


def test_mutated_files_raise_only_recording_errors():
    good, rng = saved(True, spiketrain=array(200)), Random(1)
    counts = [drain(Decoder, data, rng) for data in mutations(good, 2_000, seed=1)]
    assert max(counts) > 0
    raw = saved(False, spiketrain=array(30))
    assert max(drain(Decoder, data, rng) for data in mutations(raw, 2_000, seed=2)) > 0


@pytest.mark.realdata
def test_a_real_recording(data: Path):
    path = data / "events/mat/stmnist.mat"
    train = scipy.io.loadmat(path)["spiketrain"]
    got = ss.read(path)
    assert train.shape == (101, 2346)
    assert got.data.tolist() == events_of(train)
    assert (len(got), int(got.data["t"][-1]), got.size) == (2_346, 895_745, (10, 10))


@pytest.mark.realdata
def test_bursts_of_a_taxel_are_16_ns_apart_in_the_file_and_share_a_microsecond_here(data: Path):
    path = data / "events/mat/stmnist.mat"
    train, got = scipy.io.loadmat(path)["spiketrain"], ss.read(path).data
    apart_ns, apart_us = [], []
    for taxel in range(100):
        seconds = train[100, train[taxel] != 0]
        apart_ns += np.rint(np.diff(seconds) * 1e9).astype(int).tolist()
        apart_us += np.diff(got["t"][(got["x"] == taxel % 10) & (got["y"] == taxel // 10)]).tolist()
    bursts = [(ns, us) for ns, us in zip(apart_ns, apart_us, strict=True) if us < 2]
    assert (len(bursts), {ns for ns, _ in bursts}, len(apart_ns)) == (1_681, {16}, 2_315)
    assert min(ns for ns, us in zip(apart_ns, apart_us, strict=True) if us > 1) > 3_000_000
    assert sum(us == 0 for _, us in bursts) > 1_600
