"""The readout stage: neurons earn labels while the stream runs, and vote with their spike counts over a window.

Law: the decision for a window is made with votes unchanged since the window began (`spikestream.stages.windows`).

Votes: ``votes[c, j]`` is the running mean count of neuron j in windows of class c, so that the frequency of a class
cancels. A spike of neuron j speaks for class c with ``votes[c, j] / sum over classes of votes[:, j]``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spikestream.batch import Array, Batch, Decision, Label, Spikes, Window, first_at
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.stages.base import State, take_over
from spikestream.stages.windows import Windowed, waiting_agrees


class Readout(Windowed):
    """Rate-code readout of ``neurons`` neurons; called with `Spikes`, returns `Decisions`.

    ``windows`` and ``window_us`` are those of `spikestream.stages.windows.Windowed`. ``memory`` is the least weight of
    a new sample in the running means; ``kept`` decided windows may still be labelled. Raises `ConfigError`.
    """

    LEARNED = ("labels", "votes", "seen")

    def __init__(
        self, neurons: int, *, window_us: int = 100_000, windows: str = "grid", memory: float = 0.02, kept: int = 64
    ) -> None:
        super().__init__(windows, window_us)
        if window_us < 1 or kept < 1 or not 0 <= memory <= 1:
            raise ConfigError("window_us and kept start at 1, memory lies in 0..1", key="readout")
        self.memory, self.kept = memory, kept
        self._labels: list[str] = []
        self._votes = np.zeros((0, neurons))
        self._seen = np.zeros(0, np.int64)
        self._counts = np.zeros(neurons, np.int64)  # of the window under way
        self._past: list[tuple[Window, Array]] = []

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the names of the classes taught so far, in that order."""
        return tuple(self._labels)

    def state(self) -> State:
        """Return copies of votes, labels, counts, kept windows and what waits for the window under way to end."""
        return {
            **self._state(),
            "labels": np.array(self._labels, np.str_),
            "votes": self._votes.copy(),
            "seen": self._seen.copy(),
            "counts": self._counts.copy(),
            "past": np.array([(w.start, w.stop) for w, _ in self._past], np.int64).reshape(-1, 2),
            "past_counts": np.array([c for _, c in self._past], np.int64).reshape(-1, len(self._counts)),
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
        self._restore(taken)
        self._labels = [str(name) for name in taken["labels"]]
        self._votes, self._seen, self._counts = taken["votes"], taken["seen"], taken["counts"]
        windows = [Window(int(start), int(stop)) for start, stop in taken["past"]]
        self._past = list(zip(windows, taken["past_counts"], strict=True))

    def _check(self, batch: Batch) -> Spikes:
        if not isinstance(batch, Spikes):
            raise SpikestreamError(f"the readout takes spikes, not {type(batch).__name__}")
        if len(batch) and not 0 <= batch.axon.min() <= batch.axon.max() < len(self._counts):
            raise ModelError(f"neurons {batch.axon.min()}..{batch.axon.max()} do not fit {len(self._counts)}")
        self.account.taken += len(batch)
        return batch

    def _hear(self, batch: Spikes, start: int, stop: int, window: Window | None) -> tuple[Decision, ...]:
        if window is not None:
            inside = batch.axon[first_at(batch.t, start) : first_at(batch.t, stop)]
            self._counts += np.bincount(inside, minlength=len(self._counts))
        return ()

    def _miss(self, start: int, stop: int, window: Window | None) -> None:
        """Nothing is counted in a gap."""

    def _close(self, window: Window) -> Decision:
        decision = self._decide(window)
        self._past = (
            [*self._past[-self.kept + 1 :], (window, self._counts)] if self.kept > 1 else [(window, self._counts)]
        )
        self._counts = np.zeros_like(self._counts)
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

    def _learn(self, label: Label) -> int:
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
        return len(covered)


def _agree(taken: Mapping[str, Array]) -> bool:
    length = {key: len(value) for key, value in taken.items() if value.ndim}
    return (
        length["labels"] == length["votes"] == length["seen"]
        and length["past"] == length["past_counts"]
        and waiting_agrees(taken)
    )
