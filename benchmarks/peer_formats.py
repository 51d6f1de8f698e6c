"""One reader of one recording, timed: what benchmarks/formats.py runs, and no more.

    python benchmarks/peer_formats.py READER whole|stream FORMAT FILE ROUNDS

``whole`` ends with an array of events, ``stream`` goes through arrays of them. Ends with a JSON line: events, the
smallest CPU and wall seconds of all rounds but the first, and the most memory the process had, its libraries included.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

PIECE = 65_536


def spikestream_whole(path: str, format: str) -> Any:
    import spikestream as ss

    return ss.read(path).data


def spikestream_stream(path: str, format: str) -> Iterator[Any]:
    from spikestream.files.reader import Reader

    with Reader(path) as reader:
        yield from reader


def expelliarmus_whole(path: str, format: str) -> Any:
    from expelliarmus import Wizard

    return Wizard(encoding=format).read(path)


def expelliarmus_stream(path: str, format: str) -> Iterable[Any]:
    from expelliarmus import Wizard

    wizard = Wizard(encoding=format, chunk_size=PIECE)
    wizard.set_file(path)
    return wizard.read_chunk()


def evutils_whole(path: str, format: str) -> Any:
    from evutils.io import EventReader

    return EventReader(path, mode="all", **_layout(format)).read()


def evutils_stream(path: str, format: str) -> Iterable[Any]:
    from evutils.io import EventReader

    return EventReader(path, mode="n_events", n_events=PIECE, **_layout(format))


def _layout(format: str) -> dict[str, str]:
    return {"layout": "dvs128"} if format == "aedat1" else {}


def faery_whole(path: str, format: str) -> Any:
    import faery

    return faery.events_stream_from_file(path).to_array()


def faery_stream(path: str, format: str) -> Iterable[Any]:
    import faery

    return faery.events_stream_from_file(path)


def event_stream_whole(path: str, format: str) -> Any:
    return np.concatenate(list(event_stream_stream(path, format)))


def event_stream_stream(path: str, format: str) -> Iterable[Any]:
    import event_stream

    return event_stream.Decoder(path)


def evt3_whole(path: str, format: str) -> Any:
    import evt3

    return evt3.decode_file(path).t


def aedat_stream(path: str, format: str) -> Iterator[Any]:
    import aedat

    yield from (packet["events"] for packet in aedat.Decoder(path) if "events" in packet)


def aedat_whole(path: str, format: str) -> Any:
    return np.concatenate(list(aedat_stream(path, format)))


def dv_stream(path: str, format: str) -> Iterator[Any]:
    import dv_processing as dv

    recording = dv.io.MonoCameraRecording(path)
    while (store := recording.getNextEventBatch()) is not None:
        yield store.numpy()


def dv_whole(path: str, format: str) -> Any:
    return np.concatenate(list(dv_stream(path, format)))


def tonic_whole(path: str, format: str) -> Any:
    from tonic.io import make_structured_array, read_davis_346, read_mnist_file

    if format == "aedat2":
        return read_davis_346(path)[2]
    return read_mnist_file(path, dtype=make_structured_array([], [], [], []).dtype)


def numpy_whole(path: str, format: str) -> Any:
    found = np.load(path)
    if format == "npy":
        return found
    columns = [found[name] for name in "txyp"]
    return columns[0]


def h5py_whole(path: str, format: str) -> Any:
    import h5py

    with h5py.File(path) as file:
        return file["CD/events"][:]


def used() -> tuple[float, float]:
    """Return the CPU seconds of this process and of those it has started, and the clock's."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent) + sum(map(running, children())), time.perf_counter()


def children() -> Iterator[Path]:
    """Yield what is known of the processes that were started and have not ended."""
    for task in Path("/proc/self/task").iterdir():
        yield from (Path("/proc") / pid for pid in (task / "children").read_text().split())


def running(process: Path) -> float:
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib() -> float:
    # Of this program: what its parent had before is in getrusage's figure.
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    reader, how, format, path, rounds = sys.argv[1:]
    read: Callable[[str, str], Any] = globals()[f"{reader}_{how}"]
    name = format.partition("-")[0]
    cpu, wall, events = [], [], 0
    for number in range(int(rounds) + 1):
        begun = used()
        events = len(read(path, name)) if how == "whole" else sum(len(part) for part in read(path, name))
        ended = used()
        if number:
            cpu.append(ended[0] - begun[0])
            wall.append(ended[1] - begun[1])
    print(json.dumps({"events": events, "cpu_s": min(cpu), "wall_s": min(wall), "peak_mib": peak_mib()}))


if __name__ == "__main__":
    main()
