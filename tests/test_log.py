"""The segment log: what was published comes back byte for byte, whatever happened to the process and the disk."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from itertools import pairwise

import msgpack
import pytest
from hubtools import room_for, run, tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from wirebytes import maps

from spikestream.errors import ConfigError, RecordingError
from spikestream.log import Limits, SegmentLog
from spikestream.log import place as places
from spikestream.log.place import Place
from spikestream.log.segment import bytes_of, listed, opened
from spikestream.log.writing import SPARE
from spikestream.outputs.file import File
from spikestream.service.hub import Hub
from spikestream.wire import BYE, ClientSession, Stats

A, B = "main.network.spikes", "main.engine.stats"
SMALL = Limits(segment_bytes=1 << 16)


def hub_of(log, *others):
    return Hub([log, *others], epoch=log.epoch, numbers=log.numbers, past=log)


def stats(n, size=0):
    return Stats(n, n, {"n": n, "pad": "x" * size})


def logged(folder, publish, limits=SMALL, **options):
    """Run ``publish`` on a hub with a log; return what the log gives back before it is closed, as (topic, number)."""

    async def work():
        log = SegmentLog(folder, limits, **options)
        hub = hub_of(log)
        await hub.start()
        publish(hub)
        await hub.drain()
        assert hub.ledger().problems() == []
        got = numbers(log)
        await hub.aclose()
        return got

    return run(work())


def numbers(log, seq_of=lambda topic: 0):
    return [(one.topic, one.seq) for one in log.read(seq_of)]


def kept(folder):
    """Return (epoch, next numbers, what is kept) of a log that is opened and closed again without a message."""

    async def work():
        log = SegmentLog(folder, SMALL)
        got = list(log.read(lambda topic: 0))
        await hub_of(log).start()
        await log.aclose()
        return log.epoch, dict(log.numbers), got

    return run(work())


def subscribed(folder):
    """Return the counts of a subscriber who is given the whole folder as one stream; he sees every hole named."""
    session = ClientSession()
    session.subscribe(["*"])
    for path in listed(folder):
        for data in bytes_of(path):
            if data != BYE:
                list(session.receive(data))
    return session.counts


def publish(n, size=0, start=0):
    def publishes(hub):
        for number in range(start, start + n):
            hub.publish(A, tiny(number))
            hub.publish(B, stats(number, size))

    return publishes


def pairs(start, stop):
    return [(topic, number) for number in range(start, stop) for topic in (A, B)]


# There and back


def test_frames_come_back_byte_for_byte_and_in_order(tmp_path):
    async def work():
        log, file = SegmentLog(tmp_path / "log", SMALL), File(str(tmp_path / "x.ssp"))
        hub = hub_of(log, file)
        await hub.start()
        publish(300, size=900)(hub)
        at_once = list(log.read(lambda topic: 0))  # most of it is not written yet
        await hub.drain()
        later = list(log.read(lambda topic: 0))
        await hub.aclose()
        return at_once, later

    at_once, later = run(work())
    assert at_once == later
    assert [(one.topic, one.seq) for one in later] == pairs(0, 300)
    _, rest = (tmp_path / "x.ssp").read_bytes().split(later[0].frame, 1)
    assert later[0].frame + rest == b"".join(one.frame for one in later) + BYE
    assert len(listed(tmp_path / "log")) > 3
    assert [one.rows for one in later[:2]] == [len(tiny(0)), 0]
    assert all(msgpack.unpackb(one.frame[4:])["t"] == one.t_ns for one in later)


def test_epoch_and_numbers_go_on_after_a_restart(tmp_path):
    assert logged(tmp_path / "log", publish(3)) == pairs(0, 3)
    assert logged(tmp_path / "log", publish(2)) == pairs(0, 5)
    assert subscribed(tmp_path / "log")[A].missing == 0
    epoch, following, got = kept(tmp_path / "log")
    assert (following, len(got)) == ({A: 5, B: 5}, 10)
    assert kept(tmp_path / "log")[0] == epoch


def test_only_what_is_wanted_is_kept_and_the_numbers_of_all_go_on(tmp_path):
    def log():
        return SegmentLog.of(str(tmp_path / "log"), ["stats"], ["main.>"], SMALL, 1.0)

    async def work():
        made = log()
        hub = hub_of(made)
        await hub.start()
        publish(4)(hub)
        hub.publish("other.engine.stats", stats(0))
        await hub.drain()
        assert numbers(made) == [(B, n) for n in range(4)]
        assert (made.first(A), made.first(B), made.first("other.engine.stats")) == (None, 0, None)
        assert hub.ledger().problems() == []
        await hub.aclose()
        again = log()
        assert again.numbers == {A: 4, B: 4, "other.engine.stats": 1}
        await hub_of(again).start()
        await again.aclose()

    run(work())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 210), st.integers(0, 210) | st.none(), st.integers(0, 220))
def test_what_is_read_is_what_was_asked_for(whole, a, b, after):
    log, times = whole
    wanted = {A: a, B: b}
    t_ns = times[after] if after < len(times) else 0
    naive = [
        (topic, seq)
        for (topic, seq), t in zip(pairs(0, 200), times, strict=True)
        if wanted[topic] is not None and seq >= wanted[topic] and t >= t_ns
    ]
    assert [(one.topic, one.seq) for one in log.read(wanted.get, t_ns)] == naive


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A log of 200 messages of each topic in several segments, and when each was published."""
    folder = tmp_path_factory.mktemp("whole") / "log"
    logged(folder, publish(200, size=2_000))
    log = SegmentLog(folder, SMALL)
    yield log, [one.t_ns for one in log.read(lambda topic: 0)]
    run(log.aclose()) if log._writer._thread.is_alive() else log._place.aclose()


