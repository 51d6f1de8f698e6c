"""The hand-over from the audio thread: a preallocated ring of samples with one writer and one reader.

The writer is PortAudio's callback. It copies, counts and wakes the reader: no lock, no queue, no log. What does not fit
is counted at its place in the stream, so that the reader can leave a gap there.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress

import numpy as np

from spikestream.batch import Array


class Ring:
    """Room for ``room`` samples of ``channels`` channels of ``dtype``.

    ``captured`` counts what was written to it or lost at it, ``read`` what was read, ``dropped`` what found no room:
    each by its own end, and ``captured == read + dropped + waiting``. Single assignments of an int are all that the two
    ends exchange, which Python does as one.
    """

    def __init__(self, room: int, channels: int, dtype: type = np.int16) -> None:
        self._samples: Array = np.zeros((room, channels), dtype)
        self._written = 0
        self._losses: deque[tuple[int, int]] = deque()  # (written so far, samples that found no room then)
        self.captured = self.read = self.dropped = 0

    @property
    def waiting(self) -> int:
        """Return the samples that wait."""
        return self._written - self.read

    def write(self, block: Array) -> None:
        """Take a block (n, channels), as much of it as there is room for; for the writer."""
        n, room = len(block), len(self._samples)
        fits = min(n, room - (self._written - self.read))
        at = self._written % room
        first = min(fits, room - at)
        self._samples[at : at + first] = block[:first]
        self._samples[: fits - first] = block[first:fits]
        if fits < n:
            self._lose(self._written + fits, n - fits)
        self.captured += n
        self._written += fits

    def _lose(self, place: int, n: int) -> None:
        """Count samples that found no room; losses at one place are one, however long nobody reads."""
        self.dropped += n
        before = 0
        with suppress(IndexError):  # the reader has it
            # Only a loss at the very end is taken back: past another one the reader would run, were it gone a moment.
            if self._losses[-1][0] == place:
                before = self._losses.pop()[1]
        self._losses.append((place, before + n))

    def take(self) -> tuple[int, Array]:
        """Return how many samples were lost first, and a copy of those that follow up to the next loss; for the reader.

        Nothing lost and nothing waiting: (0, an empty array).
        """
        lost, written = 0, self._written
        while self._losses and self._losses[0][0] <= self.read:
            lost += self._losses.popleft()[1]
        upto = min(written, self._losses[0][0]) if self._losses else written
        room = len(self._samples)
        begin, n = self.read % room, upto - self.read
        first = min(n, room - begin)
        taken = np.concatenate([self._samples[begin : begin + first], self._samples[: n - first]])
        self.read = upto
        return lost, taken
