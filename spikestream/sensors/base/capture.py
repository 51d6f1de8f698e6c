"""From a device's blocks to sound in stream time: what is lost is left out at its place, the rest is handed out whole.

Sample n of the stream is at ``n * 10^6 // samplerate`` µs, the first at 0; samples that are lost count as well.
There is no device, no loop and no clock in here: `heard` is told the time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from spikestream.batch import Array, Sound
from spikestream.sensors.base.drift import Drift
from spikestream.sensors.base.ring import Ring

if TYPE_CHECKING:
    import soxr

log = logging.getLogger(__name__)

RING_S = 4
"""So long may the event loop be busy with other things before samples are lost."""
LONGEST_MS = 100
"""A backlog is handed out in batches of so much."""
FULL_SCALE = np.float32(32_768)


class Capture:
    """Blocks of int16 at ``rate_hz`` in, `Sound` of ``samplerate_hz`` out.

    A run is what one opening of a device gives; between two of them the time that passed is lost.
    """

    def __init__(self, rate_hz: int, samplerate_hz: int, channels: int) -> None:
        self.rate_hz, self.samplerate_hz, self.channels = rate_hz, samplerate_hz, channels
        self.ring = Ring(RING_S * rate_hz, channels)
        self.overflows = 0
        self.lost_us = 0
        self._at = 0  # samples of stream time so far, lost ones included
        self._resampler: soxr.ResampleStream | None = None
        self._ended_ns = 0  # when the last sample of the last run was there
        self._run = self._first_ns = self._since_ns = 0  # samples of this run; when its first, and the next, came
        self.last = (0, 0)
        self.drift = Drift(rate_hz)

    @property
    def pcm16(self) -> bool:
        """Return whether every sample is a whole number of 1/32768."""
        return self.rate_hz == self.samplerate_hz

    @property
    def begun(self) -> bool:
        """Return whether this run has given anything yet."""
        return self._first_ns > 0

    def start_at(self, start_us: int) -> None:
        """Give the first sample a time in µs, or the first sample time after it."""
        self._at = -(-max(0, start_us) * self.samplerate_hz // 1_000_000)

    def heard(self, block: Array, now_ns: int, overflow: bool = False) -> None:
        """Take a block (n, channels) int16 that was there at ``now_ns``: for the audio thread, so it is brief."""
        self.ring.write(block)
        self._run += len(block)
        self.last = self._run, now_ns
        self._first_ns = self._first_ns or now_ns - len(block) * 1_000_000_000 // self.rate_hz
        self._since_ns = self._since_ns or now_ns
        self.overflows += overflow

    def drain(self) -> Iterator[tuple[Sound, int]]:
        """Yield what waits, each with the ns its first sample came at."""
        self.drift.add(*self.last)
        came_ns, self._since_ns = self._since_ns, 0
        while True:
            lost, block = self.ring.take()
            if lost:
                yield from self._lose(lost)
            if not len(block):
                return
            yield from self._sounds(self._resampled(block.astype(np.float32) / FULL_SCALE), came_ns)

    def end_run(self) -> Iterator[tuple[Sound, int]]:
        """Yield what is left of a run that is over."""
        yield from self.drain()
        yield from self._flushed()
        if self.begun:  # else the run before is the last of which anything is known
            self._ended_ns = self.last[1]

    def begin_run(self, rate_hz: int, now_ns: int) -> None:
        """Begin the next run, for which a device was opened at ``now_ns`` and may have another rate."""
        self.rate_hz = rate_hz
        self._run = self._first_ns = self._since_ns = 0
        self.last = (0, now_ns)
        self.drift = Drift(rate_hz)

    def bridge(self) -> None:
        """Let the time pass that lies between the last run and the first sample of this one."""
        if self._ended_ns and self.begun:
            self._pass((self._first_ns - self._ended_ns) * self.rate_hz // 1_000_000_000)

    def _sounds(self, samples: Array, came_ns: int) -> Iterator[tuple[Sound, int]]:
        most = self.samplerate_hz * LONGEST_MS // 1000
        for at in range(0, len(samples), most):
            part = samples[at : at + most]
            begin, self._at = self._at, self._at + len(part)
            yield Sound(self._time(begin), self._time(self._at), part), came_ns

    def _lose(self, lost: int) -> Iterator[tuple[Sound, int]]:
        yield from self._flushed()
        self._pass(lost)
        log.warning("%d samples found no room: the program was busy for more than %d s", lost, RING_S)

    def _pass(self, lost: int) -> None:
        """Let time pass for samples of the device that are lost."""
        before = self._time(self._at)
        self._at += max(0, round(lost * self.samplerate_hz / self.rate_hz))
        self.lost_us += self._time(self._at) - before

    def _resampled(self, samples: Array) -> Array:
        if self.pcm16:
            return samples
        if self._resampler is None:
            import soxr

            self._resampler = soxr.ResampleStream(self.rate_hz, self.samplerate_hz, self.channels, dtype="float32")
        return self._shaped(self._resampler.resample_chunk(samples))

    def _flushed(self) -> Iterator[tuple[Sound, int]]:
        """Yield what the resampler still holds."""
        resampler, self._resampler = self._resampler, None
        if resampler is not None:
            rest = resampler.resample_chunk(np.empty((0, self.channels), np.float32), last=True)
            yield from self._sounds(self._shaped(rest), self.last[1])

    def _shaped(self, samples: Array) -> Array:
        return np.clip(samples.reshape(-1, self.channels), -1, 1)  # the filter overshoots at full scale

    def _time(self, samples: int) -> int:
        return samples * 1_000_000 // self.samplerate_hz
