"""How a stage is run: on its input cut up, and with commands, each handed over at its own time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import gcd
from typing import Any, cast

import numpy as np

from spikestream.batch import Array, Batch, Command, Sound, cut, stamps
from spikestream.checks.base import joined
from spikestream.stages.base import Learner, Stage, State


def run(given: Stage, batches: Sequence[Batch]) -> list[Batch]:
    """Return the answers of a stage to some batches."""
    # Copies on both sides: a stage that writes where it should not is found by the law against that, and by no other.
    return [copy.deepcopy(given(copy.deepcopy(batch))) for batch in batches]


def split(batch: Batch, at: int) -> tuple[Batch, Batch]:
    """Return a batch as ``[start, at)`` and ``[at, stop)``; sound at the first sample that is not before ``at``."""
    if not isinstance(batch, Sound):
        return cast(tuple[Batch, Batch], cut(cast(Any, batch), at))
    i = -(-(at - batch.start) * len(batch) // (batch.stop - batch.start))
    return replace(batch, stop=at, samples=batch.samples[:i]), replace(batch, start=at, samples=batch.samples[i:])


def cut_times(batch: Batch) -> Array:
    """Return the times a batch is cut at: around every item, so inside ticks too, and some anywhere, some twice."""
    span = batch.stop - batch.start
    if isinstance(batch, Sound):  # only where a sample ends on a whole µs
        step = span // gcd(span, len(batch))
        return np.arange(batch.start, batch.stop, step)
    t = stamps(batch)
    anywhere = np.random.default_rng(span).integers(batch.start, batch.stop, 20, endpoint=True)
    return np.sort(np.concatenate([t, t + 1, anywhere, anywhere[:5]]))


def cut_up(batches: Sequence[Batch]) -> list[Batch]:
    """Return batches cut at all `cut_times` of each."""
    pieces = []
    for batch in batches:
        rest = batch
        for at in cut_times(batch).tolist():
            piece, rest = split(rest, at)
            pieces.append(piece)
        pieces.append(rest)
    return pieces


class Taught:
    """Behaves as ``stage`` does, and hands it each of ``commands`` before what starts at the command's time."""

    def __init__(self, stage: Stage, commands: Sequence[Command]) -> None:
        self.stage = stage
        self.account = stage.account
        self.commands = sorted(commands, key=lambda command: command.t)

    def __call__(self, batch: Batch) -> Batch:
        """Return the stage's answer, the batch cut at the commands that fall into it."""
        answers, rest = [], batch
        for command in self._due(batch.start, batch.stop):
            if command.t > rest.start:
                piece, rest = split(rest, command.t)
                answers.append(self.stage(piece))
            self._tell(command)
        return joined([*answers, self.stage(rest)])

    def skip(self, start: int, stop: int) -> Batch:
        """Return the stage's answer to a gap, its commands told before it: a gap is never cut."""
        for command in self._due(start, stop):
            self._tell(command)
        return self.stage.skip(start, stop)

    def state(self) -> State:
        """Return the state of the stage."""
        return self.stage.state()

    def restore(self, state: Mapping[str, Array]) -> None:
        """Restore the stage."""
        self.stage.restore(state)

    def _due(self, start: int, stop: int) -> list[Command]:
        return [command for command in self.commands if start <= command.t < stop]

    def _tell(self, command: Command) -> None:
        if isinstance(self.stage, Learner):
            self.stage.command(command)


def taught(make: Callable[[], Stage], commands: Sequence[Command]) -> Callable[[], Stage]:
    """Return what makes the same stage, taught."""
    return (lambda: Taught(make(), commands)) if commands else make
