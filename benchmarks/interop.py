"""Who reads whose recordings: every writer of a format, ours and other programs', beside every reader of it.

    python benchmarks/interop.py [--write] [--only FORMAT ...]

Each of the writers writes the same events, and each of the readers reads each of the files, in a process of its own and
with a limit of time, for some crash and some hang. ``--write`` puts what was found into docs/interop.md; a test holds
that page to it. The events begin at 0 (``zero``), begin later (``late``) or are silent for 20 s (``long``).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from common import finish
from peer_interop import side_of

from spikestream.batch import EVENT, Array

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "interop.md"
BEGIN, END = "<!-- tables: python benchmarks/interop.py --write -->\n", "<!-- end of the tables -->\n"
OURS = "spikestream"
LIMIT_S = 60.0
MODULES = {"dv": "dv_processing"}
"""Where a program's module has another name."""
PACKAGES = {"dv": "dv-processing", "event_stream": "event-stream"}
PLAIN = (OURS, "numpy", "h5py")
"""What they make of a file does not hang on their version."""


class Kind(NamedTuple):
    """A format: its suffix, and who writes and who reads it."""

    suffix: str
    writers: str
    readers: str


_AEDAT4 = "spikestream aedat dv faery evutils evlib evlab tonic"
_EVT = "spikestream faery expelliarmus evutils evlib"
FORMATS = {
    "aedat2": Kind("aedat", "spikestream", "spikestream evutils tonic evlib"),
    "aedat3": Kind("aedat", "spikestream", "spikestream evutils evlib"),
    "aedat4-none": Kind("aedat4", "faery dv evutils", _AEDAT4),
    "aedat4-lz4": Kind("aedat4", "spikestream faery dv", _AEDAT4),
    "aedat4-zstd": Kind("aedat4", "faery dv", _AEDAT4),
    "evt2": Kind("raw", "spikestream faery expelliarmus evutils", _EVT),
    "evt21": Kind("raw", "evutils", "spikestream evutils evlib"),
    "evt3": Kind("raw", "spikestream faery expelliarmus evutils", f"{_EVT} evt3"),
    "dat": Kind(
        "dat", "spikestream faery expelliarmus evutils evio", "spikestream faery expelliarmus evutils evio evlab"
    ),
    "es": Kind("es", "spikestream faery event_stream", "spikestream faery event_stream"),
    "bin": Kind("bin", "spikestream evio", "spikestream evio tonic"),
    "csv": Kind("csv", "spikestream faery evutils evlab evlib", "spikestream faery evutils evlab evlib"),
    "npy": Kind("npy", "numpy", "spikestream numpy"),
    "npz": Kind("npz", "spikestream numpy evutils evlab", "spikestream numpy evutils evlab"),
    "hdf5": Kind("hdf5", "spikestream evutils evlib h5py", "spikestream evutils evlib h5py"),
    "bag": Kind("bag", "rosbags", "spikestream rosbags evlab"),
    "db3": Kind("db3", "rosbags", "spikestream rosbags"),
    "mcap": Kind("mcap", "rosbags", "spikestream rosbags"),
}
Cell = tuple[str, str, str]
"""(format, writer, reader)"""


def programs() -> list[str]:
    """Return all programs that read or write."""
    return sorted({name for kind in FORMATS.values() for name in f"{kind.writers} {kind.readers}".split()})


def installed(program: str) -> bool:
    return find_spec(MODULES.get(program, program)) is not None


def versions() -> dict[str, str]:
    """Return the versions of other people's programs that are installed."""
    return {name: version(PACKAGES.get(name, name)) for name in programs() if name not in PLAIN and installed(name)}


