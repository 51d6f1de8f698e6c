"""Whether what decides can still be trusted: prequential accuracy, an alarm when it falls, and the way back.

Law: a decision is final before its label, so it is judged when a label comes that names its window, and only if the
window was over by the label's own time. What is judged so is prequential: predict, then be told, then learn.

The alarm is ADWIN (Bifet & Gavaldà, Learning from time-changing data with adaptive windowing, SDM 2007). Of the last n
judgements, cut into n0 older and n1 newer ones with shares p0 and p1 of right ones, the older are forgotten when

    |p0 - p1| >= sqrt(2 v L / m) + 2 L / (3 m),   1/m = 1/n0 + 1/n1,   v = p (1 - p) of all n,   L = ln(2 ln(n) / delta)

and it is an alarm where p1 is below p0: a learner that gets better gives none. ``delta`` bounds how often nothing has
happened. Cuts are tried at n1 = 16, 32, 64, …, so that a judgement costs a dozen comparisons.
"""

from __future__ import annotations

import io
import logging
import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikestream.batch import Array, Batch, Command, Decision, Decisions, Label, Setting
from spikestream.errors import ConfigError, ModelError
from spikestream.stages.base import Learner, Stage, State, take_over

log = logging.getLogger(__name__)

LEAST = 16
"""Judgements on either side of a cut."""
MOST = 4_096
"""Judgements that are remembered."""
PENDING = 100
"""Decided windows that a label may still name."""
MOST_WINDOW = 1_000_000
PREFIX = "trust_"


@dataclass(frozen=True, slots=True)
class Fall:
    """At ``t`` µs the accuracy was found to have fallen from ``before`` to ``after``, over the last ``windows``."""

    t: int
    before: float
    after: float
    windows: int

    def __str__(self) -> str:
        return f"{self.before:.1%} right became {self.after:.1%} by {self.t / 1e6:.3f} s"


