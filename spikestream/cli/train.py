"""``spikestream train``: data sets or recordings through the pipeline, to learn: as `replay` does, with the figures."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from spikestream.cli.base import Console, add_quiet
from spikestream.cli.base.catalogue import rule_of, write_notes
from spikestream.cli.base.course import Course, Run, add_sources, configured, sources_of
from spikestream.cli.base.figures import held_out_line, percent
from spikestream.errors import ConfigError, nearest

if TYPE_CHECKING:
    from spikestream.service.session import Session
    from spikestream.service.tally import Tally

RULES = {
    "eprop": ("readout.kind=classifier",),
    "stdp": ("readout.kind=votes", "learn.rule=stdp"),
    "none": ("readout.kind=votes", "learn.rule=none"),
}


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(prog="spikestream train", description=__doc__)
    add_sources(made)
    add = made.add_argument
    add("--rule", metavar="RULE", help="eprop: the supervised classifier; stdp: neurons earn labels; none: only labels")
    add("--epochs", type=int, default=1, metavar="N", help="go through all sources so many times (default 1)")
    add("--seed", type=int, metavar="S", help="of the random weights, and of what a data set draws at random")
    add("--model", metavar="FILE", help="start with what a saved model, or a shipped one by its name, has learned")
    add("--save", metavar="FILE", help="save the model after each run, and beside it FILE.json with how it was made")
    add("--json", action="store_true", help="print one JSON object at the end, nothing else")
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Train and return the exit code."""
    from spikestream.service.tally import Tally

    if options.epochs < 1:
        text = f"there is nothing to do in {options.epochs} epochs"
        raise ConfigError(text, key="--epochs", value=options.epochs, allowed="1 or more")
    console, tallies = Console(options.quiet), [Tally() for _ in range(options.epochs)]
    runs = runs_of(options, tallies)
    sessions: list[Session] = []
    with tempfile.TemporaryDirectory(prefix="spikestream-") as scratch:
        carry = options.save or os.path.join(scratch, "model.npz")
        course = Course(console, runs, carry, opened=_needs_labels, closed=sessions.append)
        _say_what_is_missing(console, course.session, options.save)
        begun_s = monotonic()
        code = course.run()
        seconds = monotonic() - begun_s
    if not sessions:  # stopped before the first run was over
        return code
    figures = {**figures_of(options, tallies, sessions[-1], seconds), "finished": code == 0}
    if options.save:
        write_notes(options.save, {key: value for key, value in figures.items() if key != "windows_per_s"})
    console.json(figures) if options.json else console.out(report(figures))
    return code


def runs_of(options: argparse.Namespace, tallies: Sequence[Tally]) -> list[Run]:
    """Return the runs the options ask for, epoch by epoch; raises `ConfigError`."""
    from spikestream.service.job import Job

    pairs, sets, model = sources_of(options), _sets(options), options.model or ""
    runs = []
    for epoch, tally in enumerate(tallies, 1):
        for number, (source, labels) in enumerate(pairs, 1):
            uri = in_epoch(source, options.seed, epoch)
            job = Job(configured(options, uri, labels, sets), labels=labels, model=model)
            several = f", source {number} of {len(pairs)}" if len(pairs) > 1 else ""
            runs.append(Run(job, tally, f"epoch {epoch} of {len(tallies)}{several}"))
    return runs


def in_epoch(uri: str, seed: int | None, epoch: int) -> str:
    """Return the URI of a data set with a seed of its own for each epoch, as it is played; of a recording the same."""
    from spikestream.registry import load
    from spikestream.sensors.base import parse_uri

    scheme, location, options = parse_uri(uri)
    if scheme == "file" or not hasattr(load("sensors", scheme), "tables") or (epoch == 1 and seed is None):
        return uri
    given = options.get("seed", "0") if seed is None else str(seed)
    if not given.isdecimal():
        return uri  # the sensor says what is wrong with it
    return f"{scheme}://{location}?{urlencode({**options, 'seed': int(given) + epoch - 1})}"


