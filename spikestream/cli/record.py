"""``spikestream record``: what a sensor gives, into a file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from spikestream.cli.base import LOST, Console, add_quiet, check_apart, check_new, ended_by
from spikestream.errors import ConfigError
from spikestream.units import duration_us, show_us

if TYPE_CHECKING:
    from spikestream.sensors.base import Sensor


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(
        prog="spikestream record",
        description=__doc__,
        epilog="Ctrl-C ends it, and OUT is complete. What the network made of it, labels and settings are not in it: "
        "'replay --record' and 'run --record' keep those.",
    )
    add = made.add_argument
    add(
        "sensor",
        metavar="SENSOR",
        help="a sensor's URI: microphone:, synth://bars, a plugin's, or a recording of events or sound",
    )
    add("target", metavar="OUT", help="its suffix says the format; .wav of sound")
    add(
        "--for",
        dest="for_",
        metavar="TIME",
        help="end after so much stream time, of a live sensor also by the clock: 10s",
    )
    add(
        "--as",
        dest="as_",
        metavar="FORMAT",
        help="format of OUT, where its suffix does not tell, and its options: aedat4:compression=zstd",
    )
    add("--t0", default="keep", metavar="WHEN", help="keep (default) the stamps, or zero: the first event comes at 0")
    add("-f", "--force", action="store_true", help="put OUT in the place of a file that is there")
    add("--strict", action="store_true", help="exit with 7 if anything was lost")
    add_quiet(made)
    return made


def opened(uri: str) -> Sensor:
    """Return the sensor that a URI names, as a configuration's: a sound file and a record are sensors too."""
    from spikestream.files.sound import is_sound
    from spikestream.sensors.base import open_sensor, parse_uri
    from spikestream.sensors.record import Record, is_record

    scheme, location, _ = parse_uri(uri)
    if scheme == "file" and is_record(location):
        return Record(location)
    return open_sensor(f"wav:{location}" if scheme == "file" and is_sound(location) else uri)


def run(options: argparse.Namespace) -> int:
    """Record until the sensor ends, the time is over or a signal comes; return the exit code."""
    from spikestream.cli.base.copying import check_t0
    from spikestream.cli.base.filed import file, keeper
    from spikestream.sensors.base import parse_uri
    from spikestream.service.filing import Filing

    console = Console(options.quiet)
    check_apart(parse_uri(options.sensor)[1], options.target)
    check_new(options.target, options.force)
    check_t0(options.t0)
    for_us = duration_us(options.for_) if options.for_ else None
    if for_us == 0:
        raise ConfigError("nothing comes in no time", key="--for", value=options.for_, allowed="more than 0")
    sensor = opened(options.sensor)
    filing = Filing(sensor, options.sensor, for_us)
    keep = keeper(sensor, options.target, options.as_, options.t0 == "zero")
    written, signalled = file(console, filing, keep)
    lost = filing.lost()
    for why, count in lost.items():
        console.log(f"warning: {count:,} {why}")
    if written is not None:
        length = show_us(filing.stop - filing.start) if filing.start is not None else "nothing"
        what = "samples" if getattr(sensor, "samplerate_hz", 0) else "events"
        console.out(f"{options.target}: {written:,} {what}, {length}")
    elif signalled and filing.error is not None:
        console.log(f"warning: {filing.error.what}: {options.target} was not written")
    if filing.error is not None and (written is not None or not signalled):
        raise filing.error
    if options.strict and lost:
        return LOST
    return ended_by(signalled)