def test_who_reads_on_late_reads_what_is_kept_by_then_and_what_came_meanwhile(tmp_path):
    async def work():
        log = SegmentLog(tmp_path / "log", Limits(max_bytes=5 << 16, segment_bytes=1 << 16))
        hub = hub_of(log)
        await hub.start()
        publish(100, size=1_000)(hub)
        await hub.drain()
        reading = log.read(lambda topic: 0)
        got = [next(reading)]
        publish(600, size=1_000, start=100)(hub)
        await hub.drain()
        oldest = log.first(B)
        got += [next(reading)]
        publish(1, start=700)(hub)
        got += list(reading)
        await hub.aclose()
        return oldest, [one.seq for one in got if one.topic == B]

    oldest, seen = run(work())
    assert oldest > 100
    assert seen == sorted(set(seen))
    assert seen[-1] == 700
    assert set(range(oldest, 701)) <= set(seen)


# What goes and what stays


def test_no_more_bytes_than_asked_for_are_kept(tmp_path):
    limits, sizes = Limits(max_bytes=4 << 16, segment_bytes=1 << 16), []

    async def work():
        log = SegmentLog(tmp_path / "log", limits)
        hub = hub_of(log)
        await hub.start()
        for number in range(100):
            publish(10, size=1_000, start=10 * number)(hub)
            await hub.drain()
            sizes.append(sum(path.stat().st_size for path in listed(tmp_path / "log")))
        assert numbers(log)[-2:] == pairs(999, 1_000)
        assert log.first(A) == next(number for topic, number in numbers(log) if topic == A)
        await hub.aclose()

    run(work())
    assert max(sizes) <= 4 << 16
    assert min(sizes[-20:]) > 2 << 16
    assert kept(tmp_path / "log")[1] == {A: 1_000, B: 1_000}


def test_what_is_too_old_is_deleted_and_the_numbers_go_on(tmp_path):
    logged(tmp_path / "log", publish(100, size=1_000))
    segments = listed(tmp_path / "log")
    for path in segments[:-1]:
        os.utime(path, (0, time.time() - 3_600))
    os.utime(segments[-1], (0, time.time() + 3_600))  # of a clock that was wrong
    got = logged(tmp_path / "log", publish(1, start=100), Limits(max_age_s=1_800))
    assert got[-2:] == pairs(100, 101)
    assert (0 < len(got) < 100, (A, 0) in got) == (True, False)
    assert [path for path in segments if path.exists()] == segments[-1:]


def test_one_process_writes_a_log(tmp_path):
    log = SegmentLog(tmp_path / "log")
    with pytest.raises(ConfigError, match="another process writes into"):
        SegmentLog(tmp_path / "log")
    run(hub_of(log).start())
    run(log.aclose())
    SegmentLog(tmp_path / "log")._place.aclose()


