"""Stages in a row by name: cuts at commands, bridges gaps, and keeps the loss ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from spikestream.batch import Batch, Command, Setting, Window, concat, cut, stamps
from spikestream.errors import ConfigError, SpikestreamError, nearest
from spikestream.stages.base import Learner, Stage

ENABLED = "learn.enabled"
"""The setting that every learner takes; `Pipeline.settings` has all."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop of the ledger at one moment: what its upper end sent and its lower end received, counted on their own."""

    name: str
    sent: int
    received: int
    filtered: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    held: int = 0

    def __post_init__(self) -> None:
        # A stage goes on counting into its own: whoever looks later would see two moments in one hop.
        object.__setattr__(self, "filtered", dict(self.filtered))
        object.__setattr__(self, "dropped", dict(self.dropped))

    def missing(self) -> int:
        """Return what was lost without a reason; 0 where the hop closes."""
        return self.sent - self.received - sum(self.filtered.values()) - sum(self.dropped.values()) - self.held

    def __str__(self) -> str:
        parts = [f"{self.name}: {self.sent:,} sent, {self.received:,} received"]
        parts += [f"{count:,} filtered ({reason})" for reason, count in self.filtered.items() if count]
        parts += [f"{count:,} dropped ({reason})" for reason, count in self.dropped.items() if count]
        parts += [f"{self.held:,} held"] if self.held else []
        parts += [f"{self.missing():,} MISSING"] if self.missing() else []
        return ", ".join(parts)


