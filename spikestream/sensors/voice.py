"""Voice activity: marks the stretches of sound that stand out, as windows that want one decision each.

Per frame of 10 ms: ``level = 100 + 10 log10(2 mean x²)`` dB, of which a full-scale sine has 100; x is what is left of
the frame without the straight line that fits it best, for offset and rumble are no voice. A floor follows the quietest
of late: it begins with the first frame, goes down at once, and up by `RISE_DB_S`. A frame is voiced where it is both
`ABOVE_DB` over the floor and `LEAST_DB` loud. A voiced frame marks from its end on for `HANG_US`; a mark that begins
inside the last one continues it (see `spikestream.stages.readout`), so that a window ends when nothing was voiced for
about as long.
"""

from __future__ import annotations

from math import log10

import numpy as np

from spikestream.batch import Array, Batch, Sound, Window

FRAME_MS = 10
ABOVE_DB, LEAST_DB = 12.0, 35.0
RISE_DB_S = 4.0
HANG_US = 200_000
AGAIN_US = 50_000
"""A window is continued so often at most: each mark cuts a batch in two."""
LONGEST_US = 5_000_000
LOUD_DB = 55.0
"""No floor begins above this: a stream may begin in the middle of a word."""
FULL_SCALE_DB = 100.0
LEAST_POWER = 1e-30


class Voice:
    """Called with each batch of sound in turn, returns the windows it marks, however the sound is cut."""

    def __init__(self, samplerate_hz: int) -> None:
        self._rate = samplerate_hz
        self._frame = max(1, samplerate_hz * FRAME_MS // 1000)
        self._line = np.linspace(-1, 1, self._frame)
        self._line /= max(1e-9, np.sqrt(np.square(self._line).sum()))
        self._floor: float | None = None
        self._begin = self._end = 0  # of the last window
        self._now: int | None = None
        self._heard = 0  # the number of the sample behind the last whole frame
        self._rest: Array = np.empty(0, np.float32)

    def __call__(self, batch: Batch) -> list[Window]:
        """Return the marks of the frames that end in the batch; each begins at the end of its frame."""
        if not isinstance(batch, Sound):
            return []
        if self._now is None or batch.start != self._now:
            self._heard, self._rest = -(-batch.start * self._rate // 1_000_000), self._rest[:0]
        self._now = batch.stop
        mono = batch.samples[:, 0] if batch.samples.shape[1] == 1 else batch.samples.mean(axis=1, dtype=np.float32)
        waiting = np.concatenate([self._rest, mono]) if len(self._rest) else mono
        whole = len(waiting) // self._frame
        self._rest = waiting[whole * self._frame :].copy()
        marks = []
        for level in self._levels(waiting[: whole * self._frame].reshape(whole, self._frame)):
            self._heard += self._frame
            ends = min(self._heard * 1_000_000 // self._rate, batch.stop)
            if self._voiced(level) and (mark := self._mark(ends)) is not None:
                marks.append(mark)
        return marks

    def _levels(self, frames: Array) -> list[float]:
        """Return the level in dB of each of the frames (k, n) without offset and slope."""
        x = frames.astype(np.float64)
        x -= x.sum(axis=1, keepdims=True) / self._frame
        slope = (x * self._line).sum(axis=1, keepdims=True)
        x -= slope * self._line
        x *= x
        energies = (x.sum(axis=1) * (2 / self._frame)).tolist()
        return [FULL_SCALE_DB + 10 * log10(max(energy, LEAST_POWER)) for energy in energies]

    def _voiced(self, level: float) -> bool:
        if self._floor is None:
            self._floor = min(level, LOUD_DB)
        voiced = level >= max(self._floor + ABOVE_DB, LEAST_DB)
        # Below this the floor decides nothing, and would only take long to come back from.
        self._floor = max(LEAST_DB - ABOVE_DB, min(level, self._floor + RISE_DB_S * FRAME_MS / 1000))
        return voiced

    def _mark(self, at: int) -> Window | None:
        """Return the mark of a voiced frame that ends ``at`` µs; None where the window lasts long enough as it is."""
        if at >= self._end:
            self._begin = at
        elif at - self._begin + HANG_US > LONGEST_US or self._end - at > HANG_US - AGAIN_US:
            return None
        self._end = at + HANG_US
        return Window(at, self._end)
