"""Time runs forward: what becomes of stamps that do not, decided over whole arrays, and counted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ConfigError, RecordingError, nearest
from spikestream.units import show_us

POLICIES = ("clamp", "drop", "fail", "keep")

LIMIT_US = 2**62
"""Stamps outside of [-2^62, 2^62) are refused: the difference of any two others fits int64."""

FUTURE_US = 10_000_000
"""A step forward beyond this is reported: in a recording it is rarely silence, mostly a damaged stamp."""


class Order:
    """One recording's time policy, fed with its arrays in file order.

    ``clamp`` raises a late stamp to the latest one so far, ``drop`` leaves the event out, ``fail`` raises at the first
    step back, ``keep`` changes nothing. ``problems`` collects what was seen: ``backward`` and ``future`` steps from one
    stamp to the next as stored, events ``clamped`` and ``dropped``. Raises `ConfigError` for another policy.
    """

    def __init__(self, policy: str = "clamp", problems: dict[str, int] | None = None) -> None:
        if policy not in POLICIES:
            raise ConfigError(
                f"unknown time policy '{policy}'",
                key="time",
                value=policy,
                allowed=", ".join(POLICIES),
                nearest=nearest(policy, POLICIES),
            )
        self.policy = policy
        self.problems: dict[str, int] = {} if problems is None else problems
        self._seen = 0
        self._last = self._top = -LIMIT_US
        self._worst = (0, 0)

    def feed(self, events: Array) -> Iterator[Array]:
        """Yield the events (n,) EVENT as the policy leaves them.

        Raises `RecordingError`, after the good ones, for a stamp outside of [-2^62, 2^62) µs, and for what ``fail``
        refuses.
        """
        if not len(events):
            return
        t = np.ascontiguousarray(events["t"])
        legal = _legal(t)
        if legal:
            yield from self._forward(events[:legal], t[:legal])
        if legal < len(t):
            raise RecordingError(
                "a time stamp is beyond what stream time can hold",
                expected="-2^62 <= t < 2^62 µs",
                found=f"{t[legal]} µs at event {self._seen:,}",
            )

    def warning(self) -> str:
        """Return one line about the steps back, "" where there were none."""
        backward = self.problems.get("backward", 0)
        if not backward:
            return ""
        step, event = self._worst
        steps = f"{backward:,} backward time step{'s' if backward > 1 else ''}"
        return f"{steps} (largest -{show_us(-step)} at event {event:,}); time policy '{self.policy}' used"

    def _forward(self, events: Array, t: Array) -> Iterator[Array]:
        steps = np.diff(t, prepend=self._last if self._seen else t[0])
        backward = int(np.count_nonzero(steps < 0))
        if backward:
            self._note_backward(steps, backward)
        self._note("future", int(np.count_nonzero(steps > FUTURE_US)))
        first, self._seen, self._last = self._seen, self._seen + len(t), int(t[-1])
        if self.policy == "fail" and backward:
            at = int(np.argmax(steps < 0))
            yield events[:at]
            raise RecordingError(
                f"time steps back by {show_us(-int(steps[at]))} at event {first + at:,}", remedy="--time clamp"
            )
        if self.policy == "keep" or (not backward and t[0] >= self._top):
            self._top = int(t[-1])
            yield events
        else:
            yield self._mend(events, t)

    def _mend(self, events: Array, t: Array) -> Array:
        latest = np.maximum.accumulate(np.maximum(t, self._top))
        self._top = int(latest[-1])
        late = latest != t
        self._note("dropped" if self.policy == "drop" else "clamped", int(np.count_nonzero(late)))
        if self.policy == "drop":
            kept: Array = events[~late]
            return kept
        events = events.copy()
        events["t"] = latest
        return events

    def _note_backward(self, steps: Array, count: int) -> None:
        self._note("backward", count)
        at = int(np.argmin(steps))
        self._worst = min(self._worst, (int(steps[at]), self._seen + at))

    def _note(self, problem: str, count: int) -> None:
        if count:
            self.problems[problem] = self.problems.get(problem, 0) + count


def _legal(t: Array) -> int:
    """Return how many stamps stand before the first one beyond the limit."""
    if t.min() >= -LIMIT_US and t.max() < LIMIT_US:
        return len(t)
    return int(np.argmax((t < -LIMIT_US) | (t >= LIMIT_US)))
