"""``spikestream info``: what a recording or a sound file is, holds, and looks like."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from spikestream.cli.base import Console, add_quiet, tell
from spikestream.cli.base.bar import Bar
from spikestream.cli.base.reading import add_option, named
from spikestream.errors import ConfigError, RecordingError
from spikestream.units import pixels, show_count, show_us

if TYPE_CHECKING:
    from spikestream.files.info import RecordingInfo
    from spikestream.files.sound import SoundInfo

SUSPICIOUS = 3
IN_TERMINAL = "-"


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(prog="spikestream info", description=__doc__)
    made.add_argument("files", nargs="*", metavar="FILE")
    made.add_argument("--fast", action="store_true", help="read the header (and an index, if there is one) only")
    made.add_argument("--check", action="store_true", help="exit with 3 if anything is suspicious")
    made.add_argument("--json", action="store_true", help="one JSON object a file")
    made.add_argument(
        "--plot",
        nargs="?",
        const=IN_TERMINAL,
        metavar="PICTURE",
        help="draw the spikes of a sound by band and time, or events by pixel: here, or into a .png, .svg or .pdf, "
        "beside their rate",
    )
    made.add_argument("--format", help="format, where the content does not tell")
    made.add_argument(
        "--sensor", metavar="LAYOUT", help="address layout: of AEDAT 2.0 as davis240, of a NAS as stereo64:jaer"
    )
    made.add_argument("--size", metavar="WxH", help="pixels of the sensor, where the recording does not tell")
    add_option(made)
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Print what each file is; return 3 if one cannot be read, or is suspicious and ``--check`` is set."""
    from spikestream.files.info import info

    console = Console(options.quiet)
    given = {"format": options.format, "sensor": options.sensor, "size": pixels(options.size) if options.size else None}
    reading: dict[str, Any] = {key: value for key, value in given.items() if value} | named(options.option)
    _check(options)
    code, bar = 0, Bar(console)
    for path in options.files:
        try:
            found = info(path, scan=not options.fast, watch=bar.bytes, **reading)
            console.clear()
            console.json(asdict(found)) if options.json else console.out(as_text(found))
            if options.plot:
                _plot(console, options.plot, found, reading)
        except RecordingError as error:
            console.clear()
            tell(f"error: {error}\n")
            code = error.exit_code
            continue
        if options.check and found.suspicious:
            code = SUSPICIOUS
    return code


def _check(options: argparse.Namespace) -> None:
    """Refuse what contradicts itself, and give back the file that ``--plot FILE`` took for its picture."""
    from spikestream.cli.base import drawing

    if (
        options.plot not in (None, IN_TERMINAL)
        and not drawing.is_picture(options.plot)
        and os.path.exists(options.plot)
    ):
        options.files.insert(0, options.plot)
        options.plot = IN_TERMINAL
    if not options.files:
        raise ConfigError("no file is named", key="FILE", remedy="spikestream info --help")
    if options.plot is None:
        return
    if options.plot != IN_TERMINAL:
        drawing.check_picture(options.plot)
        if len(options.files) > 1:
            raise ConfigError("one picture cannot show several files", key="--plot", value=options.plot)
    for other, clash in (
        ("--fast", options.fast),
        ("--json", options.json and options.plot == IN_TERMINAL),
        ("standard input, which can be read only once", "-" in options.files),
    ):
        if clash:
            raise ConfigError(f"--plot does not go with {other}", key="--plot")


def _plot(console: Console, plot: str, found: RecordingInfo | SoundInfo, reading: dict[str, Any]) -> None:
    from spikestream.cli.base import cochleagram, drawing
    from spikestream.files.sound import SoundInfo

    here = plot == IN_TERMINAL
    if isinstance(found, SoundInfo):
        image = drawing.of_sound(console, found, None if here else drawing.FINE)
    else:
        image = drawing.of_events(found, not here, reading)
    if here:
        console.out("\n".join(drawing.lines(image, cochleagram.shades_for(sys.stdout.encoding))))
    else:
        drawing.save(plot, image, os.path.basename(found.path))
        console.log(f"drawn into {plot}")


def as_text(found: RecordingInfo | SoundInfo) -> str:
    """Return the facts of a file for people."""
    from spikestream.files.info import RecordingInfo

    lines = [
        found.path,
        f"  format      {found.title}" + (f", {found.bytes:,} bytes" if found.bytes is not None else ""),
    ]
    lines += _of_events(found) if isinstance(found, RecordingInfo) else _of_sound(found)
    lines += [f"  problem     {kind}: {count:,}" for kind, count in found.problems.items() if count]
    lines += [f"  warning     {warning}" for warning in found.warnings]
    return "\n".join(lines)


def _of_events(found: RecordingInfo) -> list[str]:
    size = f"{found.size[0]}x{found.size[1]}" if found.size else "unknown"
    lines = [f"  sensor      {found.sensor or 'unknown'}, {size} pixels"]
    if found.events is None:
        lines.append("  events      not counted (without --fast they are)")
    elif not found.events:
        lines.append("  events      none")
    elif found.first_t is None or found.last_t is None:
        lines.append(f"  events      {found.events:,} (without --fast their times are looked at)")
    else:
        duration = show_us(found.duration_us or 0)
        lines.append(f"  events      {found.events:,} in {duration}, {show_count(found.rate_hz or 0)}events/s")
        lines.append(f"  time        {found.first_t:,} .. {found.last_t:,} µs")
    if found.on_share is not None:
        lines.append(f"  polarity    {found.on_share:.1%} ON")
    lines += [f"  skipped     {count:,} {kind}" for kind, count in found.skipped.items() if count]
    return lines + [f"  note        {note}" for note in found.notes]


def _of_sound(found: SoundInfo) -> list[str]:
    channels = {1: "mono", 2: "stereo"}.get(found.channels, f"{found.channels} channels")
    lines = [f"  sound       {found.samplerate_hz:,} Hz, {channels}"]
    lines.append(f"  samples     {found.samples:,} in {show_us(found.duration_us)}")
    if found.clipped is None:
        lines.append("  level       not measured (without --fast it is)")
    elif found.peak_db is None or found.rms_db is None:
        lines.append("  level       silence")
    else:
        lines.append(f"  level       {found.rms_db:.1f} dB (a full-scale sine has 100)")
        lines.append(f"  peak        {10 ** (found.peak_db / 20 - 5):.1%} of full scale")
    return lines
