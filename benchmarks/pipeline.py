"""File → filters → network with STDP → publish → one subscriber: events a second, and who takes them.

    python benchmarks/pipeline.py [--quick]

Input: a noisy blob moving over 128x128 pixels, a million events a second, as AEDAT 4 with LZ4. Every run goes through
the public session, as `spikestream replay --speed max --publish` does, with a subscriber in another process. Beside it,
in the same run, what other programs take to decode the same file and do nothing with it.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import finish, medians, table

import spikestream as ss
from spikestream.batch import EVENT, Events
from spikestream.config import from_tables
from spikestream.service.job import Job
from spikestream.service.session import Session
from spikestream.wire import Outgoing, kind_of

SIDE = 128
RATE_HZ = 1_000_000
FILTERS = [{"kind": "refractory", "period_ms": 0.1}, {"kind": "background", "window_ms": 10.0}]
NEURONS = (100, 1000)


def moving_blob(seconds: float) -> Events:
    """Return events of a blob circling over the sensor: four fifths in the blob, one fifth noise anywhere."""
    rng = np.random.default_rng(2)
    n = int(seconds * RATE_HZ)
    data = np.empty(n, EVENT)
    data["t"] = np.sort(rng.integers(0, int(seconds * 1e6), n))
    turn = data["t"] / 3e5
    spread = rng.normal(0, 0.12 * SIDE, (2, n))
    noise = rng.random(n) < 0.2
    for axis, path in (("x", 0.5 + 0.3 * np.cos(turn)), ("y", 0.5 + 0.3 * np.sin(turn * 300 / 220))):
        blob = SIDE * path + spread["xy".index(axis)]
        data[axis] = np.where(noise, rng.random(n) * SIDE, np.clip(blob, 0, SIDE - 1))
    data["p"] = rng.random(n) < 0.5
    return Events(0, int(seconds * 1e6), data, (SIDE, SIDE))


def tables(path: Path, neurons: int, url: str = "") -> dict[str, object]:
    """Return the configuration of one run."""
    return {
        "sensor": {"uri": str(path), "speed": "max"},
        "filter": FILTERS,
        "network": {"neurons": neurons},
        "publish": {"urls": [url] if url else []},
    }


def whole_run(path: Path, neurons: int, scratch: Path) -> Session:
    """Run the whole chain with one subscriber in another process, and return the finished session."""
    url = f"unix://{scratch}/bench.sock"
    session = Session(Job(from_tables(tables(path, neurons, url)), wait_subscribers=1))
    command = [sys.executable, "-m", "spikestream", "subscribe", url, "--summary", "--wait", "60s", "--topic", "spikes"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as listener:
        asyncio.run(session.run())
        if listener.wait(30):
            raise SystemExit("the subscriber failed")
    if session.problems():
        raise SystemExit("\n".join(session.problems()))
    return session


def shares(path: Path, neurons: int) -> dict[str, float]:
    """Return the CPU seconds of each part of the chain, one after the other in one thread; publish is the encoding."""
    spent = dict.fromkeys(("decode", "filter", "address", "network", "readout", "publish"), 0.0)
    pipeline = ss.build(tables(path, neurons), (SIDE, SIDE))
    batches = ss.stream(path)
    while True:
        began = time.thread_time()
        flowing = next(batches, None)
        spent["decode"] += time.thread_time() - began
        if flowing is None:
            return spent
        for name, stage in pipeline.stages.items():
            began = time.thread_time()
            flowing = stage(flowing)
            now = time.thread_time()
            spent[name] += now - began
            _ = Outgoing(f"main.{name}.{kind_of(flowing)}", kind_of(flowing), 0, 0, flowing).frame
            spent["publish"] += time.thread_time() - now


def timed(call: Callable[[], object]) -> float:
    """Return the CPU seconds of a call, all threads of this process together."""
    began = time.process_time()
    call()
    return time.process_time() - began


def peers(path: Path) -> dict[str, Callable[[], object]]:
    """Return the decoders installed beside us, each reading the file and counting its events."""
    found: dict[str, Callable[[], object]] = {}
    try:
        import faery

        found["faery"] = lambda: sum(len(packet) for packet in faery.events_stream_from_file(path))
    except ImportError:
        print("faery is not installed: pip install 'spikestream[oracles]'")
    try:
        import aedat

        found["aedat"] = lambda: sum(len(packet["events"]) for packet in aedat.Decoder(path) if "events" in packet)
    except ImportError:
        print("aedat is not installed: pip install 'spikestream[oracles]'")
    return found


def speed(path: Path, seconds: float, rounds: int) -> dict[str, float]:
    """Print what the whole chain reaches, and return its real-time factors."""
    kept: dict[int, dict[str, float]] = {}

    def one(neurons: int, scratch: str) -> float:
        session = whole_run(path, neurons, Path(scratch))
        kept[neurons] = session.summary()
        return float(session.engine.progress.realtime_factor())

    with tempfile.TemporaryDirectory(prefix="spikestream-") as scratch:
        factors = medians(rounds, {str(n): lambda n=n: one(n, scratch) for n in NEURONS})
    rows = [["neurons", "x real time", "events/s", "events/s into network", "spikes out/s"]]
    for n in NEURONS:
        factor = factors[str(n)]
        passed = (kept[n]["events_in"] - kept[n]["events_filtered"]) / seconds
        rows.append([str(n), f"{factor:.2f}", f"{factor * RATE_HZ:,.0f}", f"{factor * passed:,.0f}"])
        rows[-1].append(f"{kept[n]['spikes_out'] / seconds:,.0f}")
    print(table(rows) + "\n")
    return {f"realtime_factor_{n}_neurons": factors[str(n)] for n in NEURONS}


def show_shares(path: Path) -> None:
    """Print who takes the CPU time."""
    parts = {n: shares(path, n) for n in NEURONS}
    whole = {n: sum(part.values()) for n, part in parts.items()}
    rows = [["CPU share", *(f"{n} neurons" for n in NEURONS)]]
    rows += [[name, *(f"{parts[n][name] / whole[n]:.1%}" for n in NEURONS)] for name in parts[NEURONS[0]]]
    print(table(rows) + "\n")


def decoding(path: Path, events: int, rounds: int) -> dict[str, float]:
    """Print what decoding alone takes, ours and others', and return the ratios of their CPU time to ours."""
    contestants = {"spikestream": lambda: sum(len(batch) for batch in ss.stream(path)), **peers(path)}
    spent = medians(rounds, {name: lambda call=call: timed(call) for name, call in contestants.items()})
    rows = [["decoding alone", "events/s of CPU"], *([name, f"{events / cpu:,.0f}"] for name, cpu in spent.items())]
    print(table(rows))
    return {f"decode_vs_{name}": spent[name] / spent["spikestream"] for name in spent if name != "spikestream"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 s of stream and one round instead of 10 s and three")
    seconds, rounds = (2.0, 1) if parser.parse_args().quick else (10.0, 3)
    with tempfile.TemporaryDirectory(prefix="spikestream-") as scratch:
        path = Path(scratch) / "blob.aedat4"
        events = ss.write(path, moving_blob(seconds))
        megabytes = path.stat().st_size / 1e6
        print(f"{events:,} events in {seconds:.0f} s over {SIDE}x{SIDE} pixels, {megabytes:.0f} MB of AEDAT 4\n")
        shares(path, 1)  # compiles and warms everything that is timed below
        figures = speed(path, seconds, rounds)
        show_shares(path)
        figures |= decoding(path, events, rounds)
    finish(figures, {"realtime_factor_100_neurons": 1.0})


if __name__ == "__main__":
    main()