def _sets(options: argparse.Namespace) -> list[str]:
    """Return the settings that train itself, --rule and --seed stand for."""
    sets = ["learn.enabled=true"]
    if "learn.enabled=false" in ["".join(one.split()).lower() for one in options.sets]:
        text, remedy = "train learns: learn.enabled = false would go unheeded", "spikestream eval, or replay --no-learn"
        raise ConfigError(text, key="learn.enabled", value=False, remedy=remedy)
    if options.rule is not None:
        if options.rule not in RULES:
            text, near = f"unknown rule '{options.rule}'", nearest(options.rule, RULES)
            raise ConfigError(text, key="--rule", value=options.rule, allowed=", ".join(RULES), nearest=near)
        sets += RULES[options.rule]
    if options.seed is not None:
        sets += [f"{section}.seed={options.seed}" for section in _seeded(options)]
    return sets


def _seeded(options: argparse.Namespace) -> list[str]:
    """Return the sections that have a seed of their own here."""
    from spikestream.cli.base.settings import tables_of
    from spikestream.config import Config, read_config

    config = read_config(options.config, options.sets, base=tables_of(options.sources[0], options.model))
    sections = ["model" if config.model else "network"]
    if config.features.kind == "stdp":
        sections.append("features")
    return [*sections, "classifier"] if hasattr(Config(), "classifier") else sections


def _needs_labels(session: Session) -> None:
    """Raise `ConfigError` where there is nothing to learn from: only STDP learns without labels."""
    config = session.job.config
    if getattr(config.readout, "kind", "votes") == "votes" and config.learn.rule != "none":
        return
    if session.rows and all(row.test for row in session.rows):
        text = f"all {len(session.rows):,} windows of {config.sensor.uri} are held out: there is nothing to learn"
        remedy = "spikestream eval measures; to learn, name rows of the train part (split, skip)"
        raise ConfigError(text, key="--labels", remedy=remedy)
    if session.scorer is None:
        text = f"{config.sensor.uri} has no labels, and without them only stdp learns"
        raise ConfigError(text, key="--labels", remedy="--labels FILE, a CSV of start_us,stop_us,label")


def _say_what_is_missing(console: Console, session: Session, save: str | None) -> None:
    """Warn where nothing would be left of a training, or nothing is measured of it."""
    if not save:
        console.log("warning: without --save FILE what is learned is gone at the end")
    if session.scorer is None:
        console.log("warning: without labels nothing is measured: --labels FILE, a CSV of start_us,stop_us,label")


def figures_of(options: argparse.Namespace, tallies: Sequence[Tally], last: Session, seconds: float) -> dict[str, Any]:
    """Return what was measured; what is prequential is of the first epoch, for later ones have seen it all."""
    from spikestream import checkpoint

    first, final, config = tallies[0], tallies[-1], last.job.config
    windows = sum(tally.taught.windows + tally.held_out.windows for tally in tallies)
    return {
        "sources": list(options.sources),
        "rule": rule_of(config),
        "epochs": options.epochs,
        "seed": options.seed,
        "taught": first.taught.windows,
        "prequential_accuracy": first.taught.share,
        "prequential_by_quarter": first.quarters(),
        "prequential_chance": first.chance_taught(),
        "prequential_baseline": first.nearest_taught(),
        "held_out": final.figures(),
        "accuracy_by_epoch": [tally.held_out.share for tally in tallies],
        "windows_per_s": round(windows / max(seconds, 1e-9), 1),
        "state_sha256": checkpoint.state_sha256(last.pipeline),
    }


def report(figures: dict[str, Any]) -> str:
    """Return the figures for people."""
    lines = [f"rule              {figures['rule']}, {figures['windows_per_s']:,.0f} windows a second"]
    if figures["taught"]:
        quarters = " ".join(percent(one) for one in figures["prequential_by_quarter"])
        lines.append(f"while learning    {percent(figures['prequential_accuracy'])} (decided first, taught after)")
        lines[-1] += f" of {figures['taught']:,} windows, by quarter {quarters}"
        beside = f"chance {percent(figures['prequential_chance'])}"
        lines.append(f"                  {beside}, nearest centroid {percent(figures['prequential_baseline'])}")
    if figures["epochs"] > 1:
        lines.append(f"by epoch          {' '.join(percent(one) for one in figures['accuracy_by_epoch'])} held out")
    held_out = figures["held_out"]
    lines.append(held_out_line(held_out) if held_out["windows"] else "held-out accuracy -, no held-out row was decided")
    return "\n".join(lines)
