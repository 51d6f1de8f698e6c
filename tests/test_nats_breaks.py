"""NATS, with a real server that dies, stands still, or hands on what it should not; and the lease."""

from __future__ import annotations

import asyncio
import os
import signal

import nats as nats_py
import pytest
from hubtools import run
from nats_cases import (
    STEP,
    TOPIC,
    batches,
    claimed,
    first,
    flow_of,
    kept,
    mortal,
    numbers,
    opened,
    publish,
    same,
    server,
    serving,
    stored,
)
from small import noise

from spikestream.broker import ANSWER_S
from spikestream.errors import DeviceError
from spikestream.sensors.nats.lease import Lease

__all__ = ["mortal", "server"]


def test_an_outage_of_the_broker_is_bridged_and_nothing_is_lost_or_stored_twice(mortal):
    async def work():
        hub = await opened(f"{mortal.place}/?stream=OUT&prefix=out")
        await publish(hub, batches(50))
        mortal.kill()
        for n in range(50, 150):
            await publish(hub, batches(1, n))
            await asyncio.sleep(0.01)
        assert flow_of(hub).sent.messages <= 50
        mortal.start()
        await publish(hub, batches(50, 150))
        await hub.drain(20)
        flow = flow_of(hub)
        await hub.aclose()
        return flow

    flow = run(work())
    assert (flow.sent.messages, flow.dropped.messages) == (200, 0)
    assert numbers(run(stored(mortal.place, "OUT")), f"out.{TOPIC}") == (list(range(200)), [])


def test_what_the_buffer_cannot_hold_is_dropped_oldest_first_and_told_to_who_reads(mortal):
    async def work():
        hub = await opened(f"{mortal.place}/?stream=SMALL&prefix=small&buffer_bytes=20000")
        await publish(hub, batches(5))
        await hub.drain(5)
        mortal.kill()
        await publish(hub, batches(200, 5))
        mortal.start()
        await hub.drain(20)
        flow = flow_of(hub)
        sensor = await claimed(kept(mortal, "SMALL", "small"))
        found = await first(sensor, flow.sent.messages)
        await sensor.release()
        await hub.aclose()
        return flow, found, sensor.stats()

    flow, found, stats = run(work())
    sent, lost = numbers(run(stored(mortal.place, "SMALL")), f"small.{TOPIC}")
    assert sorted(sent + lost) == list(range(205))
    assert len(lost) == flow.dropped.messages == stats["missing"] > 100
    assert sent[-1] == 204
    same(found, [batches(1, n)[0] for n in sent])


def test_without_a_stream_an_outage_costs_the_publisher_nothing(mortal):
    async def work():
        hub = await opened(mortal.place)
        await publish(hub, batches(5))
        await hub.drain(5)
        mortal.kill()
        await publish(hub, batches(100, 5))
        assert flow_of(hub).sent.messages == 5
        mortal.start()
        await hub.drain(20)
        await hub.aclose()
        return flow_of(hub)

    flow = run(work())
    assert (flow.sent.messages, flow.dropped.messages) == (105, 0)


def test_what_never_reached_the_broker_is_dropped_at_the_end_and_counted(mortal):
    async def work():
        hub = await opened(f"{mortal.place}/?stream=END&prefix=end")
        await publish(hub, batches(5))
        await hub.drain(5)
        mortal.kill()
        await publish(hub, batches(10, 5))
        await hub.drain(0.1)
        await hub.aclose()
        return flow_of(hub)

    flow = run(work())
    assert (flow.sent.messages, flow.dropped.messages) == (5, 10)


def test_a_consumer_that_is_deleted_is_made_anew_and_nothing_comes_twice(server):
    async def work():
        hub = await opened(f"{server.place}/?stream=DEL&prefix=del")
        sensor = await claimed(kept(server, "DEL", "del"))
        client = await nats_py.connect(f"nats://{server.place}")
        found = []
        await publish(hub, batches(10))
        async for batch in sensor.batches():
            found.append(batch)
            if len(found) == 10:
                await client.jetstream().delete_consumer("DEL", f"del-{TOPIC}".replace(".", "-"))
                await publish(hub, batches(10, 10))
            if len(found) == 20:
                break
        stats = sensor.stats()
        info = await client.jetstream().consumer_info("DEL", f"del-{TOPIC}".replace(".", "-"))
        assert info.ack_floor.stream_seq == 0  # nothing was saved
        await sensor.release()
        await client.close()
        await hub.aclose()
        return found, stats

    found, stats = run(work())
    same(found, batches(20))
    assert (stats["opened"], stats["repeated"]) == (2, 0)


def test_what_another_one_takes_from_the_consumer_is_fetched_again_in_order(server):
    async def work():
        hub = await opened(f"{server.place}/?stream=THIEF&prefix=t")
        sensor = await claimed(kept(server, "THIEF", "t"))
        client = await nats_py.connect(f"nats://{server.place}")
        stored_, found = client.jetstream(), []
        for n in range(3):
            await publish(hub, batches(1, n))
            await hub.drain(5)
        async for batch in sensor.batches():
            found.append(batch)
            if len(found) == 3:
                thief = await stored_.pull_subscribe_bind(f"t-{TOPIC}".replace(".", "-"), stream="THIEF")
                stealing = asyncio.create_task(thief.fetch(1, timeout=5))
                for n in range(3, 9):
                    await publish(hub, batches(1, n))
                    await hub.drain(5)
                assert len(await stealing) == 1
            if len(found) == 9:
                break
        await sensor.release()
        await client.close()
        await hub.aclose()
        return found, sensor.stats()

    found, stats = run(work())
    same(found, batches(9))
    assert stats["opened"] == 2


