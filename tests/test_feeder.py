"""Files read in a process apart: crashes, endless loops and hunger end there, and what works is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hdf5files import columns, scene
from plainformat import error_of

import spikestream as ss
from spikestream.errors import PluginError, RecordingError
from spikestream.files import feeder
from spikestream.files.reader import Reader


def test_a_crash_is_one_error(tmp_path, monkeypatch):
    (tmp_path / "crashing.py").write_text(
        "import numpy, os, signal\n"
        "def die(text):\n    yield {'n': 1}, b'one'\n    os.kill(os.getpid(), signal.SIGSEGV)\n"
        "def spin(text):\n    yield {}, b''\n    while True: pass\n"
        "def eat(text):\n    taken = numpy.empty(1 << 33, numpy.uint8)\n    yield {}, bytes(taken[:1])\n"
        "def well(text, more):\n    yield {'pid': os.getpid()}, text.encode() + more.encode()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    feeder._end_all()
    news = feeder.feed("crashing:die", "a.h5", {})
    assert [next(news)[0], bytes(next(feeder.feed("crashing:die", "a.h5", {}))[1])] == [{"n": 1}, b"one"]
    with pytest.raises(RecordingError, match=f"^a.h5: is damaged\n.*crashed.*signal {int(signal.SIGSEGV)}"):
        next(news)
    spinning = feeder.feed("crashing:spin", "a.h5", {}, cpu_s=1)
    next(spinning)
    with pytest.raises(RecordingError, match="found no end"):
        next(spinning)
    with pytest.raises(RecordingError, match="is damaged"):
        next(feeder.feed("crashing:eat", "a.h5", {}))
    first, again = (list(feeder.feed("crashing:well", "a", {"more": "b"})) for _ in range(2))
    assert first == again == [({"pid": first[0][0]["pid"]}, b"ab")]  # one process did both
    assert first[0][0]["pid"] != os.getpid()
    feeder._end_all()


def test_a_process_is_kept_for_the_next_file_and_ends_with_one_that_is_damaged(tmp_path):
    feeder._end_all()
    path = columns(tmp_path / "a.h5", scene(200, start=0), "t x y p", "/")
    kept = []
    for _ in range(2):
        ss.read(path)
        kept.append(feeder._idle[0])
    assert kept[0] is kept[1]
    (tmp_path / "bad.h5").write_bytes(path.read_bytes()[:900])
    error_of(tmp_path / "bad.h5")
    assert feeder._idle == []
    with Reader(path) as reader:
        next(reader)
    assert kept[0]._made.poll() is not None


def test_files_are_read_side_by_side(tmp_path):
    path = columns(tmp_path / "a.h5", scene(100_000, start=0), "t x y p", "/")
    with Reader(path) as one, Reader(path) as two:
        for a, b in zip(one, two, strict=True):
            assert np.array_equal(a, b)


def test_without_the_library_the_error_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "h5py.py").write_text("raise ImportError('no such thing')\n")
    path = columns(tmp_path / "a.h5", scene(200, start=0), "t x y p", "/")
    with monkeypatch.context() as patched:
        patched.syspath_prepend(tmp_path)
        feeder._end_all()
        with pytest.raises(PluginError, match="HDF5 files need h5py") as error:
            ss.read(path)
        assert error.value.remedy == "pip install 'spikestream[hdf5]'"
        done = subprocess.run(
            [sys.executable, "-m", "spikestream", "info", str(path)],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        )
    assert done.returncode == 4
    assert "pip install 'spikestream[hdf5]'" in done.stderr
