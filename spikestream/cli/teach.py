"""``spikestream teach``: tell a running pipeline what it has just seen or heard."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from spikestream.cli.base import Console, add_access, add_quiet
from spikestream.units import duration_us, show_us

if TYPE_CHECKING:
    from spikestream.wire import Taught

URL = "tcp://127.0.0.1:7077"


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(
        prog="spikestream teach",
        description=__doc__,
        epilog="The last three seconds are the ones before it arrives: all windows decided within them get the label, "
        "as far as the readout still keeps them (readout.kept). A class nobody named before is a new one.",
    )
    add = made.add_argument
    add("name", metavar="NAME", help="the pipeline's name: main, unless publish.pipeline says otherwise")
    add("--label", metavar="X", required=True, help="what it was")
    add("--for", dest="for_", metavar="TIME", default="3s", help="how far back, of stream time (default 3s)")
    add("--reward", type=float, default=0.0, metavar="R", help="for rules that learn by reward (default 0)")
    add("--url", default=URL, help=f"where it publishes (default {URL})")
    add("--json", action="store_true", help="print one JSON object, nothing else")
    add_access(made)
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Teach and say what came of it; the exit code is 1 where no window was learned."""
    from spikestream.client import Client

    console = Console(options.quiet)
    for_us = duration_us(options.for_)
    access = {"token_file": options.token_file, "ca": options.ca}
    with Client(options.url, (), name="spikestream teach", **access) as client:
        came = client.teach(options.label, for_us, reward=options.reward, pipeline=options.name)
    if options.json:
        console.json({"pipeline": options.name, "label": options.label, **came.fields()})
    elif came.windows != 0 or options.reward:
        console.out(_line(options, came, for_us))
    return _learned(console, options, came, for_us)


def _line(options: argparse.Namespace, came: Taught, for_us: int) -> str:
    many = "not in force yet" if came.windows is None else f"{came.windows:,} window{'s' * (came.windows != 1)}"
    return f"{options.name}: {options.label}: {many} of the {show_us(for_us)} before {came.t:,} µs"


def _learned(console: Console, options: argparse.Namespace, came: Taught, for_us: int) -> int:
    """Return the exit code, with what to do where nothing was learned."""
    from spikestream.errors import SpikestreamError

    if came.windows is None:
        console.log(
            "warning: the label waits for the sensor to go on, or for the window under way to end; what it will "
            "teach is not known yet"
        )
    if came.windows != 0 or options.reward:
        return 0
    raise SpikestreamError(
        f"nothing was learned: no window that is still kept was decided within {show_us(for_us)} before {came.t:,} µs",
        remedy="teach when its decision has come, or reach further back with --for; readout.kept says how many are "
        "kept",
    )
