"""``spikestream convert``: a recording in another format, or sound as the spikes of the cochlea."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from spikestream.cli.base import Console, add_quiet
from spikestream.errors import ConfigError, RecordingError
from spikestream.units import duration_us, pixels, show_us

if TYPE_CHECKING:
    from spikestream.batch import Events
    from spikestream.files.reader import Reader

PROGRESS_S = 0.2
SPIKES = ".npz"
AnyPart = TypeVar("AnyPart")


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(prog="spikestream convert", description=__doc__)
    add = made.add_argument
    add("source", metavar="SRC", help="a recording of events, - for stdin, a sound file, or a record of sound")
    add("target", metavar="OUT", help="its suffix says what: .npz of sound, .wav of a record, else a format of events")
    add("--from", dest="from_", metavar="TIME", help="begin there: 1.5s, 200ms, 00:01:02, from the start on")
    add("--to", metavar="TIME", help="end there")
    add("--partial", action="store_true", help="of a damaged file, keep what comes before the damage")
    add("--bands", type=int, metavar="N", help="bands of the cochlea, 8 to 256")
    add("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE", help="e.g. hear.low_hz=100")
    add("--format", help="format of SRC, where its content does not tell")
    add("--as", dest="as_", metavar="FORMAT", help="format of OUT, where its suffix does not tell")
    add("--sensor", metavar="LAYOUT", help="address layout: of AEDAT 2.0 as davis240, of a NAS as stereo64:jaer")
    add("--size", metavar="WxH", help="pixels of the sensor, where the recording does not tell")
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
        if os.path.exists(options.target) and _same(options.source, options.target):
            raise ConfigError("what is read cannot be written over", key="OUT", value=options.target)

    def sound(self) -> str:
        """Write the spikes of a sound file, and return what they are."""
        from spikestream.cli.base.hearing import BLOCK_US, ear, heard
        from spikestream.cli.base.report import say_if_cold
        from spikestream.files.sound import open_sound, sounds
        from spikestream.files.spikes import write_spikes

        options = self.options
        _refuse(options, "sound", "sensor", "size", "time", "as_")
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
        shown = self._shown(self._accepted(parts), length_us)
        count = write_spikes(options.target, heard(cochlea, shown), facts)
        return f"{count:,} spikes of {facts['bands']} bands, {facts['fibres']} fibres each"

    def record(self) -> str:
        """Write the sound of a record, a gap as silence, and return how much it is."""
        import asyncio

        from spikestream.sensors.record import Record
        from spikestream.service.record_wav import WavRecorder, is_pcm16

        options, record = self.options, Record(self.options.source)
        _refuse(options, "a record", "from_", "to", "bands", "sets", "sensor", "size", "time", "as_", "partial")
        if Path(options.target).suffix.lower() != ".wav" or not record.samplerate_hz:
            text = f"a record is not written to '{Path(options.target).suffix or options.target}'"
            raise ConfigError(
                text, key="OUT", value=options.target, allowed=".wav, the sound of a record that has some"
            )

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
        from spikestream.files.reader import Reader
        from spikestream.files.write import write

        options = self.options
        _refuse(options, "events", "bands", "sets")
        given = {key: getattr(options, key) for key in ("format", "sensor", "time") if getattr(options, key)}
        size = pixels(options.size) if options.size else None
        with Reader(options.source, size=size, **given) as reader:
            reader.peek()
            arrays = self._accepted(_selected(reader, self.from_us, self.to_us))
            try:
                count = write(options.target, self._shown(arrays), size=size or reader.size, format=options.as_)
            except ConfigError as error:
                if error.remedy.startswith("format="):  # as one says it in Python
                    error.remedy = f"--as {error.allowed.partition(',')[0]}"
                raise
        self._account(reader, count)
        return f"{count:,} events"

    def _account(self, reader: Reader, count: int) -> None:
        """Tell what of the recording is not in the file, or is there in another way."""
        self.warnings += [f"{reader.name}: {warning}" for warning in reader.warnings]
        self.warnings += [f"{reader.name}: not converted: {n:,} {kind}" for kind, n in reader.skipped.items() if n]
        self.warnings += [f"{reader.name}: {kind}: {n:,}" for kind, n in reader.problems.items() if n]

    def _accepted(self, parts: Iterable[AnyPart]) -> Iterator[AnyPart]:
        """Yield the parts; with ``--partial``, damage after some of them is a warning and the end."""
        some = False
        try:
            for part in parts:
                some = True
                yield part
        except RecordingError as error:
            if not (some and self.options.partial):
                if some:
                    error.remedy = "--partial, which keeps what comes before the damage"
                raise
            self.warnings.append("; ".join([f"{error.where()}: {error.what}", *error.lines()]))

    def _shown(self, parts: Iterable[Any], length_us: int = 0) -> Iterator[Any]:
        """Yield the parts, and show on a terminal how far it is."""
        begin, due = None, 0.0
        for part in parts:
            yield part
            begin = part.start if begin is None else begin
            if time.monotonic() >= due:
                due = time.monotonic() + PROGRESS_S
                self.console.progress(_bar(part.stop, length_us) if length_us else f"{show_us(part.stop - begin)}")


def _bar(done_us: int, length_us: int, width: int = 30) -> str:
    full = min(done_us * width // length_us, width)
    return f"[{'#' * full}{'.' * (width - full)}] {show_us(done_us)} of {show_us(length_us)}"


def _selected(reader: Reader, from_us: int, to_us: int | None) -> Iterator[Events]:
    """Yield a recording's events of ``[t0 + from_us, t0 + to_us)``, t0 being the first event's stamp."""
    from spikestream.batch import Events

    first = None
    for data in reader:
        if not len(data):
            continue
        first = int(data["t"][0]) if first is None else first
        if to_us is not None and reader.time != "keep" and int(data["t"][0]) >= first + to_us:
            return
        if from_us or to_us is not None:
            since = data["t"] - first
            data = data[(since >= from_us) & (since < to_us if to_us is not None else True)]
        if len(data):
            yield Events(int(data["t"].min()), int(data["t"].max()) + 1, data, reader.size)


def _same(source: str, target: str) -> bool:
    try:
        return os.path.samefile(source, target)
    except OSError:  # the source is standard input, or not there: whoever opens it says so
        return False


def _refuse(options: argparse.Namespace, what: str, *names: str) -> None:
    """Raise `ConfigError` for an option that means nothing here."""
    for name in names:
        if getattr(options, name) not in (None, [], False):
            option = {"sets": "--set", "as_": "--as", "from_": "--from"}.get(name, f"--{name}")
            raise ConfigError(f"{option} is not for {what}", key=option, value=getattr(options, name))
