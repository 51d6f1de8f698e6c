"""Recordings are written whole or not at all, and read back as they were."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from plainformat import REAL, at, plain, python, save

from spikestream.batch import Events
from spikestream.errors import ConfigError, RecordingError
from spikestream.files.stream import read, stream
from spikestream.files.write import write, write_kept
from spikestream.formats.aedat4 import table_summary

__all__ = ["plain"]


def test_what_is_written_is_read_back_and_only_the_file_is_there(plain, tmp_path):
    data = at(range(300_000))
    path = tmp_path / "a.plain"
    assert write(path, Events(0, 300_000, data, (640, 480))) == 300_000
    back = read(path)
    assert np.array_equal(back.data, data)
    assert back.size == (640, 480)
    assert os.listdir(tmp_path) == ["a.plain"]


def test_batches_are_written_one_after_the_other(plain, tmp_path):
    data = at(range(1000))
    batches = [Events(i, i + 100, data[i : i + 100], (640, 480)) for i in range(0, 1000, 100)]
    assert write(tmp_path / "a.plain", iter(batches), size=(600, 400)) == 1000
    assert np.array_equal(read(tmp_path / "a.plain").data, data)
    assert read(tmp_path / "a.plain").size == (600, 400)
    assert write(tmp_path / "a.plain", []) == 0
    assert len(read(tmp_path / "a.plain")) == 0


def test_the_format_comes_from_its_name_or_the_suffix(plain, tmp_path):
    some = Events(0, 9, at([5]), (640, 480))
    assert write(tmp_path / "A.PLAIN", some) == 1
    assert write(tmp_path / "any.thing", some, format="plain") == 1
    with pytest.raises(ConfigError, match=r"'\.both' is written by several formats\n  allowed: plain, twin"):
        write(tmp_path / "a.both", some)
    with pytest.raises(ConfigError, match=r"no format is written to '.mp4'\n  allowed: .*\.plain"):
        write(tmp_path / "a.mp4", some)
    with pytest.raises(ConfigError, match="Read-only events can be read, not written"):
        write(tmp_path / "a.mute", some, format="mute")
    assert sorted(os.listdir(tmp_path)) == ["A.PLAIN", "any.thing"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(plain, tmp_path):
    path = save(tmp_path / "a.plain", at([1]))
    old = path.read_bytes()
    bad = at([1, 2, 3])
    bad["x"][2] = 666
    with pytest.raises(RecordingError, match=r"a\.plain: x = 666 cannot be written"):
        write(path, Events(0, 9, bad, (640, 480)))

    def interrupted():
        yield Events(0, 9, at([5]), (640, 480))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(path, interrupted())
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["a.plain"]


def test_what_cannot_be_written_is_a_recording_error(plain, tmp_path):
    some = Events(0, 9, at([5]), (640, 480))
    (tmp_path / "folder.plain").mkdir()
    for path in (tmp_path / "none" / "a.plain", tmp_path / "folder.plain", save(tmp_path / "f", at([])) / "a.plain"):
        with pytest.raises(RecordingError, match="cannot be written") as caught:
            write(path, some)
        assert caught.value.file == str(path)
    assert sorted(os.listdir(tmp_path)) == ["f", "folder.plain"]


BAD = {".aedat4": 40_000, ".aedat3": 40_000, ".es": 34, ".bin": 300, ".dat": 34, ".h5": None}


@pytest.mark.parametrize("suffix", BAD)
@pytest.mark.parametrize("place", [(0, 1), (1, 0), (1, 1), (2, 63)])
def test_what_cannot_be_had_again_is_kept_up_to_what_does_not_fit(suffix, place, tmp_path):
    """In each format: that an encoder refuses an event leaves it as it was."""
    batch, event = place
    whole = at(range(1_000, 1_400))
    whole["x"] %= 34
    bad = whole.copy()
    bad["x" if BAD[suffix] else "t"][100 * batch + event] = BAD[suffix] or 0
    batches = [Events(100 * i + 1_000, 100 * i + 1_100, bad[100 * i : 100 * i + 100], (34, 34)) for i in range(4)]
    with pytest.raises(RecordingError, match=f"the {100 * batch + event:,} events before are in the file") as caught:
        write_kept(tmp_path / f"x{suffix}", iter(batches))
    assert caught.value.file == str(tmp_path / f"x{suffix}")
    kept = read(tmp_path / f"x{suffix}").data
    assert kept.tolist() == whole[: 100 * batch + event].tolist()
    assert os.listdir(tmp_path) == [f"x{suffix}"]


def test_nothing_is_kept_where_nothing_fits_or_nobody_asks(tmp_path):
    bad = at(range(10))
    bad["x"][0] = 40_000
    with pytest.raises(RecordingError, match="event 0 does not fit"):
        write_kept(tmp_path / "x.aedat4", [Events(0, 10, bad, (34, 34))])
    with pytest.raises(RecordingError, match="event 5 does not fit"):
        write(tmp_path / "x.aedat4", Events(0, 10, bad[[1, 2, 3, 4, 5, 0]], (34, 34)))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("moment", ["os.fsync", "os.replace"])
def test_a_killed_writer_leaves_the_old_file_whole(plain, tmp_path, moment):
    path = save(tmp_path / "a.plain", at([1]))
    old = path.read_bytes()
    code = f"""
import os, signal, sys
from plainformat import at
from spikestream.batch import Events
from spikestream.files.write import write, write_kept
from spikestream.formats.aedat4 import table_summary
{moment} = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
write(sys.argv[1], Events(0, 9, at([5, 6, 7]), (640, 480)))
"""
    assert python(code, plain, path).returncode == -signal.SIGKILL
    assert path.read_bytes() == old


def test_a_format_with_an_index_gets_it_written(tmp_path):
    path = tmp_path / "a.aedat4"
    batches = [Events(n, n + 1000, at(range(n, n + 1000)), (640, 480)) for n in (5_000, 6_000)]
    assert write(path, batches) == 2_000
    assert table_summary(path.read_bytes()) == (2_000, 5_000, 6_999)
    assert read(path).data.tolist() == at(range(5_000, 6_000)).tolist() + at(range(6_000, 7_000)).tolist()


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_recordings_survive_a_trip_through_aedat4(data: Path, tmp_path: Path, name: str):
    got = read(data / "events" / name)
    assert write(tmp_path / "copy.aedat4", stream(data / "events" / name)) == len(got)
    back = read(tmp_path / "copy.aedat4")
    assert np.array_equal(back.data, got.data)
    assert back.size == got.size