class Pipeline:
    """A row of stages by name; called with one batch and the commands up to its end, returns each stage's batch.

    ``config`` is kept for the checkpoint. ``now`` is the last stop, None before the first batch.
    """

    def __init__(self, stages: Mapping[str, Stage], config: Any = None) -> None:
        self.stages = dict(stages)
        self.config = config
        self.now: int | None = None
        self.gaps: list[tuple[int, int]] = []
        self.taken = 0
        self.after: Callable[[str], None] = _nobody
        """Hears the name of each stage that has returned, so that somebody with a clock can tell how long it took."""
        self._got = dict.fromkeys(self.stages, 0)
        names = list(self.stages)
        # Asked once: what is a learner is found out by its many names, which takes longer than a short batch.
        self._learning = [name for name, stage in self.stages.items() if isinstance(stage, Learner)]
        first = names.index(self._learning[0]) if self._learning else len(names)
        # Commands are for learners: what comes before the first of them need not be cut, which sound could not be.
        self._before, self._behind = names[:first], names[first:]

    def __call__(self, batch: Batch, commands: Iterable[Command] = ()) -> dict[str, Batch]:
        """Run the batch through all stages, each command taking effect at its own time.

        A batch that starts later than ``now`` leaves a gap, which the stages skip; what they decide in it is returned
        with the rest. Raises `SpikestreamError` for a batch that starts earlier or a command later than the batch, and
        `ConfigError` for a setting that cannot be changed; nothing has happened then.
        """
        waiting = sorted((_what_is_left(command, self.now) for command in commands), key=lambda command: command.t)
        self.check(*waiting)
        if waiting and waiting[-1].t > batch.stop:
            raise SpikestreamError(f"a command for {waiting[-1].t} µs came with a batch that ends at {batch.stop} µs")
        if self.now is None:
            self.now = batch.start
        if batch.start < self.now:
            raise SpikestreamError(f"batch [{batch.start}, {batch.stop}) starts before {self.now}, the end of the last")
        self.taken += len(batch)
        outputs: dict[str, list[Batch]] = {name: [] for name in self.stages}
        if batch.start > self.now:
            self.gaps = [*self.gaps[-99:], (self.now, batch.start)]
            self._gap(batch.start, waiting, outputs)
        flowing = self._row(self._before, batch, outputs)
        for piece in self._pieces(flowing, waiting):
            self._row(self._behind, piece, outputs)
        self.now = batch.stop
        self._deliver(waiting, batch.stop)
        return {name: concat(parts) for name, parts in outputs.items()}

    @property
    def made(self) -> Mapping[str, int]:
        """Return how many events, spikes or decisions each stage returned, counted as they came."""
        return dict(self._got)

    def hops(self) -> list[Hop]:
        """Return the ledger of the pipeline: a hop into each stage, and one through each that only passes things on."""
        ledger, handed = [], self.taken
        for name, stage in self.stages.items():
            account = stage.account
            ledger.append(Hop(f"into {name}", handed, account.taken, held=account.held))
            if account.conserves:
                ledger.append(Hop(f"through {name}", account.taken, account.given, account.filtered, account.dropped))
            ledger.append(Hop(f"out of {name}", account.given, self._got[name]))
            handed = self._got[name]
        return ledger

    @property
    def settings(self) -> Mapping[str, Any]:
        """Return the keys that may change while the pipeline runs, with their values now."""
        found: dict[str, Any] = {}
        for stage in self._learners():
            found |= getattr(stage, "settings", {ENABLED: stage.learning})
        return found

    def _learners(self) -> list[Learner]:
        return [cast(Learner, self.stages[name]) for name in self._learning]

    def check(self, *commands: Command) -> None:
        """Raise `ConfigError` for settings that no stage can take, alone or one after the other."""
        settings = [command for command in commands if isinstance(command, Setting)]
        if not settings:
            return
        known = self.settings
        for setting in settings:
            _check(setting, known)
        for stage in self._learners():
            own = [setting for setting in settings if setting.key in getattr(stage, "settings", ())]
            if own and hasattr(stage, "check"):
                stage.check(*own)

    def _pieces(self, batch: Batch, waiting: list[Command]) -> Iterator[Batch]:
        """Yield the batch cut at the commands, delivering each before the piece that starts at it."""
        rest = batch
        self._deliver(waiting, rest.start)
        while waiting and waiting[0].t < rest.stop:
            piece, rest = cut(rest, waiting[0].t)
            yield piece
            self._deliver(waiting, rest.start)
        yield rest

    def _deliver(self, waiting: list[Command], time: int) -> None:
        """Hand out, and take from the list, every command that is due at `time`."""
        while waiting and waiting[0].t <= time:
            command = waiting.pop(0)
            for stage in self._learners():
                stage.command(command)

    def _row(self, names: Iterable[str], batch: Batch, outputs: Mapping[str, list[Batch]]) -> Batch:
        """Run some stages one after the other, keep what each made, and return what the last one did."""
        flowing = batch
        for name in names:
            flowing = self._call(name, self.stages[name], flowing)
            outputs[name].append(flowing)
        return flowing

    def _call(self, name: str, stage: Stage, batch: Batch) -> Batch:
        made = stage(batch)
        self._got[name] += len(made)
        self.after(name)
        return made

    def _gap(self, stop: int, waiting: list[Command], outputs: dict[str, list[Batch]]) -> None:
        """Skip from `now` to ``stop``, keeping only what a stage had to say in it: silence there stays a gap."""
        # Handed out first, each to take effect at its own time: cut there, the gap would be rounded differently, and a
        # label would move spikes.
        self._deliver(waiting, stop - 1)
        start, flowing = self.now or 0, None
        for name, stage in self.stages.items():
            flowing = self._bridge(name, stage, flowing, start, stop)
            if len(flowing):
                outputs[name].append(flowing)
        self.now = stop

    def _bridge(self, name: str, stage: Stage, given: Batch | None, start: int, stop: int) -> Batch:
        """Take one stage over a gap: what the stage before it made there is still heard, the rest is skipped."""
        parts = []
        if given is not None and len(given):
            heard, _ = cut(given, int(stamps(given)[-1]) + 1)
            parts.append(self._call(name, stage, heard))
            start = heard.stop
        skipped = stage.skip(start, stop)
        self._got[name] += len(skipped)
        self.after(name)
        parts.append(skipped)
        return concat(parts)


def _nobody(stage: str) -> None:
    """Hear nothing."""


def _what_is_left(command: Command, now: int | None) -> Command:
    """Return the command; a mark that comes late marks what is left: labels may have moved the votes since it began."""
    if isinstance(command, Window) and now is not None and command.start < now < command.stop:
        return replace(command, start=now)
    return command


def _check(setting: Setting, known: Mapping[str, Any]) -> None:
    """Raise `ConfigError` unless the key is one of those ``known``, and the value of the kind that it has now."""
    key, value = setting.key, setting.value
    if key not in known:
        text = f"'{key}' cannot be changed while running"
        raise ConfigError(text, key=key, allowed=", ".join(known), nearest=nearest(key, known))
    kinds = {bool: ("true, false", (bool,)), str: ("a text", (str,))}
    allowed, wanted = kinds.get(type(known[key]), ("a number", (int, float)))
    if not isinstance(value, wanted) or isinstance(value, bool) is not isinstance(known[key], bool):
        raise ConfigError(f"{key} = {value!r} has the wrong type", key=key, value=value, allowed=allowed)
