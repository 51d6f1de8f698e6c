"""Our hub beside pyzmq, NATS, Redis streams and zenoh: the same messages over TCP on this machine, in turns.

    python benchmarks/publish.py [--quick] [--only PART ...] [--rounds 3]

Each system has a publisher in a process of its own, a broker where it needs one, and all its subscribers in one Python
process (benchmarks/peer_messaging.py, which tells what a message is). All systems take turns, and a figure is the
median of the rounds.

    small     60 bytes, as fast as all of it arrives: deliveries/s, CPU of publisher and broker per delivery
    big       1,000 events, 13 kB, so too: MB/s
    latency   60 bytes at 1,000 messages/s: from before it is encoded to the subscriber's hands, p50 and p99
    load      1,000 batches of 1,000 events a second to 16 subscribers: the hub's share of a core, which is that of the
              publisher less that of one which makes the same batches and publishes none
    stall     13 kB at 1,000/s to four subscribers in processes of their own, one of them stopped in the middle: what
              the others get, how much memory the publisher takes, and whether the stalled one is told of every message

Peers come with `make peers`, Redis's server with Debian's redis-server; what is missing is named and left out. That all
subscribers share one process makes the latencies of NATS and Redis at 16 and more those of their Python clients.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from common import finish, table

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / ".peers" / "messaging" / "bin"
RUNNER = HERE / "peer_messaging.py"
SYSTEMS = ("spikestream", "zmq", "nats", "redis", "zenoh")
OURS = ("spikestream", "nothing")
SUBSCRIBERS = (1, 4, 16, 64)
SMALL, BIG = 60, 13_000
TARGETS = {
    "small_16_over_zmq": 1.0,
    "big_16_over_zmq": 3.0,
    "small_16_over_nats": 10.0,
    "big_16_over_nats": 6.0,
    "p99_16_zmq_over_ours": 1.0,
    "hub_load_16_headroom": 1.0,
    "stall_others_share": 1.0,
    "stall_memory_headroom": 1.0,
    "stall_account_closes": 1.0,
}
HUB_SHARE = 0.10
"""Of a core, what the hub may take for 1 M events/s to 16 subscribers."""
PAST_MIB, QUEUE_MIB = 64, 8 + 2 + 2
"""What is kept of a topic for whoever asks for what is past, stalled or not; and what one stalled subscriber may cost:
its queue, its connection's own buffer, and a frame or two on their way."""


def available() -> tuple[list[str], list[str]]:
    """Return the systems that are here, and those that are not."""
    here = ["spikestream"]
    if (PEERS / "python").exists():
        here += ["zmq", "nats", "zenoh"] + (["redis"] if shutil.which("redis-server") else [])
    return [name for name in SYSTEMS if name in here], [name for name in SYSTEMS if name not in here]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def broker(system: str, port: int) -> Iterator[subprocess.Popen[bytes] | None]:
    """Run the server a system needs, if any, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "nats": [str(PEERS / "nats-server"), "-a", "127.0.0.1", "-p", str(port)],
            "redis": ["redis-server", "--port", str(port), "--save", "", "--dir", folder],
        }
        if system not in commands:
            yield None
            return
        server = subprocess.Popen(commands[system], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(500):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.02)
            yield server
        finally:
            server.kill()
            server.wait()


def cpu_of(process: subprocess.Popen[bytes] | None) -> float:
    """Return the CPU seconds of a running process."""
    if process is None:
        return 0.0
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(system: str, role: str, port: int, **options: Any) -> subprocess.Popen[str]:
    python = sys.executable if system in OURS else str(PEERS / "python")
    chosen = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    return subprocess.Popen(
        [python, str(RUNNER), system, role, f"127.0.0.1:{port}", *chosen],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def cell(system: str, subscribers: int, size: int, count: int, rate: float = 0.0) -> dict[str, float]:
    """Return the figures of one system with so many subscribers."""
    port = free_port()
    with broker(system, port) as server:
        publisher = start(system, "publish", port, bytes=size, count=count, rate=rate, subscribers=subscribers)
        line(publisher)
        sink = start(system, "subscribe", port, count=count, subscribers=subscribers, wait_s=60)
        line(sink)
        before = cpu_of(server)
        assert publisher.stdin is not None
        publisher.stdin.write("\n")
        publisher.stdin.flush()
        got = json.loads(line(sink))
        serving = cpu_of(server) - before
        sent = json.loads(line(publisher) or "{}")
    deliveries = max(1, got["deliveries"])
    return {
        "deliveries_per_s": got["deliveries_per_s"],
        "mb_per_s": got["deliveries_per_s"] * size / 1e6,
        "arrived": got["deliveries"] / (count * subscribers),
        "us_per_delivery": 1e6 * (sent.get("cpu_s", 0.0) + serving) / deliveries,
        "share_of_a_core": (sent.get("cpu_s", 0.0) + serving) / max(1e-9, sent.get("published_s", 1.0)),
        "p50_ms": got["p50_ms"],
        "p99_ms": got["p99_ms"],
    }


def hub_share(rounds: int) -> float:
    """Return the share of a core that the hub takes for 1,000 big messages a second to 16 subscribers."""
    shares = []
    for _ in range(rounds):
        served = cell("spikestream", 16, BIG, 5_000, 1_000)
        publisher = start("nothing", "publish", 0, bytes=BIG, count=5_000, rate=1_000)
        line(publisher)
        assert publisher.stdin is not None
        publisher.stdin.write("\n")
        publisher.stdin.flush()
        made = json.loads(line(publisher))
        shares.append(served["share_of_a_core"] - made["cpu_s"] / made["published_s"])
    return median(shares)


def compare(
    options: argparse.Namespace, size: int, most: int, rate: float = 0.0
) -> dict[tuple[str, int], dict[str, float]]:
    """Return the medians by system and subscribers; ``most`` deliveries in a round, or two seconds at a rate."""
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    for _ in range(options.rounds):
        for subscribers in options.subscribers:
            for system in options.systems:
                slow = 20 if system in ("nats", "redis") and not rate else 1
                count = int(2 * rate) if rate else max(400, most // subscribers // slow)
                found.setdefault((system, subscribers), []).append(cell(system, subscribers, size, count, rate))
                print(".", end="", file=sys.stderr, flush=True)
    return {key: {name: median(one[name] for one in rounds) for name in rounds[0]} for key, rounds in found.items()}


def show(title: str, found: dict[tuple[str, int], dict[str, float]], columns: Sequence[str]) -> None:
    rows = [("system", "subscribers", *columns)]
    rows += [
        (
            system,
            str(n),
            *(
                f"{figures[column]:,.3g}" if figures[column] < 1_000 else f"{figures[column]:,.0f}"
                for column in columns
            ),
        )
        for (system, n), figures in found.items()
    ]
    print(f"\n{title}\n{table(rows)}", flush=True)


def ratios(found: dict[tuple[str, int], dict[str, float]], what: str, key: str) -> dict[str, float]:
    """Return ours over each peer's."""
    return {
        f"{what}_{n}_over_{system}": found["spikestream", n][key] / max(1e-12, figures[key])
        for (system, n), figures in found.items()
        if system != "spikestream"
    }


