"""NATS, with a real server: what is published on one end is learned on the other, once and in order."""

from __future__ import annotations

import asyncio
import threading

import nats as nats_py
import pytest
from broken import broken
from hubtools import run
from nats_cases import (
    STEP,
    TOPIC,
    batches,
    claimed,
    first,
    kept,
    numbers,
    opened,
    publish,
    same,
    server,
    stored,
)
from small import SIZE, config, noise, pipeline

from spikestream import checkpoint, checks
from spikestream.errors import DeviceError, ModelError
from spikestream.outputs.nats import Nats
from spikestream.sensors.base import Counting, Resumable
from spikestream.sensors.nats import nats
from spikestream.service.daemon import Daemon
from spikestream.service.job import daemon_job
from spikestream.wire import FrameReader, Stats
from spikestream.wire.frames import FROM_SERVER, unpack

__all__ = ["server"]


# The laws.


@pytest.mark.parametrize("stream", ["", "&stream=LAWS&prefix=laws"])
def test_an_output_keeps_the_laws(server, stream):
    url = f"{server.place}/?buffer_bytes=2000000{stream}"
    assert broken(checks.output(lambda: Nats(url), memory=24 << 20)) == set()


class Claimed:
    """A kept stream for checks that know no claims."""

    live = False

    def __init__(self, sensor):
        self.sensor, self.size = sensor, sensor.size

    sent = property(lambda self: self.sensor.sent)

    async def batches(self, start=0):
        await claimed(self.sensor)
        try:
            async for batch in self.sensor.batches():
                yield batch
        finally:
            await self.sensor.release()


def test_a_kept_sensor_keeps_the_laws(server):
    url = f"{server.place}/?stream=KEPT&prefix=kept"

    async def fill():
        hub = await opened(url)
        await publish(hub, batches(60))
        await hub.drain(5)
        await hub.aclose()

    run(fill())
    # Where it begins is said by a checkpoint, and by no stream time.
    laws = [one for one in checks.sensor(lambda: Claimed(kept(server, "KEPT", "kept"))) if one[0] != "restartable"]
    assert broken(laws) == set()
    assert isinstance(kept(server, "KEPT", "kept"), Resumable)
    assert isinstance(kept(server, "KEPT", "kept"), Counting)


def test_a_live_sensor_keeps_the_laws(server):
    ended = threading.Event()

    async def talk():
        hub = await opened(f"{server.place}/?prefix=laws")
        for batch in batches(10_000):
            hub.publish(TOPIC, batch)
            await asyncio.sleep(0.005)
            if ended.is_set():
                break
        await hub.aclose()

    talking = threading.Thread(target=lambda: asyncio.run(talk()))
    talking.start()
    try:
        assert broken(checks.sensor(lambda: nats(f"{server.place}/laws.{TOPIC}"), batches=10)) == set()
    finally:
        ended.set()
        talking.join()


# From one end to the other.


def test_a_live_sensor_gets_what_is_published_and_a_gap_for_what_it_missed(server):
    async def work():
        hub = await opened(server.place)
        sensor = nats(f"{server.place}/{TOPIC}", size="4x4")
        assert (sensor.live, sensor.size) == (True, SIZE)
        listening = asyncio.create_task(first(sensor, 20))
        given, published = batches(60), 0
        while not listening.done():
            await publish(hub, given[published : published + 1])
            published += 1
            await asyncio.sleep(0.01)
        found = await listening
        begin = found[0].start // STEP
        same(found, given[begin : begin + 20])
        await hub.aclose()

    run(work())


def test_the_size_is_asked_of_what_is_published(server):
    async def work():
        hub = await opened(server.place)

        async def talk():
            for batch in batches(500):
                hub.publish("size.filter.events", batch)
                await asyncio.sleep(0.01)

        talking = asyncio.create_task(talk())
        sensor = await asyncio.to_thread(nats, f"{server.place}/size.filter.events")
        talking.cancel()
        await hub.aclose()
        return sensor.size

    assert run(work()) == SIZE


