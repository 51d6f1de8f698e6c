"""The files room: opening, options, and errors that name the file."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from plainformat import REAL, at, error_of, events, open_files, plain, python, save, whole

from spikestream.batch import EVENT, Events
from spikestream.errors import ConfigError, PluginError, RecordingError
from spikestream.files.reader import CHUNK, Reader
from spikestream.files.stream import read, stream
from spikestream.files.write import write

__all__ = ["plain"]


# Opening


def test_a_recording_longer_than_one_chunk_comes_out_as_it_was_stored(plain, tmp_path):
    data = at(range(3 * CHUNK // EVENT.itemsize))
    with Reader(save(tmp_path / "long.plain", data)) as reader:
        reader.peek()
        assert (reader.format, reader.title, reader.size, reader.sensor) == ("plain", "Plain events", (640, 480), "")
        assert np.array_equal(whole(reader), data)
        assert (reader.events, reader.problems, reader.warnings) == (len(data), {}, [])


def test_content_decides_before_the_suffix(plain, tmp_path):
    path = save(tmp_path / "misnamed.aedat4", at([5]))
    with Reader(path) as reader:
        assert reader.format == "plain"


def test_options_reach_the_decoder(plain, tmp_path):
    path = save(tmp_path / "a.bin", at([5]))
    with Reader(path, format="plain", sensor="eye", size=(7, 8), tint="red") as reader:
        assert (reader.sensor, reader.size, reader.warnings) == ("eye", (7, 8), ["tinted red"])


def test_a_wrong_option_is_named_beside_those_that_exist(plain, tmp_path):
    with pytest.raises(ConfigError) as caught:
        Reader(save(tmp_path / "a.plain", at([5])), tnt="red")
    assert str(caught.value) == (
        "format 'plain' has no option 'tnt'\n  allowed: format, time, sensor, size, raw, tint\n  did you mean 'tint'?"
    )


def test_an_unknown_format_names_the_nearest(plain, tmp_path):
    with pytest.raises(PluginError, match="unknown format 'plane'; did you mean 'plain'"):
        Reader(save(tmp_path / "a.plain", at([5])), format="plane")


def test_the_file_is_closed_at_the_end_and_after_an_error(plain, tmp_path):
    path = save(tmp_path / "a.plain", at([5]))
    reader = Reader(path)
    assert str(path) in open_files()
    assert len(whole(reader)) == 1
    assert str(path) not in open_files()
    with pytest.raises(ConfigError) as kept:  # the traceback keeps the reader
        Reader(path, wrong=1)
    assert str(path) not in open_files()
    with Reader(path) as unread:
        pass
    assert str(path) not in open_files()
    del kept, unread


def test_standard_input_is_read_whole(plain, tmp_path):
    code = "from spikestream.files.stream import read; r = read('-'); print(len(r), r.start, r.stop, r.size)"
    told = python(code, plain, input=save(tmp_path / "a.plain", at(range(1000))).read_bytes())
    assert told.stdout == b"1000 0 1000 (640, 480)\n"


def test_standard_input_may_dribble_in(plain, tmp_path):
    code = "from spikestream.files.stream import read; r = read('-'); print(len(r), r.start, r.stop, r.size)"
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # a read never returns more than one send
    raw = save(tmp_path / "a.plain", at(range(5))).read_bytes()
    with here, there:
        for n in range(len(raw)):
            here.send(raw[n : n + 1])
        here.shutdown(socket.SHUT_WR)
        told = python(code, plain, stdin=there)
    assert told.stdout == b"5 0 5 (640, 480)\n"


# Errors


def test_what_cannot_be_opened_says_so(tmp_path):
    missing = tmp_path / "none.bin"
    assert error_of(missing) == f"{missing}: no such file\n  try: ls {tmp_path}"
    assert error_of("none.bin") == "none.bin: no such file\n  try: ls ."
    assert error_of(tmp_path) == f"{tmp_path}: is a folder, not a recording\n  try: spikestream info {tmp_path}/*"
    assert error_of("a\0b") == r"'a\x00b': cannot be opened: embedded null byte"
    assert error_of(__file__ + "/x") == f"{__file__}/x: cannot be opened: Not a directory"
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in error_of(tmp_path / "pipe")
    assert "is not a regular file" in error_of("/dev/zero")


def test_what_is_written_takes_the_place_of_no_pipe_and_no_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RecordingError, match="no regular file"):
        write(tmp_path / "pipe", Events(0, 10, at([5]), (640, 480)), format="dat")
    assert (tmp_path / "pipe").is_fifo()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_nobody_lets_us_read_says_so(plain, tmp_path):
    path = save(tmp_path / "secret.plain", at([5]))
    path.chmod(0)
    code = """