def test_a_place_nothing_can_be_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    for place in ("file", "missing/log", "file/log"):
        with pytest.raises(RecordingError, match="cannot be written"):
            SegmentLog(tmp_path / place)


# Disks


def test_a_full_disk_is_told_once_counted_and_gone_on_after(tmp_path, caplog):
    async def work():
        log = SegmentLog(tmp_path / "log", queue_bytes=20_000)
        hub = hub_of(log)
        await hub.start()
        publish(5, size=1_000)(hub)
        await hub.drain()
        with room_for(listed(tmp_path / "log")[0], more=100):
            publish(40, size=1_000, start=5)(hub)
            await hub.drain(0.3)
            assert hub.ledger().problems() == []
            (delivery,) = hub.ledger().subscribers
            dropped = delivery.flows[B].dropped.messages
            assert dropped > 20
        await hub.drain(3)
        publish(5, start=45)(hub)
        await hub.drain()
        assert hub.ledger().problems() == []
        await hub.aclose()
        return dropped

    dropped = run(work())
    assert [record.message.count("File too large") for record in caplog.records] == [1, 0]
    assert "is written again" in caplog.records[1].message
    counts = subscribed(tmp_path / "log")
    assert (counts[B].next, counts[B].gaps, counts[B].missing) == (50, 1, dropped)
    assert [n for topic, n in [(o.topic, o.seq) for o in kept(tmp_path / "log")[2]] if topic == B][-5:] == [
        *range(45, 50)
    ]


def test_a_strict_log_makes_its_writer_wait_and_tells_him_of_the_disk(tmp_path):
    async def work():
        log = SegmentLog(tmp_path / "log", queue_bytes=5_000, strict=True)
        hub = hub_of(log)
        await hub.start()
        publish(200, size=1_000)(hub)
        await hub.drain()
        with room_for(listed(tmp_path / "log")[0], more=100), pytest.raises(RecordingError, match="File too large"):
            publish(40, size=1_000, start=200)(hub)
        with pytest.raises(RecordingError, match="File too large"):
            await hub.aclose()

    run(work())
    assert [(one.topic, one.seq) for one in kept(tmp_path / "log")[2]] == pairs(0, 200)


# Crashes


def test_whatever_a_crash_leaves_behind_all_that_was_written_before_is_there(tmp_path):
    ends = []

    async def left():
        log = SegmentLog(tmp_path / "log")
        hub = hub_of(log)
        await hub.start()
        for number in range(10):
            publish(2, start=2 * number)(hub)
            await hub.drain()
            ends.append(listed(tmp_path / "log")[0].stat().st_size)
        shutil.copytree(tmp_path / "log", tmp_path / "left")
        await hub.aclose()
        return list(log.read(lambda topic: 0))

    whole = run(left())
    (segment,) = listed(tmp_path / "left")
    data = segment.read_bytes()
    assert not data.endswith(BYE)
    for cut in range(ends[-2] - 1, len(data) + 1, 23):
        for junk in (b"", bytes(64), b"\xff" * 9, b"\x05\0\0\0abcde"):
            shutil.rmtree(tmp_path / "left")
            (tmp_path / "left").mkdir()
            segment.write_bytes(data[:cut] + junk)
            _, following, got = kept(tmp_path / "left")
            assert got == whole[: 4 * sum(end <= cut for end in ends)]
            assert following[A] > 20  # beyond all that anybody may have seen
            assert listed(tmp_path / "left")[0].read_bytes().endswith(BYE)


@pytest.mark.parametrize("junk", [b"", b"nonsense", bytes(5_000)])
def test_what_is_no_segment_is_set_aside_and_the_log_goes_on(junk, tmp_path):
    logged(tmp_path / "log", publish(3))
    for name in ("000000000000.ssp", "000000000009.ssp", "notes.txt"):
        (tmp_path / "log" / name).write_bytes(junk)
    assert logged(tmp_path / "log", publish(1)) == pairs(0, 4)
    assert (tmp_path / "log" / "000000000000.ssp.bad").read_bytes() == junk
    assert (tmp_path / "log" / "000000000009.ssp.bad").exists() == bool(junk)
    assert (tmp_path / "log" / "notes.txt").read_bytes() == junk


