"""``spikestream info``: what a recording is and holds."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from spikestream.cli.base import Console, add_quiet, tell
from spikestream.errors import RecordingError, SpikestreamError
from spikestream.units import pixels, show_count, show_us

if TYPE_CHECKING:
    from spikestream.files.info import RecordingInfo

SUSPICIOUS = 3


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(prog="spikestream info", description=__doc__)
    made.add_argument("files", nargs="+", metavar="FILE")
    made.add_argument("--fast", action="store_true", help="read the header (and an index, if there is one) only")
    made.add_argument("--check", action="store_true", help="exit with 3 if anything is suspicious")
    made.add_argument("--json", action="store_true", help="one JSON object a file")
    made.add_argument("--format", help="format, where the content does not tell")
    made.add_argument("--sensor", metavar="LAYOUT", help="address layout of an AEDAT 2.0 file")
    made.add_argument("--size", metavar="WxH", help="pixels of the sensor, where the recording does not tell")
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Print what each file is; return 3 if one cannot be read, or is suspicious and ``--check`` is set."""
    from spikestream.files.info import info

    console = Console(options.quiet)
    given = {"format": options.format, "sensor": options.sensor, "size": pixels(options.size) if options.size else None}
    reading = {key: value for key, value in given.items() if value}
    code = 0
    for path in options.files:
        try:
            found = info(path, scan=not options.fast, **reading)
        except RecordingError as error:
            tell(f"error: {error}\n")
            code = SpikestreamError.exit_code if not isinstance(error, RecordingError) else error.exit_code
            continue
        console.json(asdict(found)) if options.json else console.out(as_text(found))
        if options.check and found.suspicious:
            code = SUSPICIOUS
    return code


def as_text(found: RecordingInfo) -> str:
    """Return the facts of a recording for people."""
    size = f"{found.size[0]}x{found.size[1]}" if found.size else "unknown"
    lines = [
        f"{found.path}",
        f"  format      {found.title}" + (f", {found.bytes:,} bytes" if found.bytes is not None else ""),
        f"  sensor      {found.sensor or 'unknown'}, {size} pixels",
    ]
    if found.events is None:
        lines.append("  events      not counted (without --fast they are)")
    elif not found.events or found.first_t is None or found.last_t is None:
        lines.append("  events      none")
    else:
        duration = show_us(found.duration_us or 0)
        lines.append(f"  events      {found.events:,} in {duration}, {show_count(found.rate_hz or 0)}events/s")
        lines.append(f"  time        {found.first_t:,} .. {found.last_t:,} µs")
    if found.on_share is not None:
        lines.append(f"  polarity    {found.on_share:.1%} ON")
    lines += [f"  skipped     {count:,} {kind}" for kind, count in found.skipped.items() if count]
    lines += [f"  problem     {kind}: {count:,}" for kind, count in found.problems.items() if count]
    lines += [f"  warning     {warning}" for warning in found.warnings]
    return "\n".join(lines)
