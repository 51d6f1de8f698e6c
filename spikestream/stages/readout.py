"""The readout stage: neurons earn labels while the stream runs, and vote with their spike counts over a window.

Law: the decision for a window is made with votes unchanged since the window began. A label names spikes that are there
already: it is applied to the windows it covers once the window under way is decided, so from its own time on.

Votes: ``votes[c, j]`` is the running mean count of neuron j in windows of class c, so that the frequency of a class
cancels. A spike of neuron j speaks for class c with ``votes[c, j] / sum over classes of votes[:, j]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from spikestream.batch import Array, Batch, Command, Decision, Decisions, Label, Setting, Spikes, Window, first_at
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.stages.base import Account, State, take_over

WINDOWS = ("grid", "marked", "voice")
LONG_AGO = -(2**63)


class Readout:
    """Rate-code readout of ``neurons`` neurons; called with `Spikes`, returns `Decisions`.

    ``windows`` "grid" cuts stream time every ``window_us`` µs, "marked" decides the windows its `Window` commands mark,
    and so does "voice", which tells who marks them. A mark that begins inside the last one continues it to its own end.
    ``memory`` is the least weight of a new sample in the running means; ``kept`` decided windows may still be labelled.
    Raises `ConfigError`.
    """

    LEARNED = ("labels", "votes", "seen")

    def __init__(
        self, neurons: int, *, window_us: int = 100_000, windows: str = "grid", memory: float = 0.02, kept: int = 64
    ) -> None:
        if windows not in WINDOWS:
            raise ConfigError(f"unknown windows '{windows}'", key="windows", value=windows, allowed=", ".join(WINDOWS))
        if window_us < 1 or kept < 1 or not 0 <= memory <= 1:
            raise ConfigError("window_us and kept start at 1, memory lies in 0..1", key="readout")
        self.window_us, self.windows, self.memory, self.kept = window_us, windows, memory, kept
        self.learning = True
        self.account = Account(conserves=False)
        self.unmatched = 0  # labels that covered no window kept
        self._labels: list[str] = []
        self._votes = np.zeros((0, neurons))
        self._seen = np.zeros(0, np.int64)
        self._counts = np.zeros(neurons, np.int64)  # of the window under way
        self._now = LONG_AGO
        self._heard = LONG_AGO  # the end of the last batch: where a gap began
        self._marks: list[Window] = []
        self._past: list[tuple[Window, Array]] = []
        self._waiting: list[Label | Setting] = []

    def __call__(self, batch: Batch) -> Decisions:
        """Count the spikes of the batch and return the decisions of the windows that end by ``batch.stop``."""
        if not isinstance(batch, Spikes):
            raise SpikestreamError(f"the readout takes spikes, not {type(batch).__name__}")
        if len(batch) and not 0 <= batch.axon.min() <= batch.axon.max() < len(self._counts):
            raise ModelError(f"neurons {batch.axon.min()}..{batch.axon.max()} do not fit {len(self._counts)}")
        if self._heard == LONG_AGO:  # nobody heard what was marked before the stream began
            self._marks = [mark for mark in self._marks if mark.stop > batch.start]
        self._now = batch.start
        rows = []
        while (window := self._window()) is not None and window.start < batch.stop:
            self._now = max(self._now, window.start)
            self._apply_due()
            self._count(batch, self._now, min(window.stop, batch.stop))
            self._now = min(window.stop, batch.stop)
            if window.stop > batch.stop:
                break
            rows.append(self._close(window))
        self._now = self._heard = batch.stop
        self._apply_due()
        self.account.taken += len(batch)
        self.account.given += len(rows)
        return Decisions(batch.start, batch.stop, tuple(rows))

    def skip(self, start: int, stop: int) -> Decisions:
        """Decide the window under way if it ends in the gap ``[start, stop)``, but none that begins after ``start``.

        What the stage before still had to say of a tick under way came as a batch, before ``start``.
        """
        self._now = start
        window = self._window()
        rows = []
        if window is not None and window.start < self._heard and window.stop <= stop:
            rows.append(self._close(window))
        self._marks = [mark for mark in self._marks if mark.stop > stop]
        self._now = stop
        window = self._window()
        if window is not None:  # what is due when it begins, in the gap or at its end, is in force in it
            self._now = max(start, min(window.start, stop))
        self._apply_due()
        self._now = stop
        self.account.given += len(rows)
        return Decisions(start, stop, tuple(rows))

    def command(self, command: Command) -> None:
        """Take a label, a mark, or the setting ``learn.enabled``."""
        if isinstance(command, Window):
            if self.windows != "grid" and max(command.start, self._now) < command.stop:
                self._mark(command)
        elif isinstance(command, Label) or command.key == "learn.enabled":
            self._waiting.append(command)
            self._apply_due()

    def state(self) -> State:
        """Return copies of votes, labels, counts, kept windows and what waits for the window under way to end."""
        settings = [(c.t, int(bool(c.value))) for c in self._waiting if isinstance(c, Setting)]
        labels = [c for c in self._waiting if isinstance(c, Label)]
        order = [isinstance(c, Label) for c in self._waiting]
        return {
            "now": np.array(self._now, np.int64),
            "learning": np.array(self.learning),
            "labels": np.array(self._labels, np.str_),
            "votes": self._votes.copy(),
            "seen": self._seen.copy(),
            "counts": self._counts.copy(),
            "marks": np.array([(m.start, m.stop) for m in self._marks], np.int64).reshape(-1, 2),
            "past": np.array([(w.start, w.stop) for w, _ in self._past], np.int64).reshape(-1, 2),
            "past_counts": np.array([c for _, c in self._past], np.int64).reshape(-1, len(self._counts)),
            "waiting_is_label": np.array(order, np.bool_),
            "waiting_settings": np.array(settings, np.int64).reshape(-1, 2),
            "waiting_times": np.array([(c.t, c.start, c.stop) for c in labels], np.int64).reshape(-1, 3),
            "waiting_labels": np.array([c.label for c in labels], np.str_),
        }

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit."""
        own = self.state()
        growing = tuple(key for key in own if key not in ("now", "learning", "counts"))
        taken = take_over(own, state, growing)
        if not _agree(taken):
            raise ModelError("the saved state contradicts itself: of what belongs together some is missing")
        counts = [taken[key] for key in ("votes", "seen", "counts", "past_counts")]
        if not all(np.isfinite(values).all() and (values >= 0).all() for values in counts):
            raise ModelError("the saved state contradicts itself: votes or counts are negative or not finite")
        self._now, self.learning = int(taken["now"]), bool(taken["learning"])
        self._heard = self._now
        self._labels = [str(name) for name in taken["labels"]]
        self._votes, self._seen, self._counts = taken["votes"], taken["seen"], taken["counts"]
        self._marks = [Window(int(start), int(stop)) for start, stop in taken["marks"]]
        windows = [Window(int(start), int(stop)) for start, stop in taken["past"]]
        self._past = list(zip(windows, taken["past_counts"], strict=True))
        settings = iter([Setting(int(t), "learn.enabled", bool(on)) for t, on in taken["waiting_settings"]])
        rows = zip(taken["waiting_times"], taken["waiting_labels"], strict=True)
        labels = iter([Label(int(t), int(start), int(stop), str(name)) for (t, start, stop), name in rows])
        self._waiting = [next(labels) if is_label else next(settings) for is_label in taken["waiting_is_label"]]

    def _window(self) -> Window | None:
        """Return the window under way at `_now`, else the next one, None where no mark is left."""
        if self.windows != "grid":
            return self._marks[0] if self._marks else None
        start = self._now // self.window_us * self.window_us
        return Window(start, start + self.window_us)

    def _mark(self, mark: Window) -> None:
        last = self._marks[-1] if self._marks else None
        if last is None or mark.start >= last.stop:
            self._marks.append(mark)
        elif mark.start > last.start:
            self._marks[-1] = replace(last, stop=mark.stop)

    def _count(self, batch: Spikes, start: int, stop: int) -> None:
        inside = batch.axon[first_at(batch.t, start) : first_at(batch.t, stop)]
        self._counts += np.bincount(inside, minlength=len(self._counts))

    def _close(self, window: Window) -> Decision:
        decision = self._decide(window)
        self._past = (
            [*self._past[-self.kept + 1 :], (window, self._counts)] if self.kept > 1 else [(window, self._counts)]
        )
        self._counts = np.zeros_like(self._counts)
        self._marks = self._marks[1:]
        return decision

    def _decide(self, window: Window) -> Decision:
        evidence = float(self._counts.sum())
        heard = self._votes.sum(axis=0)
        shares = np.divide(self._votes, heard, out=np.zeros_like(self._votes), where=heard > 0)
        scores = (shares * self._counts).sum(axis=1)
        total = float(scores.sum())
        if total <= 0:
            return Decision(window.start, window.stop, None, 0.0, (), evidence)
        best = int(scores.argmax())
        named = tuple(zip(self._labels, (float(score) for score in scores), strict=True))
        return Decision(window.start, window.stop, self._labels[best], float(scores[best]) / total, named, evidence)

    def _apply_due(self) -> None:
        window = self._window()
        if window is not None and window.start < self._now:
            return
        due = [command for command in self._waiting if command.t <= self._now]
        self._waiting = [command for command in self._waiting if command.t > self._now]
        for command in sorted(due, key=lambda command: command.t):
            if isinstance(command, Setting):
                self.learning = bool(command.value)
            elif self.learning:
                self._learn(command)

    def _learn(self, label: Label) -> None:
        covered = [counts for window, counts in self._past if label.start <= window.start and window.stop <= label.stop]
        self.unmatched += not covered
        for counts in covered:
            if label.label not in self._labels:
                self._labels.append(label.label)
                self._votes = np.vstack([self._votes, np.zeros(self._votes.shape[1])])
                self._seen = np.append(self._seen, 0)
            c = self._labels.index(label.label)
            self._seen[c] += 1
            self._votes[c] += (counts - self._votes[c]) * max(1 / self._seen[c], self.memory)


def _agree(taken: Mapping[str, Array]) -> bool:
    length = {key: len(value) for key, value in taken.items() if value.ndim}
    labels = int(taken["waiting_is_label"].sum())
    return (
        length["labels"] == length["votes"] == length["seen"]
        and length["past"] == length["past_counts"]
        and labels == length["waiting_labels"] == length["waiting_times"]
        and length["waiting_is_label"] == labels + length["waiting_settings"]
    )
