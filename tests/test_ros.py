"""ROS: bags, MCAP and SQLite written by rosbags and mcap, every message and encoding, against what was put in."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rosfiles
from fuzz import taken
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from plainformat import error_of, whole
from rosbags.highlevel import AnyReader

import spikestream as ss
from spikestream.batch import EVENT
from spikestream.files.reader import Reader
from spikestream.formats.prophesee.encoder import Evt3
from spikestream.formats.ros import MCAP

CONTAINERS = (".bag", ".db3", ".mcap")
PACKET = "event_camera_msgs/msg/EventPacket"
SIZE = (346, 260)
EPOCH_US = 1_600_000_000_000_000


def scene(n: int = 700, start: int = EPOCH_US) -> np.ndarray:
    rng = np.random.default_rng(3)
    events = np.empty(n, EVENT)
    events["t"] = start + np.sort(rng.integers(0, 90_000, n))
    events["x"], events["y"] = rng.integers(0, SIZE[0], n), rng.integers(0, SIZE[1], n)
    events["p"] = rng.integers(0, 2, n)
    return events


def arrays(events: np.ndarray, topic: str = "/dvs/events", package: str = "dvs_msgs") -> list[Any]:
    """Return messages of 0, 1, 2, … events."""
    parts = np.split(events, [0, 1, 3, 6, 10, 300])
    return [
        (topic, f"{package}/msg/EventArray", partial(rosfiles.array, events=part, package=package)) for part in parts
    ]


def packets(
    datas: list[bytes], encoding: str, bases: list[int] | None = None, seqs: list[int] | None = None
) -> list[Any]:
    rows = zip(datas, bases or [0] * len(datas), seqs or range(len(datas)), strict=True)
    return [
        (
            "/event_camera/events",
            PACKET,
            partial(rosfiles.packet, data=data, encoding=encoding, seq=seq, base_ns=base, size=SIZE),
        )
        for data, base, seq in rows
    ]


def rounded(ns: int, us: list[int]) -> list[int]:
    """Return µs with so many ns more, to the nearest µs, of two the even one."""
    return [round(Fraction(t * 1000 + ns, 1000)) for t in us]


@pytest.mark.parametrize("rest_ns", [0, 499, 500, 501, 999])
@pytest.mark.parametrize("first", [EPOCH_US, EPOCH_US + 1, 0])
def test_nanoseconds_are_rounded_to_the_nearest_microsecond(tmp_path, rest_ns, first):
    events = scene(4, first)
    events["t"] = us = [first, first + 1, first + 2, first + 999_999]
    message = partial(rosfiles.array, events=events, rest_ns=rest_ns)
    path = rosfiles.write(tmp_path / "a.bag", [("/dvs/events", "dvs_msgs/msg/EventArray", message)])
    assert ss.read(path).data["t"].tolist() == rounded(rest_ns, us)
    for encoding, encode in (("mono", partial(mono, rest_ns=0)), ("libcaer", libcaer), ("libcaer_cmp", caer_cmp)):
        base_ns = first * 1000 + rest_ns
        path = rosfiles.write(tmp_path / f"{encoding}.bag", packets([encode(events, first)], encoding, [base_ns]))
        base_us = rounded(rest_ns, [first])[0]
        wanted = rounded(rest_ns, us) if encoding == "mono" else [t - first + base_us for t in us]
        assert ss.read(path).data["t"].tolist() == wanted, encoding


def other(topic: str = "/other") -> tuple[str, str, Callable[[Any, int], Any]]:
    return (topic, "tests/msg/Other", lambda types, ros: types["tests/msg/Other"](number=7))


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("package", ["dvs_msgs", "prophesee_event_msgs"])
def test_arrays_of_events(tmp_path, suffix, package):
    path = rosfiles.write(tmp_path / f"a{suffix}", [other(), *arrays(scene(), package=package), other()])
    with Reader(path) as reader:
        assert np.array_equal(whole(reader), scene())
        assert (reader.size, reader.skipped, reader.warnings) == (SIZE, {"other message": 2}, [])
        assert reader.format == suffix[1:]


def evt3(events: np.ndarray) -> bytes:
    return Evt3().feed(events).partition(b"% end\n")[2]


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_the_state_of_evt3_is_carried_from_message_to_message(tmp_path, suffix):
    events = scene(start=123_456)
    words = evt3(events)
    datas = [words[at : at + 14] for at in range(0, len(words), 14)]  # seven words: rows and times hold across messages
    path = rosfiles.write(tmp_path / f"a{suffix}", packets(datas, "evt3"))
    assert np.array_equal(ss.read(path).data, events)


def caer_cmp(events: np.ndarray, base_us: int) -> bytes:
    """Write libcaer's packed words as its driver does, vectors for neighbours in y."""
    words, column, now, i = [], -1, 0, 0  # time is that of the base until a word says another
    rows = [(int(t) - base_us, int(x), int(y), int(p)) for t, x, y, p in events.tolist()]
    while i < len(rows):
        t, x, y, p = rows[i]
        if t != now:
            words += [t >> 12, 1 << 12 | t & 0xFFF]
            now = t
        if x != column:
            words.append(2 << 12 | x)
            column = x
        run = [row for row in rows[i : i + 24] if row == (t, x, row[2], p) and 0 <= row[2] - y < 24]
        if len(run) > 1 and run == rows[i : i + len(run)] and len({row[2] for row in run}) == len(run):
            mask = sum(1 << row[2] - y for row in run)
            words += [4 << 12 | p << 11 | y, *(5 << 12 | mask >> 8 * part & 0xFF for part in range(3))]
            i += len(run)
        else:
            words.append(3 << 12 | p << 11 | y)
            i += 1
    return np.array(words, "<u2").tobytes()


