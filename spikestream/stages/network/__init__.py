"""The network stage: spikes in, spikes of its neurons out, learning while it runs.

Tick k covers ``[k tick_us, (k+1) tick_us)`` on an absolute grid. It runs once time has passed its end and its spike is
stamped with its last microsecond; what a batch leaves of a tick waits for the next batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from spikestream.batch import Array, Batch, Command, Setting, Spikes, concat, first_at, no_spikes
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.stages.base import Account, State, take_over
from spikestream.stages.network.kinds import absurd, kind_of, params_of, weights_of

NO_TICK = -(2**62)
LATEST = 2**62
"""No stamp, µs, and no tick lies beyond."""
AT_ONCE = 1 << 16
"""Most ticks in one call of the kernel, which needs room for all spikes that these may bring,"""
ROOM = 1 << 20
"""and so many at most, unless one tick alone may bring more."""


class Network:
    """``neurons`` neurons, each reading all ``axons``; called with `Spikes`, returns the `Spikes` of its neurons.

    ``rule`` is "stdp", "none" to leave the weights alone while thresholds still adapt, or "pair". ``learning`` False
    freezes both. Options in ms and units of weight: ``Params`` of `spikestream.kernels.lif_stdp` and, for "pair", of
    `spikestream.kernels.lif_pair`, which alone also runs in ``dtype`` "float64". ``init_weights`` (axons, neurons) in
    [0, w_max] are copied; without them weights are drawn from ``seed``. Raises `ConfigError`.
    """

    LEARNED: tuple[str, ...]
    """What a new recording keeps of an earlier run; the rest of the state belongs to a moment in time."""

    def __init__(
        self,
        axons: int,
        neurons: int,
        *,
        neuron: str = "lif",
        rule: str = "stdp",
        tick_us: int = 1000,
        seed: int = 0,
        learning: bool = True,
        dtype: str = "float32",
        init_weights: Array | None = None,
        **options: float,
    ) -> None:
        kind = kind_of(neuron, rule, dtype)
        for key, number in (("axons", axons), ("neurons", neurons), ("tick_us", tick_us)):
            if number < 1:
                raise ConfigError(f"{key} = {number} is out of range", key=key, value=number, allowed="1 or more")
        self._kind, self._kernel, self.LEARNED = kind, kind.kernel, kind.learned
        self.axons, self.neurons, self.tick_us, self.rule = axons, neurons, tick_us, rule
        self.learning = learning
        self.account = Account(conserves=False)
        self._params = params_of(kind, {**options, "seed": seed}, dtype, tick_us)
        self._coeffs = self._kernel.design(self._params, tick_us)
        self._state = self._kernel.init(axons, neurons, self._params, tick_us)
        if init_weights is not None:
            self._state.weights[...] = weights_of(init_weights, (axons, neurons), self._params)
        self._at_once = min(AT_ONCE, max(1, ROOM // neurons)) if kind.volley else AT_ONCE
        self._next = NO_TICK  # the tick that runs next; none before the first batch
        self._held = no_spikes(0, 0)  # input of that tick that has come already
        self._switches: list[tuple[int, bool]] = []  # (first tick, learning)

    @property
    def weights(self) -> Array:
        """Return a copy of the weights as they are now, (axons, neurons) of the network's dtype."""
        settled = self._kernel.settled(self._coeffs, self._state) if self._kind.volley else self._state.weights.copy()
        return np.asarray(settled)

    def __call__(self, batch: Batch) -> Spikes:
        """Run all ticks that end by ``batch.stop`` and return the spikes they made."""
        if not isinstance(batch, Spikes):
            raise SpikestreamError(f"the network takes spikes, not {type(batch).__name__}")
        if self._next == NO_TICK:
            self._next = batch.start // self.tick_us
            self._switch_due()  # what was to be switched before the stream began
        if len(batch) and not 0 <= batch.axon.min() <= batch.axon.max() < self.axons:
            raise ModelError(f"axons {batch.axon.min()}..{batch.axon.max()} do not fit a network of {self.axons}")
        self._held = concat([self._held, batch]) if len(self._held) else batch
        return self._advance(batch.start, batch.stop, batch.stop // self.tick_us)

    def skip(self, start: int, stop: int) -> Spikes:
        """Finish the tick that was under way, then decay over the gap ``[start, stop)`` in closed form."""
        last = stop // self.tick_us
        under_way = self._next * self.tick_us < start
        out = self._advance(start, stop, min(last, self._next + 1) if under_way else self._next)
        if self._next < last:
            ticks, adapting = last - self._next, 0
            while self._next < last:
                until = self._until(last)
                adapting += (until - self._next) * self.learning
                self._next = until
                self._switch_due()
            self._kernel.rest(self._params, self._state, ticks, adapting, self.tick_us)
        return out

    def command(self, command: Command) -> None:
        """Take the setting ``learn.enabled``; it counts from the first tick that starts at or after its time."""
        if isinstance(command, Setting) and command.key == "learn.enabled":
            self._switches.append((-(-command.t // self.tick_us), bool(command.value)))
            self._switches.sort(key=lambda switch: switch[0])
            self._switch_due()

    def state(self) -> State:
        """Return copies of weights, voltages, thresholds, traces and what waits for the next tick."""
        switches = np.array(self._switches, np.int64).reshape(-1, 2)
        own = {
            "next": np.int64(self._next),
            "learning": np.bool_(self.learning),
            "held_t": self._held.t,
            "held_axon": self._held.axon,
            "switches": switches,
        }
        kernel = {key: value for key, value in self._state._asdict().items() if key not in self._kind.scratch}
        return {key: np.array(value) for key, value in {**own, **kernel}.items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit this network."""
        taken = take_over(self.state(), state, growing=("held_t", "held_axon", "switches"))
        if wrong := self._absurd(taken):
            raise ModelError(f"the saved state contradicts itself: {wrong}")
        self._next, self.learning = int(taken["next"]), bool(taken["learning"])
        self._held = Spikes(0, 0, taken["held_t"], taken["held_axon"])
        self._switches = [(int(tick), bool(on)) for tick, on in taken["switches"]]
        # What it held and what it holds now was handed to it before, or never: the account goes on as it stood.
        self.account.taken += self.account.held - len(self._held)
        self.account.held = len(self._held)
        kernel = {key: taken[key] for key in self._state._fields if key not in self._kind.scratch}
        self._state = self._state._replace(**kernel)

    def _absurd(self, taken: State) -> str:
        """Return what in a state of the right shapes can never have been, "" where all is well."""
        axon, time, tick = taken["held_axon"], taken["held_t"], self.tick_us
        lowest, highest = -(LATEST // tick), LATEST // tick
        if len(axon) != len(time) or np.any((axon < 0) | (axon >= self.axons)):
            return "waiting spikes on no axon"
        if taken["next"] != NO_TICK and not lowest <= taken["next"] <= highest:
            return "a time no stream reaches"
        if len(time) and (np.any(time // tick != taken["next"]) or np.any(np.diff(time) < 0)):
            return "waiting spikes out of their tick"
        switches = taken["switches"]
        if np.any((switches > LATEST) | (switches < -LATEST)):
            return "settings later than its time"
        return absurd(self._kind, taken)

    def _until(self, last: int) -> int:
        return min([last, *(tick for tick, _ in self._switches[:1])])

    def _switch_due(self) -> None:
        while self._switches and self._switches[0][0] <= self._next:
            self.learning = self._switches.pop(0)[1]

    def _advance(self, start: int, stop: int, last: int) -> Spikes:
        """Run ticks up to ``last`` (not included), switching learning where it was asked for."""
        parts = []
        while self._next < last:
            parts.append(self._run(min(self._until(last), self._next + self._at_once)))
            self._switch_due()
        self._held = replace(self._held, t=self._held.t.copy(), axon=self._held.axon.copy())  # the batch is not ours
        self.account.held = len(self._held)
        if not parts:
            return no_spikes(start, stop)
        ticks, neurons = (np.concatenate(column) for column in zip(*parts, strict=True))
        self.account.given += len(ticks)
        return Spikes(start, stop, (ticks + 1) * self.tick_us - 1, neurons)

    def _run(self, until: int) -> tuple[Array, Array]:
        room = (until - self._next) * (self.neurons if self._kind.volley else 1)
        ticks, neurons = np.empty(room, np.int64), np.empty(room, np.int32)
        due = first_at(self._held.t, until * self.tick_us)
        count, taken = self._kernel.run(
            self._coeffs,
            self._state,
            (self._next, until, self.tick_us),
            self._held.t[:due],
            self._held.axon[:due],
            (self.learning, self.learning and self.rule != "none"),
            ticks,
            neurons,
        )
        self.account.taken += taken  # as the kernel counted them while it integrated, not as they were handed to it
        self._next = until
        self._held = replace(self._held, t=self._held.t[due:], axon=self._held.axon[due:])
        return ticks[:count].copy(), neurons[:count].copy()
