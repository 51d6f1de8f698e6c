"""Reading piece by piece takes the memory of a piece: every format, on a file and on one four times as large."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from cli import ROOT
from test_containers import recording

import spikestream as ss
from spikestream.batch import EVENT
from spikestream.registry import found

FEW, SOME, MANY = 2_000, 700_000, 2_800_000
BOUND_MIB = 30.0
"""Of the project; the events of the larger file are 35 MiB."""
SPREAD_MIB = 6.0
"""What two runs may differ by. The larger file has 26 MiB of events more."""
SIDE = 128
SUFFIXES = {"aedat1": ".aedat", "aedat3": ".aedat", "nas": ".aedat", "evt2": ".raw", "evt21": ".raw", "evt3": ".raw"}


def scene(n: int) -> np.ndarray:
    rng, made = np.random.default_rng(1), np.empty(n, EVENT)
    made["t"] = np.sort(rng.integers(0, 8_000_000, n))
    made["x"], made["y"] = rng.integers(0, SIDE, n), rng.integers(0, SIDE, n)
    made["p"] = rng.integers(0, 2, n)
    return made


def aedat1(path: Path, events: np.ndarray) -> None:
    records = np.empty(len(events), [("address", ">u2"), ("stamp", ">u4")])
    records["address"], records["stamp"] = events["y"] << 8 | events["x"] << 1 | events["p"], events["t"]
    path.write_bytes(b"#!AER-DAT1.0\r\n# AEChip: DVS128\r\n#End Of ASCII Header\r\n" + records.tobytes())


def nas(path: Path, events: np.ndarray) -> None:
    records = np.empty(len(events), [("address", ">u2"), ("stamp", ">u4")])
    records["address"], records["stamp"] = events["x"] % 64, 5 * events["t"]
    path.write_bytes(records.tobytes())


def evt21(path: Path, events: np.ndarray) -> None:
    """Write a TIME_HIGH before each event, and each as a mask of one."""
    words = np.empty((len(events), 2), "<u8")
    t, x, y, p = (events[name].astype(np.uint64) for name in "txyp")
    words[:, 0] = 8 << 60 | (t >> np.uint64(6)) << np.uint64(32)
    words[:, 1] = (
        p << np.uint64(60) | (t & np.uint64(63)) << np.uint64(54) | x << np.uint64(43) | y << np.uint64(32) | 1
    )
    path.write_bytes(b"% evt 2.1\n% format EVT21;height=128;width=128\n% end\n" + words.tobytes())


def mat(path: Path, events: np.ndarray) -> None:
    """Write so many moments in which half of the taxels speak: 16 bytes in the file for each event."""
    moments = len(events) // 50
    train = np.zeros((101, moments))
    train[:50] = 1 - 2 * (np.arange(moments) % 2)
    train[100] = np.arange(moments) * 1e-3
    scipy.io.savemat(path, {"spiketrain": train})


BY_HAND = {"aedat1": aedat1, "nas": nas, "evt21": evt21, "mat": mat}


def written(folder: Path, name: str, n: int) -> Path:
    path = folder / f"{name}-{n}{SUFFIXES.get(name, f'.{name}')}"
    if name in BY_HAND:
        BY_HAND[name](path, scene(n))
        return path
    if name in ("npy", "bag", "db3", "mcap"):
        return recording(folder, path.suffix, scene(n), path.stem)
    ss.write(path, ss.Events(0, 8_000_000, scene(n), (SIDE, SIDE)), format=name)
    return path


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """Return of each format (events, MiB) of both files, all read by one process."""
    folder = tmp_path_factory.mktemp("memory")
    names = sorted({entry.name for entry in found("formats")})
    asked = [":".join([name, *(str(written(folder, name, n)) for n in (FEW, SOME, MANY))]) for name in names]
    command = [sys.executable, str(ROOT / "benchmarks" / "peer_memory.py"), "spikestream", *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, list[tuple[int, float]]] = {}
    for line in map(json.loads, done.stdout.splitlines()):
        told.setdefault(line["format"], []).append((line["events"], line["grown_mib"]))
    assert sorted(told) == names
    return told


def test_every_format_is_read_whole(grown):
    assert {name: [events for events, _ in rows] for name, rows in grown.items()} == {
        name: [SOME, MANY] for name in grown
    }


def test_no_format_takes_more_than_the_bound_nor_more_for_a_larger_file(grown):
    more = {name: [mib for _, mib in rows] for name, rows in grown.items()}
    assert {name: both for name, both in more.items() if max(both) >= BOUND_MIB} == {}
    assert {name: both for name, both in more.items() if both[1] - both[0] >= SPREAD_MIB} == {}
