"""``spikestream models``: the models that ship with spikestream, which go by their names, and others by their files."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from spikestream.cli.base import Console, add_quiet
from spikestream.cli.base.figures import percent
from spikestream.errors import printable

if TYPE_CHECKING:
    from spikestream.cli.base.catalogue import Entry

SHOWN = 6
"""Classes that are listed by name."""


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(prog="spikestream models", description=__doc__)
    made.add_argument("paths", nargs="*", metavar="PATH", help="a model, or a folder of them, in place of the shipped")
    made.add_argument("--json", action="store_true", help="one JSON list")
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Print one line for each model; what no model is, is an error where it was named, and passed over in a folder."""
    from spikestream.cli.base.catalogue import entry
    from spikestream.errors import ModelError
    from spikestream.files import shipped

    console = Console(options.quiet)
    rows: list[Entry] = []
    if not options.paths:
        rows = [entry(str(path), name) for name, path in shipped.models().items()]
    for named in options.paths:
        if not Path(named).is_dir():
            rows.append(entry(shipped.model_path(named)))
            continue
        inside = sorted(Path(named).glob("*.npz"))
        if not inside:
            console.log(f"there is no model in {printable(named)}: none of its files ends in .npz")
        for path in inside:
            try:
                rows.append(entry(str(path)))
            except ModelError as error:
                console.log(f"warning: {error}")
    if options.json:
        console.json([asdict(row) for row in rows])
        return 0
    for row in rows:
        console.out(_line(row))
    return 0


def _line(row: Entry) -> str:
    names = ", ".join(row.classes[:SHOWN]) + (", …" if len(row.classes) > SHOWN else "")
    classes = f"{len(row.classes)} classes: {names}" if row.classes else "no classes"
    stated = f"stated {percent(row.accuracy)}" if row.accuracy is not None else "no accuracy stated"
    on = f" on {row.measured_on}" if row.measured_on else ""
    return f"{printable(row.name):12} {row.rule:6} {row.sensor:18} {row.size / 1000:6.0f} kB  {classes}  {stated}{on}"