def test_foreign_messages_on_the_subject_are_counted_and_passed_over(server):
    async def work():
        hub = await opened(f"{server.place}/?stream=ALIEN&prefix=alien")
        client = await nats_py.connect(f"nats://{server.place}")
        aliens = [b"", b"hello", os.urandom(300), b"\x04\x00\x00\x00\x81\xa1k\xc0"]
        for n in range(10):
            await publish(hub, batches(1, n))
            await hub.drain(5)
            await client.publish(
                f"alien.{TOPIC}", aliens[n % 4], headers={"Spikestream-Epoch": "5eed"} if n % 2 else None
            )
            await client.flush()
        sensor = await claimed(kept(server, "ALIEN", "alien"))
        found = await first(sensor, 10)
        stats = sensor.stats()
        await sensor.release()
        await client.close()
        await hub.aclose()
        return found, stats

    found, stats = run(work())
    same(found, batches(10))
    assert (stats["foreign"], stats["missing"]) == (9, 0)


def test_more_than_the_broker_takes_is_left_out_and_told(tmp_path):
    conf = tmp_path / "conf"
    conf.write_text("max_payload: 4096\n")

    async def work(place):
        hub = await opened(f"{place}/?stream=LARGE&prefix=large")
        await publish(hub, [*batches(2), noise(2 * STEP, 4 * STEP, rate_hz=50_000), *batches(2, 4)])
        await hub.drain(5)
        await hub.aclose()
        return flow_of(hub)

    with serving(tmp_path, "-c", str(conf)) as server:
        flow = run(work(server.place))
        assert (flow.sent.messages, flow.dropped.messages) == (4, 1)
        assert numbers(run(stored(server.place, "LARGE")), f"large.{TOPIC}") == ([0, 1, 3, 4], [2])


def test_a_server_that_stands_still_is_waited_for(mortal):
    async def work():
        hub = await opened(f"{mortal.place}/?stream=STOP&prefix=stop")
        await publish(hub, batches(5))
        await hub.drain(5)
        mortal.kill(signal.SIGSTOP)
        await publish(hub, batches(20, 5))
        await asyncio.sleep(1.5 * ANSWER_S)  # what is sent again is there twice when it goes on
        mortal.kill(signal.SIGCONT)
        await hub.drain(20)
        await hub.aclose()

    run(work())
    assert numbers(run(stored(mortal.place, "STOP")), f"stop.{TOPIC}") == (list(range(25)), [])


# The lease.


def test_one_has_a_lease_and_another_gets_it_when_that_one_has_died_or_gives_it_back(server):
    async def work():
        client = await nats_py.connect(f"nats://{server.place}")
        stored_ = client.jetstream()
        one, other, third = (Lease(stored_, "L.x", 0.4, 1) for _ in range(3))
        await one.acquire()
        waiting = asyncio.create_task(other.acquire())
        await asyncio.sleep(1.0)
        assert one.held
        assert not waiting.done()
        one._renewing.cancel()  # as if its process were dead
        await waiting
        assert other.held
        assert not one.held
        with pytest.raises(DeviceError, match=r"the lease of L\.x is lost"):
            one.check()
        await one.release()  # what is no longer its own it cannot give away
        assert await still(other)
        waiting = asyncio.create_task(third.acquire())
        await other.release()
        await waiting
        assert third.held
        await third.release()
        await client.close()

    run(work())


def test_of_many_who_want_a_lease_at_once_one_gets_it(server):
    async def work():
        client = await nats_py.connect(f"nats://{server.place}")
        leases = [Lease(client.jetstream(), "L.z", 60.0, 1) for _ in range(8)]
        wanting = [asyncio.create_task(lease.acquire()) for lease in leases]
        await asyncio.wait(wanting, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0.2)
        held = sum(lease.held for lease in leases)
        for task in wanting:
            task.cancel()
        for lease in leases:
            await lease.release()
        await client.close()
        return held

    assert run(work()) == 1


async def still(lease):
    await asyncio.sleep(0.5)
    return lease.held


def test_a_process_that_stood_still_knows_that_its_lease_is_over_before_another_has_it(server):
    async def work():
        client = await nats_py.connect(f"nats://{server.place}")
        one, other = (Lease(client.jetstream(), "L.y", 0.4, 1) for _ in range(2))
        await one.acquire()
        one._renewing.cancel()
        waiting, held = asyncio.create_task(other.acquire()), []
        while not waiting.done():
            held.append((one.held, other.held))
            await asyncio.sleep(0.005)
        await other.release()
        await client.close()
        return held

    held = run(work())
    assert (True, True) not in held
    assert (False, False) in held  # between the two it is nobody's
