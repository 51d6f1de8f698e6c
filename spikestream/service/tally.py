"""What becomes of many judged windows: accuracy with its standard error, chance, centroid, quarters, confusion.

Windows that were taught and windows that were held out are never put into one figure. A share p of n windows has the
standard error sqrt(p (1 - p) / n), as if windows were independent.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from spikestream.service.scoring import Judged

PARTS = 4


@dataclass(frozen=True, slots=True)
class Score:
    """``right`` of ``windows`` windows."""

    right: int
    windows: int

    @property
    def share(self) -> float | None:
        """Return the share of right ones, None of nothing."""
        return self.right / self.windows if self.windows else None

    @property
    def standard_error(self) -> float | None:
        """Return the standard error of the share, None of nothing."""
        p = self.share
        return None if p is None else math.sqrt(p * (1 - p) / self.windows)


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class among the held-out windows: how many show it, how many were called so, and how many of both."""

    label: str
    count: int
    predicted: int
    right: int

    @property
    def precision(self) -> float | None:
        """Return how many of those called so are, None where none was called so."""
        return self.right / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """Return how many of those that are were called so, None where there are none."""
        return self.right / self.count if self.count else None


class Tally:
    """Counts judged windows; a watcher of the scorer, of one run or of several in a row.

    ``held_out_only`` True counts as held out only what its row says is, and forgets the rest: of a frozen run nothing
    was taught, so all of it would be.
    """

    def __init__(self, held_out_only: bool = False) -> None:
        self._strict = held_out_only
        self._taught = bytearray()  # for each taught window in order, whether it was right
        self._commonest: Counter[str] = Counter()
        self._near_taught = self._near_held_out = 0
        self.confusion: Counter[tuple[str, str | None]] = Counter()
        """Held-out windows by (what they show, what was said)."""

    def __call__(self, judged: Judged) -> None:
        """Count one window."""
        truth = judged.window.label
        if not judged.held_out:
            self._taught.append(judged.label == truth)
            self._near_taught += judged.near == truth
            self._commonest[truth] += 1
        elif judged.window.test or not self._strict:
            self.confusion[truth, judged.label] += 1
            self._near_held_out += judged.near == truth

    @property
    def taught(self) -> Score:
        """Return the score of the windows that were taught, each decided before its label came."""
        return Score(sum(self._taught), len(self._taught))

    @property
    def held_out(self) -> Score:
        """Return the score of the windows that were held out."""
        right = sum(count for (truth, said), count in self.confusion.items() if truth == said)
        return Score(right, self.confusion.total())

    @property
    def unknown(self) -> int:
        """Return how many held-out windows got no label."""
        return sum(count for (_, said), count in self.confusion.items() if said is None)

    def quarters(self) -> list[float | None]:
        """Return the share of right ones in each quarter of the taught windows, in the order they came."""
        edges = [len(self._taught) * part // PARTS for part in range(PARTS + 1)]
        parts = (self._taught[a:b] for a, b in itertools.pairwise(edges))
        return [Score(sum(part), len(part)).share for part in parts]

    def recent(self, last: int) -> float | None:
        """Return the share of right ones among the last taught windows, None of nothing."""
        part = self._taught[-last:]
        return Score(sum(part), len(part)).share

    def chance(self) -> float | None:
        """Return the share of the commonest label among the held-out windows, None of nothing."""
        counts: Counter[str] = Counter()
        for (truth, _), count in self.confusion.items():
            counts[truth] += count
        return max(counts.values()) / counts.total() if counts else None

    def chance_taught(self) -> float | None:
        """Return the share of the commonest label among the taught windows, None of nothing."""
        return max(self._commonest.values()) / len(self._taught) if self._taught else None

    def nearest_held_out(self) -> float | None:
        """Return the accuracy of the nearest centroid on the held-out windows, None of nothing."""
        return Score(self._near_held_out, self.held_out.windows).share

    def nearest_taught(self) -> float | None:
        """Return the same on the taught windows, each said before its label moved a centroid."""
        return Score(self._near_taught, len(self._taught)).share

    def classes(self) -> list[ClassRow]:
        """Return a row for each class that is shown or was said, in order of their names."""
        names = {truth for truth, _ in self.confusion} | {said for _, said in self.confusion if said is not None}
        return [
            ClassRow(
                name,
                sum(count for (truth, _), count in self.confusion.items() if truth == name),
                sum(count for (_, said), count in self.confusion.items() if said == name),
                self.confusion[name, name],
            )
            for name in in_order(names)
        ]

    def matrix(self) -> tuple[list[str], list[list[int]]]:
        """Return the names of the classes, and for each the counts of what was said of it, the last for no label."""
        names = [row.label for row in self.classes()]
        said: Sequence[str | None] = [*names, None]
        return names, [[self.confusion[truth, one] for one in said] for truth in names]

    def figures(self) -> dict[str, Any]:
        """Return the figures of the held-out windows by name, None where nothing was measured."""
        score = self.held_out
        return {
            "windows": score.windows,
            "accuracy": score.share,
            "standard_error": score.standard_error,
            "unknown": self.unknown,
            "chance": self.chance(),
            "baseline_accuracy": self.nearest_held_out(),
        }


def in_order(names: Iterable[str]) -> list[str]:
    """Return names in order, numbers by their size."""
    return sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))
