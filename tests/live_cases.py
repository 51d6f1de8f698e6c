"""Live sensors in tests: events of a known stream, what takes from a sensor, and senders that are other people's."""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise

import numpy as np

from spikestream.batch import EVENT, Events, check

PATIENCE_S = 40
SIZE = (320, 240)


def stream_of(n: int, first: int = 1_000_000, step_us: int = 50, seed: int = 0, size=SIZE) -> np.ndarray:
    """Return n events, no two at the same time, about ``step_us`` apart."""
    rng = np.random.default_rng(seed)
    events = np.empty(n, EVENT)
    events["t"] = first + np.cumsum(rng.integers(1, 2 * step_us, n))
    events["x"], events["y"] = rng.integers(0, size[0], n), rng.integers(0, size[1], n)
    events["p"] = rng.random(n) < 0.5
    return events


def by_hand(name: str, events) -> bytes:
    """Return a datagram as the layout's authors describe it, made event by event."""
    if name == "faery":
        return b"".join(struct.pack("<QHHB", t, x, y, p) for t, x, y, p in events.tolist())
    if name == "faery32":
        return b"".join(struct.pack("<IHH", t % 2**32, x, y * 2 + p) for t, x, y, p in events.tolist())
    if name == "spif":
        return b"".join(struct.pack("<I", 1 << 31 | x << 16 | p << 15 | y) for _, x, y, p in events.tolist())
    if name == "spif-stamped":
        return b"".join(struct.pack("<II", x << 16 | p << 15 | y, t % 2**32) for t, x, y, p in events.tolist())
    first, height = int(events["t"][0]), SIZE[1]
    body = [b"Event Stream", bytes((2, 0, 0, 1)), struct.pack("<HH", *SIZE)]
    last = first
    for t, x, y, p in events.tolist():
        body += [b"\xff" * ((t - last) // 127), struct.pack("<BHH", (t - last) % 127 * 2 + p, x, height - 1 - y)]
        last = t
    return struct.pack("<Q", first) + b"".join(body)


def lawful(batches) -> None:
    """See that batches are sound by themselves and one after the other."""
    for batch in batches:
        check(batch)
        assert batch.start < batch.stop
    assert all(a.stop <= b.start for a, b in pairwise(batches))


def gaps(batches):
    return [(a.stop, b.start) for a, b in pairwise(batches) if a.stop < b.start]


def rows(batches) -> np.ndarray:
    return np.concatenate([np.empty(0, EVENT), *(batch.data for batch in batches)])


async def until(stream, done, batches: list[Events]) -> None:
    """Take batches until ``done()``, and add them to the list."""
    async with asyncio.timeout(PATIENCE_S):
        while not done():
            batches.append(await anext(stream))


@asynccontextmanager
async def taking(sensor, start: int = 0):
    """Yield the list that all batches of a sensor go to while the block runs, and see that they are lawful."""
    taken: list[Events] = []
    stream = sensor.batches(start)

    async def take() -> None:
        async for batch in stream:
            taken.append(batch)  # noqa: PERF401 - who looks on sees each as it comes

    task = asyncio.ensure_future(take())
    try:
        yield taken
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.aclose()
    lawful(taken)


async def reached(done) -> None:
    """Return when ``done()``."""
    async with asyncio.timeout(PATIENCE_S):
        while not done():
            await asyncio.sleep(0.002)


async def of(sensor, count: int, start: int = 0) -> list[Events]:
    """Return the lawful batches of a sensor up to so many events."""
    taken: list[Events] = []
    stream = sensor.batches(start)
    await until(stream, lambda: sum(map(len, taken)) >= count, taken)
    await stream.aclose()
    lawful(taken)
    return taken


@contextmanager
def python(code: str, *arguments: object):
    """Run a program in a process of its own, which ends with the block; stdin and stdout are pipes of text."""
    run = [sys.executable, "-u", "-c", code, *map(str, arguments)]
    process = subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def free_port(kind=socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
