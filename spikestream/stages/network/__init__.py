"""The network stage: spikes in, spikes of its neurons out, learning while it runs.

Tick k covers ``[k tick_us, (k+1) tick_us)`` on an absolute grid. It runs once time has passed its end and its spike is
stamped with its last microsecond; what a batch leaves of a tick waits for the next batch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spikestream.batch import Array, Batch, Command, Label, Setting, Spikes, Window, concat, first_at, no_spikes
from spikestream.errors import ConfigError, ModelError, SpikestreamError, nearest
from spikestream.stages.base import Account, State, affords, take_over
from spikestream.stages.network.agenda import ENABLED, RESET, Agenda
from spikestream.stages.network.base import MOST, Engine, Value
from spikestream.stages.network.choice import engine_of

if TYPE_CHECKING:
    from spikestream.model import Model
    from spikestream.model.circuit import Circuit
    from spikestream.stages.network.synapses import Wired

log = logging.getLogger(__name__)

NO_TICK = -(2**62)
LATEST = 2**62
"""No stamp, µs, and no tick lies beyond."""


class Network:
    """``neurons`` neurons, each reading all ``axons``; called with `Spikes`, returns the `Spikes` of its neurons.

    ``neuron`` and ``rule`` name one of docs/network.md, or a plugin's; ``options`` are theirs, in ms and units of
    weight. ``learning`` False freezes weights and thresholds. ``init_weights`` (axons, neurons) are copied; without
    them weights are drawn from ``seed``. ``rate_tau_ms``, unless 0, lets learning rates fall by exp(-t/rate_tau_ms)
    with stream time, down to ``rate_floor`` of what they were. With ``reset`` a `Window` lets it forget what it heard,
    from the first tick on that starts at or after the window's start. Raises `ConfigError`.
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
        rate_tau_ms: float = 0.0,
        rate_floor: float = 0.0,
        reset: bool = False,
        **options: Any,
    ) -> None:
        for key, number in (("axons", axons), ("neurons", neurons), ("tick_us", tick_us)):
            if not isinstance(number, int | np.integer) or number < 1:
                raise ConfigError(f"{key} = {number} is out of range", key=key, value=number, allowed="1 or more")
        self.rule = rule
        given, shape = {**options, "seed": seed}, (int(axons), int(neurons))
        try:
            affords(shape[0] * shape[1] * np.dtype(np.float32).itemsize)
            engine = engine_of(shape, (neuron, rule), given, int(tick_us), dtype, init_weights)
        except MemoryError as error:
            text = f"{neurons:,} neurons on {axons:,} axons do not fit the memory of this machine"
            raise ConfigError(text, key="neurons", value=neurons) from error
        if reset and not engine.forgets:
            text = f"neuron '{neuron}' with rule '{rule}' cannot be reset by windows"
            allowed = 'true for neuron "lif" with rule "stdp" or "none"'
            raise ConfigError(text, key="reset", value=reset, allowed=allowed)
        self._begin(engine, int(tick_us), learning)
        self._resets = bool(reset)
        self._agenda.fade(rate_tau_ms, rate_floor)

    @classmethod
    def from_model(
        cls, model: Model, *, learning: bool = True, rate_tau_ms: float = 0.0, rate_floor: float = 0.0
    ) -> Network:
        """Return the network that a `spikestream.model.Model` describes; raises `ConfigError`."""
        from spikestream.model import Model
        from spikestream.stages.network.composed import Composed

        if not isinstance(model, Model):
            text = f"a Model is wanted, not {type(model).__name__}"  # type: ignore[unreachable]  # not typed by its user
            remedy = "Model.from_tables(tables) makes one of the tables of a TOML file"
            raise ConfigError(text, key="model", remedy=remedy)
        made = cls.__new__(cls)
        made.rule = ""  # each projection has its own
        made._begin(Composed(model), model.tick_us, learning)
        made._agenda.fade(rate_tau_ms, rate_floor)
        return made

    def _begin(self, engine: Engine, tick_us: int, learning: bool) -> None:
        self._engine, self.tick_us, self.learning = engine, tick_us, learning
        self.axons, self.neurons, self.LEARNED = engine.axons, engine.neurons, engine.learned
        self.account = Account(conserves=False)
        self._plain = dict(engine.settings())  # as nothing has changed them yet
        self._agenda = Agenda(tick_us)
        self._next = NO_TICK  # the tick that runs next; none before the first batch
        self._held = no_spikes(0, 0)  # input of that tick that has come already
        self._prepared = False
        self._resets = False

    @property
    def weights(self) -> Array:
        """Return a copy of the weights as they are now, (axons, neurons) of the network's dtype."""
        return self._engine.weights()

    def synapses(self, name: str) -> Wired:
        """Return the synapses of a projection as they are now, one by one: pre, post, weight, delay_ticks.

        Raises `ModelError` where there is no such projection.
        """
        return self._engine.synapses(name)

    def circuit(self) -> Circuit:
        """Return the network as it is now, without learning, as a circuit (docs/compile.md); raises `ModelError`."""
        return self._engine.circuit()

    @property
    def v(self) -> Array:
        """Return a copy of the voltages as they are now, (neurons,) of the network's dtype, in the neuron's unit."""
        return self._engine.voltages()

    @property
    def settings(self) -> Mapping[str, Value]:
        """Return the keys of the settings that may be changed while it runs, with their values now."""
        return {ENABLED: self.learning, **self._engine.settings()}

    @property
    def cold(self) -> bool:
        """Return whether the kernel was never compiled on this machine, so that `prepare` takes seconds."""
        from spikestream.kernels import COLD

        return bool(getattr(self._engine, "cold", COLD))

    @property
    def now(self) -> int | None:
        """Return the stream time, µs, at which the tick begins that runs next; None before the first batch."""
        return None if self._next == NO_TICK else self._next * self.tick_us

    def prepare(self) -> None:
        """Load, or on a new machine compile, the kernel, without running a tick."""
        self._prepared = True
        now = 0 if self._next == NO_TICK else self._next
        self._engine.run(now, now, self._held.t[:0], self._held.axon[:0], self.learning)

    def __call__(self, batch: Batch) -> Spikes:
        """Run all ticks that end by ``batch.stop`` and return the spikes they made."""
        if not isinstance(batch, Spikes):
            raise SpikestreamError(f"the network takes spikes, not {type(batch).__name__}")
        if self._next == NO_TICK:
            if not self._prepared and self.cold:
                log.warning("compiling the kernel of this network, once on this machine: some seconds")
            self._next = batch.start // self.tick_us
            self._agenda.begin(self._next)
            self._take_due()  # what was to be changed before the stream began
        self._check_axons(batch.axon)
        # As the kernel was compiled for: other types, strides or a read-only buffer would compile it once more.
        t, axon = np.require(batch.t, np.int64, ("C", "W")), np.require(batch.axon, np.int32, ("C", "W"))
        own = Spikes(batch.start, batch.stop, t, axon)
        self._held = concat([self._held, own]) if len(self._held) else own
        return self._spikes(batch.start, batch.stop, self._advance(batch.stop // self.tick_us))

    def _check_axons(self, axon: Array) -> None:
        # As unsigned numbers, those below 0 are the largest: one look instead of two, of every batch of a live sensor.
        unsigned = axon.view(np.uint32) if axon.dtype == np.int32 else axon.astype(np.uint64)
        if len(axon) and unsigned.max() >= self.axons:
            raise ModelError(f"axons {axon.min()}..{axon.max()} do not fit a network of {self.axons}")

    def skip(self, start: int, stop: int) -> Spikes:
        """Finish the tick that was under way, then let the gap ``[start, stop)`` pass in silence."""
        last = stop // self.tick_us
        under_way = self._next * self.tick_us < start
        parts = self._advance(min(last, self._next + 1) if under_way else self._next)
        while self._next < last:
            first, adapting = self._next, 0
            # Settings in a gap are taken one by one; what only switches learning is added up.
            while self._next < last:
                until = self._agenda.until(self._next, last, silent=True)
                adapting += (until - self._next) * self.learning
                self._next = until
                if self._engine.closed and self._agenda.only_switches(until):
                    self._take_due()
                else:
                    break
            parts.append(self._engine.skip(first, self._next, adapting))
            self._take_due()
        return self._spikes(start, stop, parts)

    def check(self, *settings: Setting) -> None:
        """Raise `ConfigError` unless these settings, each of `settings`, can take their values at their times."""
        for setting in settings:
            self._check_number(setting)
        for changes in self._agenda.coming(settings):
            self._engine.set(changes, check=True)

    @staticmethod
    def _check_number(setting: Setting) -> None:
        if isinstance(setting.value, float) and not abs(setting.value) <= MOST:
            text, allowed = f"{setting.key} = {setting.value} is out of range", f"numbers up to {MOST:g}"
            raise ConfigError(text, key=setting.key, value=setting.value, allowed=allowed)

    def command(self, command: Command) -> None:
        """Take a setting, a reward or a mark; it counts from the first tick that starts at or after its time.

        Raises `ConfigError` for a key or a number that cannot be. `check` tells whether its value goes with the others;
        one that does not is refused when it is due.
        """
        if isinstance(command, Setting) and command.key == ENABLED:
            self._agenda.put(command.t, ENABLED, bool(command.value))
        elif isinstance(command, Setting) and command.key in self.settings:
            value = command.value.item() if isinstance(command.value, np.generic) else command.value
            self._check_number(replace(command, value=value))
            self._agenda.put(command.t, command.key, value)
        elif isinstance(command, Setting) and command.key.startswith(("network.", "learn.")):
            known = self.settings
            text, near = f"'{command.key}' cannot be changed while running", nearest(command.key, known)
            raise ConfigError(text, key=command.key, allowed=", ".join(known), nearest=near)
        elif isinstance(command, Window) and self._resets:
            self._agenda.put(command.t, RESET, True)
        elif isinstance(command, Label) and command.reward:
            self._check_number(Setting(command.t, "reward", float(command.reward)))
            self._agenda.put(command.t, "", float(command.reward))
        else:
            return
        self._take_due()

    def state(self) -> State:
        """Return copies of weights, voltages, thresholds, traces and what waits for the next tick."""
        own = {
            "next": np.int64(self._next),
            "learning": np.bool_(self.learning),
            "held_t": self._held.t,
            "held_axon": self._held.axon,
            "agenda": self._agenda.dumped(),
        }
        return {key: np.array(value) for key, value in {**own, **self._engine.state()}.items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit this network."""
        taken = take_over(self.state(), state, growing=("held_t", "held_axon", *self._engine.growing))
        agenda = self._agenda.loaded(taken["agenda"], self.settings)
        if wrong := self._absurd(taken):
            raise ModelError(f"the saved state contradicts itself: {wrong}")
        if taken["next"] != NO_TICK and agenda.late(int(taken["next"])):
            raise ModelError("the saved state contradicts itself: settings that wait for a time that has passed")
        try:
            for changes in ({}, *agenda.coming()):
                self._engine.set({**self._plain, **agenda.changed, **changes}, check=True)
        except ConfigError as error:
            raise ModelError(f"the saved state contradicts itself: {error}") from error
        self._next, self.learning = int(taken["next"]), bool(taken["learning"])
        self._held = Spikes(0, 0, taken["held_t"], taken["held_axon"])
        # What it held and what it holds now was handed to it before, or never: the account goes on as it stood.
        self.account.taken += self.account.held - len(self._held)
        self.account.held = len(self._held)
        self._agenda = agenda
        self._engine.set({**self._plain, **agenda.changed})
        self._engine.scale(agenda.factor(self._next))
        self._engine.restore(taken)

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
        return self._engine.absurd(taken)

    def _take_due(self) -> None:
        """Let everything take effect that is due at the tick that runs next."""
        changes: dict[str, Value] = {}
        rewards: list[float] = []
        for key, value in self._agenda.due(self._next):
            if key == ENABLED:
                self.learning = bool(value)
            elif key == RESET:
                self._engine.forget()
            elif key:
                changes[key] = value
            else:
                rewards.append(float(value))
        if changes:
            self._engine.set(changes)
            self._agenda.changed |= changes
        for reward in rewards:
            self._engine.reward(reward)
        if self._agenda.fading:
            self._engine.scale(self._agenda.factor(self._next))

    def _advance(self, last: int) -> list[tuple[Array, Array]]:
        """Run ticks up to ``last`` (not included), changing what was asked for on the way; return their spikes."""
        parts = []
        while self._next < last:
            until = self._agenda.until(self._next, last)
            due = first_at(self._held.t, until * self.tick_us)
            t, axon = self._held.t[:due], self._held.axon[:due]
            ticks, neurons, heard, self._next = self._engine.run(self._next, until, t, axon, bool(self.learning))
            self.account.taken += heard  # as the kernel counted them while it integrated, not as they were handed to it
            heard = due if self._next == until else first_at(self._held.t, self._next * self.tick_us)
            self._held = Spikes(0, 0, self._held.t[heard:], self._held.axon[heard:])
            parts.append((ticks, neurons))
            self._take_due()
        self._held = Spikes(0, 0, self._held.t.copy(), self._held.axon.copy())  # the batch is not ours
        self.account.held = len(self._held)
        return parts

    def _spikes(self, start: int, stop: int, parts: list[tuple[Array, Array]]) -> Spikes:
        if not parts:
            return no_spikes(start, stop)
        if len(parts) == 1:
            ((ticks, neurons),) = parts
        else:
            ticks, neurons = (np.concatenate(column) for column in zip(*parts, strict=True))
        self.account.given += len(ticks)
        return Spikes(start, stop, (ticks + 1) * self.tick_us - 1, neurons)
