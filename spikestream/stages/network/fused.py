"""Runs the kernels that are fused by hand: one population that reads all axons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ModelError
from spikestream.stages.base import State
from spikestream.stages.helper import Helper
from spikestream.stages.network.base import Value
from spikestream.stages.network.kinds import Kind, absurd, changed, params_of, threads_of, weights_of

if TYPE_CHECKING:
    from spikestream.model.circuit import Circuit
    from spikestream.stages.network.synapses import Wired

AT_ONCE = 1 << 16
"""Most ticks in one call of the kernel, which needs room for all spikes that these may bring,"""
ROOM = 1 << 20
"""and so many at most, unless one tick alone may bring more."""
WORTH = 1 << 18
"""A second thread is asked for help where so many weights are to be touched: below, waking it costs what it brings."""


class Fused:
    """An engine (see `spikestream.stages.network.base`) on a kernel of `spikestream.stages.network.kinds`.

    Option ``threads`` 2 lets a second thread run half of many neurons that do not inhibit each other, in batches that
    are worth it; spikes and state are the same.
    """

    growing: tuple[str, ...] = ()
    closed = True

    def __init__(
        self,
        shape: tuple[int, int],
        kind: Kind,
        options: Mapping[str, Any],
        tick_us: int,
        dtype: str,
        init_weights: Array | None,
    ) -> None:
        self.axons, self.neurons = shape
        self.learned = kind.learned
        self._kind, self._kernel, self._tick_us = kind, kind.kernel, tick_us
        options = dict(options)
        self._threads = threads_of(kind, options.pop("threads", 1))
        self._params = params_of(kind, options, dtype, tick_us)
        self.forgets = hasattr(self._kernel, "reset")
        self._factor = 1.0
        self._coeffs = self._kernel.design(self._params, tick_us)
        self._state = self._kernel.init(*shape, self._params, tick_us)
        if init_weights is not None:
            self._state.weights[...] = weights_of(init_weights, shape, self._params)
        self._most = self.neurons if kind.volley else 1
        self._at_once = min(AT_ONCE, max(1, ROOM // self._most))
        self._parts = len(self._state.start) if kind.volley else 1
        self._far = kind.volley and self._kernel.is_far(self._state)  # halves of rows of a far memory are faster
        self._out: list[tuple[Array, Array]] = []
        self._helper: Helper | None = None
        self._aside: Any = None  # the helper's state, while it is up to date

    def run(self, first: int, stop: int, t: Array, axon: Array, learning: bool) -> tuple[Array, Array, int, int]:
        """Run ticks; see `Engine.run`."""
        if stop - first > self._at_once:
            stop = first + self._at_once
            due = int(np.searchsorted(t, stop * self._tick_us))
            t, axon = t[:due], axon[:due]
        what = (first, stop, self._tick_us), t, axon, (learning, learning and self._kind.learns)
        if self._apart and (stop - first + len(t)) * self.neurons >= WORTH:
            return *self._by_halves(what), stop
        self._aside = None
        ticks, neurons = self._room(0)
        parts = ((0, self._parts),) if self._kind.volley else ()
        count, heard = self._kernel.run(self._coeffs, self._state, *parts, *what, ticks, neurons)
        return ticks[:count].copy(), neurons[:count].copy(), heard, stop

    @property
    def _apart(self) -> bool:
        """Return whether to run one half of the neurons without the other, by two threads or one after the other."""
        return self._parts > 1 and self._coeffs.inhibition == 0 and (self._threads > 1 or self._far)

    def _room(self, part: int) -> tuple[Array, Array]:
        """Return where a part's spikes go, room for the most that one call may bring."""
        while len(self._out) <= part:
            size = self._at_once * self._most
            self._out.append((np.empty(size, np.int64), np.empty(size, np.int32)))
        return self._out[part]

    def _by_halves(self, what: tuple[Any, ...]) -> tuple[Array, Array, int]:
        """Run half of the neurons, and the other half in the other thread; return ticks, neurons, and spikes heard."""
        if self._aside is None:
            self._aside = self._kernel.aside(self._state)
        other, mine = self._room(1), self._room(0)
        second = self._coeffs, self._aside, (1, 2), *what, *other
        job = self._helping().start(self._kernel.run, *second) if self._threads > 1 else None
        try:
            count, heard = self._kernel.run(self._coeffs, self._state, (0, 1), *what, *mine)
        finally:
            more, _ = job.result() if job else self._kernel.run(*second)
        ticks, neurons = np.empty(count + more, np.int64), np.empty(count + more, np.int32)
        found = (mine[0][:count], other[0][:more]), (mine[1][:count], other[1][:more])
        self._kernel.merge(*found, ticks, neurons)
        return ticks, neurons, heard

    def _helping(self) -> Helper:
        if self._helper is None or not self._helper.alive:
            self._helper = Helper("network half")
        return self._helper

    def skip(self, first: int, stop: int, adapting: int) -> tuple[Array, Array]:
        """Decay over silent ticks in closed form, without a spike."""
        self._kernel.rest(self._scaled(), self._state, stop - first, adapting, self._tick_us)
        self._aside = None
        return np.empty(0, np.int64), np.empty(0, np.int32)

    def weights(self) -> Array:
        """Return a copy of the weights as they are now."""
        if self._kind.volley:
            return np.asarray(self._kernel.settled(self._coeffs, self._state))
        return np.array(self._state.weights)

    def synapses(self, name: str) -> Wired:
        """Raise `ModelError`: there is one matrix of weights, and no projection has a name."""
        raise ModelError(f"there is no projection '{name}'", remedy=".weights has all that there are")

    def circuit(self) -> Circuit:
        """Return the network as it is now as a circuit."""
        from spikestream.stages.network.circuit import circuit_of_fused

        theta = self._state.theta * (self._state.fade[0] if self._kind.volley else 1)
        return circuit_of_fused(self._params, theta, self.weights(), self._tick_us)

    def voltages(self) -> Array:
        """Return a copy of the voltages, relative to rest."""
        return np.array(self._state.v)

    def settings(self) -> Mapping[str, Value]:
        """Return the options that may change between two ticks."""
        return {key: getattr(self._params, name) for key, name in self._kind.keys.items()}

    def set(self, changes: Mapping[str, Value], check: bool = False) -> None:
        """Change options; what potentiation waits is settled with the old ones."""
        params = changed(self._kind, self._params, changes, self._tick_us if check else 0)
        if not check and params != self._params:
            self._params = params
            self._redesign()

    def scale(self, factor: float) -> None:
        """Multiply the learning rates."""
        if factor != self._factor:
            self._factor = factor
            self._redesign()

    def forget(self) -> None:
        """Let the kernel forget what it heard."""
        self._kernel.reset(self._state)

    def reward(self, amount: float) -> None:
        """No rule here wants rewards."""

    def state(self) -> State:
        """Return all arrays of the kernel that are no scratch."""
        return {key: value for key, value in self._state._asdict().items() if key not in self._kind.scratch}

    def restore(self, taken: State) -> None:
        """Take over arrays as `state` returned them."""
        kernel = {key: taken[key] for key in self._state._fields if key not in self._kind.scratch}
        self._state = self._state._replace(**kernel)
        self._aside = None
        if self._kind.volley:
            self._state.lives[:] = -1

    def absurd(self, taken: State) -> str:
        """Return what in them can never have been."""
        return absurd(self._kind, taken, self._params)

    def _scaled(self) -> Any:
        """Return the parameters with the learning rates as the schedule has them."""
        return replace(self._params, **{name: getattr(self._params, name) * self._factor for name in self._kind.rates})

    def _redesign(self) -> None:
        if self._kind.volley:
            self._coeffs = self._kernel.redesigned(self._coeffs, self._state, self._scaled(), self._tick_us)
            self._aside = None
        else:
            self._coeffs = self._kernel.design(self._scaled(), self._tick_us)