def test_a_damaged_index_is_made_again_by_reading(tmp_path):
    logged(tmp_path / "log", publish(3))
    (segment,) = listed(tmp_path / "log")
    data = bytearray(segment.read_bytes())
    data[data.rindex(b"blocks") + 8] ^= 0xFF
    segment.write_bytes(data)
    assert [(one.topic, one.seq) for one in kept(tmp_path / "log")[2]] == pairs(0, 3)


def endless(folder, told):
    """Publish for ever, telling which number came last: the child that is killed."""

    async def work():
        log = SegmentLog(folder, SMALL, sync_s=0.01)
        hub = hub_of(log)
        await hub.start()
        while True:
            hub.publish(A, tiny(0))
            hub.publish(B, stats(0, 500))
            os.write(told, (hub.numbers()[B] - 1).to_bytes(8, "little"))

    run(work())


def publishing(folder):
    """Return a process that publishes for ever, and where its numbers can be read."""
    heard, told = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(heard)
            endless(folder, told)
        finally:
            os._exit(1)
    os.close(told)
    return child, heard


def test_killed_at_once_it_gives_no_number_again(tmp_path):
    for n in range(10):
        numbers = []
        for _ in range(2):
            child, heard = publishing(tmp_path / f"log{n}")
            numbers.append(int.from_bytes(os.read(heard, 8), "little"))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            while more := os.read(heard, 8):
                numbers.append(int.from_bytes(more, "little"))
            os.close(heard)
        assert numbers == sorted(set(numbers))


def test_killed_at_any_moment_it_goes_on_behind_all_that_was_seen(tmp_path):
    seen = -1
    for n in range(10):
        child, heard = publishing(tmp_path / "log")
        first = int.from_bytes(os.read(heard, 8), "little")
        assert first > seen  # no number was given twice
        for _ in range(20 + 37 * n):
            seen = int.from_bytes(os.read(heard, 8), "little")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := os.read(heard, 8):
            seen = int.from_bytes(more[:8], "little")
        os.close(heard)
        assert not [path for path in (tmp_path / "log").iterdir() if path.suffix == ".bad"]
    _, following, got = kept(tmp_path / "log")
    assert seen < following[B] <= seen + 2 * SPARE
    seqs = [one.seq for one in got if one.topic == B]
    assert seqs == sorted(set(seqs))
    holes = sum(b != a + 1 for a, b in pairwise(seqs))
    assert (0 < holes <= 9, len(seqs) > 100) == (True, True)
    counts = subscribed(tmp_path / "log")
    assert counts[B].messages + counts[B].missing == counts[B].next - counts[B].first
    assert counts[B].gaps == holes


def test_a_segment_of_another_log_is_set_aside(tmp_path):
    logged(tmp_path / "other", publish(5))
    logged(tmp_path / "log", publish(3))
    (mine,) = listed(tmp_path / "log")
    (foreign,) = listed(tmp_path / "other")
    mine.rename(mine.with_name("000000000007.ssp"))
    foreign.rename(mine)
    assert logged(tmp_path / "log", publish(1)) == pairs(0, 4)
    assert mine.with_name(f"{mine.name}.bad").exists()


def test_a_segment_that_cannot_be_read_is_a_hole_told_of_once(tmp_path, caplog):
    async def work():
        log = SegmentLog(tmp_path / "log", SMALL)
        hub = hub_of(log)
        await hub.start()
        publish(200, size=1_000)(hub)
        await hub.drain()
        first, second, *_ = listed(tmp_path / "log")
        first.unlink()
        first.symlink_to(first)  # a loop: as good as a broken disk, for root too
        for _ in range(2):
            left = numbers(log)
        second.unlink()
        fewer = numbers(log)  # deleted by hand
        await hub.aclose()
        return left, fewer

    left, fewer = run(work())
    assert left == pairs(left[0][1], 200)
    assert fewer == pairs(fewer[0][1], 200)
    assert 0 < left[0][1] < fewer[0][1] < 200
    assert [record.message.count("cannot be read: Too many levels") for record in caplog.records] == [1]


def test_what_is_in_the_way_of_a_log_is_named(tmp_path):
    (tmp_path / "000000000001.ssp").mkdir()
    with pytest.raises(RecordingError, match="it is a folder") as caught:
        SegmentLog(tmp_path)
    assert caught.value.file == str(tmp_path / "000000000001.ssp")


