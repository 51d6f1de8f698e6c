"""Reading recordings: ours beside every program that reads the format, the same file, one thread, in turns.

    python benchmarks/formats.py [--quick] [--only FORMAT ...] [--rounds 5] [--events 10000000]

Each contestant has a process of its own (benchmarks/peer_formats.py), reads the file once for nothing and then several
times, and is judged by the CPU seconds of its quickest one; wall time and peak memory stand beside. Contestants that
read whole end with t, x, y and p in memory of their own; those that stream hand out arrays of them piece by piece. The
files hold random events of a sensor of 1280x720 (128x128 for N-MNIST and AEDAT 1, 346x260 for AEDAT 2 and EVT 2.1),
written by faery where it can, EVT 2.1 by evutils. A figure is our speed over that of the fastest peer, whole and
streamed: 1 or more is the target.

Last stands what memory those that stream take above the idle process (benchmarks/peer_memory.py), for the file and for
one of a quarter of the events; the figure is the bound of 30 MiB over ours.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common import finish, table
from peer_interop import write_evutils

import spikestream as ss
from spikestream.batch import EVENT, Array

RUNNER = Path(__file__).resolve().parent / "peer_formats.py"
MEMORY = RUNNER.with_name("peer_memory.py")
BOUND_MIB = 30.0
FEW = 1_000
"""Events of the file that is read first, so that all is loaded and compiled."""
PEERS: dict[str, dict[str, tuple[str, ...]]] = {
    "evt2": {"whole": ("expelliarmus", "evutils", "faery"), "stream": ("expelliarmus", "evutils", "faery")},
    "evt3": {"whole": ("expelliarmus", "evutils", "evt3", "faery"), "stream": ("expelliarmus", "evutils", "faery")},
    "evt21": {"whole": ("evutils",), "stream": ("evutils",)},
    "dat": {"whole": ("expelliarmus", "evutils"), "stream": ("expelliarmus", "evutils", "faery")},
    "aedat4-none": {"whole": ("aedat", "dv", "evutils", "faery"), "stream": ("aedat", "dv", "faery")},
    "aedat4-lz4": {"whole": ("aedat", "dv", "evutils", "faery"), "stream": ("aedat", "dv", "faery")},
    "aedat4-zstd": {"whole": ("aedat", "dv", "evutils", "faery"), "stream": ("aedat", "dv", "faery")},
    "es": {"whole": ("event_stream", "faery"), "stream": ("event_stream", "faery")},
    "aedat3": {"whole": ("evutils",), "stream": ()},
    "aedat2": {"whole": ("evutils", "tonic"), "stream": ("evutils",)},
    "aedat1": {"whole": ("evutils",), "stream": ("evutils",)},
    "csv": {"whole": ("faery",), "stream": ("faery",)},
    "bin": {"whole": ("tonic",), "stream": ()},
    "npy": {"whole": ("numpy",), "stream": ()},
    "npz": {"whole": ("evutils", "numpy"), "stream": ("evutils",)},
    "hdf5": {"whole": ("evutils", "h5py"), "stream": ("evutils",)},
}
"""Who reads what, by itself and rightly on this file."""
SIZES = {"aedat1": (128, 128), "bin": (128, 128), "aedat2": (346, 260), "evt21": (346, 260)}
BY_FAERY = ("evt2", "evt3", "dat", "aedat4", "es", "csv")


def scene(events: int, format: str) -> tuple[Array, tuple[int, int]]:
    """Return random events in time order, and the size of their sensor."""
    side = SIZES.get(format, (1280, 720))
    rng, made = np.random.default_rng(1), np.zeros(events, EVENT)
    span_us = (1 << 23) - 1 if format == "bin" else events
    made["t"] = np.sort(rng.integers(0, span_us, events))
    made["x"], made["y"] = rng.integers(0, side[0], events), rng.integers(0, side[1], events)
    made["p"] = rng.integers(0, 2, events)
    return made, side


def written(folder: Path, format: str, events: int) -> Path:
    """Write the file of a format, by faery where it writes that."""
    made, size = scene(events, format)
    name, _, packing = format.partition("-")
    suffix = "raw" if name.startswith("evt") else {"aedat1": "aedat", "aedat3": "aedat"}.get(name, name)
    path = folder / f"{format}.{suffix}"
    if name in BY_FAERY:
        import faery

        stream = faery.events_stream_from_array(made.astype(faery.EVENTS_DTYPE), dimensions=size)
        version = {"evt2": "evt2", "evt3": "evt3", "dat": "dat2"}.get(name)
        compression = (packing, 1) if packing in ("lz4", "zstd") else None
        stream.to_file(path, version=version, compression=compression, zero_t0=False)
    elif name == "aedat1":
        records = np.empty(events, [("address", ">u2"), ("stamp", ">u4")])
        records["address"], records["stamp"] = made["y"] << 8 | made["x"] << 1 | made["p"], made["t"]
        path.write_bytes(b"#!AER-DAT1.0\r\n# AEChip: DVS128\r\n#End Of ASCII Header\r\n" + records.tobytes())
    elif name == "evt21":
        write_evutils(str(path), name, made)
    elif name == "npy":
        np.save(path, made)
    else:
        ss.write(path, ss.Events(0, int(made["t"][-1]) + 1, made, size), format=name)
    return path


def measured(reader: str, how: str, format: str, path: Path, rounds: int) -> dict[str, Any] | None:
    """Return what one contestant took, None where it cannot."""
    command = [sys.executable, str(RUNNER), reader, how, format, str(path), str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and reader == "spikestream":
        raise RuntimeError(done.stderr)
    if done.returncode:
        print(f"{reader} cannot: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(format: str, how: str, path: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what every contestant took, ours first: the median of the runs, each contestant in turn."""
    readers = ["spikestream", *PEERS[format][how]]
    runs: dict[str, list[dict[str, Any]]] = {}
    for _ in range(options.runs):
        for reader in list(readers):
            found = measured(reader, how, format, path, options.rounds)
            if found is None:
                readers.remove(reader)
                continue
            runs.setdefault(reader, []).append(found)
            print(".", end="", file=sys.stderr, flush=True)
    return [
        {"reader": reader} | {key: median(one[key] for one in found) for key in found[0]}
        for reader, found in runs.items()
    ]


