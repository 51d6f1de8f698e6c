"""What a stage is: a callable with memory, one batch in, one batch out, over the same interval."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from spikestream.batch import Array, Batch, Command
from spikestream.errors import ConfigError, ModelError

State: TypeAlias = dict[str, Array]
"""Everything a stage remembers, as arrays by name; counters are arrays of no dimension."""
MACHINE_BYTES = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
"""All the memory there is."""


def known_size(size: object) -> tuple[int, int]:
    """Return (width, height) in pixels; raises `ConfigError` for what is none, and None, which nobody knows."""
    if size is None:
        raise ConfigError("the size of the sensor is not known", key="sensor.size", remedy="--size WxH")
    pair = tuple(size) if isinstance(size, tuple | list) else ()
    if len(pair) != 2 or not all(isinstance(side, int | np.integer) for side in pair):
        text = f"{size!r} is no size of a sensor"
        raise ConfigError(text, key="sensor.size", value=size, allowed="(width, height) in pixels, as (346, 260)")
    return int(pair[0]), int(pair[1])


@dataclass(slots=True)
class Account:
    """What one stage took and gave, counted by the stage itself from what it really handled.

    Where ``conserves`` is true, ``taken == given + filtered + dropped``; a network takes events and gives
    spikes of its own, so only its ``taken`` is checked, against what the pipeline handed it.
    """

    conserves: bool = True
    taken: int = 0
    given: int = 0
    filtered: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    held: int = 0
    """What was handed over and is not taken yet: handed over == taken + held."""

    def imbalance(self) -> int:
        """Return what is missing (positive) or too many (negative), 0 where the account closes."""
        if not self.conserves:
            return 0
        return self.taken - self.given - sum(self.filtered.values()) - sum(self.dropped.values())


class Stage(Protocol):
    """A callable with memory. Cut its input anywhere: same output, same state, bit for bit."""

    account: Account

    def __call__(self, batch: Batch) -> Batch:
        """Take one batch and return this stage's batch over the same ``[start, stop)``."""
        ...

    def skip(self, start: int, stop: int) -> Batch:
        """Return this stage's batch for a gap ``[start, stop)`` µs in which nothing is known."""
        ...

    def state(self) -> State:
        """Return copies of all memory; nothing in it aliases the stage."""
        ...

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned, bit for bit; raises `ModelError` where it does not fit."""
        ...


@runtime_checkable
class Learner(Protocol):
    """A stage that learns, and takes commands with a stream time."""

    learning: bool

    def command(self, command: Command) -> None:
        """Take a command; it takes effect at the first tick or window that starts at or after its ``t``.

        The commands of a gap come before the `skip` over it, so ``t`` may lie ahead.
        """
        ...


def affords(count: int) -> None:
    """Raise `MemoryError` where so many bytes are more than this machine has.

    Linux grants them all the same, and ends a process, not always this one, when they are used.
    """
    if count > MACHINE_BYTES:
        raise MemoryError(f"{count:,} bytes of {MACHINE_BYTES:,}")


def take_over(own: State, saved: Mapping[str, Array], growing: tuple[str, ...] = ()) -> State:
    """Return copies of ``saved``; raises `ModelError` unless it has the names, types and shapes of ``own``.

    Arrays named in ``growing`` may differ in their first dimension.
    """
    if own.keys() != saved.keys():
        odd = ", ".join(sorted(own.keys() ^ saved.keys()))
        raise ModelError(f"the saved state is of another kind of stage: {odd} missing or too many")
    for key, mine in own.items():
        theirs = saved[key]
        skip = 1 if key in growing else 0
        same = mine.ndim == theirs.ndim and mine.shape[skip:] == theirs.shape[skip:]
        texts = mine.dtype.kind == theirs.dtype.kind == "U"
        if not same or not (texts or mine.dtype == theirs.dtype):
            raise ModelError(f"saved '{key}' is {theirs.dtype}{theirs.shape}, here it is {mine.dtype}{mine.shape}")
    return {key: np.array(saved[key]) for key in own}
