"""Three servers, three workers: a worker and the stream's leader are killed, and nothing is lost or learned twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections import defaultdict

import nats
import numpy as np
from cli import command
from nats_cases import PATIENCE_S, cluster, stored
from small import SIZE, noise

from spikestream import checkpoint
from spikestream.building import build
from spikestream.config import read_pipelines
from spikestream.errors import ModelError
from spikestream.outputs.nats import Nats
from spikestream.service.defaults import base_of
from spikestream.service.hub import Hub
from spikestream.wire import FrameReader
from spikestream.wire.frames import FROM_SERVER, unpack

EYES = ("eye0", "eye1", "eye2")
STEP_US, BATCHES = 20_000, 300
EVERY_S = 0.02
WORKER = """
filter = [{{ kind = "refractory", period_ms = 0.3 }}]
[sensor]
size = "4x4"
[network]
neurons = 5
tau_theta_ms = 50.0
tau_refrac_ms = 2.0
inhibition = 0.2
[readout]
window_us = 10_000
[checkpoint]
every_s = 0.4
[restart]
base_s = 0.1
cap_s = 0.5
{pipelines}
"""
PIPELINE = """
[pipelines.{eye}.sensor]
uri = "nats://{places}/eyes.{eye}.filter.events?stream=EYES&durable={eye}&size=4x4&lease_s=2&standby_s={standby_s}"
[pipelines.{eye}.network]
seed = {seed}
[pipelines.{eye}.checkpoint]
path = "{folder}/{eye}.npz"
"""


def worker_file(folder, number, places):
    """Write the configuration of a worker: it has its own eye at once, and the others' only when they are left."""
    made = [
        PIPELINE.format(eye=eye, places=places, seed=seed, folder=folder, standby_s=0 if seed == number else 3)
        for seed, eye in enumerate(EYES)
    ]
    path = folder / f"worker{number}.toml"
    path.write_text(WORKER.format(pipelines="".join(made)))
    return path


def batch(eye, number):
    start = number * STEP_US
    return noise(start, start + STEP_US, seed=1_000 * EYES.index(eye) + number, rate_hz=10_000)


def reached(folder, eye):
    """Return the stream time, µs, that an eye's last checkpoint holds."""
    try:
        return checkpoint.marks_of(folder / f"{eye}.npz")["now"] or 0
    except ModelError:
        return 0


async def until(condition, what):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.05)
    assert condition(), what


async def leader(servers):
    """Return the server that leads the stream."""
    client = await nats.connect([f"nats://{one.place}" for one in servers])
    try:
        name = (await client.jetstream().stream_info("EYES")).cluster.leader
        return servers[int(name[1:])]
    finally:
        await client.close()


async def holder(servers, lease):
    """Return the process that has a lease."""
    client = await nats.connect([f"nats://{one.place}" for one in servers])
    try:
        entry = await (await client.jetstream().key_value("spikestream")).get(lease)
        return int(json.loads(entry.value)["holder"].split(":")[-2])
    finally:
        await client.close()


async def published(folder, servers, workers, places):
    """Publish all batches, kill a worker and a leader meanwhile; return what became of the messages."""
    output = Nats(f"{places}/?stream=EYES&prefix=eyes&topics=*.filter.events&replicas=3")
    hub = Hub([output], epoch="5eed")
    await hub.start()
    for number in range(BATCHES):
        for eye in EYES:
            hub.publish(f"{eye}.filter.events", batch(eye, number))
        if number == BATCHES // 6:
            for n in range(3):
                with open(folder / f"worker{n}.log", "wb") as log:
                    run = command("run", worker_file(folder, n, places))
                    workers.append(subprocess.Popen(run, stdout=log, stderr=log))
            await until(lambda: all(reached(folder, eye) for eye in EYES), "all eyes are somebody's")
        if number == BATCHES // 3:
            os.kill(await holder(servers, "EYES.eye0"), signal.SIGKILL)
        if number == BATCHES // 2:
            (await leader(servers)).kill()
        await asyncio.sleep(EVERY_S)
    await hub.drain(PATIENCE_S)
    await hub.aclose()
    (delivery,) = hub.ledger().subscribers
    return delivery.flows


async def finished(folder):
    end = BATCHES * STEP_US
    await until(lambda: all(reached(folder, eye) == end for eye in EYES), "all was learned")


def test_a_worker_and_the_leader_are_killed_and_all_weights_are_those_of_an_undisturbed_run(tmp_path):
    workers = []
    with cluster(tmp_path) as servers:
        places = ",".join(one.place for one in servers)
        try:
            flows = asyncio.run(published(tmp_path, servers, workers, places))
            asyncio.run(finished(tmp_path))
            (dead,) = [n for n, worker in enumerate(workers) if worker.poll() == -signal.SIGKILL]
            left = [worker for worker in workers if worker.poll() is None]
            for worker in left:
                worker.send_signal(signal.SIGTERM)
            assert [worker.wait(PATIENCE_S) for worker in left] == [0, 0]
            alive = next(one for one in servers if one.process is not None)
            kept = asyncio.run(stored(alive.place, "EYES"))
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()

    # The broker acknowledged everything, and has everything once and in order.
    assert all((flow.sent.messages, flow.dropped.messages) == (BATCHES, 0) for flow in flows.values())
    numbers = defaultdict(list)
    for subject, headers, data in kept:
        assert headers["Spikestream-Epoch"] == "5eed"
        numbers[subject] += [unpack(one, FROM_SERVER)["s"] for one in FrameReader(1 << 20).feed(data)]
    assert numbers == {f"eyes.{eye}.filter.events": list(range(BATCHES)) for eye in EYES}

    # Every eye has learned what it would have learned alone.
    for eye, config in read_pipelines(str(worker_file(tmp_path, 0, places)), (), base_of).items():
        alone = build(config, SIZE)
        for number in range(BATCHES):
            alone(batch(eye, number))
        _, state = checkpoint.contents(tmp_path / f"{eye}.npz")
        expected = checkpoint.arrays(alone)
        assert np.array_equal(state["network/weights"], expected["network/weights"])
        assert checkpoint.digest(state) == checkpoint.digest(expected)

    # The dead worker's eye is another's now.
    logs = [(tmp_path / f"worker{n}.log").read_text() for n in range(3) if n != dead]
    assert any(f"goes on where {tmp_path}/eye0.npz left off" in log for log in logs), logs
