"""Each law of a stage bites: a lawful one, broken in one place, breaks just the laws it should."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from broken import broken

from spikestream import checks
from spikestream.batch import (
    EVENT,
    Array,
    Batch,
    Decision,
    Decisions,
    Events,
    Label,
    Setting,
    Sound,
    Spikes,
    concat,
    no_events,
    no_spikes,
    stamps,
)
from spikestream.checks.running import Taught
from spikestream.errors import ModelError
from spikestream.stages.base import Account


class Half:
    """A lawful filter: of all events every second one passes."""

    memory: tuple[str, ...] = ("odd",)

    def __init__(self) -> None:
        self.account = Account()
        self.odd = np.zeros((), np.int64)

    def __call__(self, batch: Any) -> Any:
        data = batch.data[int(self.odd) :: 2].copy()
        self.odd[...] = (self.odd + len(batch)) % 2
        self.count(len(batch), len(data))
        return replace(batch, data=data)

    def count(self, taken: int, given: int) -> None:
        self.account.taken += taken
        self.account.given += given
        self.account.filtered["odd"] = self.account.filtered.get("odd", 0) + taken - given

    def skip(self, start: int, stop: int) -> Any:
        return no_events(start, stop, (4, 4))

    def state(self) -> Any:
        return {name: getattr(self, name).copy() for name in self.memory}

    def restore(self, state: Mapping[str, Array]) -> None:
        if set(state) != set(self.memory) or any(state[name].ndim > 1 for name in self.memory):
            raise ModelError("that is no state of mine")
        for name in self.memory:
            setattr(self, name, state[name].copy())


class Counter(Half):
    """A lawful stage with ticks: at the end of a millisecond with events a spike, numbered by all events so far."""

    memory = ("total", "waiting")

    def __init__(self) -> None:
        self.account = Account(conserves=False)
        self.total = np.zeros((), np.int64)
        self.waiting = np.zeros((), np.int64)

    def __call__(self, batch: Any) -> Any:
        times, numbers, before = [], [], 0
        for end in range((batch.start // 1_000 + 1) * 1_000, batch.stop + 1, 1_000):
            until = int(np.count_nonzero(stamps(batch) < end))
            if self.waiting + until - before:
                self.total += self.waiting + until - before
                times.append(end - 1)
                numbers.append(int(self.total))
            self.waiting[...], before = 0, until
        self.waiting += len(batch) - before
        self.account.taken += len(batch)
        self.account.given += len(times)
        return Spikes(batch.start, batch.stop, np.array(times, np.int64), np.array(numbers, np.int32))

    def skip(self, start: int, stop: int) -> Any:
        return no_spikes(start, stop)


class Loud(Half):
    """A lawful ear: a spike for each sample above one half."""

    memory = ()

    def __call__(self, batch: Any) -> Any:
        self.account.conserves = False
        self.account.taken += len(batch)
        at = np.flatnonzero(batch.samples[:, 0] > 0.5)
        self.account.given += len(at)
        t = batch.start + at * (batch.stop - batch.start) // max(1, len(batch))
        return Spikes(batch.start, batch.stop, t, np.zeros(len(at), np.int32))

    def skip(self, start: int, stop: int) -> Any:
        return no_spikes(start, stop)


class Judge(Counter):
    """A lawful readout: each tick with spikes is a decision."""

    def __call__(self, batch: Any) -> Any:
        spikes = super().__call__(batch)
        rows = [
            Decision(t - 999, t + 1, str(n), 1.0) for t, n in zip(spikes.t.tolist(), spikes.axon.tolist(), strict=True)
        ]
        return Decisions(batch.start, batch.stop, tuple(rows))

    def skip(self, start: int, stop: int) -> Any:
        return Decisions(start, stop)


class Pupil(Judge):
    """A lawful learner: whether it names what it sees is decided when a window begins, by the last label before."""

    WINDOW_US = 5_000
    memory = ("seen", "named", "taught")

    def __init__(self) -> None:
        super().__init__()
        self.learning = True
        self.seen, self.named, self.taught = (np.zeros((), np.int64) for _ in range(3))

    def __call__(self, batch: Any) -> Any:
        rows, before = [], 0
        for stop in range((batch.start // self.WINDOW_US + 1) * self.WINDOW_US, batch.stop + 1, self.WINDOW_US):
            until = int(np.count_nonzero(stamps(batch) < stop))
            count = int(self.seen) + until - before
            rows.append(Decision(stop - self.WINDOW_US, stop, "known" if self.named else None, 1.0, (), count))
            before, self.seen, self.named = until, np.zeros((), np.int64), self.taught.copy()
        self.seen += len(batch) - before
        self.account.taken += len(batch)
        self.account.given += len(rows)
        return Decisions(batch.start, batch.stop, tuple(rows))

    def command(self, command: Any) -> None:
        if isinstance(command, Label) and command.t < command.stop:
            return  # it names what is not over
        self.taught[...] = 1
        if command.t % self.WINDOW_US == 0:
            self.named[...] = 1


class Copier(Pupil):
    """Uses the label in the window under way."""

    def command(self, command: Any) -> None:
        self.taught[...] = self.named[...] = 1


class ShiftedInterval(Half):
    def __call__(self, batch: Any) -> Any:
        return replace(super().__call__(batch), stop=batch.stop + 1)


class LateSpikes(Counter):
    """Gives what belongs to one batch with the next one."""

    memory = ("total", "waiting", "t", "axon")

    def __init__(self) -> None:
        super().__init__()
        self.t, self.axon = np.empty(0, np.int64), np.empty(0, np.int32)

    def __call__(self, batch: Any) -> Any:
        now = super().__call__(batch)
        late = replace(now, t=self.t, axon=self.axon)
        self.t, self.axon = now.t, now.axon
        return late


class Writing(Half):
    def __call__(self, batch: Any) -> Any:
        batch.data["p"] = True
        return super().__call__(batch)


class After(Half):
    """A lawful filter: an event passes if the one before it had an even x."""

    memory = ("last",)

    def __init__(self) -> None:
        super().__init__()
        self.last = np.zeros(1, EVENT)

    def __call__(self, batch: Any) -> Any:
        x = np.concatenate([self.last["x"], batch.data["x"]])
        data = batch.data[x[:-1] % 2 == 0]
        self.keep(batch.data)
        self.count(len(batch), len(data))
        return replace(batch, data=data)

    def keep(self, data: Array) -> None:
        if len(data):
            self.last = data[-1:].copy()


class KeepingInput(After):
    def keep(self, data: Array) -> None:
        if len(data):
            self.last = data[-1:]


class KeepingOutput(After):
    """Marks what After would pass, and remembers the last event as a part of its answer."""

    def __call__(self, batch: Any) -> Any:
        data = batch.data.copy()
        data["p"] = np.concatenate([self.last["x"], data["x"]])[:-1] % 2 == 0
        self.last = data[-1:] if len(data) else self.last
        self.count(len(data), len(data))
        return replace(batch, data=data)


class ReusingOutput(Half):
    def __init__(self) -> None:
        super().__init__()
        self.scratch = np.empty(1_000, EVENT)

    def __call__(self, batch: Any) -> Any:
        answer = super().__call__(batch)
        self.scratch[: len(answer)] = answer.data
        return replace(answer, data=self.scratch[: len(answer)])


class Moody(Half):
    mood = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.x = next(self.mood)

    def __call__(self, batch: Any) -> Any:
        answer = super().__call__(batch)
        answer.data["x"] = self.x
        return answer


class PerBatch(Half):
    """Starts to count anew with each batch."""

    def __call__(self, batch: Any) -> Any:
        self.odd[...] = 0
        return super().__call__(batch)


class UnlikeAccounts(Half):
    def count(self, taken: int, given: int) -> None:
        super().count(taken, given)
        self.account.filtered["calls"] = self.account.filtered.get("calls", 0) + 1
        self.account.filtered["odd"] -= 1


class LookingAhead(Half):
    """Marks events of which more follow in the same batch."""

    def __call__(self, batch: Any) -> Any:
        answer = super().__call__(batch)
        answer.data["y"][:-1] = 7
        return answer


class StateOfObjects(Half):
    def state(self) -> Any:
        return {"odd": self.odd.astype(object)}


class Forgetful(Half):
    memory = ()


class AliasedState(Half):
    def state(self) -> Any:
        return {"odd": self.odd}


class AliasedRestore(Half):
    def restore(self, state: Mapping[str, Array]) -> None:
        super().restore(state)
        self.odd = state["odd"]


class TakesAnyState(Half):
    def restore(self, state: Mapping[str, Array]) -> None:
        self.odd = np.array(state.get("odd", np.zeros(1)).flat[0], np.int64)


class BadGap(Half):
    def skip(self, start: int, stop: int) -> Any:
        return no_events(start, start)


class OtherGap(Half):
    def skip(self, start: int, stop: int) -> Any:
        return no_spikes(start, stop)


class LostInGap(Half):
    def skip(self, start: int, stop: int) -> Any:
        self.odd = None  # type: ignore[assignment]
        return no_events(start, stop)


class Uncounted(Half):
    def count(self, taken: int, given: int) -> None:
        super().count(taken - 1 if taken else 0, given)


class Losing(Half):
    def count(self, taken: int, given: int) -> None:
        self.account.taken += taken
        self.account.given += given


class Overstating(Half):
    def count(self, taken: int, given: int) -> None:
        super().count(taken, taken)


class Hoarding(Half):
    memory = ("odd", "seen")

    def __init__(self) -> None:
        super().__init__()
        self.seen = np.empty(0, np.int64)

    def __call__(self, batch: Any) -> Any:
        self.seen = np.concatenate([self.seen, batch.data["t"]])
        return super().__call__(batch)


def events_to_halve() -> list[Events]:
    rng = np.random.default_rng(4)
    batches = []
    for start in range(100_000, 130_000, 5_000):
        data = np.zeros(25, EVENT)
        data["t"] = np.sort(rng.integers(start, start + 5_000, 25))
        data["x"], data["y"] = rng.integers(0, 4, 25), rng.integers(0, 4, 25)
        batches.append(Events(start, start + 5_000, data, (4, 4)))
    return batches


def sound() -> list[Sound]:
    samples = np.random.default_rng(4).random((4, 160, 1), np.float32)
    return [Sound(i * 10_000, (i + 1) * 10_000, part) for i, part in enumerate(samples)]


STAGE_LAWS = {name for name, _ in checks.stage(Half, events_to_halve())}
STAGES: list[tuple[Callable[[], Any], set[str]]] = [
    (ShiftedInterval, {"interval", "nothing from the future"}),
    (LateSpikes, {"interval", "cut anywhere", "gap", "account"}),
    (Writing, {"input untouched"}),
    (KeepingInput, {"input not kept"}),
    (KeepingOutput, {"output given away"}),
    (ReusingOutput, {"output given away"}),
    (
        Moody,
        STAGE_LAWS
        - {
            "interval",
            "input untouched",
            "plain state",
            "foreign state",
            "gap",
            "account",
            "bounded memory",
            "predict before teach",
            "decide before told",
            "whatever is said",
        },
    ),
    (PerBatch, {"cut anywhere"}),
    (UnlikeAccounts, {"cut anywhere"}),
    (LookingAhead, {"cut anywhere", "nothing from the future"}),
    (StateOfObjects, {"plain state", "saved and restored"}),
    (Forgetful, {"saved and restored"}),
    (AliasedState, {"saved and restored"}),
    (AliasedRestore, {"saved and restored"}),
    (TakesAnyState, {"foreign state"}),
    (BadGap, {"gap"}),
    (OtherGap, {"gap"}),
    (LostInGap, {"gap"}),
    (Uncounted, {"account", "cut anywhere"}),
    (Losing, {"account"}),
    (Overstating, {"account"}),
    (Hoarding, {"bounded memory"}),
]


@pytest.mark.parametrize(
    ("make", "batches"),
    [
        (Half, events_to_halve()),
        (After, events_to_halve()),
        (Counter, events_to_halve()),
        (Judge, events_to_halve()),
        (Loud, sound()),
        (Pupil, events_to_halve()),
    ],
)
def test_a_lawful_stage_passes(make: Callable[[], Any], batches: list[Batch]):
    assert broken(checks.stage(make, batches)) == set()


COMMANDS = [Label(112_345, 105_000, 110_000, "known"), Setting(115_000, "learn.enabled", False)]


def test_a_lawful_learner_passes_with_its_commands():
    assert broken(checks.stage(Pupil, events_to_halve(), COMMANDS)) == set()
    named = [row.label for row in Taught(Pupil(), COMMANDS)(concat(events_to_halve())).rows]
    assert named == [None, None, None, "known", "known", "known"]


class Prophet(Pupil):
    """Learns from labels of the future: what it is told when a window begins is its answer for that window."""

    def command(self, command: Any) -> None:
        if isinstance(command, Label) and command.t <= command.start:
            self.named[...] = 1
        else:
            super().command(command)


class Parrot(Pupil):
    """Is the surer of a window the more its label, which came before the window was over, had to say."""

    memory = (*Pupil.memory, "said")

    def __init__(self) -> None:
        super().__init__()
        self.said = np.zeros((), np.int64)

    def __call__(self, batch: Any) -> Any:
        made = super().__call__(batch)
        rows = tuple(replace(row, confidence=float(self.said)) for row in made.rows)
        self.said[...] = 0
        return replace(made, rows=rows)

    def command(self, command: Any) -> None:
        super().command(command)
        self.said[...] = len(getattr(command, "label", ""))


def test_a_learner_that_is_told_the_future_and_uses_it_is_found():
    assert broken(checks.stage(Prophet, events_to_halve(), COMMANDS)) == {"decide before told"}


def test_a_learner_that_answers_by_what_a_label_says_is_found():
    ended = [Label(112_345, 105_000, 110_000, "known"), Label(117_000, 110_000, 115_000, "other one")]
    found = broken(checks.stage(Parrot, events_to_halve(), ended))
    assert {"predict before teach", "whatever is said"} <= found


def test_a_learner_that_uses_a_label_too_early_is_found():
    assert broken(checks.stage(Copier, events_to_halve(), COMMANDS)) == {"predict before teach", "decide before told"}
    assert broken(checks.stage(Copier, events_to_halve(), [Label(115_000, 105_000, 110_000, "known")])) == {
        "decide before told"
    }


@pytest.mark.parametrize(
    ("make", "laws"),
    STAGES,
)
def test_laws_of_stages_bite(make: Callable[[], Any], laws: set[str]):
    assert broken(checks.stage(make, events_to_halve())) == laws


def test_every_law_of_stages_is_shown_to_bite():
    learning = {"predict before teach", "decide before told", "whatever is said"}
    assert set.union(learning, *(laws for _, laws in STAGES)) == STAGE_LAWS
