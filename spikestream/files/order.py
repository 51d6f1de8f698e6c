"""Time runs forward: what becomes of stamps that do not, decided over whole arrays, and counted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spikestream.batch import LIMIT_US, Array
from spikestream.errors import ConfigError, RecordingError, nearest
from spikestream.files.sorting import Sorter
from spikestream.formats.base.steps import look, named
from spikestream.units import show_us

POLICIES = ("clamp", "sort", "drop", "fail", "keep")

ANY = (1 << 16, 1 << 16)
"""The size that no event lies outside of."""
BECAME = ("clamped", "sorted", "dropped")
"""What may become of an event that comes late."""
FUTURE_US = 10_000_000
"""A step forward beyond this is reported: in a recording it is rarely silence, mostly a damaged stamp."""


class Order:
    """One recording's time policy, fed with its arrays in file order.

    ``clamp`` raises a late stamp to the latest one so far, ``sort`` puts the event where it belongs, as far as the
    window of `Sorter` reaches, ``drop`` leaves it out, ``fail`` raises at the first step back, ``keep`` changes none.
    ``problems`` collects what was seen: ``backward`` and ``future`` steps from one stamp to the next as stored, events
    ``clamped``, ``sorted`` and ``dropped``. Raises `ConfigError` for another policy.
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
        self._state = np.array([0, 0, -LIMIT_US, 0, 0, 0, 0, 0, 0], np.int64)
        self._now = named(self._state)
        self._sorter = Sorter()

    def feed(self, events: Array, size: tuple[int, int] | None = None, *, tidy: bool = False) -> Iterator[Array]:
        """Yield the events (n,) EVENT as the policy leaves them; count those outside of ``size`` (width, height).

        ``tidy`` is what their decoder knows of them, see `Decoder`: only how they follow the last ones is looked at.
        Raises `RecordingError`, after the good ones, for a stamp outside of [-2^62, 2^62) µs, and for what ``fail``
        refuses.
        """
        if not len(events):
            return
        before = self._now
        if tidy and self._goes_on(events):
            yield from self._sort(events, before) if self.policy == "sort" else (events,)
            return
        legal, now = look(events, size or ANY, LIMIT_US, FUTURE_US, self._state)
        self._now = now
        for problem in ("backward", "future", "outside"):
            self._note(problem, now[problem] - before[problem])
        good = events[:legal]
        if self.policy == "fail" and now["backward"] > before["backward"]:
            yield from self._up_to_a_step_back(good, before)
        elif self.policy == "sort":
            yield from self._sort(good, before)
        elif self.policy == "keep" or now["late"] == before["late"]:
            yield good
        else:
            yield self._mend(good, before["top"])
        if legal < len(events):
            raise RecordingError(
                "a time stamp is beyond what stream time can hold",
                expected="-2^62 <= t < 2^62 µs",
                found=f"{events['t'][legal]} µs at event {now['seen']:,}",
            )

    def finish(self) -> Iterator[Array]:
        """Yield what ``sort`` has held back: no more events will come."""
        return self._sorter.finish()

    def warning(self) -> str:
        """Return one line about the steps back and what became of them, "" where there were none."""
        backward = self.problems.get("backward", 0)
        if not backward:
            return ""
        step, event = self._state[-2:].tolist()
        steps = f"{backward:,} backward time step{'s' if backward > 1 else ''}"
        became = ", ".join(f"{count:,} {what}" for what in BECAME if (count := self.problems.get(what, 0)))
        used = f"time policy '{self.policy}' used" + (f": {became}" if became else "")
        return f"{steps} (largest -{show_us(-step)} at event {event:,}); {used}"

    def others(self) -> dict[str, int]:
        """Return the problems that `warning` does not tell of."""
        return {problem: n for problem, n in self.problems.items() if n and problem not in ("backward", *BECAME)}

    def _goes_on(self, events: Array) -> bool:
        """Return whether tidy events follow the last ones as they follow each other; if so, take note of them."""
        now, first, last = self._now, int(events["t"][0]), int(events["t"][-1])
        if not (now["seen"] and now["top"] <= first <= now["last"] + FUTURE_US and last < LIMIT_US):
            return False
        seen = now["seen"] + len(events)
        self._now = now | {"seen": seen, "last": last, "top": last}
        self._state[:3] = seen, last, last
        return True

    def _up_to_a_step_back(self, events: Array, before: dict[str, int]) -> Iterator[Array]:
        t = np.ascontiguousarray(events["t"])
        steps = np.diff(t, prepend=before["last"] if before["seen"] else t[0])
        at = int(np.argmax(steps < 0))
        yield events[:at]
        text = f"time steps back by {show_us(-int(steps[at]))} at event {before['seen'] + at:,}"
        raise RecordingError(text, remedy="--time clamp")

    def _sort(self, events: Array, before: dict[str, int]) -> Iterator[Array]:
        if not len(events):
            return
        late = self._now["late"] - before["late"]
        clamped, ready = self._sorter.feed(events, before["seen"], before["top"], late > 0)
        self._note("sorted", late - clamped)
        self._note("clamped", clamped)
        yield from ready

    def _mend(self, events: Array, top: int) -> Array:
        t = events["t"]
        latest = np.maximum.accumulate(np.maximum(t, top))
        late = latest != t
        self._note("dropped" if self.policy == "drop" else "clamped", int(np.count_nonzero(late)))
        if self.policy == "drop":
            kept: Array = events[~late]
            return kept
        events = events.copy()
        events["t"] = latest
        return events

    def _note(self, problem: str, count: int) -> None:
        if count:
            self.problems[problem] = self.problems.get(problem, 0) + count
