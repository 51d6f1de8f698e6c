"""What is to change while a network runs, and in which tick: settings, rewards, resets, the rates' schedule."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np

from spikestream.batch import Array, Setting
from spikestream.errors import ConfigError, ModelError
from spikestream.stages.network.base import MOST, Value

ENABLED = "learn.enabled"
"""The setting that switches learning; it belongs to the stage, all others to its engine."""
RESET = "!"
"""The key under which a window's start waits; no setting has it."""
RATE_STEP_US = 1_000_000
"""Learning rates are scaled anew when so much stream time has passed, on the absolute grid."""
LATEST = 2**62


class Agenda:
    """Changes that wait for their tick, and those that were made. A reward has the key "", a reset `RESET`."""

    def __init__(self, tick_us: int) -> None:
        self._tick_us = tick_us
        self._step = max(1, RATE_STEP_US // tick_us)
        self._waiting: list[tuple[int, str, Value]] = []
        self.changed: dict[str, Value] = {}
        self._begun: int | None = None
        self._tau_ms, self._floor = 0.0, 0.0

    def fade(self, tau_ms: float, floor: float) -> None:
        """Let learning rates fall by exp(-t/tau_ms) of stream time, unless that is 0, to ``floor`` of them."""
        for key, value, most in (("rate_tau_ms", tau_ms, MOST), ("rate_floor", floor, 1.0)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
                raise ConfigError(f"{key} = {value!r} is out of range", key=key, value=value, allowed=f"0 to {most:g}")
        self._tau_ms, self._floor = float(tau_ms), float(floor)

    @property
    def fading(self) -> bool:
        """Return whether there is a schedule."""
        return self._tau_ms > 0

    def begin(self, tick: int) -> None:
        """Let the schedule begin with ``tick``, the first of the stream."""
        self._begun = tick if self._begun is None else self._begun

    def factor(self, tick: int) -> float:
        """Return what the schedule makes of the learning rates in ``tick``."""
        if not self.fading or self._begun is None:
            return 1.0
        passed = max(0, tick // self._step * self._step - self._begun)
        return max(self._floor, math.exp(-passed * (self._tick_us / 1000) / self._tau_ms))

    def put(self, t: int, key: str, value: Value) -> None:
        """Note a change for the first tick that starts at or after stream time ``t`` µs."""
        self._waiting.append((self._due(t), key, value))
        self._waiting.sort(key=lambda change: change[0])

    def _due(self, t: int) -> int:
        return -(-t // self._tick_us)

    def coming(self, more: Sequence[Setting] = ()) -> list[dict[str, Value]]:
        """Return what will have changed after each tick that changes something, those of ``more`` as well."""
        changes = [*self._waiting, *((self._due(one.t), one.key, one.value) for one in more)]
        made: list[dict[str, Value]] = []
        for _, group in groupby(sorted(changes, key=itemgetter(0)), itemgetter(0)):
            own = {key: value for _, key, value in group if key not in ("", ENABLED, RESET)}
            made.append({**(made[-1] if made else {}), **own})
        return made

    def late(self, tick: int) -> bool:
        """Return whether something waits that should have been taken before ``tick`` runs."""
        return any(due <= tick for due, _, _ in self._waiting)

    def until(self, tick: int, last: int, silent: bool = False) -> int:
        """Return the tick after ``tick``, at most ``last``, before which something is to change.

        In silence the schedule need not be kept to: nothing learns.
        """
        stops = [last, *(due for due, _, _ in self._waiting[:1])]
        if self.fading and not silent:
            stops.append((tick // self._step + 1) * self._step)
        return min(stops)

    def only_switches(self, tick: int) -> bool:
        """Return whether all that is due at ``tick`` is to switch learning."""
        return all(key == ENABLED for due, key, _ in self._waiting if due <= tick)

    def due(self, tick: int) -> Iterator[tuple[str, Value]]:
        """Yield key and value of what is due at ``tick``; it is then done."""
        while self._waiting and self._waiting[0][0] <= tick:
            _, key, value = self._waiting.pop(0)
            yield key, value

    def dumped(self) -> Array:
        """Return everything that is to be remembered, as one text."""
        return np.array(json.dumps([self._begun, self._waiting, self.changed]))

    def loaded(self, text: Array, settings: Mapping[str, Value]) -> Agenda:
        """Return the agenda of such a text, with the schedule of this one; raises `ModelError` where it is none."""
        made = Agenda(self._tick_us)
        made._tau_ms, made._floor = self._tau_ms, self._floor
        try:
            begun, waiting, made.changed = json.loads(str(text))
            made._begun = None if begun is None else _tick(begun)
            made._waiting = [(_tick(due), key, value) for due, key, value in waiting]
            own = [(key, value) for _, key, value in made._waiting if key not in ("", RESET)]
            changes = own + list(made.changed.items())
            fits = all(key in settings and _alike(value, settings[key]) for key, value in changes)
            if not fits or not all(_alike(value, 0.0) for _, key, value in made._waiting if not key):
                raise ValueError
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ModelError("the saved state contradicts itself: settings this network does not have") from error
        made._waiting.sort(key=lambda change: change[0])
        return made


def _tick(value: Any) -> int:
    if type(value) is not int or abs(value) > LATEST:
        raise ValueError
    return value


def _alike(value: Any, now: Value) -> bool:
    """Return whether ``value`` can stand where ``now`` stands."""
    if isinstance(now, bool | str):
        return type(value) is type(now)
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST
