"""The laws of a stage: pure inputs, the same answer however its input is cut, and a memory that can be saved."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from spikestream.batch import Batch, Command, Decision, Decisions, Label, Window
from spikestream.checks import base
from spikestream.checks.base import Check, Law, difference, malformed, same, show, spoil
from spikestream.checks.running import cut_times, cut_up, run, split, taught
from spikestream.errors import ModelError
from spikestream.stages.base import Stage, State

Make = Callable[[], Stage]
Batches = Sequence[Batch]

_GAP_US = 1_000_003
"""A gap of about a second, on no tick or window border."""


def stage(make: Make, batches: Batches, commands: Sequence[Command] = ()) -> Iterator[Check]:
    """Yield the checks of a stage.

    ``make`` returns a fresh stage each time, with the same options and seed. ``batches`` is the input to run it on: a
    few hundred items over some windows, in batches that follow one another. A stage that finds nothing to do passes.
    A learner is also given ``commands``, each at its own time.
    """
    yield from base.suite("stage", LAWS, taught(make, commands), list(batches))
    yield from base.suite("stage", LEARNING, make, list(batches), list(commands))


def _same_state(a: State, b: State) -> str:
    if set(a) != set(b):
        return f"state holds {sorted(set(a) ^ set(b))} once only"
    return next((f"state '{name}' differs" for name in sorted(a) if not base.same_array(a[name], b[name])), "")


def _wrong_interval(make: Make, batches: Batches) -> str:
    given, kinds = make(), set()
    for batch in cut_up(batches):
        (answer,) = run(given, [batch])
        if wrong := malformed(answer):
            return wrong
        if (answer.start, answer.stop) != (batch.start, batch.stop):
            return f"{show(batch)} was answered by {show(answer)}"
        kinds.add(type(answer).__name__)
    return "" if len(kinds) == 1 else f"it gives {' and '.join(sorted(kinds))}"


def _changed_input(make: Make, batches: Batches) -> str:
    given, own = make(), copy.deepcopy(batches)
    for batch in own:
        given(batch)
    return difference(batches, own)


def _kept_input(make: Make, batches: Batches) -> str:
    expected, given, seen = run(make(), batches), make(), []
    for batch in copy.deepcopy(batches):
        seen.append(copy.deepcopy(given(batch)))
        spoil(*base.arrays(batch))
    return difference(expected, seen)


def _kept_output(make: Make, batches: Batches) -> str:
    expected, given = run(make(), batches), make()
    answers, copies = [], []
    for batch in copy.deepcopy(batches):
        answers.append(given(batch))
        copies.append(copy.deepcopy(answers[-1]))
    if seen := difference(copies, answers):
        return f"changed by a later call: {seen}"
    given, seen_later = make(), []
    for batch in copy.deepcopy(batches):
        answer = given(batch)
        seen_later.append(copy.deepcopy(answer))
        spoil(*base.arrays(answer))
    return difference(expected, seen_later)


def _different(make: Make, batches: Batches) -> str:
    first, second = make(), make()
    return difference(run(first, batches), run(second, batches)) or _same_state(first.state(), second.state())


def _cut_matters(make: Make, batches: Batches) -> str:
    whole = make()
    expected = run(whole, [base.joined(batches)])
    for how, parts in (("as given", batches), ("around every item", cut_up(batches))):
        other = make()
        answer = [base.joined(run(other, parts))]
        seen = difference(expected, answer) or _same_state(whole.state(), other.state())
        if seen or whole.account != other.account:
            return f"cut {how}: {seen or f'{whole.account} and {other.account}'}"
    return ""


def _sees_ahead(make: Make, batches: Batches) -> str:
    everything = base.joined(batches)
    (answer,) = run(make(), [everything])
    times = cut_times(everything)
    for at in times[:: len(times) // 8 + 1].tolist():
        expected = split(answer, at)[0]
        (early,) = run(make(), [split(everything, at)[0]])
        if not same(expected, early):
            return f"what comes after {at} changes what was given before: {show(expected)} and {show(early)}"
    return ""


def _not_saved(make: Make, batches: Batches) -> str:
    pieces = cut_up(batches)
    for at in (0, len(pieces) // 5, len(pieces) // 3, len(pieces) // 2):
        first, second = make(), make()
        run(first, pieces[:at])
        saved, copied = first.state(), copy.deepcopy(first.state())
        second.restore(copied)
        spoil(*copied.values())
        if seen := _same_state(saved, second.state()):
            return f"after restore: {seen}"
        answers = run(first, pieces[at:])
        third = make()
        third.restore(saved)  # what was saved must not have moved with the stage that went on
        seen = difference(answers, run(second, pieces[at:])) or difference(answers, run(third, pieces[at:]))
        if seen := seen or _same_state(first.state(), second.state()):
            return f"saved after piece {at} of {len(pieces)}: {seen}"
    return ""


def _odd_state(make: Make, batches: Batches) -> str:
    given = make()
    run(given, batches)
    for name, value in given.state().items():
        if not isinstance(value, np.ndarray) or value.dtype.hasobject:
            return f"state '{name}' is no plain array"
    return ""


def _takes_foreign_state(make: Make, batches: Batches) -> str:
    given = make()
    run(given, batches)
    saved = given.state()
    for name in saved:
        without = {key: value for key, value in saved.items() if key != name}
        reshaped = {**saved, name: np.zeros((2, 3, 5, 7))}
        for wrong, how in ((without, "missing"), (reshaped, "of another shape")):
            try:
                make().restore(wrong)
            except ModelError:
                continue
            return f"it took a state with '{name}' {how}"
    return ""


def _skips_badly(make: Make, batches: Batches) -> str:
    half, shift = len(batches) // 2, 0
    given = make()
    kind = type(run(given, batches[: half + 1])[-1])
    now = batches[half].stop
    for length in (1, 10_000, _GAP_US):
        gap = given.skip(now + shift, now + shift + length)
        if wrong := malformed(gap):
            return wrong
        if type(gap) is not kind or (gap.start, gap.stop) != (now + shift, now + shift + length):
            return f"skip({now + shift}, {now + shift + length}) was answered by {show(gap)}"
        shift += length
    later = run(given, [base.shifted(batch, shift) for batch in batches[half + 1 :]])
    return next(filter(None, map(malformed, later)), "")


def _does_not_add_up(make: Make, batches: Batches) -> str:
    given = make()
    answers = run(given, cut_up(batches))
    account, handed, got = given.account, sum(map(len, batches)), sum(map(len, answers))
    counted = account.taken + account.held
    if counted != handed:
        return f"{handed} were handed over, counted are {counted}: {account}"
    if account.given != got:
        return f"{got} came out, counted are {account.given}"
    return f"{account.imbalance()} are missing: {account}" if account.imbalance() else ""


def _grows(make: Make, batches: Batches) -> str:
    given, sizes = make(), []
    span = batches[-1].stop - batches[0].start
    for turn in range(24):
        run(given, [base.shifted(batch, turn * span) for batch in batches])
        sizes.append(sum(value.nbytes for value in given.state().values()))
    if all(a < b for a, b in pairwise(sizes[11:])):
        return f"after 12 and 24 rounds of the same input its state holds {sizes[11]} and {sizes[-1]} bytes"
    return ""


def _teaches_back(make: Make, batches: Batches, commands: Sequence[Command]) -> str:
    for number, command in enumerate(commands):
        if isinstance(command, Window):  # a mark is what asks for a decision
            continue
        without = [*commands[:number], *commands[number + 1 :]]
        before = [_begun(run(taught(make, told)(), batches), command.t) for told in (without, commands)]
        for a, b in zip(*before, strict=True):
            if a != b:
                return f"{command} changes a decision on what began before it: {a} to {b}"
    return ""


def _looks_ahead(make: Make, batches: Batches, commands: Sequence[Command]) -> str:
    for label in (command for command in commands if isinstance(command, Label)):
        if not batches[0].start <= label.start < batches[-1].stop:
            continue
        without = [other for other in commands if other is not label]
        early = sorted([*without, replace(label, t=label.start)], key=lambda command: command.t)
        rows = _begun(run(taught(make, without)(), batches), label.stop)
        # Of several windows that it names the first: from that one on it may have been learned.
        first = min((row.start for row in rows if label.start <= row.start and row.stop <= label.stop), default=None)
        if first is not None and (seen := _moved(make, batches, (without, early), first + 1)):
            return f"told when it begins, {label} changes a decision on what it names: {seen}"
    return ""


def _listens_to_what_is_said(make: Make, batches: Batches, commands: Sequence[Command]) -> str:
    names = sorted({command.label for command in commands if isinstance(command, Label)})
    for number, label in enumerate(commands):
        if not isinstance(label, Label):
            continue
        for name in {names[(names.index(label.label) + 1) % len(names)], f"{label.label}, or something new"}:
            said = [*commands[:number], replace(label, label=name), *commands[number + 1 :]]
            if seen := _moved(make, batches, (commands, said), label.t):
                return f"{label} changes what was decided before by what it says: {seen}"
    return ""


def _moved(make: Make, batches: Batches, told: Sequence[Sequence[Command]], time: int) -> str:
    """Return the first difference of decisions on what began before ``time``, told one thing or the other."""
    one, other = (_begun(run(taught(make, commands)(), batches), time) for commands in told)
    return next((f"{a} to {b}" for a, b in zip(one, other, strict=True) if a != b), "")


def _begun(answers: Batches, time: int) -> list[Decision]:
    return [row for answer in answers if isinstance(answer, Decisions) for row in answer.rows if row.start < time]


LAWS = (
    Law(
        "interval", "one batch in, one batch out, of one kind, over the same interval and well formed", _wrong_interval
    ),
    Law("input untouched", "a stage never writes to its input", _changed_input),
    Law("input not kept", "a stage remembers by copy: its input may be overwritten after the call", _kept_input),
    Law("output given away", "an answer shares no array with the stage's memory or with a later answer", _kept_output),
    Law("repeatable", "same input, same options, same seed: same answers and state, bit for bit", _different),
    Law("cut anywhere", "however the input is cut, answers, state and account are the same, bit for bit", _cut_matters),
    Law("nothing from the future", "what is given before a time depends on nothing after it", _sees_ahead),
    Law("plain state", "state() is arrays by name, which can be saved without pickling", _odd_state),
    Law(
        "saved and restored",
        "a fresh stage that takes over a state goes on bit for bit; a state aliases nothing",
        _not_saved,
    ),
    Law("foreign state", "restore() raises ModelError where a state does not fit", _takes_foreign_state),
    Law(
        "gap",
        "skip(start, stop) gives one well-formed batch of that interval, and the stage goes on after it",
        _skips_badly,
    ),
    Law(
        "account",
        "all handed over is counted as taken or held, all that came out as given, and what passes on adds up",
        _does_not_add_up,
    ),
    Law("bounded memory", "state does not grow with the length of the stream", _grows),
)
LEARNING = (
    Law(
        "predict before teach",
        "no decision on a window that began before a label's time is changed by that label",
        _teaches_back,
    ),
    Law(
        "decide before told",
        "a label that comes when what it names begins changes no decision on that",
        _looks_ahead,
    ),
    Law(
        "whatever is said",
        "decisions on windows that began before a label's time are the same whatever it says",
        _listens_to_what_is_said,
    ),
)
