"""Runs any model: populations of any neuron, joined by projections that learn by any rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ModelError, PluginError
from spikestream.kernels.compose import is_cold, module_of
from spikestream.kernels.ring import Source
from spikestream.model import Model
from spikestream.stages.base import State
from spikestream.stages.network.assembly import assemble
from spikestream.stages.network.base import Value
from spikestream.stages.network.components import Component
from spikestream.stages.network.synapses import Wired

if TYPE_CHECKING:
    from spikestream.model.circuit import Circuit

SETTLE, SETTLE_US = 10_000, 2_000_000
"""So many ticks of a gap, and so much time of it, run as silence; then all is at rest, but for what parts say."""
ROOM = 1 << 16
"""Spikes that one call of the kernel may bring, unless one tick alone may bring more."""


class Composed:
    """An engine (see `spikestream.stages.network.base`) that runs a `Model`.

    With ``single``, its one population and its one projection go without their names in the keys of settings.
    """

    closed = False
    forgets = False

    def __init__(self, model: Model, single: bool = False) -> None:
        self._model, self._tick_us = model, model.tick_us
        self._parts = assemble(model, single)
        self._keyed = _keyed(self._parts.populations, self._parts.rules, single)
        self._kernel = module_of(self._parts.structure)
        self.axons = model.axons
        self.neurons = sum(model.place(name).size for name in model.outputs)
        self._fired = tuple(np.empty(p.size, np.int32) for p in model.populations)
        self._kept = tuple(np.empty(p.size, model.dtype) for p in model.populations)
        self._out = np.empty(0, np.int64), np.empty(0, np.int32)
        self._now: int | None = None
        self.growing = tuple(f"sources.{name}.recent" for name in self._parts.sources)
        weights = [f"projections.{name}.weights" for name, rules in self._parts.rules.items() if rules]
        slow = [f"{path}.{key}" for path, one in self._parts.components() for key in getattr(one.module, "LEARNED", ())]
        self.learned = (*weights, *slow)

    @property
    def cold(self) -> bool:
        """Return whether the first call has to compile."""
        return is_cold(self._kernel)

    def run(self, first: int, stop: int, t: Array, axon: Array, learning: bool) -> tuple[Array, Array, int, int]:
        """Run ticks; see `Engine.run`."""
        if not len(self._out[0]):
            room = max(ROOM, self.neurons)
            self._out = np.empty(room, np.int64), np.empty(room, np.int32)
        for source in self._parts.sources.values():
            source.make_room(first, len(t))
        ticks, neurons = self._out
        span, c, s = (first, stop, self._tick_us), self._coefficients(), self._arrays()
        try:
            count, heard, now = self._kernel.run(c, s, span, t, axon, learning, ticks, neurons, self.neurons)
        except Exception as error:
            if not type(error).__module__.startswith("numba."):
                raise
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            remedy = "spikestream.checks tells more; docs/composing.md has the signatures"
            raise PluginError("a neuron or a rule does not compile", details=lines[:6], remedy=remedy) from error
        if stop > first:
            self._now = int(now)
        return ticks[:count].copy(), neurons[:count].copy(), heard, int(now)

    def skip(self, first: int, stop: int, adapting: int) -> tuple[Array, Array]:
        """Run the first ticks of a gap in silence, then let all be at rest."""
        silence = np.empty(0, np.int64), np.empty(0, np.int32)
        settle = max(SETTLE, -(-SETTLE_US // self._tick_us))
        parts, now, middle = [silence], first, min(stop, first + settle)
        while now < middle:
            ticks, neurons, _, now = self.run(now, middle, *silence, adapting > 0)
            parts.append((ticks, neurons))
        if middle < stop:
            for _, one in self._parts.components():
                one.rest(stop - middle, stop - middle if adapting else 0)
            for source in self._parts.sources.values():
                source.forget()
        self._now = stop
        ticks, neurons = (np.concatenate(column) for column in zip(*parts, strict=True))
        return ticks, neurons

    def _coefficients(self) -> Any:
        rules = tuple(tuple(one.coeffs for one in found.values()) for found in self._parts.rules.values())
        return tuple(one.coeffs for one in self._parts.populations.values()), rules

    def _arrays(self) -> Any:
        parts = self._parts
        return (
            tuple(Source(*one.arrays) for one in parts.sources.values()),
            tuple(one.arrays for one in parts.populations.values()),
            tuple(parts.synapses.values()),
            tuple(tuple(one.arrays for one in found.values()) for found in parts.rules.values()),
            self._fired,
            self._kept,
        )

    def weights(self) -> Array:
        """Return a copy of the weights of the one projection that is a matrix; raises `ModelError` where more are."""
        found = [one.weights for one in self._parts.synapses.values() if one.weights.ndim == 2]
        if len(found) != 1:
            text = f"{len(found)} projections of this model have a matrix of weights"
            raise ModelError(text, remedy="synapses(name)")
        return found[0].copy()

    def synapses(self, name: str) -> Wired:
        """Return the synapses of a projection as they are now; raises `ModelError` where there is none."""
        known = self._parts.synapses
        if name not in known:
            raise ModelError(f"there is no projection '{name}'", remedy=f"one of {', '.join(known)}")
        (target,) = {p.target for p in self._model.projections if p.name == name}
        return Wired.of(known[name], self._model.place(target).size)

    def circuit(self) -> Circuit:
        """Return the network as it is now as a circuit; raises `ModelError` where it has none."""
        from spikestream.stages.network.circuit import circuit_of_parts

        return circuit_of_parts(self._model, self._parts)

    def voltages(self) -> Array:
        """Return a copy of the voltages of the populations that go out, in their order."""
        found = [self._parts.populations[name].arrays for name in self._model.outputs]
        if not all(hasattr(arrays, "v") for arrays in found):
            raise ModelError("a neuron of this network has no voltage 'v'")
        return np.concatenate([arrays.v for arrays in found])

    def settings(self) -> Mapping[str, Value]:
        """Return the parameters of neurons and rules by the key of their setting."""
        return {f"{key}.{name}": value for key, one in self._keyed for name, value in one.settings.items()}

    def set(self, changes: Mapping[str, Value], check: bool = False) -> None:
        """Change parameters."""
        if not check:  # of several, none is changed where one cannot be
            self.set(changes, check=True)
        for key, one in self._keyed:
            own = {name: changes[f"{key}.{name}"] for name in one.settings if f"{key}.{name}" in changes}
            if own:
                one.set(own, check)

    def scale(self, factor: float) -> None:
        """Multiply the learning rates."""
        for one in self._parts.learning():
            one.scale(factor)

    def forget(self) -> None:
        """Stand still: no stage asks for it."""

    def reward(self, amount: float) -> None:
        """Hand a reward to the rules that want one."""
        for one in self._parts.learning():
            if hasattr(one.module, "reward"):
                one.module.reward(one.coeffs, one.arrays, amount)

    def state(self) -> State:
        """Return all arrays that matter."""
        made: State = {}
        for path, one in self._parts.components():
            made |= {f"{path}.{key}": value for key, value in one.state().items()}
        for name, synapses in self._parts.synapses.items():
            made[f"projections.{name}.weights"] = synapses.weights
        for name, source in self._parts.sources.items():
            made |= {f"sources.{name}.{key}": value for key, value in source.state(self._now).items()}
        return made

    def restore(self, taken: State) -> None:
        """Take over arrays as `state` returned them."""
        for path, one in self._parts.components():
            one.restore(_under(taken, path, one.state()))
        for name, synapses in self._parts.synapses.items():
            self._parts.synapses[name] = synapses._replace(weights=taken[f"projections.{name}.weights"])
        self._now = int(taken["next"])
        for name, source in self._parts.sources.items():
            source.restore(self._now, _under(taken, f"sources.{name}", ("recent", "counts")))

    def absurd(self, taken: State) -> str:
        """Return what in them can never have been."""
        for path, one in self._parts.components():
            if wrong := one.absurd(_under(taken, path, one.state())):
                return f"{path}: {wrong}"
        for name in self._parts.synapses:
            if not np.isfinite(taken[f"projections.{name}.weights"]).all():
                return f"weights of '{name}' that are not finite"
        for name, source in self._parts.sources.items():
            if wrong := source.absurd(_under(taken, f"sources.{name}", ("recent", "counts"))):
                return f"{name}: {wrong}"
        return ""


def _keyed(
    populations: Mapping[str, Component], rules: Mapping[str, Mapping[str, Component]], single: bool
) -> list[tuple[str, Component]]:
    """Return neurons and rules by what the keys of their settings begin with."""
    made = [("network" if single else f"network.{name}", one) for name, one in populations.items()]
    for name, found in rules.items():
        made += [("learn" if single else f"learn.{name}.{kind}", one) for kind, one in found.items()]
    return made


def _under(taken: State, path: str, names: Iterable[str]) -> State:
    return {name: taken[f"{path}.{name}"] for name in names}
