"""``spikestream plugins``: what is registered, built in and installed; nothing of it is loaded."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import asdict

from spikestream.cli.base import Console, add_quiet


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(prog="spikestream plugins", description=__doc__)
    made.add_argument("--json", action="store_true", help="one JSON list")
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Print every registered name with its group and distribution, and say which are ambiguous."""
    from spikestream.registry import GROUPS, found

    console = Console(options.quiet)
    rows = [entry for group in GROUPS for entry in found(group)]
    if options.json:
        console.json([asdict(entry) for entry in rows])
        return 0
    names = Counter((entry.group, entry.name) for entry in rows)
    for entry in rows:
        twice = "  AMBIGUOUS: registered more than once" if names[entry.group, entry.name] > 1 else ""
        console.out(f"{entry.group:8} {entry.name:10} {entry.distribution} {entry.version}  {entry.value}{twice}")
    return 0
