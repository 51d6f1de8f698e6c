"""Voice activity: marks the stretches of sound that stand out, as windows that want one decision each.

Per frame of 10 ms: ``level = 100 + 10 log10(2 mean x²)`` dB, of which a full-scale sine has 100. A floor follows the
quietest of late: down at once, up by `RISE_DB_S`. A frame is voiced where it is both `ABOVE_DB` over the floor and
`LEAST_DB` loud. A voiced frame marks from its end on for `HANG_US`; a mark that begins inside the last one continues it
(see `spikestream.stages.readout`), so that a window ends when nothing was voiced for about as long.
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
FULL_SCALE_DB = 100.0
LEAST_POWER = 1e-30


def levels_db(frames: Array) -> list[float]:
    """Return the level in dB of each row of ``frames`` (k, n) float32, of which a full-scale sine has 100."""
    squares = frames.astype(np.float64)
    squares *= squares
    scale = 2 / max(1, frames.shape[1])
    return [FULL_SCALE_DB + 10 * log10(max(scale * power, LEAST_POWER)) for power in squares.sum(axis=1).tolist()]


class Voice:
    """Called with each batch of sound in turn, returns the windows it marks, however the sound is cut."""

    def __init__(self, samplerate_hz: int) -> None:
        self._rate = samplerate_hz
        self._frame = max(1, samplerate_hz * FRAME_MS // 1000)
        self._floor = LEAST_DB
        self._begin = self._end = 0  # of the last window
        self._now: int | None = None
        self._origin = self._heard = 0  # stream time of the first sample, and whole frames since, in samples
        self._rest: Array = np.empty(0, np.float32)

    def __call__(self, batch: Batch) -> list[Window]:
        """Return the marks of the frames that end in the batch; each begins at the end of its frame."""
        if not isinstance(batch, Sound):
            return []
        if self._now is None or batch.start != self._now:
            self._origin, self._heard, self._rest = batch.start, 0, self._rest[:0]
        self._now = batch.stop
        mono = batch.samples[:, 0] if batch.samples.shape[1] == 1 else batch.samples.mean(axis=1, dtype=np.float32)
        waiting = np.concatenate([self._rest, mono]) if len(self._rest) else mono
        whole = len(waiting) // self._frame
        self._rest = waiting[whole * self._frame :].copy()
        marks = []
        for level in levels_db(waiting[: whole * self._frame].reshape(whole, self._frame)):
            self._heard += self._frame
            ends = min(self._origin + self._heard * 1_000_000 // self._rate, batch.stop)
            if self._voiced(level) and (mark := self._mark(ends)) is not None:
                marks.append(mark)
        return marks

    def _voiced(self, level: float) -> bool:
        voiced = level >= max(self._floor + ABOVE_DB, LEAST_DB)
        self._floor = min(level, self._floor + RISE_DB_S * FRAME_MS / 1000)
        return voiced

    def _mark(self, at: int) -> Window | None:
        """Return the mark of a voiced frame that ends ``at`` µs; None where the window lasts long enough as it is."""
        if at >= self._end:
            self._begin = at
        elif at - self._begin + HANG_US > LONGEST_US or self._end - at > HANG_US - AGAIN_US:
            return None
        self._end = at + HANG_US
        return Window(at, self._end)
