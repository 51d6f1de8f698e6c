"""A hub over real sockets, and what the tests publish on it."""

from __future__ import annotations

import asyncio
import resource
from contextlib import asynccontextmanager, contextmanager

import numpy as np
from running import run  # noqa: F401 - for the tests of a hub

from spikestream.batch import EVENT, Events, Spikes
from spikestream.outputs.tcp import Tcp
from spikestream.service.hub import Hub

LOCAL = "127.0.0.1:0"
TOPIC = "main.filter.events"
KIB = 1 << 10


@contextmanager
def room_for(path, more):
    """Let no file grow beyond ``more`` bytes above the size this one has now: a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@asynccontextmanager
async def serving(*outputs, **options):
    """Yield a hub that has started, and close it at the end."""
    hub = Hub(outputs or [Tcp(LOCAL)], epoch="5eed", **options)
    await hub.start()
    try:
        yield hub
    finally:
        await hub.aclose()


def events(start, count=1_000):
    """Return events one µs apart."""
    data = np.zeros(count, EVENT)
    data["t"] = start + np.arange(count)
    data["x"] = data["t"] % 100
    return Events(start, start + max(1, count), data, (128, 128))


def tiny(seq):
    """Return one spike at that µs."""
    return Spikes(seq, seq + 1, np.array([seq]), np.array([seq % 7], np.int32))


async def turns(count=20):
    """Let the loop turn a few times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def fill(hub, publish, most=20_000):
    """Publish until a connection has something in its queue; return how many messages that took."""
    for count in range(most):
        publish(count)
        await turns(2)
        if any(connection.backlog for output in hub.outputs for connection in output._connections):
            return count + 1
    raise AssertionError("the kernel took everything")


def account(hub, peer_index=0):
    """Return (due, sent, dropped, held) messages of one subscriber."""
    (flow,) = hub.ledger().subscribers[peer_index].flows.values()
    return flow.due.messages, flow.sent.messages, flow.dropped.messages, flow.held.messages
