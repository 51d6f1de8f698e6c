"""One publisher, or a process of subscribers, of one messaging system: what benchmarks/publish.py runs, and no more.

    python benchmarks/peer_messaging.py SYSTEM publish  ADDRESS --bytes 60 --count N [--rate HZ] [--subscribers N]
    python benchmarks/peer_messaging.py SYSTEM subscribe ADDRESS --count N [--subscribers N]

SYSTEM is spikestream, zmq, nats, redis or zenoh, of which the last four live in .peers/messaging; or nothing, which
makes what spikestream would publish, and goes on. All subscribers of one process
get every message. A message begins with the monotonic ns of its publication, packed by msgpack (spikestream: `t` of the
batch's first row), so that latency is measured from before it is encoded to after it is a message again at the other
end. Without a rate, messages go out in bursts of 200, and a system that can make its publisher wait does so: nothing
may be lost. Both ends with a JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import struct
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

BURST = 200
EVENT_BYTES, LEAST_BIG = 13, 1_000
TOPIC = "bench"
WAIT_S = 120.0
SIZE, LAST, STAMP = struct.Struct("<I"), struct.Struct("<q"), struct.Struct(">Q")
KEY_OF_ONE, SHORT_BIN = 0xA1, 0xC4
"""How MessagePack begins a text of one byte, and a bin of less than 256."""
Sink = Callable[[int], None]


def cpu_s() -> float:
    """Return the CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident_mib() -> float:
    """Return how much memory this process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


class Tally:
    """What all subscribers of this process got: ended when each has ``count`` messages."""

    def __init__(self, count: int, subscribers: int) -> None:
        self.due, self.got = count * subscribers, 0
        self.first_ns = self.last_ns = 0
        self.latencies: list[int] = []
        self.done = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self, sent_ns: int) -> None:
        now = time.monotonic_ns()
        if not self.got:
            self.first_ns = sent_ns
        self.latencies.append(now - sent_ns)
        self.got += 1
        if self.got == self.due:
            self.last_ns = now
            self._loop.call_soon_threadsafe(self.done.set)

    def figures(self) -> dict[str, float]:
        """Return deliveries per second and the latencies in ms."""
        ordered = sorted(self.latencies) or [0]
        seconds = max(1, (self.last_ns or time.monotonic_ns()) - self.first_ns) / 1e9
        return {
            "deliveries": self.got,
            "deliveries_per_s": self.got / seconds,
            "p50_ms": ordered[len(ordered) // 2] / 1e6,
            "p99_ms": ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] / 1e6,
        }


class Spikestream:
    """Our hub, in the publisher's own process, and plain sockets at the other end."""

    broker = False

    async def publisher(self, address: str, size: int) -> None:
        from spikestream.outputs.tcp import Tcp
        from spikestream.service.hub import Hub

        self._hub = hub = Hub([Tcp(address)], epoch="bench")
        await hub.start()
        make, topic = self.maker(size), "a.b.spikes" if size < LEAST_BIG else "a.b.events"
        self.publish = lambda now: hub.publish(topic, make(now))

    @staticmethod
    def maker(size: int) -> Callable[[int], Any]:
        """Return what makes the batch of a message of about so many bytes."""
        import numpy as np

        from spikestream.batch import EVENT, Events, Spikes

        axon, rows = np.zeros(1, np.int32), np.zeros(size // EVENT_BYTES, EVENT)
        if size < LEAST_BIG:
            return lambda now: Spikes(now, now + 1, np.array([now]), axon)

        def events(now: int) -> Events:
            rows["t"] = now
            return Events(now, now + 1, rows.copy(), None)

        return events

    async def joined(self, subscribers: int) -> None:
        await self._hub.wait_subscribers(subscribers)

    async def ready(self) -> None:
        await asyncio.sleep(0)
        if self._hub.blocked:
            await self._hub.ready()

    async def close(self) -> None:
        await self._hub.drain(WAIT_S)
        await self._hub.aclose()

    async def subscriber(self, address: str, sink: Sink) -> None:
        host, port = address.rsplit(":", 1)
        await asyncio.get_running_loop().create_connection(lambda: _Frames(sink), host, int(port))


class Nothing(Spikestream):
    """Makes the batches that the hub would publish."""

    async def publisher(self, address: str, size: int) -> None:
        make = self.maker(size)
        self.publish = lambda now: make(now) and None

    async def joined(self, subscribers: int) -> None:
        """Return at once: nobody comes."""

    async def ready(self) -> None:
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Return at once."""


class _Frames(asyncio.BufferedProtocol):
    """Counts the frames of a connection, after hello and sub: the `t` of a row is where the bin begins."""

    def __init__(self, sink: Sink) -> None:
        self._sink, self._buffer, self._held = sink, bytearray(1 << 20), 0
        self._view = memoryview(self._buffer)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def get_buffer(self, hint: int) -> memoryview:
        return self._view[self._held :]

    def buffer_updated(self, count: int) -> None:
        buffer, held, at = self._buffer, self._held + count, 0
        while held - at >= 4 and (end := at + 4 + SIZE.unpack_from(buffer, at)[0]) <= held:
            if buffer[at + 5] == KEY_OF_ONE:  # "k": a message
                found = buffer.find(b"\xa1d", at, at + 128)
                self._sink(LAST.unpack_from(buffer, found + (4 if buffer[found + 2] == SHORT_BIN else 5))[0])
            elif b"hello" in buffer[at : at + 16]:
                self._answer()
            at = end
        self._view[: held - at] = self._view[at:held]
        self._held = held - at

    def _answer(self) -> None:
        import msgpack

        for message in ({"op": "hello", "v": [1]}, {"op": "sub", "id": 1, "topics": ["*"], "policy": "block"}):
            payload = msgpack.packb(message)
            self._transport.write(len(payload).to_bytes(4, "little") + payload)


def packed(size: int) -> Callable[[int], bytes]:
    """Return what makes a message of about so many bytes: a decision, or a bin of events."""
    import msgpack

    packer = msgpack.Packer()
    rows = bytes(max(0, size - 20))
    if size >= LEAST_BIG:
        return lambda now: packer.pack({"t": now, "d": rows})
    decision = {"t": 0, "label": "bar", "score": 0.75, "win": [0, 100_000], "n": 4}
    return lambda now: packer.pack(decision | {"t": now})


def stamp(message: bytes, at: int = 0) -> int:
    """Return the time in a packed message that begins there: a u64 behind the head of a map and its first key."""
    return int(STAMP.unpack_from(message, at + 4)[0])


class Zmq:
    """XPUB and SUB over TCP; without a rate, with XPUB_NODROP and the default high-water mark."""

    broker = False

    async def publisher(self, address: str, size: int) -> None:
        import zmq

        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        self._socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # tells of each subscription, not only of the first to a topic
        self._socket.bind(f"tcp://{address}")
        pack, topic = packed(size), TOPIC.encode()
        self.publish = lambda now: self._socket.send(topic + pack(now))

    async def joined(self, subscribers: int) -> None:
        for _ in range(subscribers):
            await asyncio.to_thread(self._socket.recv)

    async def ready(self) -> None:
        await asyncio.sleep(0)

    async def close(self) -> None:
        self._socket.close(linger=int(WAIT_S * 1000))
        self._context.term()

    async def subscriber(self, address: str, sink: Sink) -> None:
        import zmq

        if not hasattr(self, "_poller"):
            self._context, self._poller = zmq.Context(), zmq.Poller()
            asyncio.get_running_loop().run_in_executor(None, self._poll, sink)
        socket = self._context.socket(zmq.SUB)
        socket.setsockopt(zmq.SUBSCRIBE, TOPIC.encode())
        socket.connect(f"tcp://{address}")
        self._poller.register(socket, zmq.POLLIN)

    def _poll(self, sink: Sink) -> None:
        import zmq

        skip = len(TOPIC)
        while True:
            for socket, _ in self._poller.poll(100):
                try:
                    for _ in range(1_000):
                        sink(stamp(socket.recv(zmq.NOBLOCK), skip))
                except zmq.Again:
                    pass


class Nats:
    """Core NATS over TCP through a nats-server; flushed after each burst."""

    broker = True

    async def publisher(self, address: str, size: int) -> None:
        import nats

        self._client = await nats.connect(f"nats://{address}", pending_size=64 << 20)
        pack = packed(size)
        self._waiting: list[Awaitable[None]] = []
        self.publish = lambda now: self._waiting.append(self._client.publish(TOPIC, pack(now)))

    async def joined(self, subscribers: int) -> None:
        """Return at once: the subscribers are at the broker already."""

    async def ready(self) -> None:
        for one in self._waiting:
            await one
        self._waiting.clear()
        await self._client.flush(timeout=int(WAIT_S))

    async def close(self) -> None:
        await self.ready()
        await self._client.close()

    async def subscriber(self, address: str, sink: Sink) -> None:
        import nats

        async def got(message: Any) -> None:
            sink(stamp(message.data))

        client = await nats.connect(f"nats://{address}")
        await client.subscribe(TOPIC, cb=got, pending_msgs_limit=-1, pending_bytes_limit=-1)
        await client.flush()


class Redis:
    """A stream of Redis: XADD in pipelines, XREAD of each subscriber from where it stands."""

    broker = True

    async def publisher(self, address: str, size: int) -> None:
        import redis.asyncio as redis

        host, port = address.split(":")
        self._client = redis.Redis(host=host, port=int(port))
        self._pipe, pack = self._client.pipeline(transaction=False), packed(size)
        self.publish = lambda now: self._pipe.xadd(TOPIC, {"m": pack(now)}, maxlen=100_000, approximate=True)

    async def joined(self, subscribers: int) -> None:
        """Return at once: the subscribers are at the broker already."""

    async def ready(self) -> None:
        if len(self._pipe):
            await self._pipe.execute()

    async def close(self) -> None:
        await self.ready()
        await self._client.aclose()

    async def subscriber(self, address: str, sink: Sink) -> None:
        import redis.asyncio as redis

        host, port = address.split(":")
        client = redis.Redis(host=host, port=int(port))
        self._tasks = [*getattr(self, "_tasks", []), asyncio.create_task(self._follow(client, sink))]

    async def _follow(self, client: Any, sink: Sink) -> None:
        last = b"0"
        while True:
            for _, entries in await client.xread({TOPIC: last}, count=1_000, block=1_000):
                for _, fields in entries:
                    sink(stamp(fields[b"m"]))
                last = entries[-1][0]


class Zenoh:
    """A zenoh session each, peer to peer over TCP, with congestion control that blocks."""

    broker = False

    async def publisher(self, address: str, size: int) -> None:
        import zenoh

        self._session = zenoh.open(self._config("listen", address))
        control = zenoh.CongestionControl.BLOCK
        publisher, pack = self._session.declare_publisher(TOPIC, congestion_control=control), packed(size)
        self.publish = lambda now: publisher.put(pack(now))

    async def joined(self, subscribers: int) -> None:
        await asyncio.sleep(2.0)  # nothing tells how many subscribers there are

    @staticmethod
    def _config(side: str, address: str) -> Any:
        import zenoh

        config = zenoh.Config()
        config.insert_json5(f"{side}/endpoints", json.dumps([f"tcp/{address}"]))
        if side == "connect":
            config.insert_json5("listen/endpoints", "[]")
        config.insert_json5("scouting/multicast/enabled", "false")
        return config

    async def ready(self) -> None:
        await asyncio.sleep(0)

    async def close(self) -> None:
        await asyncio.sleep(2.0)
        self._session.close()

    async def subscriber(self, address: str, sink: Sink) -> None:
        import zenoh

        session = zenoh.open(self._config("connect", address))
        lock = self.__dict__.setdefault("_lock", threading.Lock())  # each session calls back in a thread of its own

        def got(sample: Any) -> None:
            sent_ns = stamp(sample.payload.to_bytes())
            with lock:
                sink(sent_ns)

        self._open = [*getattr(self, "_open", []), (session, session.declare_subscriber(TOPIC, got))]


SYSTEMS = {"spikestream": Spikestream, "nothing": Nothing, "zmq": Zmq, "nats": Nats, "redis": Redis, "zenoh": Zenoh}


async def publish(options: argparse.Namespace) -> dict[str, float]:
    """Publish, and return what it cost."""
    system = SYSTEMS[options.system]()
    await system.publisher(options.address, options.bytes)
    print("listening", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await system.joined(options.subscribers)
    before, begun, base = cpu_s(), time.monotonic(), resident_mib()
    most = base
    for number in range(options.count):
        if options.rate:
            await asyncio.sleep(max(0.0, begun + number / options.rate - time.monotonic()))
        system.publish(time.monotonic_ns())
        if options.rate or number % BURST == BURST - 1:
            await system.ready()
        if number % 100 == 0:
            most = max(most, resident_mib())
    await system.ready()
    published_s = time.monotonic() - begun
    await system.close()
    return {"cpu_s": cpu_s() - before, "published_s": published_s, "grown_mib": most - base}


async def subscribe(options: argparse.Namespace) -> dict[str, float]:
    """Subscribe, and return what came."""
    system = SYSTEMS[options.system]()
    tally = Tally(options.count, options.subscribers)
    for _ in range(options.subscribers):
        await system.subscriber(options.address, tally)
    print("ready", flush=True)
    before = cpu_s()
    with suppress(TimeoutError):
        await asyncio.wait_for(tally.done.wait(), options.wait_s)
    return {"cpu_s": cpu_s() - before, **tally.figures()}


async def ended(role: Awaitable[dict[str, float]]) -> None:
    """Print what came of a role, and end at once: threads of some systems never do."""
    try:
        print(json.dumps(await role), flush=True)
        os._exit(0)
    except Exception:
        traceback.print_exc()
        os._exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("role", choices=["publish", "subscribe"])
    parser.add_argument("address", help="HOST:PORT")
    parser.add_argument("--bytes", type=int, default=60)
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--subscribers", type=int, default=1)
    parser.add_argument("--wait-s", type=float, default=WAIT_S)
    options = parser.parse_args()
    asyncio.run(ended({"publish": publish, "subscribe": subscribe}[options.role](options)))


if __name__ == "__main__":
    main()