def show(format: str, how: str, found: Sequence[dict[str, Any]]) -> None:
    rows = [("reader", "events", "CPU Mev/s", "wall Mev/s", "peak MiB")]
    for one in found:
        events = one["events"]
        cpu, wall = f"{events / one['cpu_s'] / 1e6:,.1f}", f"{events / one['wall_s'] / 1e6:,.1f}"
        rows.append((one["reader"], f"{events:,.0f}", cpu, wall, f"{one['peak_mib']:,.0f}"))
    print(f"\n{format}, {'the whole file' if how == 'whole' else 'piece by piece'}\n{table(rows)}", flush=True)


def memory(format: str, paths: Sequence[Path]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return by how much the memory of each that streams has grown, ours first, for the files behind the first one."""
    told = []
    for reader in ("spikestream", *PEERS[format]["stream"]):
        command = [sys.executable, str(MEMORY), reader, ":".join([format, *map(str, paths)])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{reader} cannot: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
            continue
        told.append((reader, [json.loads(line) for line in done.stdout.splitlines()]))
    return told


def show_memory(format: str, told: Sequence[tuple[str, list[dict[str, Any]]]]) -> None:
    head = ("reader", *(f"MiB, {one['events']:,} events" for one in told[0][1]))
    rows = [head, *((reader, *(f"{one['grown_mib']:,.1f}" for one in found)) for reader, found in told)]
    print(f"\n{format}, memory above the idle process\n{table(rows)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a million events, one run of each")
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=5, help="how often a contestant reads the file in one run")
    parser.add_argument("--events", type=int, default=10_000_000)
    options = parser.parse_args()
    options.runs = 1 if options.quick else 3
    options.events = 1_000_000 if options.quick else options.events
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for format in options.only:
            path = written(Path(folder), format, options.events)
            for how in ("whole", "stream"):
                found = compare(format, how, path, options)
                show(format, how, found)
                wrong = [one["reader"] for one in found if one["events"] != options.events]
                if wrong:
                    print(f"not all events: {', '.join(wrong)}, left out of the comparison")
                peers = [one["cpu_s"] for one in found[1:] if one["reader"] not in wrong]
                if peers:
                    figures[f"{format}_{how}"] = round(min(peers) / found[0]["cpu_s"], 3)
            path.rename(large := path.with_name(f"large{path.suffix}"))
            paths = [written(Path(folder), format, FEW).rename(large.with_name(f"few{path.suffix}"))]
            paths += [written(Path(folder), format, options.events // 4), large]
            told = memory(format, paths)
            show_memory(format, told)
            figures[f"{format}_memory"] = round(BOUND_MIB / max(one["grown_mib"] for one in told[0][1]), 3)
            for one in paths:
                one.unlink()
    print()
    finish(figures, dict.fromkeys(figures, 1.0))


if __name__ == "__main__":
    main()
