"""Oriented features as a stage in ticks: at every place the strongest of some LIF neurons fires, and is pooled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from spikestream.batch import Array
from spikestream.kernels import edges, oriented, pooling
from spikestream.stages.base import State
from spikestream.stages.features.options import Options, Shape, checked_shape, options_of, patterned, pooled, settled
from spikestream.stages.ticked import Ticked

ROOM = 65_536
"""Spikes that may come out of one call of the kernel, or those of one tick where they may be more."""


class Edges(Ticked):
    """Spikes of ``shape`` (planes, height, width) in, out the oriented patterns among them, pooled.

    ``shape`` becomes (planes * patterns, height, width) of what comes out, ``axons`` their number. The neurons are
    those of `spikestream.kernels.edges`, the options those of the section ``[features]``. Raises `ConfigError`.
    """

    def __init__(self, shape: Shape, **options: Any) -> None:
        made = options_of("edges", options)
        patterns = oriented.count(patterned(made))
        planes, height, width = checked_shape(shape, patterns, made)
        engine = _Engine(made, (planes, height, width))
        grid = engine.grid
        self.shape: Shape = (planes * patterns, grid.height, grid.width)
        self.axons = int(np.prod(self.shape))
        text = f"{planes} {height} {width} {settled(made)}"
        digest = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)
        super().__init__(engine, "feature layer", planes * height * width, digest, made.tick_us)


class _Engine:
    """Runs the kernel; see `spikestream.stages.ticked.Engine`."""

    def __init__(self, made: Options, shape: Shape) -> None:
        params = edges.Params(patterned(made), pooled(made), made.tau_ms, made.gain, made.floor)
        self._c = edges.design(params, shape[1:], made.tick_us)
        self._s = edges.init(self._c, shape[0])
        self.grid = self._c.pooling
        # A tick gives one spike a place at most, and each may pass in as many units as cover it.
        self._most = int(np.prod(shape)) * pooling.covers(self.grid)

    def run(self, ticks: tuple[int, int, int], t: Array, axon: Array) -> tuple[int, Array, Array, int]:
        room = max(ROOM, self._most) if len(t) else self._most
        out_t, out_unit = np.empty(room, np.int64), np.empty(room, np.int32)
        tick, count, heard = edges.run(self._c, self._s, ticks, t, axon, self._most, out_t, out_unit)
        return tick, out_t[:count].copy(), out_unit[:count].copy(), heard

    def stand_still(self, ticks: int) -> None:
        for stamps in (self._s.seen, self._s.last):
            stamps[stamps != pooling.NEVER] += ticks

    @property
    def v(self) -> Array:
        """Return a copy of the potentials, (places, patterns), each as it was when its place last heard a spike."""
        return self._s.v.copy()

    def state(self) -> State:
        return {"v": self._s.v, "seen": self._s.seen, "last": self._s.last}

    def absurd(self, taken: State) -> str:
        v, after = taken["v"], max(int(taken["seen"].max()), int(taken["last"].max()))
        if not np.all((v >= self._c.floor) & (v <= 1)):
            return "potentials below the floor or above the threshold"
        return "a spike of the future" if after >= taken["next"] and after != pooling.NEVER else ""

    def restore(self, taken: Mapping[str, Array]) -> None:
        for name in ("v", "seen", "last"):
            getattr(self._s, name)[...] = taken[name]
