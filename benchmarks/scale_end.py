"""The ends of a stream, each a process of its own that `scale.py` starts: a publisher, a reader, many listeners.

A line on standard output says that it is ready, another what it cost; a publisher begins when it is sent a line.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

EVERY_S = 0.01
TOPIC = "main.filter.events"


def batch(number: int, events: int, length_us: int = 10_000) -> Any:
    import numpy as np

    from spikestream.batch import EVENT, Events

    rng = np.random.default_rng(number)
    data = np.zeros(events, EVENT)
    data["t"] = number * length_us + np.sort(rng.integers(0, length_us, events))
    data["x"], data["y"] = rng.integers(0, 34, (2, events))
    data["p"] = rng.random(events) < 0.5
    return Events(number * length_us, (number + 1) * length_us, data, (34, 34))


def url_of(way: str, place: str) -> str:
    kept = "/?stream=S&topics=main.>"
    stored = {"r1": kept, "r3": f"{kept}&replicas=3", "r3_50ms": f"{kept}&replicas=3&every_ms=50"}
    return f"tcp://{place}" if way == "hub" else f"nats://{place}{stored.get(way, '')}"


async def publish(way: str, place: str, count: int, events: int) -> dict[str, float]:
    """Publish at a steady rate; return the CPU µs of one message."""
    from spikestream.batch import Decision, Decisions, moved
    from spikestream.outputs.base import open_output
    from spikestream.service.hub import Hub

    hub = Hub([open_output(url_of(way, place))], epoch="5eed", ring_bytes=0)
    await hub.start()
    print(hub.outputs[0].url, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    ready = [batch(number, max(1, events)) for number in range(100)]
    answer = Decision(0, 10_000, "bar", 0.75, (), 4.0)
    topic = TOPIC if events else "main.readout.decisions"
    begun, before = time.monotonic(), time.process_time()
    for number in range(count):
        await asyncio.sleep(max(0.0, begun + number * EVERY_S - time.monotonic()))
        again = number // 100 * 1_000_000
        given: Any = moved(ready[number % 100], again) if events else Decisions(0, 10_000, (answer,))
        hub.publish(topic, given)
    await hub.drain(10.0)
    used = time.process_time() - before
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    await hub.aclose()
    return {"us": 1e6 * used / count, "bytes": resident}


async def read(way: str, place: str) -> None:
    """Read batches as a client or sensor does, until killed."""
    from spikestream.client import subscribe
    from spikestream.sensors.nats import nats

    if way == "hub":
        async with subscribe(f"tcp://{place}", [TOPIC]) as messages:
            print("ready", flush=True)
            async for _ in messages:
                pass
        return
    sensor: Any = nats(f"{place}/{TOPIC}", stream="" if way == "core" else "S", size="34x34")
    if way != "core":
        await sensor.claim()
        await sensor.resume(None)
    asyncio.get_running_loop().call_later(0.5, lambda: print("ready", flush=True))
    async for _ in sensor.batches():
        pass


async def listen(way: str, place: str, subscribers: int) -> None:
    """Take everything on so many connections, until killed."""
    if way == "hub":
        host, port = place.split(":")
        for _ in range(subscribers):
            await asyncio.get_running_loop().create_connection(Listener, host, int(port))
        await asyncio.sleep(1.0)
    else:
        import nats

        async def nothing(message: Any) -> None: ...

        for _ in range(subscribers):
            client = await nats.connect(f"nats://{place}")
            await client.subscribe("main.>", cb=nothing)
            await client.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


class Listener(asyncio.Protocol):
    """A subscriber that looks at nothing: what is measured is the other end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        import msgpack

        assert isinstance(transport, asyncio.Transport)
        for message in ({"op": "hello", "v": [1]}, {"op": "sub", "id": 1, "topics": ["main.>"]}):
            payload = msgpack.packb(message)
            transport.write(len(payload).to_bytes(4, "little") + payload)


if __name__ == "__main__":
    name, way, place, *numbers = sys.argv[1:]
    role = {"publish": publish, "read": read, "listen": listen}[name]
    print(json.dumps(asyncio.run(role(way, place, *map(int, numbers)))), flush=True)
