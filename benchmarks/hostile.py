"""What attackers cost a hub: its CPU for each good delivery with and without them, in turns within one run.

Three processes: the hub, which publishes batches of 1,000 events; the good subscribers, who must get every one of them;
and the attackers, who connect to a TCP and to a WebSocket listener without the token, or with it and no manners.
Intervals with and without attackers follow each other, so that what else the machine does hits both alike. Before that,
damaged frames go through the sessions without any socket.

    python benchmarks/hostile.py [--quick] [--rate BATCHES_PER_S]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing as mp
import os
import resource
import secrets
import selectors
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import msgpack
import numpy as np
from common import finish, table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from fuzz import mutations
from webtools import PING, asking, masked
from wirebytes import golden, put

from spikestream.batch import EVENT, Events
from spikestream.errors import ClientError
from spikestream.outputs.tcp import Tcp
from spikestream.outputs.websocket import Line, WebSocket
from spikestream.service.hub import Hub
from spikestream.wire import ServerSession

TOPIC = "main.filter.events"
GOOD, ATTACKERS = 16, 64
SUB = {"op": "sub", "id": 1, "topics": ["*"]}
TARGETS = {
    "cost_without_attackers_per_cost_with": 1 / 1.1,
    "good_received_per_published": 1.0,
    "intruders_kept_out": 1.0,
    "frames_sent": 100_000.0,
}


# --- the hub


def serve(token_file: str, rate: float, intervals: int, seconds: float, pipe: Any, attack: Any) -> None:
    """Publish through the intervals, and send what each of them cost."""
    asyncio.run(_serve(token_file, rate, intervals, seconds, pipe, attack))


async def _serve(token_file: str, rate: float, intervals: int, seconds: float, pipe: Any, attack: Any) -> None:
    outputs = [kind("127.0.0.1:0", token_file=token_file) for kind in (Tcp, WebSocket)]
    hub = Hub(outputs, epoch="hostile")
    await hub.start()
    pipe.send([output.url for output in outputs])
    await hub.wait_subscribers(GOOD)
    seq, rows = 0, []
    for number in range(intervals):
        hostile = number % 2 == 1
        (attack.set if hostile else attack.clear)()
        began, cpu, first = time.perf_counter(), time.process_time(), seq
        while (now := time.perf_counter() - began) < seconds:
            while seq - first < int(rate * now):
                hub.publish(TOPIC, batch(seq))
                seq += 1
            await asyncio.sleep(0.001)
        spent = time.process_time() - cpu
        rows.append({"hostile": hostile, "messages": seq - first, "cpu_s": spent, "seconds": now})
        rows[-1] |= {"tasks": len(asyncio.all_tasks()), "descriptors": len(os.listdir("/proc/self/fd"))}
        rows[-1]["rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    attack.clear()
    await hub.drain(10)
    known = [delivery for delivery in hub.ledger().subscribers if delivery.client == "intruder"]
    pipe.send({"rows": rows, "published": seq, "intruders": len(known), "problems": hub.ledger().problems()})
    await hub.aclose()


_EVENTS = np.zeros(1_000, EVENT)


def batch(seq: int) -> Events:
    data = _EVENTS.copy()
    data["t"] = seq * 1_000 + np.arange(1_000)
    return Events(seq * 1_000, (seq + 1) * 1_000, data, (128, 128))


# --- the good


def listen(url: str, token: str, pipe: Any) -> None:
    """Receive everything, all subscribers in one thread, and send how many messages each got, and how many gaps."""
    host, _, port = url.partition("://")[2].rpartition(":")
    hello = {"op": "hello", "v": [1], "client": "good", "token": token}
    waiting = selectors.DefaultSelector()
    found = []
    for _ in range(GOOD):
        connection = socket.create_connection((host, int(port)))
        connection.sendall(put(hello) + put(SUB))
        found.append({"events": 0, "gaps": 0})
        waiting.register(connection, selectors.EVENT_READ, (found[-1], bytearray()))
    while waiting.get_map():
        for key, _ in waiting.select():
            count, buffer = key.data
            data = key.fileobj.recv(1 << 20)  # type: ignore[union-attr]
            if not data:
                waiting.unregister(key.fileobj)
            buffer += data
            at = 0
            while len(buffer) - at >= 16 and len(buffer) - at >= (end := 4 + struct.unpack_from("<I", buffer, at)[0]):
                head = bytes(buffer[at + 5 : at + 12])
                count["events"] += head.startswith(b"\xa1k\xa6even")
                count["gaps"] += head.startswith(b"\xa1k\xa3gap")
                at += end
            del buffer[:at]
    pipe.send([(count["events"], count["gaps"]) for count in found])


# --- the attackers


def attacks(token: str) -> dict[str, tuple[str, bytes]]:
    """Return by name which listener an attack is for, and what it sends."""
    rng = np.random.default_rng(5)
    noise = rng.bytes(20_000)
    hello = {"op": "hello", "v": [1], "client": "rude"}
    known, wrong = put({**hello, "token": token}), put({**hello, "token": "a-guess-at-the-token", "client": "intruder"})
    web = asking() + masked(msgpack.packb({**hello, "token": token}))
    churn = (put(SUB) + put({"op": "unsub", "id": 1})) * 400
    return {
        "idle": ("tcp", b""),
        "half a hello": ("tcp", known[:-1]),
        "no token": ("tcp", put(hello) + put(SUB)),
        "wrong token": ("tcp", wrong + put(SUB)),
        "garbage": ("tcp", noise),
        "huge length": ("tcp", known + struct.pack("<I", 2**32 - 1)),
        "giant map": ("tcp", known + struct.pack("<I", 60_001) + b"\xdf\xff\xff\xff\xff" + bytes(59_996)),
        "many maps": ("tcp", known + struct.pack("<I", 60_003) + b"\xdc\xea\x60" + b"\x80" * 60_000),
        "ping flood": ("tcp", known + put({"op": "ping", "t": 1}) * 800),
        "sub/unsub churn": ("tcp", known + churn),
        "request flood": ("tcp", known + put({"op": "req", "id": 1, "do": "teach"}) * 800),
        "header bomb": ("ws", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000),
        "slow header": ("ws", b"GET / HTTP/1.1\r\nHost:"),
        "web pings": ("ws", web + masked(b"", PING) * 4_000),
        "empty fragments": ("ws", web + masked(b"", fin=False) + masked(b"", 0, fin=False) * 4_000),
        "web garbage": ("ws", web + masked(noise)),
        "unmasked": ("ws", web + b"\x82\x04abcd"),
        "foreign page": ("ws", asking(Origin="https://evil.example")),
    }


def strike(urls: list[str], token: str, attack: Any, stop: Any, pipe: Any) -> None:
    """Attack whenever it is on, as fast as connections are to be had, until it is over; send what was sent."""
    asyncio.run(_strike(urls, token, attack, stop, pipe))


async def _strike(urls: list[str], token: str, attack: Any, stop: Any, pipe: Any) -> None:
    ports = {url.partition(":")[0]: int(url.rpartition(":")[2]) for url in urls}
    kinds = attacks(token)
    marks = (b"\xa2op", b"\x0f\xf0\x55\xaa")  # in each of our frames, and the mask of each of WebSocket's
    frames = {name: max(1, sum(map(data.count, marks))) for name, (_, data) in kinds.items()}
    sent: Counter[str] = Counter()
    names = list(kinds)

    async def attacker(number: int) -> None:
        step = number
        while not stop.is_set():
            if not attack.is_set():
                await asyncio.sleep(0.01)
                continue
            name = names[step % len(names)]
            step += 1
            scheme, data = kinds[name]
            with suppress(OSError, asyncio.TimeoutError):
                async with asyncio.timeout(1.0):
                    await _one(ports[scheme], data, attack)
            sent[name] += frames[name]
            sent["connections"] += 1

    await asyncio.gather(*(attacker(number) for number in range(ATTACKERS)))
    pipe.send(dict(sent))


async def _one(port: int, data: bytes, attack: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        while attack.is_set() and await asyncio.wait_for(reader.read(1 << 16), 0.5):
            pass
    finally:
        writer.transport.abort()


# --- without sockets


def damaged(count: int) -> tuple[int, int, float]:
    """Push so many damaged frames through the sessions; return how many, the intruders, and the seconds it took."""
    names = ("client-hello", "token-hello", "sub", "req", "ping", "unsub", "bye")
    plain = b"".join(golden()[name] for name in names)
    web = asking() + b"".join(masked(golden()[name][4:]) for name in names)
    token, done, inside, began = secrets.token_hex(16), 0, 0, time.perf_counter()
    for seed_bytes, seed in ((plain, 1), (web, 2)):
        for data in mutations(seed_bytes, count // (2 * len(names)) + 1, seed):
            session = ServerSession(token=token)
            with suppress(ClientError):
                for frame in Line(()).receive(data) if seed_bytes is web else (data,):
                    for _ in session.receive(frame):
                        pass
            done += len(names)
            inside += session.welcomed
    return done, inside, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="half a minute, not four")
    parser.add_argument("--rate", type=float, default=1_000.0, help="batches of 1,000 events a second (default 1,000)")
    options = parser.parse_args()
    frames, inside, seconds = damaged(100_000 if options.quick else 1_000_000)
    print(f"{frames:,} damaged frames in {seconds:.1f} s, {inside} intruders")
    result, good, sent = run(options.rate, 12 if options.quick else 40, 1.5 if options.quick else 3.0)
    report(result, good, sent, inside)


def run(rate: float, intervals: int, seconds: float) -> tuple[dict[str, Any], list[tuple[int, int]], dict[str, int]]:
    spawn = mp.get_context("spawn")
    attack, stop = spawn.Event(), spawn.Event()
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory() as folder:
        token_file = Path(folder) / "token"
        token_file.touch(0o600)
        token_file.write_text(token)
        hub, hub_end = spawn.Pipe()
        good, good_end = spawn.Pipe()
        bad, bad_end = spawn.Pipe()
        args = (str(token_file), rate, intervals, seconds, hub_end, attack)
        server = spawn.Process(target=serve, args=args)
        server.start()
        urls = hub.recv()
        listener = spawn.Process(target=listen, args=(urls[0], token, good_end))
        striker = spawn.Process(target=strike, args=(urls, token, attack, stop, bad_end))
        listener.start()
        striker.start()
        result = hub.recv()
        stop.set()
        found = good.recv(), bad.recv()
        for process in (server, listener, striker):
            process.join()
    return result, *found


def report(result: dict[str, Any], good: list[tuple[int, int]], sent: dict[str, int], inside: int) -> None:
    # The first interval of each kind is not counted: one warms up, the other spends what is let in after a quiet time.
    calm, hostile = ([row for row in result["rows"][2:] if row["hostile"] is flag] for flag in (False, True))
    cost = [1e6 * median(row["cpu_s"] / row["messages"] for row in rows) / GOOD for rows in (calm, hostile)]
    busy = [median(row["cpu_s"] / row["seconds"] for row in rows) for rows in (calm, hostile)]
    connections = sent.pop("connections")
    frames = sum(sent.values())
    print(table([["attack", "frames sent"], *([name, f"{count:,}"] for name, count in sorted(sent.items()))]))
    print(f"{frames:,} frames on {connections:,} connections of {ATTACKERS} attackers at a time")
    print(f"the hub used {busy[0]:.1%} of a core without them, {busy[1]:.1%} with them")
    print(f"for a good delivery {cost[0]:.2f} µs without, {cost[1]:.2f} µs with them: {cost[1] / cost[0] - 1:+.1%}")
    for what in ("tasks", "descriptors", "rss_mb"):
        print(f"{what} after the first calm interval {calm[0][what]:.0f}, after the last {calm[-1][what]:.0f}")
    lost = max(gaps for _, gaps in good)
    print(f"{GOOD} good subscribers were sent {result['published']:,} messages each; gaps: {lost}")
    figures = {
        "cost_without_attackers_per_cost_with": cost[0] / cost[1],
        "good_received_per_published": min(messages for messages, _ in good) / result["published"],
        "intruders_kept_out": float(not (inside or result["intruders"] or result["problems"])),
        "frames_sent": float(frames),
    }
    finish(figures, TARGETS)


if __name__ == "__main__":
    main()
