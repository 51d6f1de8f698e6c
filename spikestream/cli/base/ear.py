"""What somebody who listens sees: a line every tenth of a second with the level and the spikes of every band."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

from spikestream.batch import Array, Batch, Command, Sound, Spikes, Window
from spikestream.cli.base.cochleagram import ASCII, pooled

LINE_US = 100_000
BAR = 10
"""Columns of the level meter: 10 dB each."""
HEAD_EVERY = 50
FULL_HZ = 300.0
"""Spikes a band and second that are as bright as can be."""
LEFT = len(f"{0:9.1f} s {0:4.0f} dB {'':{BAR}}| v |")


class Ear:
    """Watches an engine and keeps a line for every tenth of a second of stream time in ``lines``.

    ``centres_hz`` (bands,) are the bands of the ear, none for the level alone, ``width`` the columns of the terminal,
    ``shades`` what can be printed, the darkest first.
    """

    def __init__(self, centres_hz: Array, width: int, shades: str) -> None:
        self.lines: deque[str] = deque(maxlen=HEAD_EVERY)
        self._centres = centres_hz
        self._columns = min(len(centres_hz), max(8, width - LEFT))
        self._shades = shades
        self._told = 0
        self._voiced_until = 0
        self._begin(0)

    def __call__(self, batch: Batch, commands: Sequence[Command], outputs: Mapping[str, Batch]) -> None:
        """Take one batch, the marks that came with it, and the spikes made of it."""
        for command in commands:
            if isinstance(command, Window):
                self._voiced_until = command.stop
        if isinstance(batch, Sound) and len(batch):
            samples = batch.samples.astype(np.float64)
            self._sum += float(samples.sum())
            self._squares += float(np.square(samples).sum())
            self._samples += samples.size
        spikes = outputs["hear"]
        if isinstance(spikes, Spikes) and self._columns:
            self._counts += np.bincount(spikes.axon % len(self._centres), minlength=len(self._centres))
        self._us += batch.stop - batch.start
        if self._us >= LINE_US:
            self._end(batch.stop)

    def head(self) -> str:
        """Return the line that names the columns."""
        names = "".join(f"{hz:<10,.0f}" for hz in pooled(self._centres[:, np.newaxis], self._columns)[::10, 0])
        left = f"{'time':>11}  level".ljust(LEFT - 3)
        if not self._columns:
            return left.rstrip()
        return f"{left}Hz {names}"[: LEFT + self._columns].rstrip()

    def _begin(self, us: int) -> None:
        self._us, self._sum, self._squares, self._samples = us, 0.0, 0.0, 0
        self._counts = np.zeros(len(self._centres), np.int64)

    def _bands(self) -> str:
        rates = pooled(self._counts[:, np.newaxis] * 1e6 / self._us, self._columns)[:, 0]
        steps = np.ceil(np.sqrt(np.minimum(rates / FULL_HZ, 1)) * (len(self._shades) - 1)).astype(int)
        return "".join(self._shades[step] for step in steps)

    def _end(self, stop: int) -> None:
        if self._told % HEAD_EVERY == 0:
            self.lines.append(self.head())
        self._told += 1
        n = max(1, self._samples)
        level = max(0.0, 100 + 10 * np.log10(max(1e-30, 2 * (self._squares / n - (self._sum / n) ** 2))))
        bands = self._bands() if self._columns else ""
        full = round(min(1.0, level / 100) * BAR)
        sign = "#" if self._shades == ASCII else "█"
        voice = "voice" if stop < self._voiced_until else ""
        picture = f"{bands}|" if bands else ""
        self.lines.append(f"{stop / 1e6:9.1f} s {level:4.0f} dB {sign * full:{BAR}}|{voice:>2.1} |{picture}".rstrip())
        self._begin(self._us % LINE_US)
