"""``spikestream listen``: a microphone into spikes, a picture of them in the terminal, and decisions."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from spikestream.cli.base import Console, Switch, add_quiet, refuse_both, run_until_signalled, tell
from spikestream.cli.base.report import exit_code, json_of, line_of, report, say_if_cold
from spikestream.cli.base.settings import WORDS, says_windows
from spikestream.service.defaults import SOUND, tables_of_model
from spikestream.units import duration_us, show_us

if TYPE_CHECKING:
    from spikestream.batch import Batch, Decisions
    from spikestream.cli.base.ear import Ear
    from spikestream.cli.base.lessons import Lessons
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
        "until it has been quiet for a fifth of a second; readout.windows=grid decides by the clock instead. With "
        "--teach each word is asked for in turn; --save keeps what was learned, and --model goes on with it.",
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
    add("--teach", metavar="WORDS", help="learn these words on the spot, e.g. yes,no, then print what is heard")
    add(
        "--examples",
        type=int,
        default=5,
        metavar="N",
        help="with --teach: how often each word is asked for (default 5)",
    )
    add("--model", metavar="FILE", help="start with what a model saved by --save has learned")
    add("--learn", action=Switch, help="learn while running (default), or freeze")
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

    base = tables_of_model(options.model) if options.model else {**SOUND, **(WORDS if options.teach else {})}
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
    if options.teach is not None:
        _check_teaching(config)
    return config


def _check_teaching(config: Config) -> None:
    """Raise `ConfigError` where words could not be taught."""
    from spikestream.errors import ConfigError

    if not config.learn.enabled:
        raise ConfigError("nothing can be taught while learning is off", key="--teach", remedy="leave --no-learn out")
    if config.readout.windows != "voice":
        text = "words are what voices mark"
        raise ConfigError(text, key="readout.windows", value=config.readout.windows, allowed="voice, with --teach")
    if config.readout.kind == "classifier" and config.classifier.anytime_us:
        text = "a word that is taught is decided only at its end"
        raise ConfigError(text, key="classifier.anytime_us", value=config.classifier.anytime_us, allowed="0")


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
    refuse_both({"--json": options.json, "--jsonl": options.jsonl})
    if options.devices:
        return _list(console, options.json)
    shown = _Shown(console, options)
    job = Job(
        configure(options),
        model=options.model or "",
        save=options.save or "",
        record=options.record or "",
        blocking=False,
    )
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
        self.lessons = self._lessons() if options.teach is not None else None

    def _lessons(self) -> Lessons:
        from spikestream.cli.base.lessons import Lessons

        return Lessons(self.options.teach, self.options.examples, self._ask)

    def _ask(self, text: str) -> None:
        """Tell who speaks what to say: also where no log is wanted, for it is a question."""
        self.console.clear()
        tell(f"{text}\n")

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
        progress, made = self.session.engine.progress, outputs["readout"]
        teaching = self.lessons is not None and not self.lessons.over
        while self.ear is not None and self.ear.lines:
            line = self.ear.lines.popleft()
            if not teaching:  # else the question would be out of sight at once
                self.console.log(line)
        if isinstance(made, Decisions):
            if self.lessons is not None and teaching:
                for label in self.lessons.heard(made.rows, progress.stop):
                    self.session.engine.command(label)
            self._print(made, teaching)
        over = self.limit_us is not None and progress.stop - (progress.start or 0) >= self.limit_us
        if over or self.console.broken:
            self.session.stop()

    def _print(self, made: Decisions, teaching: bool) -> None:
        """Print what was decided, what is none of the words as unknown; while they are taught nobody reads guesses."""
        from spikestream.cli.base.lessons import OTHER

        start = self.session.engine.progress.start or 0
        for found in made.rows if not self.options.json else ():
            row = replace(found, label=None) if found.label == OTHER else found
            if self.options.jsonl:
                self.console.json(json_of(row))
            elif not teaching:
                self.console.out(f"{line_of(row, start)}  in {show_us(row.stop - row.start)}")

    def end(self) -> None:
        """Tell what went wrong with the device, then the result."""
        if self.lessons is not None and (missing := self.lessons.missing()):
            self.console.log(f"warning: not all was taught: {missing}")
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