def scene(format: str, case: str, n: int = 2_000) -> Array:
    """Return events: simultaneous ones, neighbours in a row, corners of the sensor, both polarities."""
    width, height = side_of(format)
    rng, events = np.random.default_rng(7), np.empty(n, EVENT)
    events["t"] = np.sort(rng.integers(0, 3 * n, n))
    events["x"], events["y"] = rng.integers(0, width, n), rng.integers(0, height, n)
    events["p"] = rng.integers(0, 2, n)
    row = slice(500, 530)
    events["t"][row], events["y"][row], events["p"][row] = events["t"][500], 7, True
    events["x"][row] = np.arange(3, 33)
    corners = [(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)]
    events["x"][:8], events["y"][:8] = np.array([*corners, *corners]).T
    events["p"][:8] = [True, False] * 4
    events["t"][:8] = 0
    events["t"] += {"zero": 0, "late": 1_234_567, "long": 0}[case]
    if case == "long":
        events["t"][n // 2 :] += 20_000_000
    return events


def cases(format: str) -> tuple[str, ...]:
    """Return the kinds of events that a format can hold; `.bin` ends after 8.4 s."""
    return ("zero", "late") if format == "bin" else ("zero", "late", "long")


class Program:
    """One program in a process of its own, which is started anew after it has crashed or was stopped."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._running: subprocess.Popen[str] | None = None

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def does(self, do: str, format: str, path: Path, events: Path) -> str:
        """Return "" or what came of it: ``refuses``, ``crashes`` or ``hangs``."""
        if self._running is None:
            command = [sys.executable, str(HERE / "peer_interop.py"), self._name]
            pipe = subprocess.PIPE
            self._running = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        asked, answers = self._running.stdin, self._running.stdout
        assert asked is not None
        assert answers is not None
        with contextlib.suppress(BrokenPipeError):  # it has crashed, which the end of its answers tells
            asked.write(json.dumps({"do": do, "format": format, "path": str(path), "events": str(events)}) + "\n")
            asked.flush()
        if not select.select([answers], [], [], LIMIT_S)[0]:
            self._stop()
            return "hangs"
        line = answers.readline()
        if not line:
            self._stop()
            return "crashes"
        said = json.loads(line)
        if said:
            print(f"{self._name} {do} {path.name}: {said[:300]}", file=sys.stderr)
        return "" if not said else "crashes" if said.startswith("PanicException") else "refuses"

    def _stop(self) -> None:
        if self._running is not None:
            self._running.kill()
            with contextlib.suppress(BrokenPipeError):
                self._running.communicate()
            self._running.wait()
            self._running = None


def differing(wanted: Array, found: Array, format: str) -> str:
    """Return how events differ from those that were written: "equal", or which of their fields do."""
    n = min(len(wanted), len(found))
    fields = [text for name in "txyp" if (text := _field(name, wanted[name][:n], found[name][:n], side_of(format)))]
    count = abs(len(found) - len(wanted))
    if not count:
        return ", ".join(fields) or "equal"
    if not n:
        return "no events"
    if len(found) < len(wanted) and "t" not in fields and "p" not in fields:
        return ", ".join([f"the last {count:,} missing", *fields])
    return f"{count:,} event{'s' * (count > 1)} {'fewer' if len(found) < len(wanted) else 'more'}"


def _field(name: str, wanted: Array, found: Array, side: tuple[int, int]) -> str:
    if np.array_equal(wanted, found):
        return ""
    for axis, turned in (("x", "x mirrored"), ("y", "y upside down")):
        last = side["xy".index(axis)] - 1
        if name == axis and np.array_equal(last - wanted.astype(int), found.astype(int)):
            return turned
    return name


def summed(results: Mapping[str, str]) -> str:
    """Return one text for what came of all cases."""
    alike: dict[str, list[str]] = {}
    for case, result in results.items():
        alike.setdefault(result, []).append(case)
    return (
        next(iter(alike)) if len(alike) == 1 else "; ".join(f"{', '.join(told)}: {one}" for one, told in alike.items())
    )


def matrix(folder: Path, formats: Iterable[str] = tuple(FORMATS)) -> dict[Cell, str]:
    """Return what came of each writer and reader of each format; files are made in ``folder``."""
    wanted = list(formats)
    found: dict[Cell, dict[str, str]] = {}
    files: dict[tuple[str, str, str], Path] = {}
    refused: dict[tuple[str, str, str], str] = {}
    for program in filter(installed, programs()):
        with Program(program) as one:
            for format in (name for name in wanted if program in FORMATS[name].writers.split()):
                for case in cases(format):
                    events = folder / f"{format}-{case}.npy"
                    np.save(events, scene(format, case))
                    path = folder / f"{format}-{program}-{case}.{FORMATS[format].suffix}"
                    files[format, program, case] = path
                    refused[format, program, case] = one.does("write", format, path, events)
    for program in filter(installed, programs()):
        with Program(program) as one:
            for (format, writer, case), path in files.items():
                if program not in FORMATS[format].readers.split():
                    continue
                result = refused[format, writer, case] and f"not written: {refused[format, writer, case]}"
                read = folder / "read.npy"
                result = result or one.does("read", format, path, read)
                result = result or differing(scene(format, case), np.load(read), format)
                found.setdefault((format, writer, program), {})[case] = result
    return {cell: summed(results) for cell, results in found.items()}


def tables(found: Mapping[Cell, str]) -> str:
    """Return a Markdown table for each format."""
    parts = []
    for format, kind in FORMATS.items():
        readers = [name for name in kind.readers.split() if any(cell[::2] == (format, name) for cell in found)]
        writers = [name for name in kind.writers.split() if any(cell[:2] == (format, name) for cell in found)]
        if not writers:
            continue
        lines = [f"### {format}", "", "| written by | " + " | ".join(readers) + " |", "|---" * (len(readers) + 1) + "|"]
        lines += [
            f"| {name} | " + " | ".join(found[format, name, reader] for reader in readers) + " |" for name in writers
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def told_versions(text: str) -> dict[str, str]:
    """Return the versions that the tables of the page were made with."""
    (line,) = re.findall(r"^Found with (.*)\.$", text, flags=re.M)
    return dict(one.split(" ") for one in line.split(", "))


def documented(text: str) -> dict[Cell, str]:
    """Return the cells of the tables of the page."""
    found: dict[Cell, str] = {}
    for section in re.split(r"^### ", text.partition(BEGIN)[2].partition(END)[0], flags=re.M)[1:]:
        rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
        for row in rows[2:]:
            for reader, cell in zip(rows[0][1:], row[1:], strict=True):
                found[section.splitlines()[0], row[0], reader] = cell
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--write", action="store_true", help="put the tables into docs/interop.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = matrix(Path(folder), options.only)
    print(tables(found))
    if options.write:
        head, _, rest = PAGE.read_text().partition(BEGIN)
        made_with = ", ".join(" ".join(one) for one in versions().items())
        PAGE.write_text(f"{head}{BEGIN}Found with {made_with}.\n\n{tables(found)}{END}{rest.partition(END)[2]}")
    ours = [text for (_, writer, reader), text in found.items() if writer == OURS == reader]
    figures: dict[str, Any] = {"pairs": len(found), "equal": sum(text == "equal" for text in found.values())}
    figures["all_of_ours_equal"] = 1.0 - any(text != "equal" for text in ours)
    finish(figures, {"all_of_ours_equal": 1.0})


if __name__ == "__main__":
    main()