class Trust:
    """Judges decisions by the labels that come after them.

    ``window`` judgements make the sliding accuracy; ``drift`` is ADWIN's delta, 0 for no alarm. Raises `ConfigError`.
    """

    def __init__(self, window: int = 100, drift: float = 0.002) -> None:
        if not 1 <= window <= MOST_WINDOW:
            text, allowed = f"trust.window = {window} is out of range", f"1 to {MOST_WINDOW:,}"
            raise ConfigError(text, key="trust.window", value=window, allowed=allowed)
        if not 0 <= drift < 1:
            text = f"trust.drift = {drift} is no probability"
            raise ConfigError(text, key="trust.drift", value=drift, allowed="0 (no alarm) up to below 1")
        self.window, self.drift = window, drift
        self.judged = self.right = 0
        self.falls: list[Fall] = []  # the last few
        self.best: float | None = None
        """The highest sliding accuracy since the last alarm, of a window that is full."""
        self._pending: deque[Decision] = deque(maxlen=PENDING)
        self._recent: deque[tuple[bool, str]] = deque(maxlen=window)
        self._history = np.empty(0, np.bool_)

    def decided(self, rows: Iterable[Decision]) -> None:
        """Remember decisions until a label names them; of several on what began at one time, the last."""
        for row in rows:
            if self._pending and self._pending[-1].start == row.start:
                self._pending.pop()
            self._pending.append(row)

    def taught(self, label: Label) -> tuple[bool, Fall | None]:
        """Judge the decisions that a label names; return whether the sliding accuracy is now at its best, or a fall.

        Windows that were not over at the label's own time are not judged by it.
        """
        named = [row for row in self._pending if _names(label, row)]
        if named:
            self._pending = deque((row for row in self._pending if not _names(label, row)), maxlen=PENDING)
        best, fallen = False, None
        for row in named:
            better, fall = self._judge(label.t, row.label == label.label, label.label)
            best, fallen = better or best, fall or fallen
        return best and fallen is None, fallen

    @property
    def sliding(self) -> float | None:
        """Return the share of right ones in the sliding window, None before the first judgement."""
        return sum(right for right, _ in self._recent) / len(self._recent) if self._recent else None

    @property
    def chance(self) -> float | None:
        """Return the share of the commonest label in the sliding window, None before the first judgement."""
        return max(Counter(name for _, name in self._recent).values()) / len(self._recent) if self._recent else None

    def _judge(self, t: int, right: bool, name: str) -> tuple[bool, Fall | None]:
        self.judged, self.right = self.judged + 1, self.right + right
        self._recent.append((right, name))
        self._history = np.append(self._history[-MOST + 1 :], right)
        if (fall := self._fall(t)) is not None:
            self.falls = [*self.falls[-9:], fall]
            self._recent.clear()
            self.best = None
            return False, fall
        share = self.sliding
        if share is None or len(self._recent) < self.window or (self.best is not None and share <= self.best):
            return False, None
        self.best = share
        return True, None

    def _fall(self, t: int) -> Fall | None:
        """Forget what is older than a change; return the change if it was for the worse."""
        n, found = len(self._history), None
        total, newer = int(self._history.sum()) if self.drift else 0, LEAST
        while self.drift and newer <= n - LEAST:
            right = int(self._history[-newer:].sum())
            p0, p1 = (total - right) / (n - newer), right / newer
            if abs(p0 - p1) >= self._least_change(n, newer, total / n):
                found = Fall(t, p0, p1, newer) if p1 < p0 else None
                self._history = self._history[-newer:].copy()
                break
            newer *= 2
        return found

    def _least_change(self, n: int, newer: int, p: float) -> float:
        inverse = 1 / newer + 1 / (n - newer)
        log_term = math.log(2 * math.log(n) / self.drift)
        return math.sqrt(2 * p * (1 - p) * log_term * inverse) + 2 * log_term * inverse / 3

    def state(self) -> State:
        """Return all that it remembers."""
        rows = list(self._pending)
        return {
            "judged": np.array([self.judged, self.right], np.int64),
            "best": np.array(np.nan if self.best is None else self.best),
            "pending": np.array([(row.start, row.stop) for row in rows], np.int64).reshape(-1, 2),
            "pending_known": np.array([row.label is not None for row in rows], np.bool_),
            "pending_labels": np.array([row.label or "" for row in rows], np.str_),
            "recent": np.array([right for right, _ in self._recent], np.bool_),
            "recent_labels": np.array([name for _, name in self._recent], np.str_),
            "history": self._history.copy(),
            "falls": np.array([(f.t, f.windows) for f in self.falls], np.int64).reshape(-1, 2),
            "fallen": np.array([(f.before, f.after) for f in self.falls], np.float64).reshape(-1, 2),
        }

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit."""
        own = self.state()
        taken = take_over(own, state, growing=tuple(key for key in own if key not in ("judged", "best")))
        length = {key: len(value) for key, value in taken.items() if value.ndim}
        agree = length["pending"] == length["pending_known"] == length["pending_labels"]
        agree = agree and length["recent"] == length["recent_labels"] and length["falls"] == length["fallen"]
        if not agree or max(length.values()) > max(MOST, self.window):
            raise ModelError("the saved state contradicts itself: of what belongs together some is missing")
        self.judged, self.right = (int(count) for count in taken["judged"])
        best = float(taken["best"])
        self.best = None if math.isnan(best) else best
        names = [str(name) if known else None for name, known in _pairs(taken, "pending_labels", "pending_known")]
        windows = zip(taken["pending"].tolist(), names, strict=True)
        self._pending = deque((Decision(a, b, name, 0.0) for (a, b), name in windows), maxlen=PENDING)
        recent = _pairs(taken, "recent", "recent_labels")
        self._recent = deque(((bool(right), str(name)) for right, name in recent), maxlen=self.window)
        self._history = taken["history"]
        falls = zip(taken["falls"].tolist(), taken["fallen"].tolist(), strict=True)
        self.falls = [Fall(t, before, after, windows) for (t, windows), (before, after) in falls]


class Guarded:
    """A readout that goes back: at an alarm all of ``stages`` get back what they had learned at the best accuracy.

    Then they learn no more until ``learn.enabled`` is set again. It behaves as the readout does, which is one of the
    ``stages``; what was learned is kept from labels on, so that no cut of the stream changes when.
    """

    def __init__(self, readout: Any, stages: Mapping[str, Stage], trust: Trust) -> None:
        self.readout, self.trust = readout, trust
        self._stages = dict(stages)
        self._good = b""  # what was learned at the best accuracy, as an NPZ

    def __getattr__(self, name: str) -> Any:
        if name == "readout":  # while it is copied it has none yet
            raise AttributeError(name)
        return getattr(self.readout, name)

    @property
    def learning(self) -> bool:
        """Return whether the readout learns."""
        return bool(self.readout.learning)

    def __call__(self, batch: Batch) -> Decisions:
        """Return what the readout decides."""
        return self._seen(self.readout(batch))

    def skip(self, start: int, stop: int) -> Decisions:
        """Return what the readout decides in a gap."""
        return self._seen(self.readout.skip(start, stop))

    def command(self, command: Command) -> None:
        """Judge by a label before the readout learns from it; at an alarm, go back and learn no more."""
        if isinstance(command, Label):
            best, fall = self.trust.taught(command)
            if best:
                self._good = self._learned()
            elif fall is not None:
                self._go_back(fall)
        self.readout.command(command)

    def state(self) -> State:
        """Return the state of the readout, what trust rests on, and what there is to go back to."""
        own = {f"{PREFIX}{key}": value for key, value in self.trust.state().items()}
        return {**self.readout.state(), **own, f"{PREFIX}good": np.frombuffer(self._good, np.uint8).copy()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit."""
        own = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
        good = own.pop("good", None)
        if good is None or good.dtype != np.uint8 or good.ndim != 1:
            raise ModelError("the saved state is of another kind of stage: it was made without trust.rollback")
        if good.nbytes:
            _unpacked(good.tobytes())
        kept = self.trust.state()
        self.trust.restore(own)
        try:
            self.readout.restore({key: value for key, value in state.items() if not key.startswith(PREFIX)})
        except ModelError:
            self.trust.restore(kept)
            raise
        self._good = good.tobytes()

    def _seen(self, made: Decisions) -> Decisions:
        self.trust.decided(made.rows)
        return made

    def _learned(self) -> bytes:
        """Return what all stages have learned by now."""
        file = io.BytesIO()
        kept = {
            f"{name}/{key}": value
            for name, stage in self._stages.items()
            for key, value in stage.state().items()
            if key in getattr(stage, "LEARNED", ())
        }
        np.savez(file, **kept)  # type: ignore[arg-type]
        return file.getvalue()

    def _go_back(self, fall: Fall) -> None:
        kept = _unpacked(self._good) if self._good else {}
        for name, stage in self._stages.items():
            mine = {key.partition("/")[2]: value for key, value in kept.items() if key.partition("/")[0] == name}
            if mine:
                stage.restore({**stage.state(), **mine})
            if isinstance(stage, Learner):
                stage.command(Setting(fall.t, "learn.enabled", False))
        back = "what was learned at the best accuracy is back" if kept else "there was no best accuracy to go back to"
        log.warning("%s: %s, and learning is off", fall, back)


def _names(label: Label, row: Decision) -> bool:
    """Return whether a label may judge a decision: it names the whole window, which was over by then."""
    return label.start <= row.start and row.stop <= min(label.stop, label.t)


def _pairs(taken: Mapping[str, Array], one: str, other: str) -> Iterable[tuple[Any, Any]]:
    return zip(taken[one].tolist(), taken[other].tolist(), strict=True)


def _unpacked(data: bytes) -> dict[str, Array]:
    """Return the arrays of an NPZ; raises `ModelError`."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            if sum(entry.file_size for entry in file.zip.infolist()) > len(data):
                raise ValueError("it would unpack to more than it is")
            return {key: file[key] for key in file.files}
    except Exception as error:  # as of any damaged NPZ
        raise ModelError("the saved state contradicts itself: what is to go back to is damaged") from error
