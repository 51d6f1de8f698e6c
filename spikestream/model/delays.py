"""Delays in whole ticks: spikes of an input may arrive in their own tick, those of a population in the next."""

from __future__ import annotations

import numpy as np

from spikestream.errors import ConfigError
from spikestream.model.parts import Projection
from spikestream.model.values import Array, Uniform, Value, Values

Ticks = int | tuple[int, int] | Array
"""One delay, lowest and highest of a draw, or one for each synapse."""
MOST_TICKS = 64
CLOSE = 1e-6
"""So near to a whole number of ticks is one: 0.3 ms are not quite three ticks of 100 µs."""


def delay_ticks(p: Projection, tick_us: int, least: int) -> Ticks:
    """Return the delay of a projection in ticks: one, lowest and highest of a draw, or one each, as they are given.

    ``least`` is 0 from an input and 1 from a population, and what there is without ``delay_ms``. Raises `ConfigError`.
    """
    given: Value | None = p.delay_ms
    if given is None:
        return least
    numbers = given.array if isinstance(given, Values) else np.atleast_1d(np.array(given, np.float64))
    exact = numbers.astype(np.float64) * 1000 / tick_us
    ticks = np.rint(exact)
    key = f"projections.{p.name}.delay_ms"
    if np.any(np.abs(exact - ticks) > CLOSE):
        odd = float(numbers[np.abs(exact - ticks) > CLOSE][0])
        text = f"{key}: {odd:g} ms are no whole number of ticks of {tick_us} µs"
        raise ConfigError(text, key=key, value=odd, allowed=f"multiples of {tick_us / 1000:g} ms")
    if np.any((ticks < least) | (ticks > MOST_TICKS)):
        odd = float(numbers[(ticks < least) | (ticks > MOST_TICKS)][0])
        text = f"{key} = {odd:g} is out of range"
        raise ConfigError(text, key=key, value=odd, allowed=_range(least, tick_us))
    whole = ticks.astype(np.int64)
    if isinstance(given, Values):
        return whole
    low, high = int(whole[0]), int(whole[-1])
    return (low, high) if isinstance(given, Uniform) and low < high else low


def most_kinds(ticks: Ticks) -> int:
    """Return how many distinct delays there are at most."""
    if isinstance(ticks, int):
        return 1
    return ticks[1] - ticks[0] + 1 if isinstance(ticks, tuple) else len(np.unique(ticks))


def _range(least: int, tick_us: int) -> str:
    low, high = least * tick_us / 1000, MOST_TICKS * tick_us / 1000
    return f"{low:g} to {high:g} ms, which are {least} to {MOST_TICKS} ticks"
