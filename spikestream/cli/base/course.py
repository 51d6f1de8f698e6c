"""What `train` and `eval` share: sources in a row, each a run of its own, and the windows of all of them judged."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

from spikestream.cli.base import Console, ended_by, run_until_signalled
from spikestream.cli.base.report import say_if_cold
from spikestream.cli.base.settings import says_windows, tables_of
from spikestream.errors import ConfigError, SpikestreamError

if TYPE_CHECKING:
    from spikestream.config import Config
    from spikestream.service.job import Job
    from spikestream.service.scoring import Centroids
    from spikestream.service.session import Session
    from spikestream.service.tally import Tally

PROGRESS_S = 0.2
RECENT = 500
"""So many of the last taught windows give the accuracy that is shown while it runs."""


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Add what the two verbs take alike."""
    add = parser.add_argument
    add(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a data set as a sensor's URI, which has labels of its own, or recordings and sound files, each with its "
        "--labels; several are runs in a row",
    )
    add(
        "--labels",
        action="append",
        default=[],
        metavar="FILE",
        help="CSV start_us,stop_us,label[,split][,reward] of a recording; as many as there are sources, in their order",
    )
    add("--config", metavar="FILE", help="TOML configuration")
    add("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE", help="e.g. network.neurons=400")


def sources_of(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Return (URI, label file or "") of each source; raises `ConfigError` where labels and sources do not pair up."""
    labels = options.labels or [""] * len(options.sources)
    if len(labels) != len(options.sources):
        text = f"{len(labels)} label files do not go with {len(options.sources)} sources"
        raise ConfigError(text, key="--labels", allowed="one for each source, in their order, or none at all")
    return list(zip(options.sources, labels, strict=True))


def configured(options: argparse.Namespace, source: str, labels: str, sets: Sequence[str]) -> Config:
    """Return the configuration of one run: model or record, then file, --set, ``sets``; raises `ConfigError`."""
    from spikestream.config import read_config, with_value

    made = read_config(options.config, [*options.sets, *sets], base=tables_of(source, options.model))
    made = with_value(made, "sensor", uri=source, speed="max")
    if labels and not says_windows(options.config, options.sets):
        made = with_value(made, "readout", windows="marked")
    return with_value(made, "publish", urls=()) if made.publish.urls else made


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a course: what to do, who counts what is judged in it, and what to call it while it runs."""

    job: Job
    tally: Tally
    name: str


class Course:
    """Runs in a row. ``carry`` is where each leaves what it has learned for the next, "" where nothing is learned.

    ``opened`` is called with each session before it runs, ``closed`` after.
    """

    def __init__(
        self,
        console: Console,
        runs: Sequence[Run],
        carry: str = "",
        *,
        opened: Callable[[Session], None] = lambda session: None,
        closed: Callable[[Session], None] = lambda session: None,
    ) -> None:
        self.console, self.runs, self._carry = console, list(runs), carry
        self._opened, self._closed = opened, closed
        self._centroids: Centroids | None = None
        self._stopped = False
        self._said: set[str] = set()
        self._begun_s = 0.0
        self.session = self._open(0)
        say_if_cold(console, self.session)
        self._warm()

    def run(self) -> int:
        """Do all runs and return the exit code; raises what a session raises."""
        try:
            signalled = run_until_signalled(self._all(), self._stop)
        finally:
            self.console.clear()
        return ended_by(signalled)

    async def _all(self) -> None:
        for number in range(len(self.runs)):
            if self._stopped:
                return
            if number:
                self.session = self._open(number)
                self._warm()
            await self._one(number)

    async def _one(self, number: int) -> None:
        import asyncio

        bar = asyncio.create_task(self._bar(number))
        try:
            await self.session.run()
        finally:
            bar.cancel()
            self._warn()
        if problems := self.session.problems():
            raise SpikestreamError("the ledger does not close: something was lost without a reason", details=problems)
        self._closed(self.session)

    def _open(self, number: int) -> Session:
        from spikestream.service.session import Session

        job = self.runs[number].job
        if self._carry:
            job = replace(job, save=self._carry, model=self._carry if number else job.model)
        session = Session(job)
        if session.scorer is not None:
            session.scorer.watchers.append(self.runs[number].tally)
            session.scorer.centroids = self._centroids or session.scorer.centroids
            self._centroids = session.scorer.centroids
        self._opened(session)
        return session

    def _warm(self) -> None:
        from spikestream.service.session import warm_up

        warm_up(self.session)

    def _stop(self) -> None:
        self._stopped = True
        self.session.stop()

    def _warn(self) -> None:
        """Tell what the run had to say, each thing once."""
        for warning in self.session.warnings():
            if warning not in self._said:
                self._said.add(warning)
                self.console.log(f"warning: {warning}")

    async def _bar(self, number: int) -> None:
        import asyncio

        run, rows = self.runs[number], len(self.session.rows)
        begun_s = monotonic()
        while True:
            await asyncio.sleep(PROGRESS_S)
            decided = self.session.scorer.decided if self.session.scorer else 0
            text = f"{run.name}: {decided:,} of {rows:,} windows, {decided / (monotonic() - begun_s):,.0f} a second"
            if (recent := run.tally.recent(RECENT)) is not None:
                text += f", {recent:.1%} of the last {min(RECENT, run.tally.taught.windows)} right while learning"
            self.console.progress(text)
