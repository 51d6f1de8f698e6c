"""Features made spike by spike, at the stamps of what comes in: pooling, and local time surfaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from spikestream.batch import Array, Batch, Spikes, no_spikes
from spikestream.errors import ModelError, SpikestreamError
from spikestream.kernels import oriented, pooling, surface
from spikestream.stages.base import Account, State, take_over
from spikestream.stages.features.options import Shape, checked_shape, options_of, patterned, pooled


class Direct:
    """What both share: ``_run`` takes spikes and returns how many came out, and what was filtered by reason.

    ``shape`` is (planes, height, width) of what comes out, ``axons`` their number. Where patches overlap, one spike may
    give several, and the account does not close.
    """

    def __init__(self, shape: Shape, patterns: int, grid: pooling.Coeffs, reasons: tuple[str, ...]) -> None:
        self._inputs, self._covers = int(np.prod(shape)), pooling.covers(grid)
        self.shape: Shape = (shape[0] * patterns, grid.height, grid.width)
        self.axons = int(np.prod(self.shape))
        alone = self._covers == 1
        self.account = Account(conserves=alone, filtered=dict.fromkeys(reasons, 0) if alone else {})

    def _memory(self) -> State:
        raise NotImplementedError

    def _run(self, t: Array, axon: Array, out_t: Array, out_unit: Array) -> tuple[int, Mapping[str, int]]:
        raise NotImplementedError

    def __call__(self, batch: Batch) -> Spikes:
        """Return what passes of the spikes of ``batch``, at their own times; raises `ModelError` beyond the axons."""
        if not isinstance(batch, Spikes):
            raise SpikestreamError(f"features are made of spikes, not {type(batch).__name__}")
        count = len(batch)
        if count and not 0 <= batch.axon.min() <= batch.axon.max() < self._inputs:
            heard = f"{batch.axon.min()}..{batch.axon.max()}"
            raise ModelError(f"axons {heard} do not fit features of {self._inputs:,} axons")
        out_t, out_unit = np.empty(count * self._covers, np.int64), np.empty(count * self._covers, np.int32)
        t, axon = np.require(batch.t, np.int64, ["C", "W"]), np.require(batch.axon, np.int32, ["C", "W"])
        given, filtered = self._run(t, axon, out_t, out_unit)
        self.account.taken += count
        self.account.given += given
        for reason in self.account.filtered:
            self.account.filtered[reason] += filtered[reason]
        return Spikes(batch.start, batch.stop, out_t[:given].copy(), out_unit[:given].copy())

    def skip(self, start: int, stop: int) -> Spikes:
        """Return silence over the gap ``[start, stop)`` µs; what it remembers are stamps, which are then older."""
        return no_spikes(start, stop)

    def prepare(self) -> None:
        """Load, or on a new machine compile, the kernel."""
        self._run(*(np.empty(0, kind) for kind in (np.int64, np.int32, np.int64, np.int32)))

    def state(self) -> State:
        """Return copies of the stamps remembered."""
        return {name: np.array(value) for name, value in self._memory().items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit."""
        own = self._memory()
        for name, value in take_over(own, state).items():
            own[name][...] = value


class Pool(Direct):
    """Spikes of ``shape`` (planes, height, width) in, one unit for a patch of ``pool`` pixels a side out.

    A unit passes a spike unless it passed one within ``rest_ms``; patches begin every ``stride`` pixels, 0 for as many
    as ``pool``. Raises `ConfigError`.
    """

    def __init__(self, shape: Shape, **options: Any) -> None:
        made = options_of("pool", options)
        planes, height, width = checked_shape(shape, 1, made)
        self._size = height, width
        self._c = pooling.design(pooled(made), self._size)
        self._s = pooling.init(self._c, planes)
        super().__init__((planes, height, width), 1, self._c, ("pooled",))

    def _memory(self) -> State:
        return {"last": self._s.last}

    def _run(self, t: Array, axon: Array, out_t: Array, out_unit: Array) -> tuple[int, Mapping[str, int]]:
        given = pooling.run(self._c, self._s, self._size, t, axon, out_t, out_unit)
        return given, {"pooled": len(t) - given}


class Surface(Direct):
    """Spikes of ``shape`` in, out the pattern that each one's local time surface shows, pooled.

    Out come as many planes as there are patterns for each plane in: `spikestream.kernels.surface`. Options are those of
    the section ``[features]``. Raises `ConfigError`.
    """

    def __init__(self, shape: Shape, **options: Any) -> None:
        made = options_of("surface", options)
        params = surface.Params(patterned(made), pooled(made), made.tau_ms, made.least)
        patterns = oriented.count(params.patterns)
        planes, height, width = checked_shape(shape, patterns, made)
        self._c = surface.design(params, (height, width))
        self._s = surface.init(self._c, planes)
        super().__init__((planes, height, width), patterns, self._c.pooling, ("no pattern", "pooled"))

    def _memory(self) -> State:
        return {"stamp": self._s.stamp, "last": self._s.last}

    def _run(self, t: Array, axon: Array, out_t: Array, out_unit: Array) -> tuple[int, Mapping[str, int]]:
        given, shown = surface.run(self._c, self._s, t, axon, out_t, out_unit)
        return given, {"no pattern": len(t) - shown, "pooled": shown - given}