def crashed(folder, publishes):
    """Return a log as a process leaves it that is killed once it has written what it published."""

    async def work():
        log = SegmentLog(folder / "log", Limits(segment_bytes=64 << 20))
        hub = hub_of(log)
        await hub.start()
        publishes(hub)
        await hub.drain()
        shutil.copytree(folder / "log", folder / "left")
        whole = list(log.read(lambda topic: 0))
        await hub.aclose()
        return whole

    return folder / "left", run(work())


def test_after_a_crash_the_hole_in_the_numbers_is_named(tmp_path):
    left, _ = crashed(tmp_path, publish(10))
    logged(left, publish(1))
    gaps = [m for path in listed(left) for m in maps(b"".join(bytes_of(path))) if m.get("k") == "gap"]
    assert [(gap["c"], gap["from"], gap["why"]) for gap in gaps] == [(A, 10, "restart"), (B, 10, "restart")]
    assert all(10 < gap["to"] <= 10 + 2 * SPARE for gap in gaps)


def test_a_long_segment_that_was_not_ended_is_found_in_blocks_as_it_was(tmp_path):
    left, whole = crashed(tmp_path, publish(60, size=60_000))
    segment, file = opened(listed(left)[0])
    file.close()
    assert len(segment.blocks) == 4
    assert all(a.end <= b.at for a, b in pairwise(segment.blocks))
    assert {t: span for block in segment.blocks[1:] for t, span in block.topics.items()}[B][1] == 59
    assert kept(left)[2] == whole


def test_no_damage_to_an_index_hides_a_message_or_gives_a_number_again(tmp_path):
    logged(tmp_path / "log", publish(3))
    (segment,) = listed(tmp_path / "log")
    data = segment.read_bytes()
    for at in range(data.rindex(b"\xa2op\xa5index"), len(data)):
        for flip in (1, 0x10, 0xFF):
            damaged = bytearray(data)
            damaged[at] ^= flip
            segment.write_bytes(damaged)
            found, file = opened(segment)
            file.close()
            assert found.lasts() == {A: 2, B: 2}
            assert found.next[A] >= 3
            assert found.next[B] >= 3


def test_a_segment_of_a_later_version_is_kept_and_not_read(tmp_path):
    logged(tmp_path / "log", publish(3))
    (segment,) = listed(tmp_path / "log")
    segment.write_bytes(segment.read_bytes().replace(b"\xa3log\xa1v\x01", b"\xa3log\xa1v\x02"))
    assert kept(tmp_path / "log")[2] == []
    assert segment.with_name(f"{segment.name}.bad").exists()


def test_of_a_segment_that_was_only_begun_nothing_is_left(tmp_path):
    logged(tmp_path / "log", publish(3))
    (segment,) = listed(tmp_path / "log")
    head = segment.read_bytes()
    head = head[: head.index(b"\xa2op\xa3log") + 18]
    for size in range(0, len(head), 2):
        segment.with_name("000000000009.ssp").write_bytes(head[:size])
        assert kept(tmp_path / "log")[1] == {A: 3, B: 3}
        bad = segment.with_name("000000000009.ssp.bad")
        assert bad.exists() == (0 < size < 14), size  # of so few bytes nobody knows what they were
        bad.unlink(missing_ok=True)
        for path in listed(tmp_path / "log")[1:]:
            path.unlink()


def test_a_torn_frame_is_never_read(tmp_path):
    left, whole = crashed(tmp_path, publish(20, size=500))
    (segment,) = listed(left)
    data = segment.read_bytes()
    for cut in range(len(data) - 2_000, len(data), 97):
        segment.write_bytes(data[:cut])
        for frame in bytes_of(segment):
            assert len(frame) == 4 + int.from_bytes(frame[:4], "little")
    segment.write_bytes(data)

    async def work():
        log = SegmentLog(left)
        os.truncate(segment, len(data) - 700)
        got = list(log.read(lambda topic: 0))
        log._place.aclose()
        return got

    got = run(work())
    assert got == whole[: len(got)]
    assert 20 < len(got) < 40


def test_a_time_is_found_though_the_clock_went_back(tmp_path):
    times = [5, 9, 3, 4]

    async def work():
        log = SegmentLog(tmp_path / "log")
        clock = iter(times)
        hub = Hub([log], epoch=log.epoch, numbers=log.numbers, past=log, now_ns=lambda: next(clock))
        await hub.start()
        for n in range(4):
            hub.publish(B, stats(n))
        await hub.drain()
        found = [[one.seq for one in log.read(lambda topic: 0, t_ns)] for t_ns in range(11)]
        await hub.aclose()
        return found

    assert run(work()) == [[n for n in range(4) if times[n] >= t_ns] for t_ns in range(11)]