def columns_of_neighbours() -> np.ndarray:
    made = [(EPOCH_US + 50 * k, 7 * k % 300, 3 + row, k % 2 == 0) for k in range(100) for row in range(k % 24)]
    return np.array(made, EVENT)


def libcaer(events: np.ndarray, base_us: int) -> bytes:
    words = np.empty(len(events), [("data", "<u4"), ("t", "<i4")])
    words["t"] = (events["t"] - base_us) & 0x7FFFFFFF
    words["data"] = events["x"].astype("u4") << 17 | events["y"].astype("u4") << 2 | events["p"].astype("u4") << 1 | 1
    return words.tobytes()


def mono(events: np.ndarray, base_us: int, rest_ns: int = 600) -> bytes:
    ns = ((events["t"] - base_us) * 1000 + rest_ns).astype("u8")
    x, y, p = (events[name].astype("u8") for name in "xyp")
    return (ns | x << np.uint64(32) | y << np.uint64(48) | p << np.uint64(63)).astype("<u8").tobytes()


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize(
    ("encoding", "encode", "events"),
    [
        ("libcaer_cmp", caer_cmp, scene()),
        ("libcaer_cmp", caer_cmp, columns_of_neighbours()),
        ("libcaer", libcaer, scene()),
        ("mono", mono, scene()),
    ],
)
def test_encodings_that_count_from_a_base(tmp_path, suffix, encoding, encode, events):
    parts = np.split(events, [1, 4, 200])
    bases = [int(part["t"][0]) - back for part, back in zip(parts, (5, 0, 70, 0), strict=True)]
    datas = [encode(part, base) for part, base in zip(parts, bases, strict=True)]
    path = rosfiles.write(tmp_path / f"a{suffix}", packets(datas, encoding, [1000 * base + 400 for base in bases]))
    expected = events.copy()
    if encoding == "mono":
        expected["t"] += 1  # 600 ns and 400 ns
    assert np.array_equal(ss.read(path).data, expected)


def test_libcaers_time_wraps_within_a_packet(tmp_path):
    events = scene(50)
    events["t"] = EPOCH_US + 2**31 - 25 + np.arange(50)
    events[[23, 27]] = events[[27, 23]]  # one comes early across the wrap, and one late
    path = rosfiles.write(tmp_path / "a.bag", packets([libcaer(events, EPOCH_US)], "libcaer", [1000 * EPOCH_US]))
    with Reader(path, time="keep") as reader:
        assert np.array_equal(whole(reader), events)


def test_libcaers_steps_back_are_disorder_and_its_invalid_events_no_events(tmp_path):
    events = scene(8)
    events["t"] = EPOCH_US + np.array([100, 99, 101, 2**30 + 101, 101, 2**31 - 1, 2**31 + 5, 2**31 + 4])
    words = np.frombuffer(libcaer(events, EPOCH_US), "<u4").copy()
    words[4::8] &= 0xFFFFFFFE  # every fourth event, the third one first
    first, last = words[:8].tobytes(), words[8:].tobytes()
    path = rosfiles.write(tmp_path / "a.bag", packets([first, last], "libcaer", [1000 * EPOCH_US] * 2))
    with Reader(path, time="keep") as reader:
        assert np.array_equal(whole(reader), np.delete(events, [2, 6]))
    assert reader.skipped == {"invalid": 2}


