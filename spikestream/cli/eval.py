"""``spikestream eval``: a saved model on labelled data, frozen: accuracy beside chance, centroid and batch learners."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from spikestream.cli.base import Console, add_quiet
from spikestream.cli.base.course import Course, Run, add_sources, configured, sources_of
from spikestream.cli.base.figures import held_out_line, percent
from spikestream.errors import ConfigError

if TYPE_CHECKING:
    from spikestream.service.baselines import Features
    from spikestream.service.session import Session
    from spikestream.service.tally import Tally

SPLITS = ("test", "all")
FROZEN = ("learn.enabled=false",)


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(prog="spikestream eval", description=__doc__)
    add_sources(made)
    add = made.add_argument
    add("--model", metavar="FILE", required=True, help="the saved model, or a shipped one by its name")
    add("--split", choices=SPLITS, default="test", help="judge the rows that are held out (default), or all")
    add("--baseline", action="store_true", help="fit batch learners on the train rows, and judge them on the same rows")
    add("--bins", type=int, default=3, metavar="N", help="parts of a window in which they count spikes (default 3)")
    add("--seed", type=int, default=0, metavar="S", help="of the batch learners (default 0)")
    add("--report", metavar="DIR", help="write report.json, classes.csv, confusion.png and manifest.json into it")
    add("--date", metavar="TEXT", help="put this into the manifest, which else holds no time")
    add("--json", action="store_true", help="print one JSON object at the end, nothing else")
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Evaluate and return the exit code."""
    from spikestream.cli.base.evaluation import make_folder, write_report
    from spikestream.service.baselines import Features, need_sklearn
    from spikestream.service.tally import Tally

    if options.baseline:
        need_sklearn()
        if options.split == "all":
            text = "a batch learner is fitted on the train rows: judged on them it would be no comparison"
            raise ConfigError(text, key="--split", value="all", allowed="--split test together with --baseline")
    folder = make_folder(options.report) if options.report else None
    console, tally = Console(options.quiet), Tally(held_out_only=options.split == "test")
    features = Features(options.bins) if options.baseline else None
    watch = _Watch(options, features)
    course = Course(console, _runs(options, tally), opened=watch.opened, closed=watch.closed)
    if code := course.run():
        return code
    if not tally.held_out.windows:
        text = "not a single held-out row was decided"
        raise ConfigError(text, key="--split", value=options.split, remedy="--split all, or labels with test rows")
    figures = {**tally.figures(), "split": options.split, "baselines": _baselines(console, features, options.seed)}
    if folder is not None:
        write_report(folder, figures, tally, watch.manifest())
        console.log(f"report written into {folder}")
    console.json(figures) if options.json else console.out(report(figures, tally))
    return 0


def _runs(options: argparse.Namespace, tally: Tally) -> list[Run]:
    from spikestream.service.job import Job

    pairs = sources_of(options)
    return [
        Run(
            Job(configured(options, source, labels, FROZEN), labels=labels, model=options.model),
            tally,
            f"source {number} of {len(pairs)}",
        )
        for number, (source, labels) in enumerate(pairs, 1)
    ]


class _Watch:
    """Looks at each session: whether it has labels, what batch learners need of it, and what the manifest says."""

    def __init__(self, options: argparse.Namespace, features: Features | None) -> None:
        self.options, self.features = options, features
        self._config: dict[str, Any] = {}
        self._model = ""
        self._outputs: list[str] = []

    def opened(self, session: Session) -> None:
        from spikestream.checkpoint import digest
        from spikestream.config import to_tables

        config = session.job.config
        if not session.rows:
            text = f"{config.sensor.uri} has no labels: there is nothing to judge by"
            raise ConfigError(text, key="--labels", remedy="--labels FILE, a CSV of start_us,stop_us,label[,split]")
        self._config = {**to_tables(session.pipeline.config)}
        self._model = digest(_learned(session))
        if self.features is not None:
            from spikestream.service.baselines import MOST_FITTED

            windows, senses = session.windows(), session.senses
            taught = sum(not window.test for window in windows) * len(self.options.sources)
            axons: int = session.pipeline.stages[senses].axons  # type: ignore[attr-defined]
            self.features.begin(windows, min(1.0, MOST_FITTED / max(1, taught)), senses, axons)
            session.engine.watch(self.features)

    def closed(self, session: Session) -> None:
        self._outputs.append(session.hash.hexdigest())

    def manifest(self) -> dict[str, Any]:
        """Return what a report was made with and of."""
        from spikestream.cli.base.evaluation import versions

        options = self.options
        made: dict[str, Any] = {
            "sources": list(options.sources),
            "labels": list(options.labels),
            "model": options.model,
            "model_state_sha256": self._model,
            "output_sha256": self._outputs,
            "split": options.split,
            "bins": options.bins if options.baseline else None,
            "seed": options.seed,
            "versions": versions(),
            "config": self._config,
        }
        return {**made, "date": options.date} if options.date else made


def _learned(session: Session) -> dict[str, Any]:
    """Return what the stages have learned, by ``<stage>/<name>``."""
    from spikestream.checkpoint import learned

    return learned(session.pipeline)


def _baselines(console: Console, features: Features | None, seed: int) -> dict[str, Any] | None:
    from spikestream.service.baselines import scores

    if features is None:
        return None
    made = scores(features, seed, lambda name: console.progress(f"fitting {name}"))
    console.clear()
    return {"fitted": len(features.labels[False]), "bins": features.bins, "accuracy": made}


def report(figures: dict[str, Any], tally: Tally) -> str:
    """Return the figures for people."""
    lines = [held_out_line(figures)]
    if (batch := figures["baselines"]) is not None:
        lines.append(f"batch learners    fitted on the spikes of {batch['fitted']:,} windows in {batch['bins']} bins")
        lines += [f"  {name:22} {percent(share)}" for name, share in batch["accuracy"].items()]
    lines.append("class             count  called  precision  recall")
    for row in tally.classes():
        lines.append(
            f"  {row.label:15} {row.count:5}  {row.predicted:6}  {percent(row.precision):>9}  {percent(row.recall):>6}"
        )
    return "\n".join(lines)
