"""Whether labels are of the recording they came with: on another clock, or in another unit, they teach nothing."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from spikestream.errors import RecordingError
from spikestream.files.labels import LabelRow
from spikestream.files.mistaken import beside

UNITS = {"ms": (1_000, 1), "s": (1_000_000, 1), "ns": (1, 1_000)}
"""What times in a unit are to be multiplied with, and divided by, to be µs."""
FEW = 100
"""Labels that fill less of a recording than one part in so many are suspicious, if a unit would explain it."""


class Fit:
    """Labelled windows, in order and at least one, beside the stream ``[start, stop)`` µs that was run of ``source``.

    A window is ``outside`` where the stream began after it or ended before it did.
    """

    def __init__(self, windows: Sequence[LabelRow], start: int, stop: int, source: str) -> None:
        self._windows, self._start, self._stop, self._source = windows, start, stop, source
        self._first, self._last = windows[0], windows[-1]
        self.outside = sum(window.stop <= start or window.stop > stop for window in windows)

    @property
    def none(self) -> bool:
        """Return whether all windows are outside."""
        return self.outside == len(self._windows)

    def warning(self) -> str:
        """Return what to know of labels that do not fit, or that look as if they did not; "" for nothing."""
        count, filled, length = len(self._windows), self._last.stop - self._first.start, self._stop - self._start
        if self.outside:
            what = f"{self.outside:,} of {count:,} labelled windows lie outside of the recording, and were not seen"
        elif FEW * filled < length and self._unit():
            what = f"all {count:,} labelled windows together last {filled:,} of {length:,} µs"
        else:
            return ""
        return f"{what}: {self._spans()}\n  {self._cause()}\n  try: {self._remedy()}"

    def error(self, file: str) -> RecordingError:
        """Return what to raise where none of the windows was seen."""
        text = f"none of the {len(self._windows):,} labelled windows lies in the recording: {self._spans()}"
        return RecordingError(text, file=file, details=[self._cause()], remedy=self._remedy())

    def _spans(self) -> str:
        labels = f"labels {self._first.start:,}..{self._last.stop:,} µs"
        return f"{labels}, recording {self._start:,}..{self._stop:,} µs"

    def _cause(self) -> str:
        if unit := self._unit():
            return f"the labels look like {unit}: start_us and stop_us are µs"
        return "labels are µs on the recording's own clock, which --t0 zero of convert and record sets to 0"

    def _remedy(self) -> str:
        if unit := self._unit():
            by, through = UNITS[unit]
            return f"labels with their times {f'multiplied by {by:,}' if by > 1 else f'divided by {through:,}'}"
        if 0 <= self._first.start < self._start and self._last.start < self._stop - self._start:
            return f"{self._command('convert')} zero.aedat4 --t0 zero, and these labels with zero.aedat4"
        return f"{self._command('info')}, and labels with the times it shows"

    def _command(self, verb: str) -> str:
        return shlex.join(["spikestream", verb, *beside(self._source)])

    def _unit(self) -> str:
        """Return the unit in which most of the labels would lie in the recording and fill it, "" for none."""
        for unit, (by, through) in UNITS.items():
            begin, end = self._first.start * by // through, self._last.stop * by // through
            inside = min(end, self._stop) - max(begin, self._start)
            if 2 * inside > max(end - begin, self._stop - self._start):
                return unit
        return ""
