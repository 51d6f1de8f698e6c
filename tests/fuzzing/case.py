"""One damaged file, read as a user's would be: events or a `RecordingError`, within bounds of time and memory."""

from __future__ import annotations

import resource
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from fuzz import drain
from goodfiles import GOOD

from spikestream.errors import RecordingError
from spikestream.files.containers import hdf5_reading
from spikestream.files.reader import Reader
from spikestream.registry import load

CPU_S = 10
"""Seconds of processor for one case, after which the kernel ends the process."""
MORE = 1 << 30
"""Bytes of address space above those of the loaded process."""


class TooMuch(Exception):  # it is a finding, no error of anybody's
    """A case that held more memory than its format states."""


def feed_here(function: str, path: str, options: dict[str, Any]) -> Iterator[Any]:
    """Read HDF5 without a process apart: to start one for every damaged file takes longer than all the rest."""
    yield from hdf5_reading.read(path, **options)


class Case:
    """Reads damaged files of one format; ``path`` is where those are put that are read from a file.

    ``options`` are what the reader has to be told, where it is not that of the good files.
    """

    def __init__(self, name: str, path: Path, **options: Any) -> None:
        self.name, self.path = name, path
        self.good = GOOD[name]
        self.options = options or self.good.options
        self.decoder = load("formats", name).decoder

    def read(self, data: bytes) -> int:
        """Return how many events the bytes hold, in pieces of any size where that is a matter of choice."""
        if self.decoder is not None:
            return drain(partial(self.decoder, **self.options), data, Random(len(data)))
        self.path.write_bytes(data)
        return self.read_file()

    def read_file(self) -> int:
        """Return how many events lie in the file before any damage, by way of what reads everybody's files."""
        events = 0
        try:
            with Reader(self.path, format=self.name, time="keep", **self.options) as reader:
                for part in reader:
                    events += len(part)
        except RecordingError:
            pass
        return events

    def measured(self, data: bytes) -> int:
        """Return what `read` does; raises `TooMuch`. Memory is to be traced."""
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        events = self.read(data)
        held = tracemalloc.get_traced_memory()[1] - before
        if held > self.good.memory:
            raise TooMuch(f"{held:,} bytes were held, {self.good.memory:,} are stated")
        return events


def limit_cpu() -> None:
    """Give this process so many seconds more, from now on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, ceiling = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_S, ceiling))


def limit_memory() -> None:
    """Give this process so much address space more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, ceiling = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MORE, ceiling))
