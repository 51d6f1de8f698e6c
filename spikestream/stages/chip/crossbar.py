"""Runs the ticks of a chip of crossbar cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import numpy as np

from spikestream.batch import Array
from spikestream.kernels import crossbar
from spikestream.model.crossbar import TRUENORTH, CrossbarPlacement
from spikestream.stages.base import State
from spikestream.stages.chip.base import ROOM, by_input
from spikestream.stages.helper import Helper

WORTH = 1 << 10
"""A second thread is woken for so many cores times ticks: for fewer, waking it costs what it brings,"""
CORES = 128
"""and for so many cores: two threads that share fewer wait for each other more than they work."""


class Crossbars:
    """The cores of a `CrossbarPlacement`; with ``threads`` 2 a second thread runs half of them where it is worth it."""

    def __init__(self, placement: CrossbarPlacement, threads: int = 1) -> None:
        self._placement, self.learning = placement, False
        params = _params(placement)
        self._coeffs, self._state = crossbar.design(params), crossbar.init(params)
        self._scratch = [crossbar.scratch(params) for _ in range(threads)]
        self._shared = crossbar.post(params, threads)
        self._own = crossbar.alone(self._shared)
        self._gate = crossbar.gate()
        self._helper: Helper | None = None
        self._inputs = by_input(placement)
        room = max(placement.outputs, ROOM if placement.outputs else 1)
        self._out = np.empty(room, np.int64), np.empty(room, np.int32)

    def run(self, ticks: tuple[int, int, int], t: Array, axon: Array) -> tuple[int, Array, Array, int]:
        """Run ticks; see `Engine`."""
        work = (ticks[1] - ticks[0]) * self._placement.cores
        both = len(self._scratch) > 1 and self._placement.cores >= CORES and work >= WORTH
        following, made, heard = (self._run_both if both else self._run_alone)(ticks, t, axon)
        return following, self._out[0][:made].copy(), self._out[1][:made].copy(), heard

    def _run_alone(self, *what: object) -> tuple[int, int, int]:
        return self._call(self._own, 0, what)

    def _run_both(self, *what: object) -> tuple[int, int, int]:
        """Run one half of the cores here and the other in the second thread, tick by tick in step."""
        if self._helper is None or not self._helper.alive:
            self._helper = Helper("chip half")
        self._gate[:] = 0
        job, done = self._helper.start(self._second, what), False
        try:
            made = self._call(self._shared, 0, what)
            done = True
        finally:
            if not done:  # or the other would wait for ever
                crossbar.call_off(self._gate)
            job.result()
        return made

    def _second(self, what: tuple[object, ...]) -> None:
        try:
            self._call(self._shared, 1, what)
        except BaseException:
            crossbar.call_off(self._gate)  # before its first tick, so nothing has happened
            raise

    def _call(self, post: crossbar.Post, me: int, what: tuple[object, ...]) -> tuple[int, int, int]:
        c, s, b, room = self._coeffs, self._state, self._scratch[me], self._placement.outputs
        made: tuple[int, int, int]
        made = crossbar.run(c, s, b, post, self._inputs, *what, self._out, room, self._gate, me)
        return made

    def stand_still(self, ticks: int) -> None:
        """Let ``ticks`` pass without running."""
        # A row is named by its tick: what waits keeps its distance to the tick that runs next.
        self._state.ring[...] = np.roll(self._state.ring, ticks % len(self._state.ring), axis=0)

    @property
    def v(self) -> Array:
        """Return a copy of the potentials, (cores, neurons) int32."""
        return self._state.v[:, : self._placement.neurons].copy()

    @property
    def counters(self) -> dict[str, int]:
        """Return what was counted since the first tick, by name."""
        return dict(zip(crossbar.COUNTERS, self._state.counters.tolist(), strict=True))

    def watch(self) -> None:
        """Count from now on how often each neuron fires."""
        self._state = self._state._replace(fires=np.zeros(self._state.v.shape, np.uint32))

    @property
    def fires(self) -> Array:
        """Return those counts, (cores, neurons) int64, zeros where nobody watched."""
        counts, shape = self._state.fires, (self._placement.cores, self._placement.neurons)
        return counts[:, : shape[1]].astype(np.int64) if counts.size else np.zeros(shape, np.int64)

    @property
    def weights(self) -> Array:
        """Return a copy of the weights, (cores, neurons, 4) int16."""
        return self._placement.weights.copy()

    def state(self) -> State:
        """Return potentials, spikes under way (cores, 16 ticks, words), and what was counted."""
        v, ring = self._state.v[:, : self._placement.neurons], self._state.ring.transpose(1, 0, 2)
        return {"v": v, "ring": ring, "counters": self._state.counters}

    def absurd(self, taken: State) -> str:
        """Return what no chip can hold, "" where all is well."""
        if np.any((taken["v"] < self._coeffs.least) | (taken["v"] > self._coeffs.most)):
            return "potentials of more than 20 bits"
        spare = 64 * taken["ring"].shape[2] - self._placement.axons
        if spare and np.any(taken["ring"][:, :, -1] >> np.uint64(64 - spare)):
            return "spikes under way to axons that do not exist"
        return "counters below zero" if np.any(taken["counters"] < 0) else ""

    def restore(self, taken: Mapping[str, Array]) -> None:
        """Take over potentials, spikes under way and counters."""
        self._state.v[:, : self._placement.neurons] = taken["v"]
        self._state.ring[...] = taken["ring"].transpose(1, 0, 2)
        self._state.counters[...] = taken["counters"]
        self._state.quiet[...] = False  # found out anew by the next tick


def _params(placement: CrossbarPlacement) -> crossbar.Params:
    own = {one.name: getattr(placement, one.name) for one in fields(crossbar.Params) if one.name != "saturates"}
    return crossbar.Params(**own, saturates=placement.law == TRUENORTH)
