"""The files room: opening, the time policy, options, errors that name the file, and writing whole or not at all."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plainformat import at, events, open_files, plain, python, save

from spikestream.batch import EVENT, Events
from spikestream.errors import ConfigError, PluginError, RecordingError
from spikestream.files.order import FUTURE_US, LIMIT_US, POLICIES, Order
from spikestream.files.reader import CHUNK, Reader
from spikestream.files.stream import read, stream
from spikestream.files.write import write

__all__ = ["plain"]


def whole(reader: Reader) -> np.ndarray:
    return np.concatenate([np.empty(0, EVENT), *reader])


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


def error_of(path: object, **options) -> str:
    with pytest.raises(RecordingError) as caught:
        whole(Reader(path, **options))
    return str(caught.value)


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


# Time


def naive_order(policy: str, times: list[int]) -> tuple[list[int | None], dict[str, int], int | None]:
    """Return what becomes of each stamp (None: dropped), the problems, and the event at which ``fail`` stops."""
    out, problems, last, top = [], {}, None, None

    def note(name):
        problems[name] = problems.get(name, 0) + 1

    for i, t in enumerate(times):
        if abs(t) > LIMIT_US:
            return out, problems, i
        step, last = (0 if last is None else t - last), t
        if step > FUTURE_US:
            note("future")
        if step < 0:
            note("backward")
            if policy == "fail":
                return out, problems, i
        if top is None or t >= top or policy == "keep":
            out.append(t)
            top = t
        elif policy == "clamp":
            out.append(top)
            note("clamped")
        else:
            note("dropped")
    return out, problems, None


steps = st.one_of(st.integers(-5, 5), st.integers(-(2**40), 2**40), st.sampled_from([FUTURE_US, FUTURE_US + 1]))
limits = st.sampled_from([2**62, -(2**62), 2**62 + 1, -(2**62) - 1, 2**63 - 1, -(2**63)])


@given(
    policy=st.sampled_from(POLICIES),
    first=st.one_of(st.integers(-100, 100), limits),
    deltas=st.lists(steps, max_size=30),
    wild=st.none() | limits,
    cuts=st.lists(st.integers(0, 31), max_size=6),
)
@settings(deadline=None, max_examples=400)
def test_every_policy_does_what_the_naive_loop_does(policy, first, deltas, wild, cuts):
    times = np.cumsum([first, *deltas], dtype=object).tolist() if abs(first) < 1000 else [first, *deltas]
    times += [] if wild is None else [wild]
    expected, problems, stopped = naive_order(policy, times)
    order, got, failed = Order(policy), [], False
    parts = np.split(at(times), sorted(min(cut, len(times)) for cut in cuts))
    before = [part.copy() for part in parts]
    try:
        for part in parts:
            for out in order.feed(part):
                got += out["t"].tolist()
    except RecordingError:
        failed = True
    assert failed == (stopped is not None)
    assert got == expected
    if policy != "fail" and not failed:
        assert order.problems == problems
    assert all(np.array_equal(a, b) for a, b in zip(parts, before, strict=True))


def test_only_the_time_of_a_late_event_changes():
    data = events([(5, 1, 2, True), (3, 3, 4, False), (9, 5, 6, True)])
    (clamped,) = Order("clamp").feed(data)
    (dropped,) = Order("drop").feed(data)
    assert clamped.tolist() == [(5, 1, 2, True), (5, 3, 4, False), (9, 5, 6, True)]
    assert dropped.tolist() == [(5, 1, 2, True), (9, 5, 6, True)]


def test_events_are_numbered_from_the_start_of_the_recording():
    order = Order()
    for part in ([1, 2, 3], [9, 4], [5]):
        list(order.feed(at(part)))
    assert order.warning() == "1 backward time step (largest -5 µs at event 4); time policy 'clamp' used"


def test_the_order_error_and_warning_say_where_and_how_far(plain, tmp_path):
    path = save(tmp_path / "late.plain", at([100_000, 90_000, 70_000, 200_000, 199_999]))
    with Reader(path) as reader:
        whole(reader)
        assert reader.problems == {"backward": 3, "clamped": 3}
        assert reader.warnings == ["3 backward time steps (largest -20 ms at event 2); time policy 'clamp' used"]
    assert error_of(path, time="fail") == f"{path}: time steps back by 10 ms at event 1\n  try: --time clamp"
    with pytest.raises(ConfigError, match="unknown time policy 'clmap'\n  allowed: clamp, drop, fail, keep"):
        Reader(path, time="clmap")


def test_a_stamp_beyond_what_time_can_hold_is_damage(plain, tmp_path):
    path = save(tmp_path / "far.plain", at([1, 2**62, 2**62 + 1]))
    assert error_of(path) == (
        f"{path}: a time stamp is beyond what stream time can hold\n"
        "  expected -2^62..2^62 µs, found 4611686018427387905 µs at event 2"
    )


def test_events_outside_of_the_size_are_counted_and_kept(plain, tmp_path):
    data = events([(1, 639, 479, True), (2, 640, 0, True), (3, 0, 480, True), (4, 65535, 65535, False)])
    with Reader(save(tmp_path / "a.plain", data)) as reader:
        assert np.array_equal(whole(reader), data)
        assert reader.problems == {"outside": 3}
    with Reader(save(tmp_path / "a.plain", data, size="")) as reader:
        assert (len(whole(reader)), reader.size, reader.problems) == (4, None, {})


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


# Writing


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


@pytest.mark.parametrize("moment", ["os.fsync", "os.replace"])
def test_a_killed_writer_leaves_the_old_file_whole(plain, tmp_path, moment):
    path = save(tmp_path / "a.plain", at([1]))
    old = path.read_bytes()
    code = f"""
import os, signal, sys
from plainformat import at
from spikestream.batch import Events
from spikestream.files.write import write
{moment} = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
write(sys.argv[1], Events(0, 9, at([5, 6, 7]), (640, 480)))
"""
    assert python(code, plain, path).returncode == -signal.SIGKILL
    assert path.read_bytes() == old


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


REAL = {
    "aedat2/davis240c_boxes.aedat": ("aedat2", 162_771, 294_976_755, 297_049_406, (240, 180), 0.5096),
    "aedat4/davis346.aedat4": ("aedat4", 6_676, 1589163147368868, 1589163147538809, (346, 260), 0.5337),
    "aedat4/dvxplorer.aedat4": ("aedat4", 111_954, 1605537493718345, 1605537494308262, (320, 240), 0.4915),
    "bin/nmnist.bin": ("bin", 4_325, 654, 311_175, (34, 34), 0.496),
}


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


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_recordings_survive_a_trip_through_aedat4(data: Path, tmp_path: Path, name: str):
    got = read(data / "events" / name)
    assert write(tmp_path / "copy.aedat4", stream(data / "events" / name)) == len(got)
    back = read(tmp_path / "copy.aedat4")
    assert np.array_equal(back.data, got.data)
    assert back.size == got.size
