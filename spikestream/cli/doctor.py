"""``spikestream doctor``: what this machine has for it, what is missing, and what to do about it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from spikestream.cli.base import Console, add_quiet

if TYPE_CHECKING:
    from spikestream.service.doctor import Finding

MARKS = {"ok": "ok  ", "note": "note", "bad": "BAD "}


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(
        prog="spikestream doctor", description=__doc__, epilog="Exit code 1 where anything is bad; notes are no reason."
    )
    made.add_argument(
        "config", nargs="?", default="", metavar="CONFIG", help="a TOML configuration to be looked at too"
    )
    made.add_argument("--json", action="store_true", help="one JSON list")
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Print a line for each thing that was looked at, and return 1 where one of them is bad."""
    from spikestream.config import read_pipelines
    from spikestream.service.defaults import base_of
    from spikestream.service.doctor import examine

    console = Console(options.quiet)
    findings = []
    configured = (lambda: read_pipelines(options.config, (), base_of)) if options.config else None
    for one in examine(configured):
        findings.append(one)
        if not options.json:
            console.out(_line(one))
    if options.json:
        console.json([asdict(one) for one in findings])
    bad = sum(one.state == "bad" for one in findings)
    console.log(f"{bad} of {len(findings)} are bad" if bad else "nothing is bad")
    return 1 if bad else 0


def _line(one: Finding) -> str:
    remedy = f"\n       {one.remedy}" if one.remedy else ""
    return f"{MARKS[one.state]}   {one.what}: {one.text}{remedy}"