def test_a_checkpoint_is_gone_on_from_in_the_middle_of_a_bundle_and_only_then_acknowledged(server):
    url = f"{server.place}/?stream=MID&prefix=mid"

    async def work():
        hub = await opened(url)
        await publish(hub, batches(50))
        await hub.drain(5)
        sensor = await claimed(kept(server, "MID", "mid"))
        same(await first(sensor, 33), batches(33))
        early, late = sensor.position(20 * STEP), sensor.position(31 * STEP)
        assert sensor.position(25 * STEP) is None  # it was asked for later ones
        client = await nats_py.connect(f"nats://{server.place}")
        info = await client.jetstream().consumer_info("MID", f"mid-{TOPIC}".replace(".", "-"))
        assert info.ack_floor.stream_seq == 0
        await sensor.saved(late)
        info = await client.jetstream().consumer_info("MID", f"mid-{TOPIC}".replace(".", "-"))
        assert info.ack_floor.stream_seq == late["nats:MID:mid." + TOPIC]["whole"] > 0
        await sensor.release()

        again = kept(server, "MID", "mid")
        with pytest.raises(ModelError, match=r"acknowledged up to message \d+, and the checkpoint is not here"):
            await claimed(again)
        await again.release()
        if early["nats:MID:mid." + TOPIC]["whole"] < late["nats:MID:mid." + TOPIC]["whole"]:
            again = kept(server, "MID", "mid")
            with pytest.raises(ModelError, match="and the checkpoint goes up to message"):
                await claimed(again, early)
            await again.release()
        again = await claimed(kept(server, "MID", "mid"), late)
        same(await first(again, 19), batches(19, 31))
        await again.release()
        await client.close()
        await hub.aclose()

    run(work())


def test_a_daemon_goes_on_where_the_one_before_has_saved_and_has_learned_the_same(server, tmp_path):
    url = f"{server.place}/?stream=DAEMON&prefix=d"
    uri = f"nats://{server.place}/d.{TOPIC}?stream=DAEMON&size=4x4&lease_s=1"
    made = config(
        sensor={"uri": uri},
        learn={"enabled": True},
        checkpoint={"path": str(tmp_path / "m.npz"), "every_s": 3_600.0},
    )

    async def live(until_us):
        daemon = Daemon({"main": daemon_job(made)})
        running = asyncio.create_task(daemon.run())
        supervisor = daemon.supervisors["main"]
        while supervisor.lane.engine.progress.stop < until_us:
            await asyncio.sleep(0.01)
        stats = supervisor.lane.sensor.stats()
        assert supervisor.lane.engine.sensor is supervisor.lane.sensor  # no pace is kept: it has to catch up
        await daemon.control.save({})  # on demand, as at the end
        assert "source" in checkpoint.marks_of(tmp_path / "m.npz")
        daemon.stop()
        await running
        assert daemon.problems() == []
        return stats

    async def work():
        hub = await opened(url)
        await publish(hub, batches(30))
        await live(30 * STEP)
        await publish(hub, batches(20, 30))
        await hub.drain(5)
        stats = await live(50 * STEP)
        assert stats["owned"]
        assert stats["sent"] < sum(len(batch) for batch in batches(50))
        await hub.aclose()

    run(work())
    alone = pipeline(learn={"enabled": True})
    for batch in batches(50):
        alone(batch)
    _, state = checkpoint.contents(tmp_path / "m.npz")
    assert checkpoint.digest(state) == checkpoint.digest(checkpoint.arrays(alone))
    place = checkpoint.marks_of(tmp_path / "m.npz")["source"][f"nats:DAEMON:d.{TOPIC}"]
    assert (place["seq"], place["now"]) == (50, 50 * STEP)


