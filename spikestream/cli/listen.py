"""``spikestream listen``: a microphone into spikes, a picture of them in the terminal, and decisions."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from spikestream.cli.base import Console, add_quiet, run_until_signalled
from spikestream.cli.base.report import exit_code, json_of, line_of, report, say_if_cold
from spikestream.cli.base.settings import SOUND, says_windows, tables_of_model
from spikestream.units import duration_us, show_us

if TYPE_CHECKING:
    from spikestream.batch import Batch
    from spikestream.cli.base.ear import Ear
    from spikestream.config import Config
    from spikestream.service.session import Session


LOOK_S = 0.5
"""Between two looks at the clock, where no sound comes."""


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(
        prog="spikestream listen",
        description=__doc__,
        epilog="Ctrl-C ends it: what was heard is run, published and saved. A window is what stands out of the noise "
        "until it has been quiet for a fifth of a second; readout.windows=grid decides by the clock instead.",
    )
    add = made.add_argument
    add("--devices", action="store_true", help="list what can be recorded from, and end")
    add(
        "--device",
        metavar="NAME",
        help="a device's number, or a part of its name; the default one if unset",
    )
    add("--rate", type=int, metavar="HZ", help="samples a second, 8000 to 96000 (default 16000)")
    add("--channels", type=int, metavar="N", help="channels to record (default 1); a single ear hears their mean")
    add("--for", dest="for_", metavar="TIME", help="end so long after the first sound: 10s, 2min")
    add("--config", metavar="FILE", help="TOML configuration")
    add("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE", help="e.g. hear.bands=32")
    add("--model", metavar="FILE", help="start with what a model saved by --save has learned")
    add("--learn", action=argparse.BooleanOptionalAction, default=None, help="learn while running (default), or freeze")
    add(
        "--publish", action="append", default=[], metavar="URL", help="tcp://127.0.0.1:7077 or unix:///path; repeatable"
    )
    add("--save", metavar="FILE", help="save the model at the end")
    add(
        "--record",
        metavar="FILE",
        help="record what was heard: replay FILE gives the identical result; as .wav, the samples alone",
    )
    add("--json", action="store_true", help="print one JSON object at the end, nothing else")
    add("--jsonl", action="store_true", help="print each decision as a JSON line, and the JSON object last")
    add("--strict", action="store_true", help="exit with 7 if anything was lost on the way to anyone")
    add_quiet(made)
    return made


def configure(options: argparse.Namespace) -> Config:
    """Return what the options amount to: defaults, then model, file, --set, and the other options on top."""
    from spikestream.config import read_config, with_value

    base = tables_of_model(options.model) if options.model else SOUND
    config = read_config(options.config, options.sets, base=base)
    config = with_value(config, "sensor", uri=_uri(config.sensor.uri, options))
    if options.rate is not None:
        config = with_value(config, "sensor", samplerate_hz=options.rate)
    if options.learn is not None:
        config = with_value(config, "learn", enabled=options.learn)
    if options.publish:
        config = with_value(config, "publish", urls=tuple(options.publish))
    if not says_windows(options.config, options.sets):
        config = with_value(config, "readout", windows="voice")
    return config


def _uri(configured: str, options: argparse.Namespace) -> str:
    """Return the microphone: the configured one, if there is one, with the options on top."""
    from urllib.parse import parse_qsl, urlencode

    chosen = {"device": options.device, "channels": options.channels}
    given = {key: str(value) for key, value in chosen.items() if value is not None}
    location, query = "", {}
    if configured.startswith("microphone:"):
        location, _, rest = configured.partition("?")
        query = dict(parse_qsl(rest, keep_blank_values=True))
    if "device" in given or not location:
        location = "microphone://"
    options_of_it = urlencode({**query, **given})
    return f"{location}?{options_of_it}" if options_of_it else location


def run(options: argparse.Namespace) -> int:
    """Listen until told to stop, and return the exit code."""
    from spikestream.service.job import Job
    from spikestream.service.session import Session, warm_up

    console = Console(options.quiet)
    if options.devices:
        return _list(console, options.json)
    job = Job(
        configure(options),
        model=options.model or "",
        save=options.save or "",
        record=options.record or "",
        blocking=False,
    )
    shown = _Shown(console, options)
    session = shown.session = Session(job, on_outputs=shown.outputs)
    shown.watch()
    say_if_cold(console, session)
    warm_up(session)
    try:
        signalled = run_until_signalled(shown.run(), session.stop)
    finally:
        shown.end()
    return exit_code(console, session, signalled, options.strict)


def _list(console: Console, as_json: bool) -> int:
    """Print the devices that can be recorded from; the default one has a star."""
    from spikestream.sensors.microphone import list_devices

    found = list_devices()
    for one in found:
        if as_json:
            console.json(asdict(one))
        else:
            star = "*" if one.default else " "
            console.out(
                f"{one.number:3}{star} {one.name}, {one.host}, {one.channels} channels, {one.samplerate_hz:g} Hz"
            )
    if not found:
        console.log("there is nothing to record from")
    return 0


class _Shown:
    """What the listener sees while it runs, and at the end."""

    def __init__(self, console: Console, options: argparse.Namespace) -> None:
        self.console, self.options = console, options
        self.session: Session
        self.ear: Ear | None = None
        self.begun_s = 0.0
        self.limit_us = duration_us(options.for_) if options.for_ else None

    def watch(self) -> None:
        """Draw, where somebody looks."""
        import numpy as np

        from spikestream.cli.base.cochleagram import shades_for
        from spikestream.cli.base.ear import Ear
        from spikestream.stages.sound import Ear as Bands

        if not sys.stderr.isatty() or self.options.quiet:
            return
        hears = self.session.pipeline.stages["hear"]
        # Of an ear whose axons are not fibres of bands only the level is shown.
        self.ear = Ear(
            hears.centres_hz if isinstance(hears, Bands) else np.empty(0),
            shutil.get_terminal_size().columns,
            shades_for(sys.stderr.encoding),
        )
        self.session.engine.watch(self.ear)

    async def run(self) -> None:
        import asyncio

        tasks = [asyncio.create_task(self._say_where()), asyncio.create_task(self._end_in_time())]
        try:
            await self.session.run()
        finally:
            for task in tasks:
                task.cancel()

    async def _end_in_time(self) -> None:
        """End it in time also where the device has gone and no sound comes any more."""
        import asyncio

        while self.limit_us is not None:
            await asyncio.sleep(LOOK_S)
            if self.begun_s and time.monotonic() - self.begun_s > self.limit_us / 1e6 + LOOK_S:
                self.session.stop()
                return

    async def _say_where(self) -> None:
        await self.session.started.wait()
        for output in self.session.hub.outputs:
            self.console.log(f"publishing at {output.url}")

    def outputs(self, outputs: Mapping[str, Batch]) -> None:
        """Print what has become known with one batch."""
        from spikestream.batch import Decisions

        if not self.begun_s:  # a device may take two seconds for its first word
            self.begun_s = time.monotonic()
            self.console.log(f"listening to {getattr(self.session.sensor, 'device', 'the microphone')}, Ctrl-C ends")
        while self.ear is not None and self.ear.lines:
            self.console.log(self.ear.lines.popleft())
        progress, made = self.session.engine.progress, outputs["readout"]
        if isinstance(made, Decisions) and not self.options.json:
            for row in made.rows:
                if self.options.jsonl:
                    self.console.json(json_of(row))
                else:
                    self.console.out(f"{line_of(row, progress.start or 0)}  in {show_us(row.stop - row.start)}")
        over = self.limit_us is not None and progress.stop - (progress.start or 0) >= self.limit_us
        if over or self.console.broken:
            self.session.stop()

    def end(self) -> None:
        """Tell what went wrong with the device, then the result."""
        sensor = self.session.sensor
        stats: Mapping[str, Any] = getattr(sensor, "stats", dict)()
        for key, text in (
            ("dropped", "samples found no room: the machine was busy for too long"),
            ("overflows", "times PortAudio said that samples were lost before they came here"),
            ("vanished", "times the device went away"),
        ):
            if stats.get(key):
                self.console.log(f"warning: {stats[key]:,} {text}")
        if self.session.engine.progress.start is None:
            return  # it never began: the error says why
        summary = self.session.summary()
        if self.options.json or self.options.jsonl:
            self.console.json(summary)
        else:
            self.console.out(report(summary, self.session))
