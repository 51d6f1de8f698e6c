"""What all stages share that run in ticks of an absolute grid: input held until its tick is over, gaps, memory.

Tick k covers ``[k tick_us, (k+1) tick_us)``. It runs when time has passed its end, on the input spikes in it, and what
an output gives in it is stamped with its last microsecond.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from spikestream.batch import Array, Batch, Spikes, concat, first_at, no_spikes
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.stages.base import Account, State, take_over

NO_TICK = -(2**62)
LATEST = 2**62
"""No stamp, µs, and no tick lies beyond."""
GAP_TICKS = 60_000
"""Of a longer gap only so many ticks are run; then all stands still until the gap ends."""


class Engine(Protocol):
    """Runs ticks: the stage cuts time into them, and hands over what each is to hear."""

    def run(self, ticks: tuple[int, int, int], t: Array, axon: Array) -> tuple[int, Array, Array, int]:
        """Run ``(first, stop, tick_us)`` on the spikes ``t`` (n,) int64 µs of the inputs ``axon`` (n,).

        Returns the tick that runs next, earlier than ``stop`` where there was no room for more spikes out, the ticks
        and outputs of the spikes out, and how many spikes in were heard.
        """
        ...

    def stand_still(self, ticks: int) -> None:
        """Let time pass without running: spikes under way keep their distance to the tick that runs next."""
        ...

    @property
    def v(self) -> Array:
        """Return a copy of the potentials."""
        ...

    def state(self) -> State:
        """Return all arrays that matter; they may alias what the engine goes on with."""
        ...

    def absurd(self, taken: State) -> str:
        """Return what in a state of the right shapes can never have been here, "" where all is well."""
        ...

    def restore(self, taken: Mapping[str, Array]) -> None:
        """Take over a state that is not absurd."""
        ...


class Ticked:
    """A stage that runs ``engine`` tick by tick on the `Spikes` of ``inputs`` numbered inputs.

    ``kind`` is what it runs, in a word, and ``digest`` (32,) uint8 which one: a state is of that one only. Raises
    `ConfigError` where ``tick_us`` is not a whole number of microseconds.
    """

    GROWING: tuple[str, ...] = ("held_t", "held_axon")
    """Arrays of the state whose length is not always the same."""

    def __init__(self, engine: Engine, kind: str, inputs: int, digest: Array, tick_us: int) -> None:
        if not isinstance(tick_us, int | float | np.integer) or tick_us < 1 or tick_us != int(tick_us):
            text, allowed = f"tick_us = {tick_us} is out of range", "whole microseconds, 1 or more"
            raise ConfigError(text, key="tick_us", value=tick_us, allowed=allowed)
        self.tick_us = int(tick_us)
        self.account = Account(conserves=False)
        self._engine, self._kind, self._inputs, self._digest = engine, kind, inputs, digest
        self._next = NO_TICK  # the tick that runs next; none before the first batch
        self._held = no_spikes(0, 0)  # input of that tick that has come already

    @property
    def v(self) -> Array:
        """Return a copy of the potentials as they are now."""
        return self._engine.v

    def prepare(self) -> None:
        """Load, or on a new machine compile, the kernel, without running a tick."""
        now = 0 if self._next == NO_TICK else self._next
        self._engine.run((now, now, self.tick_us), self._held.t[:0], self._held.axon[:0])

    def __call__(self, batch: Batch) -> Spikes:
        """Run all ticks that end by ``batch.stop`` and return the spikes of the outputs."""
        if not isinstance(batch, Spikes):
            raise SpikestreamError(f"the {self._kind} takes spikes, not {type(batch).__name__}")
        if self._next == NO_TICK:
            self._next = batch.start // self.tick_us
        if len(batch) and not 0 <= batch.axon.min() <= batch.axon.max() < self._inputs:
            heard = f"{batch.axon.min()}..{batch.axon.max()}"
            raise ModelError(f"inputs {heard} do not fit a {self._kind} of {self._inputs} inputs")
        self._held = concat([self._held, batch]) if len(self._held) else batch
        return self._spikes(batch.start, batch.stop, self._advance(batch.stop // self.tick_us))

    def skip(self, start: int, stop: int) -> Spikes:
        """Run the ticks of a gap on silence, up to `GAP_TICKS`, then stand still until it ends."""
        if self._next == NO_TICK:
            self._next = start // self.tick_us
        last = stop // self.tick_us
        parts = self._advance(min(last, self._next + GAP_TICKS))
        still = max(0, last - self._next)
        if still:
            self._engine.stand_still(still)
            self._next = last
        return self._spikes(start, stop, parts)

    def state(self) -> State:
        """Return copies of the engine's memory, what waits for the next tick, and whose state it is."""
        own = {
            self._kind: self._digest,
            "next": np.int64(self._next),
            "held_t": self._held.t,
            "held_axon": self._held.axon,
            **self._engine.state(),
        }
        return {key: np.array(value) for key, value in own.items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit."""
        taken = take_over(self.state(), state, growing=self.GROWING)
        if wrong := self._absurd(taken):
            raise ModelError(f"the saved state contradicts itself or this {self._kind}: {wrong}")
        self._next = int(taken["next"])
        self._held = Spikes(0, 0, taken["held_t"], taken["held_axon"])
        # What it held and what it holds now was handed to it before, or never: the account goes on as it stood.
        self.account.taken += self.account.held - len(self._held)
        self.account.held = len(self._held)
        self._engine.restore(taken)

    def _absurd(self, taken: State) -> str:
        """Return what in a state of the right shapes can never have been here, "" where all is well."""
        axon, time, tick = taken["held_axon"], taken["held_t"], self.tick_us
        if taken[self._kind].tobytes() != self._digest.tobytes():
            return f"it is of another {self._kind}"
        if len(axon) != len(time) or np.any((axon < 0) | (axon >= self._inputs)):
            return "waiting spikes of no input"
        if taken["next"] != NO_TICK and not -(LATEST // tick) <= taken["next"] <= LATEST // tick:
            return "a time no stream reaches"
        if len(time) and (np.any(time // tick != taken["next"]) or np.any(np.diff(time) < 0)):
            return "waiting spikes out of their tick"
        return self._engine.absurd(taken)

    def _advance(self, last: int) -> list[list[Array]]:
        """Run ticks up to ``last`` (not included) and return what their outputs gave."""
        parts = []
        due = first_at(self._held.t, last * self.tick_us)
        t, axon = (_writable(part[:due]) for part in (self._held.t, self._held.axon))
        while self._next < last:
            self._next, *out, heard = self._engine.run((self._next, last, self.tick_us), t, axon)
            self.account.taken += heard  # as the kernel counted them, not as they were handed to it
            t, axon = t[heard:], axon[heard:]
            parts.append(out)
        rest = self._held
        # Copies: the batch is not ours.
        self._held = replace(rest, t=rest.t[due:].copy(), axon=rest.axon[due:].copy())
        self.account.held = len(self._held)
        return parts

    def _spikes(self, start: int, stop: int, parts: list[list[Array]]) -> Spikes:
        if not parts:
            return no_spikes(start, stop)
        ticks, pins = (np.concatenate(column) for column in zip(*parts, strict=True))
        self.account.given += len(ticks)
        return Spikes(start, stop, (ticks + 1) * self.tick_us - 1, pins)


def _writable(array: Array) -> Array:
    """Return ``array``, or a copy where it may not be written to: a kernel is compiled anew for such."""
    return array if array.flags.writeable else array.copy()
