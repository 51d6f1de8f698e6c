"""The address stage: an event's pixel and polarity become the number of one axon."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spikestream.batch import Array, Batch, Events, Spikes, no_spikes
from spikestream.errors import ConfigError
from spikestream.stages.base import Account, State, known_size, take_over

MOST_AXONS = 2**31 - 1


class Address:
    """Events in, spikes out: axon = ``(p * height + y) * width + x``; without ``polarity`` p counts as 0.

    ``axons`` is their number, ``size`` (width, height) in pixels, ``shape`` (planes, height, width). Raises
    `ConfigError` where the size is not known or has more axons than an int32 can number. Events outside of it are
    dropped and counted.
    """

    def __init__(self, size: tuple[int, int] | None, polarity: bool = True) -> None:
        self.size = size = known_size(size)
        self.polarity = polarity
        self.account = Account(dropped={"outside": 0})
        self._plane = size[0] * size[1]
        self.shape = (2 if polarity else 1, size[1], size[0])
        self.axons = self.shape[0] * self._plane
        if min(size) < 1 or max(size) > 65_536 or self.axons > MOST_AXONS:
            raise ConfigError(
                f"a sensor of {size[0]}x{size[1]} pixels cannot be addressed",
                key="sensor.size",
                value=size,
                allowed=f"1 to 65,536 pixels a side and up to {MOST_AXONS:,} axons",
                remedy="--size WIDTHxHEIGHT, or sensor.size, as it is; or put a crop or downsample filter first",
            )

    def __call__(self, batch: Batch) -> Spikes:
        """Return one spike for each event of `batch` inside the size, at the same time."""
        if not isinstance(batch, Events):
            raise ConfigError(f"addresses are made of events, not {type(batch).__name__.lower()}", key="address")
        data = self._inside(batch.data)
        axon = data["y"].astype(np.int32)
        axon *= self.size[0]
        axon += data["x"]
        if self.polarity:
            axon += data["p"] * np.int32(self._plane)
        self.account.given += len(axon)
        return Spikes(batch.start, batch.stop, np.array(data["t"], np.int64), axon)

    def pixel(self, axon: int) -> tuple[int, int, bool]:
        """Return (x, y, p) of an axon, p True where polarity is left out; raises `ConfigError` beyond the last."""
        if not 0 <= axon < self.axons:
            raise ConfigError(f"there is no axon {axon}", key="axon", value=axon, allowed=f"0 to {self.axons - 1:,}")
        p, pixel = divmod(axon, self._plane)
        y, x = divmod(pixel, self.size[0])
        return x, y, bool(p) or not self.polarity

    def skip(self, start: int, stop: int) -> Spikes:
        """Return silence over the gap ``[start, stop)`` µs."""
        return no_spikes(start, stop)

    def state(self) -> State:
        """Return nothing: an address needs no memory."""
        return {}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over nothing; raises `ModelError` where something was saved."""
        take_over({}, state)

    def _inside(self, data: Array) -> Array:
        self.account.taken += len(data)
        inside = (data["x"] < self.size[0]) & (data["y"] < self.size[1])
        outside = len(data) - int(np.count_nonzero(inside))
        self.account.dropped["outside"] += outside
        return np.compress(inside, data) if outside else data
