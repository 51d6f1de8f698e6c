"""How good the decisions are: prequential, held-out, and beside them chance and a nearest-centroid baseline.

A row of labels becomes windows, and each window commands: a mark, its label at its end if it is to be taught, and a
freeze while held-out windows run. The scorer then sees the outputs only, so it cannot leak a label into a decision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spikestream.batch import Array, Batch, Command, Decisions, Label, Setting, Spikes, Window, first_at
from spikestream.errors import ConfigError
from spikestream.files.labels import LabelRow

MOST_WINDOWS = 10_000_000
"""So many windows are scored at most: more are a slip in a label file."""


def windows_of(rows: Sequence[LabelRow], grid_us: int | None) -> Iterator[LabelRow]:
    """Yield the windows the readout decides inside the labelled rows: the rows themselves, or the grid within them.

    Raises `ConfigError` for more than ten million.
    """
    if grid_us is not None and sum((row.stop - row.start) // grid_us for row in rows) > MOST_WINDOWS:
        text = f"the labels make more than {MOST_WINDOWS:,} windows of {grid_us} µs"
        raise ConfigError(text, key="readout.window_us", value=grid_us, allowed="longer windows, or shorter rows")
    for row in rows:
        if grid_us is None:
            yield row
            continue
        starts = range(-(-row.start // grid_us) * grid_us, row.stop - grid_us + 1, grid_us)
        for start in starts:  # a reward is given once, at the end
            yield replace(row, start=start, stop=start + grid_us, reward=row.reward if start == starts[-1] else 0.0)


def commands_of(windows: Sequence[LabelRow], *, mark: bool, teach: bool) -> list[Command]:
    """Return the commands that make a pipeline decide these windows, learn the taught ones, freeze for the others."""
    commands: list[Command] = []
    frozen = False
    for window in windows:
        if teach and window.test != frozen:
            frozen = window.test
            commands.append(Setting(window.start, "learn.enabled", not frozen))
        if mark:
            commands.append(Window(window.start, window.stop))
        if teach and not window.test:
            commands.append(Label(window.stop, window.start, window.stop, window.label, window.reward))
    return sorted(commands, key=lambda command: command.t)


@dataclass(frozen=True, slots=True)
class Judged:
    """A labelled window that was decided: ``label`` by the pipeline, ``near`` by the nearest centroid; None = unknown.

    ``held_out`` is whether nothing was taught in it.
    """

    window: LabelRow
    label: str | None
    near: str | None
    held_out: bool


class Centroids:
    """The baseline: the mean direction of the spike counts (axons,) of each label, and which of them is nearest."""

    def __init__(self) -> None:
        self._sums: dict[str, Array] = {}
        self._norms: dict[str, float] = {}  # their lengths, measured once while nothing is added

    def __len__(self) -> int:
        return len(self._sums)

    def nearest(self, unit: Array) -> str | None:
        """Return the label whose centroid lies nearest to a direction (axons,), None before the first one."""
        near = {name: float(total @ unit / self._norms[name]) for name, total in self._sums.items()}
        return max(near, key=near.__getitem__) if near else None

    def learn(self, label: str, unit: Array) -> None:
        """Take a direction into the centroid of its label."""
        total = self._sums.get(label, 0) + unit
        self._sums[label], self._norms[label] = total, max(float(np.linalg.norm(total)), 1e-12)


class Scorer:
    """Watches a pipeline's outputs over labelled windows, in time order.

    ``taught`` False means that nothing was learned here, so every window counts as held out. What is in ``watchers`` is
    called with each window as it is judged; ``centroids`` may be those of an earlier run.
    """

    def __init__(self, windows: Sequence[LabelRow], axons: int, taught: bool) -> None:
        self.watchers: list[Callable[[Judged], None]] = []
        self.centroids = Centroids()
        self._windows = list(windows)
        self._taught = taught
        self._truth = {(w.start, w.stop): w for w in self._windows}
        self._next = 0
        self._counts = np.zeros(axons)
        self._near: dict[tuple[int, int], str | None] = {}  # what the baseline said
        self._right = {"train": 0, "test": 0, "baseline": 0}
        self._total = {"train": 0, "test": 0}
        self._labels: Counter[str] = Counter()

    def observe(self, spikes: Batch, decisions: Batch) -> None:
        """Take the address spikes and the decisions of one batch."""
        if isinstance(spikes, Spikes):
            self._count(spikes)
        if isinstance(decisions, Decisions):
            for row in decisions.rows:
                window = self._truth.get((row.start, row.stop))
                if window is not None:
                    self._judge(window, row.label)

    def truth(self, start: int, stop: int) -> LabelRow | None:
        """Return what the window ``[start, stop)`` really shows, None where nobody said."""
        return self._truth.get((start, stop))

    def results(self) -> Mapping[str, float | None]:
        """Return accuracy, prequential_accuracy, chance and baseline_accuracy as shares, None where not measured.

        Chance is the share of the commonest label among the held-out windows.
        """
        tests = self._total["test"]
        return {
            "accuracy": self._right["test"] / tests if tests else None,
            "prequential_accuracy": self._right["train"] / self._total["train"] if self._total["train"] else None,
            "chance": max(self._labels.values()) / tests if tests else None,
            "baseline_accuracy": self._right["baseline"] / tests if tests and self.centroids else None,
        }

    @property
    def decided(self) -> int:
        """Return how many labelled windows were decided."""
        return sum(self._total.values())

    def _judge(self, window: LabelRow, label: str | None) -> None:
        part, near = self._part(window), self._near.pop((window.start, window.stop), None)
        self._total[part] += 1
        self._right[part] += label == window.label
        if part == "test":
            self._labels[window.label] += 1
            self._right["baseline"] += near == window.label
        for watch in self.watchers:
            watch(Judged(window, label, near, part == "test"))

    def _part(self, window: LabelRow) -> str:
        return "test" if window.test or not self._taught else "train"

    def _count(self, spikes: Spikes) -> None:
        while self._next < len(self._windows):
            window = self._windows[self._next]
            inside = spikes.axon[first_at(spikes.t, window.start) : first_at(spikes.t, window.stop)]
            self._counts += np.bincount(inside, minlength=len(self._counts))
            if window.stop > spikes.stop:
                return
            self._close(window)
            self._next += 1

    def _close(self, window: LabelRow) -> None:
        """Let the baseline say which centroid is nearest, then learn from a taught window."""
        unit = self._counts / max(float(np.linalg.norm(self._counts)), 1e-12)
        self._counts = np.zeros_like(self._counts)
        self._near[window.start, window.stop] = self.centroids.nearest(unit)
        if not window.test:
            self.centroids.learn(window.label, unit)