def test_of_a_block_the_last_message_is_found_by_its_time(whole):
    log, times = whole
    (last,) = {one.seq for one in log.read(lambda topic: 0, times[-1]) if one.topic == B and one.t_ns == times[-1]}
    assert last == 199


def test_at_the_end_a_full_disk_is_given_up_and_all_that_is_missing_counted(tmp_path):
    async def work():
        log = SegmentLog(tmp_path / "log")
        hub = hub_of(log)
        await hub.start()
        publish(5, size=1_000)(hub)
        await hub.drain()
        with room_for(listed(tmp_path / "log")[0], more=100):
            hub.publish("x.late.stats", stats(0, 1_000))
            publish(5, size=1_000, start=5)(hub)
            assert log.first("x.late.stats") == 0, "it waits in memory"
            await hub.aclose()
        (delivery,) = log.deliveries()
        assert [flow.imbalance() for flow in delivery.flows.values()] == [0, 0, 0]
        return delivery.flows[B]

    flow = run(work())
    assert (flow.due.messages, flow.sent.messages, flow.dropped.messages) == (10, 5, 5)
    assert kept(tmp_path / "log")[1][B] >= 10


def test_a_file_in_the_way_of_the_next_segment_is_not_written_over(tmp_path):
    async def work():
        log = SegmentLog(tmp_path / "log", SMALL)
        hub = hub_of(log)
        await hub.start()
        foreign = tmp_path / "log" / "000000000002.ssp"
        foreign.write_bytes(b"mine")
        publish(100, size=1_000)(hub)
        await hub.drain(0.3)
        assert foreign.read_bytes() == b"mine"
        foreign.unlink()
        await hub.drain()
        got = numbers(log)
        await hub.aclose()
        return got

    assert run(work()) == pairs(0, 100)


def test_the_segment_that_is_being_written_stays_however_little_may_be_kept(tmp_path):
    got = logged(tmp_path / "log", publish(200, size=1_000), Limits(max_bytes=1, segment_bytes=1 << 16))
    assert got[-1] == (B, 199)
    assert len(listed(tmp_path / "log")) == 1


class Clock:
    """What `time` is to the place of a log, at the times told."""

    time, time_ns = staticmethod(time.time), staticmethod(time.time_ns)

    def __init__(self):
        self.now_s = 1_000.0

    def monotonic(self):
        return self.now_s


def test_a_segment_ends_in_time_and_is_as_old_as_its_last_write(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(places, "time", clock)
    place = Place(tmp_path / "log", Limits(max_age_s=800.0))
    place.open({})
    place.writing.note(A, 0, 1, 1, 2)
    clock.now_s = 1_100.0
    assert not place.is_due()
    clock.now_s = 1_101.0
    assert place.is_due()
    place.end({A: 1})
    place.open({A: 1})
    for now_s, count in ((1_900.0, 2), (1_902.0, 1)):
        clock.now_s = now_s
        place.let_go()
        assert len(place.segments) == len(listed(tmp_path / "log")) == count
    place.end({A: 1})
    place.aclose()


def test_what_is_written_is_brought_to_the_disk(tmp_path, monkeypatch):
    synced, real, folder = [], os.fdatasync, os.fsync

    def datasync(file):
        synced.append(os.fstat(file).st_size)
        real(file)

    def sync(file):
        synced.append("folder")
        folder(file)

    monkeypatch.setattr(os, "fdatasync", datasync)
    monkeypatch.setattr(os, "fsync", sync)

    async def work():
        log = SegmentLog(tmp_path / "log", sync_s=0.0)
        hub = hub_of(log)
        await hub.start()
        begun = listed(tmp_path / "log")[0].stat().st_size
        assert synced == [begun, "folder"]
        publish(3)(hub)
        await hub.drain()
        while synced[-1] == "folder":
            await asyncio.sleep(0)
        assert synced[2] > begun
        await hub.aclose()
        assert synced[-1] == listed(tmp_path / "log")[0].stat().st_size

    run(work())
