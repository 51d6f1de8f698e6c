"""Features that spikes teach, as a stage in ticks: kernels of one set for all places, or of a set for each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from spikestream.batch import Array, Command, Setting, Spikes
from spikestream.kernels import maps, pooling
from spikestream.stages.base import State
from spikestream.stages.features.options import LearnedOptions, Shape, learned, learned_shape, options_of, settled
from spikestream.stages.ticked import NO_TICK, Ticked

ENABLED = "learn.enabled"
ROOM = 65_536
"""Spikes that may come out of one call of the kernel, or those of one tick where they may be more."""
STAMPS = ("seen", "heard", "taught", "rested", "last")
REMEMBERED = ("weights", "theta", "lessons", "v", *STAMPS)


class FeatureMaps(Ticked):
    """Spikes of ``shape`` (planes, height, width) in, out which of ``maps`` learned patterns each patch shows, pooled.

    ``shape`` becomes (maps, height, width) of what comes out, ``axons`` their number. The neurons are those of
    `spikestream.kernels.maps`, the options those of the section ``[features]``. ``learning`` False, or a `Setting` of
    ``learn.enabled``, freezes weights and thresholds. Raises `ConfigError`.
    """

    LEARNED = ("weights", "theta", "lessons")
    GROWING = (*Ticked.GROWING, "switches")

    def __init__(self, shape: Shape, *, learning: bool = True, **options: Any) -> None:
        made = options_of("stdp", options)
        assert isinstance(made, LearnedOptions)
        planes, height, width = learned_shape(shape, made)
        self._maps = _Engine(made, (planes, height, width))
        grid = self._maps.grid
        self.patch: Shape = (planes, made.size, made.size)
        self.shape: Shape = (made.maps, grid.height, grid.width)
        self.axons = int(np.prod(self.shape))
        self._maps.learning = learning
        self._switches: list[tuple[int, bool]] = []  # (first tick, learning), the earliest first
        text = f"{planes} {height} {width} {settled(made)}"
        digest = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)
        super().__init__(self._maps, "learned feature layer", planes * height * width, digest, made.tick_us)

    @property
    def learning(self) -> bool:
        """Return whether the tick that runs next may learn."""
        return self._maps.learning

    @learning.setter
    def learning(self, value: bool) -> None:
        self._maps.learning = bool(value)

    @property
    def weights(self) -> Array:
        """Return a copy of the kernels as they are now, (sets, planes * size * size, maps) float32, of length 1 each.

        One set for all places, or one for each, numbered row by row; within one ``(plane * size + y) * size + x``.
        """
        return self._maps.weights.copy()

    def command(self, command: Command) -> None:
        """Take a setting of ``learn.enabled``; it counts from the first tick that starts at or after its time."""
        if isinstance(command, Setting) and command.key == ENABLED:
            self._switches.append((-(-command.t // self.tick_us), bool(command.value)))
            self._switches.sort(key=lambda one: one[0])
            self._take_due()

    def skip(self, start: int, stop: int) -> Spikes:
        """Run the ticks of a gap on silence; see `Ticked.skip`."""
        made = super().skip(start, stop)
        self._take_due()
        return made

    def state(self) -> State:
        """Return copies of weights, thresholds, voltages, stamps, and of what waits for its tick."""
        switches = np.array(self._switches, np.int64).reshape(-1, 2)
        return {**super().state(), "learning": np.array(self.learning), "switches": switches}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit."""
        super().restore(state)
        self.learning = bool(state["learning"])
        self._switches = [(int(tick), bool(value)) for tick, value in state["switches"]]

    def _absurd(self, taken: State) -> str:
        """Return what in a state of the right shapes can never have been here, "" where all is well."""
        ticks, values = taken["switches"][:, :1], taken["switches"][:, 1:]
        if (
            taken["switches"].shape[1:] != (2,)
            or np.any(np.diff(ticks[:, 0]) < 0)
            or np.any((values != 0) & (values != 1))
        ):
            return "switches out of order"
        if taken["next"] != NO_TICK and np.any(ticks <= taken["next"]):
            return "switches that wait for a time that has passed"
        return super()._absurd(taken)

    def _take_due(self) -> None:
        while self._switches and self._switches[0][0] <= self._next:
            self.learning = self._switches.pop(0)[1]

    def _advance(self, last: int) -> list[list[Array]]:
        """Run ticks up to ``last`` (not included), switching learning on the way; return what came out."""
        self._take_due()
        parts = []
        while self._switches and self._switches[0][0] < last:
            parts += super()._advance(self._switches[0][0])
            self._take_due()
        parts += super()._advance(last)
        self._take_due()
        return parts


class _Engine:
    """Runs the kernel; see `spikestream.stages.ticked.Engine`."""

    def __init__(self, made: LearnedOptions, shape: Shape) -> None:
        params = learned(made)
        self._c = maps.design(params, shape, made.tick_us)
        self._s = maps.init(self._c, shape[0], params)
        self.grid, self.learning = self._c.pooling, True
        # A tick gives one spike a place at most, and each may pass in as many units as cover it.
        self._most = self._c.grid.height * self._c.grid.width * pooling.covers(self.grid)

    def run(self, ticks: tuple[int, int, int], t: Array, axon: Array) -> tuple[int, Array, Array, int]:
        room = max(ROOM, self._most) if len(t) else self._most
        out_t, out_unit = np.empty(room, np.int64), np.empty(room, np.int32)
        made = maps.run(self._c, self._s, ticks, t, axon, bool(self.learning), self._most, out_t, out_unit)
        tick, count, heard = made
        return tick, out_t[:count].copy(), out_unit[:count].copy(), heard

    def stand_still(self, ticks: int) -> None:
        for name in STAMPS:
            stamps = getattr(self._s, name)
            stamps[stamps != pooling.NEVER] += ticks

    @property
    def v(self) -> Array:
        """Return a copy of the potentials, (places, maps), each as it was when its place last heard a spike."""
        return self._s.v.copy()

    @property
    def weights(self) -> Array:
        """Return the weights."""
        weights: Array = self._s.weights
        return weights

    def state(self) -> State:
        return {name: getattr(self._s, name) for name in REMEMBERED}

    def absurd(self, taken: State) -> str:
        for name in ("weights", "theta", "v"):
            if not np.all(np.isfinite(taken[name])):
                return f"{name} that are no numbers"
        if np.any(np.abs(taken["weights"]) > 1.001) or np.any(taken["lessons"] < 0):
            return "kernels longer than 1, or lessons below 0"
        after = max(int(taken[name].max()) for name in STAMPS)
        return "a spike of the future" if after >= taken["next"] and after != pooling.NEVER else ""

    def restore(self, taken: Mapping[str, Array]) -> None:
        for name in REMEMBERED:
            getattr(self._s, name)[...] = taken[name]
