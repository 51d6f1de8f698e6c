"""``spikestream replay``: a recording through the pipeline, at any pace, with the same result."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spikestream.cli.base import Console, Switch, add_quiet, refuse_both, run_until_signalled
from spikestream.cli.base.report import exit_code, json_of, line_of, report, say_if_cold, say_if_compiled
from spikestream.cli.base.settings import says_windows, tables_of
from spikestream.units import duration_us, show_count, show_us

if TYPE_CHECKING:
    from spikestream.batch import Batch, Decision
    from spikestream.cli.base.plotting import Pictures
    from spikestream.config import Config
    from spikestream.service.session import Session

PROGRESS_S = 0.2
TARGETS = ("float", "chip", "both")


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(prog="spikestream replay", description=__doc__)
    add = made.add_argument
    add("source", metavar="SRC", help="a recording, - for stdin, a record made with --record, or a sensor's URI")
    add("--speed", help="1 (real time, default), another factor, or max; the result is the same")
    add("--from", dest="from_", metavar="TIME", help="start there: 1.5s, 200ms, 00:01:02, from the first event on")
    add("--to", metavar="TIME", help="end there")
    add("--config", metavar="FILE", help="TOML configuration")
    add("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE", help="e.g. network.neurons=400")
    add(
        "--filter",
        dest="filters",
        action="append",
        default=[],
        metavar="KIND:K=V",
        help="before the configured ones, e.g. refractory:period_ms=1",
    )
    add("--sensor", metavar="LAYOUT", help="address layout: of AEDAT 2.0 as davis240, of a NAS as stereo64:jaer")
    add("--size", metavar="WxH", help="pixels of the sensor, where the recording does not tell")
    add("--time", metavar="POLICY", help="what becomes of a stamp that steps back: clamp (default), sort, drop, fail")
    add("--format", help="format of the recording, where its content does not tell")
    add("--model", metavar="FILE", help="start with what a model saved by --save has learned")
    add("--target", metavar="WHAT", help="float (default), chip: in place of the network, or both side by side")
    add("--placement", metavar="FILE", help="what the chip holds, else --model is compiled to it")
    add(
        "--at",
        nargs=2,
        action="append",
        default=[],
        metavar=("TIME", "KEY=VALUE"),
        help="change a setting so long after the start, e.g. --at 2s network.v_thresh=0.5; repeatable",
    )
    add("--learn", action=Switch, help="learn while running (default), or freeze")
    add(
        "--labels",
        metavar="FILE",
        help="CSV start_us,stop_us,label[,split][,reward]: these windows are decided; train rows are taught, test rows "
        "held out and nothing learns in them (without a split column, the last quarter)",
    )
    add(
        "--publish", action="append", default=[], metavar="URL", help="tcp://127.0.0.1:7077 or unix:///path; repeatable"
    )
    add("--wait-subscribers", type=int, default=0, metavar="N", help="start when N subscribers are there")
    add("--save", metavar="FILE", help="save the model at the end")
    add("--record", metavar="FILE", help="record what the pipeline was given; replay FILE gives the identical result")
    add("--plot", metavar="DIR", help="draw the run into this folder: spikes, weights, decisions and more, as .png")
    add("--json", action="store_true", help="print one JSON object at the end, nothing else")
    add("--jsonl", action="store_true", help="print each decision as a JSON line, and the JSON object last")
    add("--strict", action="store_true", help="exit with 7 if anything was lost on the way to anyone")
    add_quiet(made)
    return made


def configure(options: argparse.Namespace) -> Config:
    """Return what the options amount to: defaults, then model or record, file, --set, and the other options on top."""
    from spikestream.config import read_config, with_value
    from spikestream.stages.filters import parse_filter

    config = read_config(options.config, options.sets, base=tables_of(options.source, options.model))
    sensor: dict[str, Any] = {"uri": options.source, "speed": options.speed, "layout": options.sensor}
    sensor |= {"size": options.size, "format": options.format, "time": options.time}
    config = with_value(config, "sensor", **{key: value for key, value in sensor.items() if value is not None})
    if options.filters:
        config = replace(config, filter=(*(parse_filter(text) for text in options.filters), *config.filter))
    if options.learn is not None:
        config = with_value(config, "learn", enabled=options.learn)
    if options.publish:
        config = with_value(config, "publish", urls=tuple(options.publish))
    if options.labels and not says_windows(options.config, options.sets):
        config = with_value(config, "readout", windows="marked")
    return config if options.target is None and options.placement is None else _aimed(config, options)


def _aimed(config: Config, options: argparse.Namespace) -> Config:
    """Return the configuration with a chip, or without one, as --target and --placement ask; raises `ConfigError`."""
    from spikestream.config import ChipConfig, with_value
    from spikestream.errors import ConfigError, nearest

    target = options.target or "chip"
    if target not in TARGETS:
        text, near = f"unknown target '{target}'", nearest(target, TARGETS)
        raise ConfigError(text, key="--target", value=target, allowed=", ".join(TARGETS), nearest=near)
    if target == "float":
        if options.placement:
            raise ConfigError("--placement is for a chip", key="--placement", remedy="--target chip")
        return replace(config, chip=ChipConfig())
    if options.placement:
        config = with_value(config, "chip", placement=options.placement, model="")
    elif options.model:
        config = with_value(config, "chip", model=options.model, placement="")
    if not options.model and (target == "both" or not (config.chip.placement or config.chip.model)):
        text = "a chip does not learn: it holds a network that was trained before"
        train = f"spikestream replay {options.source} --labels FILE --speed max --save model.npz"
        remedy = f"{train}\n  then: spikestream replay {options.source} --model model.npz --target {target}"
        remedy += "" if target == "both" else "\n  or:   --placement FILE, a network placed on a chip already"
        raise ConfigError(text, key="--target", value=target, remedy=remedy)
    return config


def run(options: argparse.Namespace) -> int:
    """Run the replay and return the exit code."""
    from spikestream.cli.base.plotting import Pictures, make_folder
    from spikestream.service.job import Job
    from spikestream.service.session import Session, warm_up

    console = Console(options.quiet)
    refuse_both({"--json": options.json, "--jsonl": options.jsonl})
    job = Job(
        configure(options),
        from_us=duration_us(options.from_) if options.from_ else None,
        to_us=duration_us(options.to) if options.to else None,
        labels=options.labels or "",
        model=options.model or "",
        save=options.save or "",
        record=options.record or "",
        at=tuple(_setting(time, text) for time, text in options.at),
        wait_subscribers=options.wait_subscribers,
        beside=options.target == "both",
    )
    say_if_compiled(console, job.config)
    if job.config.checkpoint.path:
        console.log("warning: checkpoint.path is for 'run'; a replay saves what --save names")
    if job.config.log.path:
        console.log("warning: log.path is for 'run'; a replay writes what --publish file://PATH names")
    shown = _Shown(console, options)
    session = shown.session = Session(job, on_outputs=shown.outputs)
    if options.plot is not None:
        shown.pictures = Pictures(make_folder(options.plot, (job.save, job.record)), session)
    say_if_cold(console, session)
    warm_up(session)
    try:
        signalled = run_until_signalled(shown.run(), session.stop)
    finally:
        shown.end()
    return exit_code(console, session, signalled, options.strict)


def _setting(time: str, text: str) -> tuple[int, str, Any]:
    from spikestream.config import parsed_setting

    return duration_us(time), *parsed_setting(text)


class _Shown:
    """What the reader sees while it runs, and at the end."""

    def __init__(self, console: Console, options: argparse.Namespace) -> None:
        self.console, self.options = console, options
        self.session: Session
        self.pictures: Pictures | None = None

    async def run(self) -> None:
        import asyncio

        tasks = [asyncio.create_task(self._bar()), asyncio.create_task(self._say_where())]
        try:
            await self.session.run()
        finally:
            for task in tasks:
                task.cancel()
            self.console.clear()

    async def _say_where(self) -> None:
        """Tell where it publishes, once it is known: port 0 becomes a real one by listening."""
        await self.session.started.wait()
        for output in self.session.hub.outputs:
            self.console.log(f"publishing at {output.url}")

    def outputs(self, outputs: Mapping[str, Batch]) -> None:
        from spikestream.batch import Decisions

        made = outputs["readout"]
        if self.options.json or not isinstance(made, Decisions):
            return
        for decision in made.rows:
            if self.options.jsonl:
                self.console.json(json_of(decision))
            else:
                self.console.out(self._line(decision))
        if self.console.broken:
            self.session.engine.stop()

    def end(self) -> None:
        """Tell what the recording's decoder had to say, then the result."""
        for warning in self.session.warnings():
            self.console.log(f"warning: {warning}")
        sensor: Any = self.session.sensor
        problems: Mapping[str, int] = getattr(sensor, "untold", getattr(sensor, "problems", {}))
        for problem, count in problems.items():
            if count:
                self.console.log(f"warning: {sensor.location}: {problem}: {count:,}")
        engine = self.session.engine
        if engine.progress.start is None and not self.session.whole and not engine.stopping:
            return  # it never began: the error says why
        summary = self.session.summary()
        if self.options.json or self.options.jsonl:
            self.console.json(summary)
        else:
            self.console.out(report(summary, self.session))
        if self.pictures is not None:
            written = self.pictures.write()
            self.console.log(f"drawn into {self.pictures.folder}: {', '.join(written)}")

    def _line(self, decision: Decision) -> str:
        line = line_of(decision, self.session.engine.progress.start or 0)
        scorer = self.session.scorer
        truth = scorer.truth(decision.start, decision.stop) if scorer else None
        if truth is None:
            return line
        mark = "right" if truth.label == decision.label else f"wrong, {truth.label}"
        taught = self.session.job.config.learn.enabled and not truth.test
        return f"{line}  {'taught' if taught else 'held out'}: {mark}"

    async def _bar(self) -> None:
        import asyncio

        while True:
            await asyncio.sleep(PROGRESS_S)
            progress = self.session.engine.progress
            at = show_us(progress.stop - (progress.start or 0))
            factor = progress.realtime_factor()
            self.console.progress(f"{at} of stream, {show_count(progress.rows)}events, {factor:.3g} x real time")
