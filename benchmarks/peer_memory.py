"""How much memory one reader takes while it reads piece by piece: for benchmarks/formats.py and tests/test_memory.py.

    python benchmarks/peer_memory.py READER FORMAT:WARM:FILE[:FILE]... ...

The file WARM is read first, so that everything a format needs is loaded and compiled. For each FILE a line of JSON
follows: its format, how many events came, and by how many MiB the process, with those that it has started, was at most
larger than before.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import peer_formats

OPTIONS: dict[str, dict[str, Any]] = {"nas": {"format": "nas", "sensor": "mono32:usbaermini2"}}
"""What a file does not say."""


def spikestream_stream(path: str, format: str) -> Iterable[Any]:
    import spikestream as ss

    return ss.stream(path, **OPTIONS.get(format, {}))


def processes() -> list[Path]:
    """Return what is known of this process and of those that it has started."""
    return [Path("/proc/self"), *peer_formats.children()]


def mib(what: str) -> float:
    """Return a figure of the memory of all processes: VmRSS now, VmHWM at most."""
    lines = [line for one in processes() for line in (one / "status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def grown(read: Callable[[str, str], Iterable[Any]], path: str, format: str) -> tuple[int, float]:
    """Return how many events came, and by how many MiB the memory had grown at most."""
    gc.collect()
    # What was freed and not given back would hide as much as it could hold.
    ctypes.CDLL(None).malloc_trim(0)
    idle = mib("VmRSS")
    for one in processes():
        (one / "clear_refs").write_text("5")
    events = sum(len(part) for part in read(path, format))
    return events, mib("VmHWM") - idle


def main() -> None:
    reader, *asked = sys.argv[1:]
    read = spikestream_stream if reader == "spikestream" else getattr(peer_formats, f"{reader}_stream")
    for one in asked:
        format, warm, *paths = one.split(":")
        name = format.partition("-")[0]
        for _ in read(warm, name):
            pass
        for path in paths:
            events, more = grown(read, path, name)
            print(json.dumps({"format": format, "events": events, "grown_mib": round(more, 2)}), flush=True)


if __name__ == "__main__":
    main()
