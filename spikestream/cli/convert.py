"""``spikestream convert``: a recording in another format, or sound as the spikes of the cochlea."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from spikestream.cli.base import Console, add_quiet, check_apart, check_new
from spikestream.cli.base.bar import Bar
from spikestream.cli.base.reading import add_option
from spikestream.errors import ConfigError
from spikestream.units import duration_us, show_us

SPIKES = ".npz"


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(prog="spikestream convert", description=__doc__)
    add = made.add_argument
    add("source", metavar="SRC", help="a recording of events, - for stdin, a sound file, or a record of sound")
    add("target", metavar="OUT", help="its suffix says what: .npz of sound, .wav of a record, else a format of events")
    add("--from", dest="from_", metavar="TIME", help="begin there: 1.5s, 200ms, 00:01:02, from the start on")
    add("--to", metavar="TIME", help="end there")
    add(
        "--filter",
        dest="filters",
        action="append",
        default=[],
        metavar="KIND:K=V",
        help="what events go through, in their order, e.g. crop:x=10,y=10,width=64,height=64",
    )
    add("--t0", default="keep", metavar="WHEN", help="keep (default) the stamps, or zero: the first event comes at 0")
    add("--verify", action="store_true", help="read OUT again, and compare every event before it takes its place")
    add("-f", "--force", action="store_true", help="put OUT in the place of a file that is there")
    add("--partial", action="store_true", help="of a damaged file, keep what comes before the damage")
    add("--bands", type=int, metavar="N", help="bands of the cochlea, 8 to 256")
    add("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE", help="e.g. hear.low_hz=100")
    add("--format", help="format of SRC, where its content does not tell")
    add(
        "--as",
        dest="as_",
        metavar="FORMAT",
        help="format of OUT, where its suffix does not tell, and its options: aedat4:compression=zstd",
    )
    add("--sensor", metavar="LAYOUT", help="address layout: of AEDAT 2.0 as davis240, of a NAS as stereo64:jaer")
    add("--size", metavar="WxH", help="pixels of the sensor, where the recording does not tell")
    add_option(made)
    add(
        "--time",
        metavar="POLICY",
        help="what becomes of a stamp that steps back: clamp (default), sort, drop, fail, keep",
    )
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Convert one file, and tell what was written."""
    from spikestream.files.sound import is_sound
    from spikestream.sensors.record import is_record

    work = _Work(options)
    if options.format:
        told = work.events()
    elif is_record(options.source):
        told = work.record()
    else:
        told = work.sound() if is_sound(options.source) else work.events()
    work.console.clear()
    for warning in work.warnings:
        work.console.log(f"warning: {warning}")
    work.console.out(f"{options.target}: {told}")
    return 0


class _Work:
    """One conversion: its options, and what has to be told of it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.console = options, Console(options.quiet)
        self.from_us = duration_us(options.from_) if options.from_ else 0
        self.to_us = duration_us(options.to) if options.to else None
        self.warnings: list[str] = []
        if self.to_us is not None and self.to_us <= self.from_us:
            raise ConfigError(f"the selection {options.from_ or 0}..{options.to} is empty", key="--to")
        check_apart(options.source, options.target)
        check_new(options.target, options.force)

    def sound(self) -> str:
        """Write the spikes of a sound file, and return what they are."""
        from spikestream.cli.base.copying import accepted
        from spikestream.cli.base.hearing import BLOCK_US, ear, heard
        from spikestream.cli.base.report import say_if_cold
        from spikestream.files.sound import open_sound, sounds
        from spikestream.files.spikes import write_spikes

        options = self.options
        _refuse(options, "sound", "sensor", "size", "option", "time", "as_", "filters", "t0", "verify")
        if Path(options.target).suffix.lower() != SPIKES:
            text = f"sound is not written to '{Path(options.target).suffix or options.target}'"
            raise ConfigError(text, key="OUT", value=options.target, allowed=f"{SPIKES}, the spikes of the cochlea")
        with open_sound(options.source) as file:
            rate, length_us = file.samplerate, file.frames * 1_000_000 // file.samplerate
        cochlea = ear(rate, [*options.sets, *([f"hear.bands={options.bands}"] if options.bands is not None else [])])
        facts = {"samplerate_hz": rate, "bands": cochlea.bands, "fibres": cochlea.axons // cochlea.bands}
        facts |= {"centres_hz": cochlea.centres_hz, "thresholds": cochlea.thresholds}
        say_if_cold(self.console)
        length_us = min(length_us, self.to_us or length_us)
        parts = sounds(options.source, length_us=BLOCK_US, from_us=self.from_us, to_us=self.to_us)
        shown = self._shown(accepted(parts, options.partial, self.warnings), length_us)
        count = write_spikes(options.target, heard(cochlea, shown), facts)
        return f"{count:,} spikes of {facts['bands']} bands, {facts['fibres']} fibres each"

    def record(self) -> str:
        """Write the sound of a record, a gap as silence, and return how much it is."""
        import asyncio

        from spikestream.sensors.record import Record
        from spikestream.service.record_wav import WavRecorder, is_pcm16

        options, record = self.options, Record(self.options.source)
        _refuse(
            options,
            "a record",
            "from_",
            "to",
            "bands",
            "sets",
            "sensor",
            "size",
            "option",
            "time",
            "as_",
            "partial",
            "filters",
            "t0",
            "verify",
        )
        wav = Path(options.target).suffix.lower() == ".wav"
        if not record.samplerate_hz:
            target = str(Path(options.target).with_suffix(".aedat4")) if wav else options.target
            remedy = f"spikestream record {shlex.quote(options.source)} {shlex.quote(target)}"
            text = "a record of events holds no sound: what its sensor gave is recorded again"
            raise ConfigError(text, key="SRC", value=options.source, remedy=remedy + (" -f" if options.force else ""))
        if not wav:
            text = f"a record is not written to '{Path(options.target).suffix or options.target}'"
            raise ConfigError(text, key="OUT", value=options.target, allowed=".wav, of a record of sound")

        async def write() -> int:
            pcm16 = all([is_pcm16(batch) async for batch in record.batches()])
            recorder = WavRecorder(options.target, record.samplerate_hz, pcm16)
            try:
                async for batch in record.batches():
                    recorder(batch, [], {})
            finally:
                await recorder.aclose()
            return recorder.rows

        samples = asyncio.run(write())
        return f"{samples:,} samples, {show_us(samples * 1_000_000 // record.samplerate_hz)}"

    def events(self) -> str:
        """Write a recording of events in another format, and return how many they are."""
        from spikestream.cli.base.copying import Copy

        _refuse(self.options, "events", "bands", "sets")
        copy = Copy(self.options, self.from_us, self.to_us, self.console)
        self.warnings = copy.warnings
        return copy.run()

    def _shown(self, parts: Iterable[Any], length_us: int = 0) -> Iterator[Any]:
        """Yield the parts, and show on a terminal how far it is."""
        bar = Bar(self.console)
        for part in parts:
            yield part
            bar.time(part.stop, length_us)


def _refuse(options: argparse.Namespace, what: str, *names: str) -> None:
    """Raise `ConfigError` for an option that means nothing here."""
    for name in names:
        if getattr(options, name) not in (None, [], False, "keep"):
            option = {"sets": "--set", "as_": "--as", "from_": "--from", "filters": "--filter"}.get(name, f"--{name}")
            raise ConfigError(f"{option} is not for {what}", key=option, value=getattr(options, name))