def test_a_daemon_that_loses_its_lease_goes_back_to_its_checkpoint_and_learns_nothing_twice(server, tmp_path):
    uri = f"nats://{server.place}/l.{TOPIC}?stream=LEASE&size=4x4&lease_s=1&durable=eye"
    made = config(
        sensor={"uri": uri},
        learn={"enabled": True},
        checkpoint={"path": str(tmp_path / "m.npz"), "every_s": 0.2},
        restart={"base_s": 0.01, "cap_s": 0.02},
    )

    async def work():
        hub = await opened(f"{server.place}/?stream=LEASE&prefix=l")
        client = await nats_py.connect(f"nats://{server.place}")
        daemon = Daemon({"main": daemon_job(made)})
        running = asyncio.create_task(daemon.run())
        supervisor = daemon.supervisors["main"]
        for n in range(150):
            await publish(hub, batches(1, n))
            await asyncio.sleep(0.01)
            if n == 60:
                bucket = await client.jetstream().key_value("spikestream")
                await bucket.purge("LEASE.eye")
        while supervisor.lane.engine.progress.stop < 150 * STEP:
            await asyncio.sleep(0.01)
        daemon.stop()
        await running
        await client.close()
        await hub.aclose()
        return supervisor, daemon.problems()

    supervisor, problems = run(work())
    assert (supervisor.restarts, supervisor.lost, problems) == (1, 0, [])
    assert isinstance(supervisor.error, DeviceError)
    alone = pipeline(learn={"enabled": True})
    for batch in batches(150):
        alone(batch)
    _, state = checkpoint.contents(tmp_path / "m.npz")
    assert checkpoint.digest(state) == checkpoint.digest(checkpoint.arrays(alone))


def test_who_waits_for_a_stream_saves_nothing_and_ends_when_told(server, tmp_path):
    uri = f"nats://{server.place}/w.{TOPIC}?stream=WAITS&size=4x4&lease_s=60"
    made = config(sensor={"uri": uri}, checkpoint={"path": str(tmp_path / "m.npz"), "every_s": 0.01})

    async def work():
        hub = await opened(f"{server.place}/?stream=WAITS&prefix=w")
        holder = await claimed(kept(server, "WAITS", "w", durable=f"w-{TOPIC}".replace(".", "-"), lease_s=60))
        await publish(hub, batches(5))
        daemon = Daemon({"main": daemon_job(made)})
        running = asyncio.create_task(daemon.run())
        lane = daemon.supervisors["main"].lane
        async with asyncio.timeout(20):
            while lane.state != "standby":
                await asyncio.sleep(0.01)
        assert not lane.keeper.ours
        daemon.stop()
        await running
        await holder.release()
        await hub.aclose()

    run(work())
    assert not (tmp_path / "m.npz").exists()


def test_stats_are_published_on_their_own_subject(server):
    async def work():
        client = await nats_py.connect(f"nats://{server.place}")
        subscription = await client.subscribe("main.>")
        await client.flush()
        hub = await opened(f"{server.place}/?topics=*.engine.*")
        hub.publish("main.engine.stats", Stats(0, 1, {"a": 1}))
        hub.publish(TOPIC, noise(0, STEP))
        message = await subscription.next_msg(5)
        await hub.aclose()
        await client.close()
        assert TOPIC not in {topic for one in hub.ledger().subscribers for topic in one.flows}
        return message

    message = run(work())
    assert message.subject == "main.engine.stats"
    assert message.headers == {"Spikestream-Epoch": "5eed"}
    (payload,) = FrameReader(1 << 20).feed(message.data)
    assert unpack(payload, FROM_SERVER)["d"] == {"a": 1}


def test_bundles_are_as_long_as_asked_for(server):
    async def work():
        hub = await opened(f"{server.place}/?stream=LONG&prefix=long&every_ms=300")
        for n in range(10):
            await publish(hub, batches(1, n))
            await asyncio.sleep(0.001)
        await hub.drain(5)
        await hub.aclose()

    run(work())
    found = run(stored(server.place, "LONG"))
    assert numbers(found, f"long.{TOPIC}") == (list(range(10)), [])
    assert len(found) == 1
