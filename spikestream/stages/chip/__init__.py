"""The chip stage: spikes into axons of an emulated neuromorphic chip, spikes of its outputs out, tick by tick.

Tick k covers ``[k tick_us, (k+1) tick_us)`` on an absolute grid. An input spike of tick k is integrated in tick k plus
its delay, and what an output gives in tick k is stamped with its last microsecond. Output carries no delay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from spikestream.batch import Array, Batch, Spikes, concat, first_at, no_spikes
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.model.crossbar import CrossbarPlacement
from spikestream.model.placement import Placement
from spikestream.stages.base import Account, State, take_over
from spikestream.stages.chip.base import Engine
from spikestream.stages.chip.crossbar import Crossbars

NO_TICK = -(2**62)
LATEST = 2**62
"""No stamp, µs, and no tick lies beyond."""
GAP_TICKS = 60_000
"""Of a longer gap only so many ticks are run; then the chip stands still until the gap ends."""


class Chip:
    """A chip that holds ``placement``; called with `Spikes` of its inputs, returns the `Spikes` of its outputs.

    ``tick_us`` is the length of a tick, µs. In a gap the ticks run on silence, up to `GAP_TICKS` of them; for the rest
    of it the chip stands still: potentials stay, spikes under way arrive after the gap. Raises `ConfigError`.
    """

    def __init__(self, placement: Placement, *, tick_us: int = 1000) -> None:
        if tick_us < 1:
            raise ConfigError(f"tick_us = {tick_us} is out of range", key="tick_us", value=tick_us, allowed="1 or more")
        self.placement, self.tick_us = placement, tick_us
        self.account = Account(conserves=False)
        self._engine = _engine(placement)
        self._next = NO_TICK  # the tick that runs next; none before the first batch
        self._held = no_spikes(0, 0)  # input of that tick that has come already

    @property
    def v(self) -> Array:
        """Return a copy of the potentials as they are now, of crossbar cores (cores, neurons) int32."""
        return self._engine.v

    def prepare(self) -> None:
        """Load, or on a new machine compile, the kernel, without running a tick."""
        now = 0 if self._next == NO_TICK else self._next
        self._engine.run((now, now, self.tick_us), self._held.t[:0], self._held.axon[:0])

    def __call__(self, batch: Batch) -> Spikes:
        """Run all ticks that end by ``batch.stop`` and return the spikes of the outputs."""
        if not isinstance(batch, Spikes):
            raise SpikestreamError(f"the chip takes spikes, not {type(batch).__name__}")
        if self._next == NO_TICK:
            self._next = batch.start // self.tick_us
        most = self.placement.input_count
        if len(batch) and not 0 <= batch.axon.min() <= batch.axon.max() < most:
            raise ModelError(f"inputs {batch.axon.min()}..{batch.axon.max()} do not fit a chip of {most} inputs")
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
        """Return copies of potentials, spikes under way, what waits for the next tick, and whose state it is."""
        own = {
            "placement": self.placement.digest,
            "next": np.int64(self._next),
            "held_t": self._held.t,
            "held_axon": self._held.axon,
            **self._engine.state(),
        }
        return {key: np.array(value) for key, value in own.items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit this chip."""
        taken = take_over(self.state(), state, growing=("held_t", "held_axon"))
        if wrong := self._absurd(taken):
            raise ModelError(f"the saved state contradicts itself or this chip: {wrong}")
        self._next = int(taken["next"])
        self._held = Spikes(0, 0, taken["held_t"], taken["held_axon"])
        # What it held and what it holds now was handed to it before, or never: the account goes on as it stood.
        self.account.taken += self.account.held - len(self._held)
        self.account.held = len(self._held)
        self._engine.restore(taken)

    def _absurd(self, taken: State) -> str:
        """Return what in a state of the right shapes can never have been here, "" where all is well."""
        axon, time, tick, p = taken["held_axon"], taken["held_t"], self.tick_us, self.placement
        if taken["placement"].tobytes() != p.digest.tobytes():
            return "it is of another placement"
        if len(axon) != len(time) or np.any((axon < 0) | (axon >= p.input_count)):
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
        t, axon = self._held.t[:due], self._held.axon[:due]
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


def _engine(placement: object) -> Engine:
    """Return what runs a placement of its kind."""
    if isinstance(placement, CrossbarPlacement):
        return Crossbars(placement)
    text = f"a chip holds a placement, not {type(placement).__name__}"
    raise ConfigError(text, key="placement", allowed="a Placement, or what compile or read_placement returns")
