"""The channel: a recording waits, a live sensor drops its oldest, and every row is accounted for."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import events, noise, run

from spikestream.batch import Sound
from spikestream.service.channel import Channel


def rows(start, count):
    """Return a batch of `count` events, 10 µs long."""
    return events(start, start + 10, [(start, 0, 0, True)] * count)


def drained(channel):
    """Close the channel and return what was in it."""
    channel.close()
    got = []
    while (item := channel.get()) is not None:
        got.append(item[0])
    return got


def counts(channel):
    return channel.taken, channel.given, channel.dropped, channel.waiting


async def blocked(task):
    """Let the loop turn, and return whether the task still waits."""
    for _ in range(5):
        await asyncio.sleep(0)
    return not task.done()


def test_batches_come_out_as_they_went_in():
    async def work():
        channel = Channel()
        put = [noise(0, 10_000), rows(10_000, 0), rows(10_010, 3)]
        for batch in put:
            await channel.put(batch)
        assert counts(channel) == (33, 0, 0, 33)
        got = drained(channel)
        assert all(one is other for one, other in zip(got, put, strict=True))
        assert counts(channel) == (33, 33, 0, 0)
        assert channel.get() is None

    run(work())


@pytest.mark.parametrize(("limits", "fit"), [({"batches": 3}, 3), ({"rows": 10}, 2)])
def test_a_recording_waits_for_room_and_goes_on_when_there_is_some(limits, fit):
    async def work():
        channel = Channel(**limits)
        for n in range(fit):
            await channel.put(rows(10 * n, 5))
        last = asyncio.create_task(channel.put(rows(100, 5)))
        assert await blocked(last)
        assert counts(channel) == (5 * fit, 0, 0, 5 * fit)
        await asyncio.to_thread(channel.get)
        await last
        assert counts(channel) == (5 * fit + 5, 5, 0, 5 * fit)
        assert [batch.start for batch in drained(channel)] == [*range(10, 10 * fit, 10), 100]

    run(work())


def test_a_batch_larger_than_all_room_goes_in_when_it_is_alone():
    async def work():
        channel = Channel(rows=10)
        await channel.put(rows(0, 50))
        more = asyncio.create_task(channel.put(rows(10, 1)))
        assert await blocked(more)
        assert len((await asyncio.to_thread(channel.get))[0]) == 50
        await more
        channel.offer(rows(20, 50))
        assert counts(channel) == (101, 50, 1, 50)

    run(work())


def test_a_wait_that_is_cancelled_loses_nothing():
    async def work():
        channel = Channel(batches=1)
        await channel.put(rows(0, 5))
        waiting = asyncio.create_task(channel.put(rows(10, 7)))
        assert await blocked(waiting)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert [len(batch) for batch in drained(channel)] == [5, 7]
        assert counts(channel) == (12, 12, 0, 0)

    run(work())


@pytest.mark.parametrize(("limits", "kept"), [({"batches": 3}, [70, 80, 90]), ({"rows": 14}, [80, 90])])
def test_a_live_sensor_never_waits_and_loses_its_oldest(limits, kept):
    channel = Channel(**limits)
    for n in range(10):
        channel.offer(rows(10 * n, 5))
    assert counts(channel) == (50, 0, 50 - 5 * len(kept), 5 * len(kept))
    assert [batch.start for batch in drained(channel)] == kept
    assert counts(channel) == (50, 5 * len(kept), 50 - 5 * len(kept), 0)


def test_get_waits_for_a_batch_and_ends_when_closed():
    async def waits(channel):
        """Return a `get` that has been begun in another thread, long enough ago to wait by now."""
        begun = threading.Event()

        def get():
            begun.set()
            return channel.get()

        task = asyncio.create_task(asyncio.to_thread(get))
        while not begun.is_set():
            await asyncio.sleep(0)
        for _ in range(2_000):
            await asyncio.sleep(0)
        assert not task.done()
        return task

    async def work():
        channel = Channel()
        first = await waits(channel)
        channel.offer(rows(0, 2))
        assert len((await first)[0]) == 2
        second = await waits(channel)
        channel.close()
        assert await second is None

    run(work(), 20)


def test_batches_are_stamped_in_the_order_they_came():
    channel = Channel()
    for n in range(3):
        channel.offer(rows(10 * n, 1))
    came = [channel.get()[1] for _ in range(3)]
    assert came == sorted(came)


@given(
    st.lists(st.tuples(st.sampled_from(["offer", "get"]), st.integers(0, 9)), max_size=60),
    st.integers(1, 5),
    st.integers(1, 20),
)
@settings(deadline=None)
def test_what_was_taken_was_given_dropped_or_waits(steps, batches, limit):
    channel, queue, dropped, given_out, taken = Channel(batches, limit), [], 0, 0, 0
    for number, (step, count) in enumerate(steps):
        if step == "offer":
            while queue and (len(queue) >= batches or sum(queue) + count > limit):
                dropped += queue.pop(0)
            channel.offer(rows(10 * number, count))
            queue.append(count)
            taken += count
        elif queue:
            given_out += queue.pop(0)
            channel.get()
        assert counts(channel) == (taken, given_out, dropped, sum(queue))


def test_a_fast_recording_and_a_slow_pipeline_pass_everything_in_order():
    async def work():
        channel, got = Channel(batches=2, rows=30), []

        def pipeline():
            while (item := channel.get()) is not None:
                got.append(item[0].start)
                assert channel.waiting <= 30

        worker = threading.Thread(target=pipeline)
        worker.start()
        for n in range(2_000):
            await channel.put(rows(10 * n, n % 7))
        channel.close()
        await asyncio.to_thread(worker.join)
        assert got == [10 * n for n in range(2_000)]
        assert channel.taken == channel.given
        assert (channel.dropped, channel.waiting) == (0, 0)

    run(work())


def test_of_a_live_sensor_so_much_stream_time_waits_and_no_more():
    channel = Channel(1 << 13, span_us=4_000_000)
    for start in range(0, 6_000_000, 10_000):
        channel.offer(Sound(start, start + 10_000, np.zeros((160, 1), np.float32)))
    channel.close()
    first = channel.get()
    assert first is not None
    assert first[0].start == 2_000_000
    assert channel.dropped == 200 * 160
    assert channel.taken == channel.given + channel.dropped + channel.waiting