def test_words_in_big_endian(tmp_path):
    events = scene(start=9)
    swapped = np.frombuffer(evt3(events), "<u2").astype(">u2").tobytes()

    def big(types: Any, ros: int) -> Any:
        made = rosfiles.packet(types, ros, swapped, "evt3", 0)
        return type(made)(**{**vars(made), "is_bigendian": True})

    assert np.array_equal(ss.read(rosfiles.write(tmp_path / "a.bag", [("/e", PACKET, big)])).data, events)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_messages_that_are_missing_are_counted(tmp_path, suffix):
    words = evt3(scene(start=0))
    path = rosfiles.write(tmp_path / f"a{suffix}", packets([words, b"", b"", b""], "evt3", seqs=[3, 4, 9, 11]))
    assert ss.info(path).warnings == ("5 messages are missing, as the numbers of the others tell",)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_of_several_topics_one_has_to_be_chosen(tmp_path, suffix):
    left, right = scene(40), scene(70)
    mixed = [one for pair in zip(arrays(left, "/left"), arrays(right, "/right"), strict=True) for one in pair]
    path = rosfiles.write(tmp_path / f"a{suffix}", [other("/about"), *mixed])
    said = error_of(path)
    assert "several topics hold events" in said
    assert "/left: dvs_msgs" in said
    assert "/right: dvs_msgs" in said
    assert "--option topic=/left" in said
    for topic, events in (("/left", left), ("/right", right)):
        assert np.array_equal(whole(Reader(path, topic=topic)), events)
    for topic in ("/about", "/nowhere"):
        said = error_of(path, topic=topic)
        assert f"there are no events of topic {topic}" in said
        assert "/about: tests" in said


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_recording_of_other_things_says_what_they_are(tmp_path, suffix):
    said = error_of(rosfiles.write(tmp_path / f"a{suffix}", [other("/one"), other("/two")]))
    assert "no topic holds events" in said
    assert "/one: tests" in said


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (packets([b"\1\2"], "evt4"), "packets in 'evt4' are not known"),
        (packets([b"\1"], "evt3"), "a packet of evt3 is damaged"),
        (packets([b"\1\2"], "mono"), "a packet of mono is damaged"),
        (packets([b""], "mono", [2**63]), "a packet of mono is damaged"),
    ],
)
def test_packets_that_are_none(tmp_path, message, what):
    assert what in error_of(rosfiles.write(tmp_path / "a.bag", message))


@pytest.mark.parametrize("packing", ["LZ4", "BZ2"])
def test_packed_bags(tmp_path, packing):
    path = rosfiles.write(tmp_path / "a.bag", arrays(scene()), packing)
    assert np.array_equal(ss.read(path).data, scene())


def mcap(packing: CompressionType, chunked: bool = True, ros: int = 2, end: bool = True) -> bytes:
    """Write MCAP by its own library, with the messages of ROS 1 or 2."""
    file, types = io.BytesIO(), rosfiles.store(ros)
    writer = McapWriter(file, chunk_size=900, compression=packing, use_chunking=chunked)
    writer.start(profile=f"ros{ros}")
    serialise = types.serialize_ros1 if ros == 1 else types.serialize_cdr
    name = "dvs_msgs/EventArray" if ros == 1 else "dvs_msgs/msg/EventArray"
    schema = writer.register_schema(name, "ros1msg" if ros == 1 else "ros2msg", b"not needed")
    channel = writer.register_channel("/dvs/events", "ros1" if ros == 1 else "cdr", schema)
    writer.add_attachment(0, 0, "notes", "text/plain", bytes(5_000))
    for time, (_, kind, make) in enumerate(arrays(scene())):
        writer.add_message(channel, time, bytes(serialise(make(types.types, ros), kind)), time)
    if end:
        writer.finish()
    return file.getvalue()


@pytest.mark.parametrize("ros", [1, 2])
@pytest.mark.parametrize("packing", list(CompressionType))
def test_packed_mcap_of_either_ros(tmp_path, packing, ros):
    (tmp_path / "a.mcap").write_bytes(mcap(packing, ros=ros))
    assert np.array_equal(ss.read(tmp_path / "a.mcap").data, scene())


def test_mcap_without_chunks_and_one_that_was_never_closed(tmp_path):
    (tmp_path / "a.mcap").write_bytes(mcap(CompressionType.NONE, chunked=False))
    assert np.array_equal(ss.read(tmp_path / "a.mcap").data, scene())
    whole_file = mcap(CompressionType.LZ4)
    decoder = MCAP.decoder()
    got, error = taken(decoder.feed(memoryview(whole_file)[: len(whole_file) * 4 // 5]), decoder.finish)
    assert "the MCAP file is cut short" in error
    assert 0 < len(got) < 700
    assert got == scene()[: len(got)].tolist()


def test_a_folder_of_ros_2_says_where_the_recording_is(tmp_path):
    path = rosfiles.write(tmp_path / "a.db3", arrays(scene()))
    assert f"spikestream info {path.parent}/*" in error_of(path.parent)


def test_a_bag_in_sqlite_is_never_written_to(tmp_path):
    path = rosfiles.write(tmp_path / "a.db3", arrays(scene()))
    before = path.read_bytes()
    ss.read(path)
    assert path.read_bytes() == before
    assert {one.name for one in path.parent.iterdir()} == {path.name, "metadata.yaml"}


@pytest.mark.realdata
def test_a_real_bag(data: Path):
    """Checked against the published counts of its own project, and rosbags' view of each message."""
    path = data / "events/ros/events.bag"
    facts, got = ss.info(path), ss.read(path)
    assert (facts.events, facts.first_t, facts.last_t, facts.size) == (343_474, 7_139_845, 9_218_023, (640, 480))
    assert (int((~got.data["p"]).sum()), int(got.data["p"].sum())) == (218_291, 125_183)
    assert (int(got.data["x"].max()), int(got.data["y"].max())) == (639, 479)
    assert (facts.skipped["trigger"], facts.warnings, facts.problems) == (4_157, (), {})
    with AnyReader([path]) as reader:
        sizes = sum(len(reader.deserialize(raw, one.msgtype).events) for one, _, raw in reader.messages())
        assert reader.message_count == 517
    assert 0 < sizes < os.path.getsize(path)
