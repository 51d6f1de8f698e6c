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


class Crossbars:
    """The cores of a `CrossbarPlacement`."""

    def __init__(self, placement: CrossbarPlacement) -> None:
        self._placement = placement
        params = _params(placement)
        self._coeffs, self._state = crossbar.design(params), crossbar.init(params)
        self._scratch = crossbar.scratch(params)
        self._inputs = by_input(placement)
        room = max(placement.outputs, ROOM if placement.outputs else 1)
        self._out = np.empty(room, np.int64), np.empty(room, np.int32)

    def run(self, ticks: tuple[int, int, int], t: Array, axon: Array) -> tuple[int, Array, Array, int]:
        """Run ticks; see `Engine`."""
        c, s, b = self._coeffs, self._state, self._scratch
        out, room = self._out, self._placement.outputs
        following, made, heard = crossbar.run(c, s, b, self._inputs, ticks, t, axon, *out, room)
        return following, out[0][:made].copy(), out[1][:made].copy(), heard

    def stand_still(self, ticks: int) -> None:
        """Let ``ticks`` pass without running."""
        # A row is named by its tick: what waits keeps its distance to the tick that runs next.
        self._state.ring[...] = np.roll(self._state.ring, ticks % self._state.ring.shape[1], axis=1)

    @property
    def v(self) -> Array:
        """Return a copy of the potentials, (cores, neurons) int32."""
        return self._state.v[:, : self._placement.neurons].copy()

    def state(self) -> State:
        """Return potentials and spikes under way."""
        return {"v": self._state.v[:, : self._placement.neurons], "ring": self._state.ring}

    def absurd(self, taken: State) -> str:
        """Return what no chip can hold, "" where all is well."""
        if np.any((taken["v"] < self._coeffs.least) | (taken["v"] > self._coeffs.most)):
            return "potentials of more than 20 bits"
        spare = 64 * taken["ring"].shape[2] - self._placement.axons
        if spare and np.any(taken["ring"][:, :, -1] >> np.uint64(64 - spare)):
            return "spikes under way to axons that do not exist"
        return ""

    def restore(self, taken: Mapping[str, Array]) -> None:
        """Take over potentials and spikes under way."""
        self._state.v[:, : self._placement.neurons] = taken["v"]
        self._state.ring[...] = taken["ring"]
        self._state.quiet[...] = False  # found out anew by the next tick


def _params(placement: CrossbarPlacement) -> crossbar.Params:
    own = {one.name: getattr(placement, one.name) for one in fields(crossbar.Params) if one.name != "saturates"}
    return crossbar.Params(**own, saturates=placement.law == TRUENORTH)