import os, sys
from spikestream.errors import RecordingError
from spikestream.files.reader import Reader
import spikestream.formats.sniff
os.chdir(os.path.dirname(sys.argv[1]))
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    Reader("secret.plain")
except RecordingError as error:
    print(error)
"""
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(folder.stat().st_mode | stat.S_IXOTH)
    told = python(code, plain, path, text=True)
    assert told.stdout == "secret.plain: permission to read it is denied\n  try: ls -l secret.plain\n", told.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a file that cannot be read")
def test_a_disk_that_fails_is_the_recordings_error():
    assert error_of("/proc/self/mem") == "/proc/self/mem: cannot be read: Input/output error"


def test_empty_pointer_and_unknown_files_are_told_apart(plain, tmp_path):
    path = tmp_path / "rec.aedat4"
    path.write_bytes(b"")
    empty = error_of(path)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + 64 * "a" + "\nsize 12345\n")
    pointer = error_of(path)
    path.write_bytes(bytes(range(64)))
    unknown = error_of(path)
    assert all(text.startswith(f"{path}: ") for text in (empty, pointer, unknown))
    assert "empty" in empty
    assert "LFS" in pointer
    assert len({empty, pointer, unknown}) == 3


def test_events_before_the_damage_come_out_and_the_error_names_the_file(plain, tmp_path):
    path = save(tmp_path / "cut.plain", at([5, 6]), tail=b"???")
    got = []
    with pytest.raises(RecordingError) as caught:
        got.extend(Reader(path))
    assert [len(part) for part in got] == [2]
    assert str(caught.value) == f"{path}: cut inside an event\n  expected 13 bytes, found 3"


# Reading whole


def test_read_returns_the_interval_its_events_span(plain, tmp_path):
    data = events([(7, 1, 2, True), (7, 3, 4, False), (30, 5, 6, True)])
    got = read(save(tmp_path / "a.plain", data))
    assert (got.start, got.stop, got.size) == (7, 31, (640, 480))
    assert np.array_equal(got.data, data)


def test_an_empty_recording_is_no_error(plain, tmp_path):
    got = read(save(tmp_path / "a.plain", at([])))
    assert (got.start, got.stop, len(got), got.size) == (0, 0, 0, (640, 480))
    assert list(stream(save(tmp_path / "a.plain", at([])))) == []


# Starting fast


def test_the_room_opens_without_numba():
    code = """
import sys
import spikestream.files.info, spikestream.files.reader, spikestream.files.stream, spikestream.files.write
import spikestream.sensors.base, spikestream.sensors.pace, spikestream.sensors.recording
print(sorted({"numba", "aiohttp", "llvmlite"} & set(sys.modules)))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.stdout == "[]\n", told.stderr


# With the real codecs and recordings


@pytest.mark.parametrize("format", ["aedat2", "aedat3", "aedat4", "bin"])
def test_what_the_codecs_keep_survives_the_next_chunk_in_the_same_buffer(tmp_path, format):
    rng = np.random.default_rng(4)
    data = at(np.sort(rng.integers(0, 2**23, 4 * CHUNK // 13)))
    data["x"], data["y"], data["p"] = *rng.integers(0, 128, (2, len(data))), rng.integers(0, 2, len(data))
    path = tmp_path / "noise.rec"
    write(path, Events(0, 2**23, data, (128, 128)), format=format)
    assert path.stat().st_size > 1.5 * CHUNK
    with Reader(path, format=format, size=(128, 128)) as reader:
        parts = list(reader)
    assert np.array_equal(np.concatenate(parts), data)


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_recordings_are_read_and_streamed_exactly(data: Path, name: str):
    format, count, first, last, size, on = REAL[name]
    got = read(data / "events" / name)
    assert (len(got), got.start, got.stop, got.size) == (count, first, last + 1, size)
    assert got.data["p"].mean() == pytest.approx(on, abs=5e-5 if on != 0.496 else 5e-4)
    with Reader(data / "events" / name) as reader:
        assert (reader.format, sum(map(len, reader)), reader.problems) == (format, count, {})
    batches = list(stream(data / "events" / name, length_us=7_000))
    assert np.array_equal(np.concatenate([batch.data for batch in batches]), got.data)
    assert all(a.stop == b.start for a, b in pairwise(batches))
    assert {batch.size for batch in batches} == {size}