def stall(quick: bool) -> dict[str, float]:
    """Stop one of four subscribers for a while, and count."""
    port, count = free_port(), 4_000 if quick else 8_000
    publisher = start("spikestream", "publish", port, bytes=BIG, count=count, rate=1_000, subscribers=4)
    line(publisher)
    readers = [
        subprocess.Popen(
            [sys.executable, str(HERE / "peer_reader.py"), f"127.0.0.1:{port}"], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for reader in readers:
        line(reader)
    assert publisher.stdin is not None
    publisher.stdin.write("\n")
    publisher.stdin.flush()
    time.sleep(0.5)
    readers[0].send_signal(signal.SIGSTOP)
    time.sleep(count / 1_000 - 1.0)
    readers[0].send_signal(signal.SIGCONT)
    stalled, *others = (json.loads(line(reader)) for reader in readers)
    sent = json.loads(line(publisher))
    rows = [("subscriber", "received", "lost, and told", "first to last")]
    for name, one in (("stalled", stalled), *(("another", other) for other in others)):
        rows.append((name, str(one["messages"]), str(one["missing"]), str(one["span"])))
    print(f"\nOne of four stopped, {count:,} messages\n{table(rows)}\npublisher grew by {sent['grown_mib']:.1f} MiB")
    return {
        "stall_others_share": min(one["messages"] for one in others) / count,
        "stall_memory_headroom": (PAST_MIB + QUEUE_MIB) / max(0.1, sent["grown_mib"]),
        "stall_account_closes": float(stalled["messages"] + stalled["missing"] == stalled["span"] == count),
        "stall_lost": stalled["missing"],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parts = ("small", "big", "latency", "load", "stall")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 and 16 subscribers, one short round")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    options.systems, missing = available()
    options.subscribers = (1, 16) if options.quick else SUBSCRIBERS
    options.rounds = 1 if options.quick else options.rounds
    if missing:
        print(f"not here, and left out: {', '.join(missing)} (make peers; apt install redis-server)")
    figures: dict[str, float] = {}
    if "small" in options.only:
        found = compare(options, SMALL, 200_000 if options.quick else 1_600_000)
        show("60 bytes, as fast as it goes", found, ("deliveries_per_s", "us_per_delivery", "arrived"))
        figures |= ratios(found, "small", "deliveries_per_s")
    if "big" in options.only:
        found = compare(options, BIG, 20_000 if options.quick else 160_000)
        show("13 kB, as fast as it goes", found, ("mb_per_s", "us_per_delivery", "arrived"))
        figures |= ratios(found, "big", "mb_per_s")
    if "latency" in options.only:
        found = compare(options, SMALL, 0, 1_000)
        show("60 bytes at 1,000 messages/s", found, ("p50_ms", "p99_ms", "share_of_a_core", "arrived"))
        if "zmq" in options.systems:
            figures["p99_16_zmq_over_ours"] = found["zmq", 16]["p99_ms"] / found["spikestream", 16]["p99_ms"]
    if "load" in options.only:
        share = hub_share(options.rounds)
        print(f"\n1 M events/s to 16 subscribers: {share:.1%} of a core in the hub")
        figures["hub_load_16_headroom"] = HUB_SHARE / share
    if "stall" in options.only:
        figures |= stall(options.quick)
    print()
    finish({name: round(value, 4) for name, value in figures.items()}, TARGETS)


if __name__ == "__main__":
    main()
