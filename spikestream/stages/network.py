"""The network stage: spikes in, spikes of its neurons out, learning while it runs.

Tick k covers ``[k tick_us, (k+1) tick_us)`` on an absolute grid. It runs once time has passed its end and its spike is
stamped with its last microsecond; what a batch leaves of a tick waits for the next batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spikestream.batch import Array, Batch, Command, Setting, Spikes, concat, first_at, no_spikes
from spikestream.errors import ConfigError, ModelError, SpikestreamError, nearest
from spikestream.stages.base import Account, State, take_over

if TYPE_CHECKING:
    from spikestream.kernels import lif_stdp

NEURONS = ("lif",)
RULES = ("stdp", "none")
NO_TICK = -(2**62)
LATEST = 2**62
"""No stamp, µs, and no tick lies beyond."""
AT_ONCE = 1 << 16
"""Ticks in one call of the kernel, which needs room for a spike of each."""
MOST = 1e15
"""No option is larger: in ticks it has to fit an int64."""
MOST_TICKS = 1_000_000
"""Of ``tau_plus_ms``: the traces are a table of 14 times as many."""


def _params(options: Mapping[str, Any]) -> lif_stdp.Params:
    from spikestream.kernels import lif_stdp

    known = [field.name for field in fields(lif_stdp.Params)]
    for key, value in options.items():
        if key not in known:
            raise ConfigError(f"unknown network option '{key}'", key=key, value=value, nearest=nearest(key, known))
        kind = int if key == "seed" else int | float
        if isinstance(value, bool) or not isinstance(value, kind) or not abs(value) <= MOST:
            text = f"network option {key} = {value!r} is not a number"
            raise ConfigError(text, key=key, value=value, allowed=f"numbers up to {MOST:g}")
    params = replace(lif_stdp.Params(), **options)
    for key in ("tau_m_ms", "tau_theta_ms", "tau_plus_ms", "w_norm", "w_max", "wins_half"):
        if np.float32(getattr(params, key)) <= 0:  # as the kernel sees it
            raise ConfigError(f"{key} = {getattr(params, key)} is out of range", key=key, allowed="numbers above 0")
    for key in ("tau_refrac_ms", "inhibition", "v_floor", "theta_plus", "rate_start", "rate_end", "seed"):
        if getattr(params, key) < 0:
            raise ConfigError(f"{key} = {getattr(params, key)} is out of range", key=key, allowed="numbers from 0 on")
    if params.v_reset >= params.v_thresh:
        raise ConfigError("v_reset must lie below v_thresh", key="v_reset", value=params.v_reset)
    return params


class Network:
    """``neurons`` neurons, each reading all ``axons``; called with `Spikes`, returns the `Spikes` of its neurons.

    ``rule`` is "stdp", or "none" to leave the weights alone while thresholds still adapt. ``learning`` False freezes
    both. Options in ms and units of weight: `spikestream.kernels.lif_stdp.Params`. Raises `ConfigError`.
    """

    LEARNED = ("weights", "theta", "wins")
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
        **options: float,
    ) -> None:
        for key, value, known in (("neuron", neuron, NEURONS), ("rule", rule, RULES)):
            if value not in known:
                raise ConfigError(
                    f"unknown {key} '{value}'", key=key, allowed=", ".join(known), nearest=nearest(str(value), known)
                )
        for key, number in (("axons", axons), ("neurons", neurons), ("tick_us", tick_us)):
            if number < 1:
                raise ConfigError(f"{key} = {number} is out of range", key=key, value=number, allowed="1 or more")
        from spikestream.kernels import lif_stdp

        self._kernel = lif_stdp
        self.axons, self.neurons, self.tick_us, self.rule = axons, neurons, tick_us, rule
        self.learning = learning
        self.account = Account(conserves=False)
        self._params = _params({**options, "seed": seed})
        if self._params.tau_plus_ms * 1000 > MOST_TICKS * tick_us:
            tau = self._params.tau_plus_ms
            allowed = f"up to {MOST_TICKS:,} ticks"
            raise ConfigError(f"tau_plus_ms = {tau} is out of range", key="tau_plus_ms", value=tau, allowed=allowed)
        self._coeffs = lif_stdp.design(self._params, tick_us)
        self._state = lif_stdp.init(axons, neurons, self._params, tick_us)
        self._next = NO_TICK  # the tick that runs next; none before the first batch
        self._held = no_spikes(0, 0)  # input of that tick that has come already
        self._switches: list[tuple[int, bool]] = []  # (first tick, learning)

    @property
    def weights(self) -> Array:
        """Return a copy of the weights, (axons, neurons) float32."""
        return self._state.weights.copy()

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
        kernel = {key: value for key, value in self._state._asdict().items() if key != "trace"}
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
        kernel = {key: taken[key] for key in self._state._fields if key != "trace"}
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
        if taken["last"].max() > taken["next"] or np.any((switches > LATEST) | (switches < -LATEST)):
            return "spikes or settings later than its time"
        if not all(np.isfinite(taken[key]).all() for key in ("weights", "v", "theta")):
            return "numbers that are not finite"
        if min(taken[key].min() for key in ("weights", "theta", "wins", "refrac")) < 0:
            return "negative weights, thresholds or counts"
        return ""

    def _until(self, last: int) -> int:
        return min([last, *(tick for tick, _ in self._switches[:1])])

    def _switch_due(self) -> None:
        while self._switches and self._switches[0][0] <= self._next:
            self.learning = self._switches.pop(0)[1]

    def _advance(self, start: int, stop: int, last: int) -> Spikes:
        """Run ticks up to ``last`` (not included), switching learning where it was asked for."""
        parts = []
        while self._next < last:
            parts.append(self._run(min(self._until(last), self._next + AT_ONCE)))
            self._switch_due()
        self._held = replace(self._held, t=self._held.t.copy(), axon=self._held.axon.copy())  # the batch is not ours
        self.account.held = len(self._held)
        if not parts:
            return no_spikes(start, stop)
        ticks, neurons = (np.concatenate(column) for column in zip(*parts, strict=True))
        self.account.given += len(ticks)
        return Spikes(start, stop, (ticks + 1) * self.tick_us - 1, neurons)

    def _run(self, until: int) -> tuple[Array, Array]:
        ticks = np.empty(until - self._next, np.int64)
        neurons = np.empty(until - self._next, np.int32)
        due = first_at(self._held.t, until * self.tick_us)
        count, taken = self._kernel.run(
            self._coeffs,
            self._state,
            (self._next, until, self.tick_us),
            self._held.t[:due],
            self._held.axon[:due],
            (self.learning, self.learning and self.rule == "stdp"),
            ticks,
            neurons,
        )
        self.account.taken += taken  # as the kernel counted them while it integrated, not as they were handed to it
        self._next = until
        self._held = replace(self._held, t=self._held.t[due:], axon=self._held.axon[due:])
        return ticks[:count], neurons[:count]
