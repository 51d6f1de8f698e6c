"""The evening stage: spikes in, spikes of the same axons out, the shares of axons brought nearer to each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spikestream.batch import Array, Batch, Spikes, no_spikes
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.stages.base import Account, State, take_over

ROOM = 3
"""Spikes passed on for each that comes, at most: the kernel's `MOST`, and one more that was left over."""


class Evening:
    """Evens out ``axons``; called with `Spikes`, returns `Spikes`. ``even`` 0 to 1 as of `spikestream.kernels.evening`.

    Raises `ConfigError`.
    """

    def __init__(self, axons: int, even: float = 0.5) -> None:
        from spikestream.kernels import evening

        if axons < 1 or not 0 <= even <= 1:
            raise ConfigError(f"even = {even} is out of range", key="even", value=even, allowed="0 to 1")
        self._kernel = evening
        params = evening.Params(axons, even)
        self.axons, self.even = axons, even
        self.account = Account(conserves=False)
        self._coeffs, self._state = evening.design(params), evening.init(params)

    def __call__(self, batch: Batch) -> Spikes:
        """Return the spikes passed on; raises `SpikestreamError` for anything but spikes of its axons."""
        if not isinstance(batch, Spikes):
            raise SpikestreamError(f"evening takes spikes, not {type(batch).__name__}")
        if len(batch) and not 0 <= batch.axon.min() <= batch.axon.max() < self.axons:
            raise ModelError(f"axons {batch.axon.min()}..{batch.axon.max()} do not fit {self.axons}")
        self.account.taken += len(batch)
        t, axon = np.require(batch.t, np.int64, ("C", "W")), np.require(batch.axon, np.int32, ("C", "W"))
        out_t, out_axon = np.empty(ROOM * len(t), np.int64), np.empty(ROOM * len(t), np.int32)
        count = self._kernel.run(self._coeffs, self._state, t, axon, out_t, out_axon)
        self.account.given += count
        return Spikes(batch.start, batch.stop, out_t[:count], out_axon[:count])

    def skip(self, start: int, stop: int) -> Spikes:
        """Return no spikes: time alone changes nothing."""
        return no_spikes(start, stop)

    def state(self) -> State:
        """Return copies of shares, counts and what is left over, by axon."""
        return {name: array.copy() for name, array in self._state._asdict().items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit."""
        taken = take_over(self.state(), state)
        share, credit, count = taken["share"], taken["credit"], int(taken["total"][0])
        last = taken["last"]
        if not ((share > 0) & (share <= 2)).all() or not ((credit >= 0) & (credit < 1)).all():
            raise ModelError("the saved state contradicts itself: shares or what is left over are out of range")
        if not 0 <= count < 2**62 or not ((last >= 0) & (last <= count)).all():
            raise ModelError("the saved state contradicts itself: a spike behind the last one")
        self._state = self._kernel.State(**taken)
