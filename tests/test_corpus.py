"""The corpus of `make fuzz`: small files of every format, read by compiled kernels and by the public functions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from fuzzing.case import Case, feed_here
from fuzzing.corpus import CORPUS, LARGEST
from fuzzing.telling import all_told
from goodfiles import GOOD

import spikestream as ss
from spikestream.errors import RecordingError
from spikestream.files.containers import hdf5
from spikestream.registry import found

ROOM = 1 << 20


def files(name: str) -> list[Path]:
    return sorted((CORPUS / name).iterdir())


def test_every_format_of_ours_has_good_files_and_a_small_corpus():
    ours = {one.name for one in found("formats") if one.value.startswith("spikestream.")}
    assert set(GOOD) == ours == {folder.name for folder in CORPUS.iterdir()}
    kept = [path for name in GOOD for path in files(name)]
    assert all(len(files(name)) >= 3 for name in GOOD)
    assert max(path.stat().st_size for path in kept) <= LARGEST
    assert sum(path.stat().st_size for path in kept) < ROOM


@pytest.mark.parametrize("name", GOOD)
def test_good_files_are_good(name: str, tmp_path: Path):
    case = Case(name, tmp_path / "good")
    for number, data in enumerate(case.good.files()):
        assert case.read(data) > 0 or (name, number) == ("es", 2), number


@pytest.mark.parametrize("name", GOOD)
def test_the_corpus_is_read_within_the_bounds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    case = Case(name, tmp_path / "case")
    monkeypatch.setattr(hdf5, "feed", feed_here)
    for path in files(name):
        case.read(path.read_bytes())  # what is loaded or compiled at first use is no case's memory
    tracemalloc.start()
    try:
        counts = [case.measured(path.read_bytes()) for path in files(name)]
    finally:
        tracemalloc.stop()
    assert max(counts) > 0


@pytest.mark.parametrize("name", GOOD)
def test_the_corpus_is_told_of_or_refused(name: str):
    told = refused = 0
    for path in files(name):
        try:
            told += ss.info(path, format=name, **GOOD[name].options).events is not None
        except RecordingError as error:
            refused += error.file == str(path)
    assert told
    assert told + refused == len(files(name))


def test_kernels_do_the_same_in_their_python_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The search of `make fuzz` cannot see into compiled ones: what it finds has to be true of them."""
    monkeypatch.setattr(hdf5, "feed", feed_here)
    env = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", "-m", "fuzzing.telling", str(tmp_path)]
    plain = json.loads(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)
    compiled = json.loads(json.dumps(all_told(tmp_path)))
    assert plain.keys() == compiled.keys() == GOOD.keys()
    for name in GOOD:
        assert plain[name] == compiled[name]
