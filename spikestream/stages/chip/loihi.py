"""Runs the ticks of a chip of Loihi cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from spikestream.batch import Array
from spikestream.kernels import loihi
from spikestream.model.loihi import LoihiPlacement
from spikestream.model.loihi_limits import current_of, weight_range
from spikestream.stages.base import State
from spikestream.stages.chip.base import ROOM

U_LIMIT, TRACE_LIMIT = 2**23, 127


class Loihis:
    """The cores of a `LoihiPlacement`; ``learning`` False freezes weights, while traces go on."""

    def __init__(self, placement: LoihiPlacement) -> None:
        self._placement = placement
        params = _params(placement)
        self._coeffs, self._state = loihi.design(params), loihi.init(params)
        self._scratch = loihi.scratch(params)
        self._here = _places(placement.first_compartment, self._coeffs.compartments)
        self._there = _places(placement.first_axon, self._coeffs.axons)
        self._rows = _accumulators(placement, self._coeffs)
        self._learnt = placement.plastic_synapses()
        room = max(placement.outputs, ROOM if placement.outputs else 1)
        self._out = np.empty(room, np.int64), np.empty(room, np.int32)
        self._learns = bool(self._coeffs.learns.any())
        self.learning = self._learns

    def run(self, ticks: tuple[int, int, int], t: Array, axon: Array) -> tuple[int, Array, Array, int]:
        """Run ticks; see `Engine`."""
        c, s, b = self._coeffs, self._state, self._scratch
        out, room = self._out, self._placement.outputs
        following, made, heard = loihi.run(c, s, b, ticks, t, axon, bool(self.learning), out, room)
        return following, out[0][:made].copy(), out[1][:made].copy(), heard

    def stand_still(self, ticks: int) -> None:
        """Let ``ticks`` pass without running."""
        c, s = self._coeffs, self._state
        # A row is named by its tick: what waits keeps its distance to the tick that runs next.
        s.ring8[...] = np.roll(s.ring8, ticks % len(s.ring8), axis=0)
        for core, late in enumerate(c.late):
            own = s.acc[c.places[core] : c.places[core + 1]].reshape(late + 1, -1)
            own[...] = np.roll(own, ticks % (late + 1), axis=0)
        s.until[...] += ticks

    @property
    def v(self) -> Array:
        """Return a copy of the potentials, (compartments of all cores,) int32."""
        return self._state.v[self._here]

    @property
    def weights(self) -> Array:
        """Return a copy of all weights as they are now, (synapses,) int16, in the order of the placement."""
        return self._state.weight.copy()

    @property
    def counters(self) -> dict[str, int]:
        """Return what was counted since the first tick, by name.

        ``dropped`` are spikes of compartments without a target, and those for an axon that got 255 in its tick already.
        """
        return dict(zip(loihi.COUNTERS, self._state.counters.tolist(), strict=True))

    def watch(self) -> None:
        """Count from now on how often each compartment fires."""
        self._state = self._state._replace(fires=np.zeros(self._state.v.shape, np.uint32))

    @property
    def fires(self) -> Array:
        """Return those counts, (compartments of all cores,) int64, zeros where nobody watched."""
        counts = self._state.fires
        return counts[self._here].astype(np.int64) if counts.size else np.zeros(len(self._here), np.int64)

    def state(self) -> State:
        """Return currents, potentials, what is under way, and what has been learnt."""
        s = self._state
        own = {"u": s.u[self._here], "v": s.v[self._here], "waits": s.waits[self._here].astype(np.uint8)}
        under_way = {"ring": s.ring8[:, self._there], "coming": s.acc[self._rows], "counters": s.counters}
        if not self._learns:
            return {**own, **under_way}
        traces = {"x1": s.x1[self._there], "tx": s.tx[self._there], "y1": s.y1[self._here], "ty": s.ty[self._here]}
        learnt = {"weights": s.weight[self._learnt], "learning": np.array(self.learning)}
        return {**own, **under_way, **traces, **learnt}

    def absurd(self, taken: State) -> str:
        """Return what no chip can hold, "" where all is well."""
        p = self._placement
        if np.any((taken["u"] <= -U_LIMIT) | (taken["u"] > U_LIMIT)):
            return "currents of more than 24 bits"
        if np.any((taken["v"] < p.v_min) | (taken["v"] > p.v_max)):
            return "potentials beyond v_min and v_max"
        if np.any(taken["waits"] >= p.refractory):
            return "refractory times longer than they can be"
        if np.any(taken["counters"] < 0):
            return "counters below zero"
        return self._absurd_learning(taken) if self._learns else ""

    def _absurd_learning(self, taken: State) -> str:
        p = self._placement
        by_axon, by_compartment = np.diff(p.first_axon), np.diff(p.first_compartment)
        for trace, when, sizes in (("x1", "tx", by_axon), ("y1", "ty", by_compartment)):
            if np.any(taken[trace] > TRACE_LIMIT) or np.any(taken[when] > np.repeat(p.epoch, sizes)):
                return "traces of more than 7 bits, or spikes out of their epoch"
        if taken["x1"][~p.plastic].any() or taken["tx"][~p.plastic].any():
            return "traces of axons that do not learn"
        idle = ~np.repeat(self._coeffs.learns, by_compartment)
        if taken["y1"][idle].any() or taken["ty"][idle].any():
            return "traces of cores that do not learn"
        spare, least, most = (np.repeat(one, np.diff(p.first_synapse))[self._learnt] for one in _ranges(p))
        weight = taken["weights"]
        if np.any((weight < least) | (weight > most) | (weight % (1 << spare) != 0)):
            return "weights that do not fit their sign or their bits"
        return ""

    def restore(self, taken: Mapping[str, Array]) -> None:
        """Take over a state that is not absurd."""
        s, c = self._state, self._coeffs
        s.u[self._here], s.v[self._here], s.waits[self._here] = taken["u"], taken["v"], taken["waits"]
        s.ring8[:, self._there], s.acc[self._rows] = taken["ring"], taken["coming"]
        s.counters[...] = taken["counters"]
        s.until[...] = np.int64(taken["next"]) + c.late  # nothing can be further under way
        s.quiet[...] = False  # found out anew by the next tick
        if self._learns:
            self._restore_learning(taken)

    def _restore_learning(self, taken: Mapping[str, Array]) -> None:
        s, p = self._state, self._placement
        s.x1[self._there], s.tx[self._there] = taken["x1"], taken["tx"]
        s.y1[self._here], s.ty[self._here] = taken["y1"], taken["ty"]
        s.weight[self._learnt] = taken["weights"]
        s.current[...] = _currents(p, s.weight)
        s.traced[...] = self._coeffs.learns  # found out anew at the end of the epoch
        self.learning = bool(taken["learning"])


def _ranges(p: LoihiPlacement) -> tuple[Array, Array, Array]:
    return weight_range(p.weight_sign, p.weight_bits)


def _currents(p: LoihiPlacement, weight: Array) -> Array:
    return current_of(weight, np.repeat(p.weight_exponent, np.diff(p.first_synapse)))


def _params(p: LoihiPlacement) -> loihi.Params:
    spare, least, most = _ranges(p)
    made: dict[str, Any] = {"weight_spare": spare, "weight_least": least, "weight_most": most}
    made["current"] = _currents(p, p.weight)
    return loihi.Params(
        **made, **{one.name: getattr(p, one.name) for one in fields(loihi.Params) if one.name not in made}
    )


def _places(first: Array, starts: Array) -> Array:
    """Return where what a placement holds lies in the arrays of the kernel, which pads cores."""
    return np.asarray(np.arange(first[-1]) + np.repeat(starts[:-1] - first[:-1], np.diff(first)))


def _accumulators(p: LoihiPlacement, c: loihi.Coeffs) -> Array:
    """Return the places of all accumulators, core by core and row by row, without those of padding."""
    places = []
    for core, size in enumerate(np.diff(p.first_compartment)):
        width = c.compartments[core + 1] - c.compartments[core]
        row = c.places[core] + width * np.arange(c.late[core] + 1)
        places.append((row[:, None] + np.arange(size)).ravel())
    return np.concatenate(places)
