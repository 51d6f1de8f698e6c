"""Two ears and the time between them: stereo sound in, out come the spikes of both and of cells that compare them.

Every cell has a band and a delay. It fires where both ears fire in its band and the right one does so later than the
left one by its delay, at the later of the two times: the place of the most active cells says where the sound is.

Source: L. A. Jeffress, A place theory of sound localization, J. Comp. Physiol. Psychol. 41 (1948) 35-39.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

import spikestream as ss
from spikestream.batch import Array, Batch, Sound, Spikes, first_at, no_spikes
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.stages.base import Account, State, take_over

LONGEST_US = 700
"""About what a sound from the side takes around a head."""
STEP_US = 62.5
"""From one delay to the next: a sample at 16 kHz; at other rates, the nearest number of whole samples."""
PHASE_HZ = 1_500.0
"""Ears follow every wave up to here (Rayleigh's duplex theory, 1907); the bands above have no cells."""
EAR = {"tau_ms": 0.3, "drive": 15.0, "locking_hz": 3_000.0}
"""A fibre that forgets within a wave says when it came. With the cochlea's own 20 ms, noise at -14 dB misleads it."""
SIDES = ("left", "right")
REMEDY = "sound of two channels: a stereo file, or listen --channels 2"


class Stereo:
    """Two cochleas and the cells between them; called with `Sound` of two channels, left and right, returns `Spikes`.

    Axons: the left ear's, fibre * bands + band, then the right ear's, then the cells', ``first_cell + band * delays +
    delay``. ``delays_us`` (delays,) are positive where the left ear is first. Other options as of
    `spikestream.Cochlea`; each ear has a gain control of its own, which takes away the difference in level and, with
    it, what that would do to the time of a spike. Raises `ConfigError`.
    """

    def __init__(
        self,
        samplerate_hz: int = 16_000,
        bands: int = 64,
        low_hz: float = 50.0,
        high_hz: float | None = None,
        **options: Any,
    ) -> None:
        self._options = {**EAR, **options, "low_hz": low_hz, "high_hz": high_hz}
        self.samplerate_hz, self.bands = samplerate_hz, bands
        self._ears = self._ear(), self._ear()
        self.centres_hz: Array = self._ears[0].centres_hz[self._ears[0].centres_hz <= PHASE_HZ]
        if not len(self.centres_hz):
            text = f"no band lies below {PHASE_HZ:g} Hz, where ears hear the time between them"
            raise ConfigError(text, key="low_hz", value=low_hz, allowed=f"20 to {PHASE_HZ:g}")
        self._step = max(1, round(STEP_US * samplerate_hz / 1e6))
        self._side = int(LONGEST_US * samplerate_hz / 1e6) // self._step  # delays on either side of none
        self._reach_us = int((self._side + 1) * self._step * 1e6 / samplerate_hz) + 1
        middle = (self._step - 1) / 2 - self._step // 2  # of an even number of samples, the middle lies between two
        self.delays_us = (np.arange(-self._side, self._side + 1) * self._step + middle) * 1e6 / samplerate_hz
        self.first_cell = 2 * self._ears[0].axons
        self.axons = self.first_cell + len(self.centres_hz) * len(self.delays_us)
        self.account = Account(conserves=False)
        self._recent = no_spikes(0, 0), no_spikes(0, 0)  # of the low bands, by band, as far back as delays reach

    def __call__(self, batch: Batch) -> Spikes:
        """Return the spikes of both ears and of the cells; raises `SpikestreamError` unless there are two channels."""
        left, right = _channels(batch)
        made = self._compare((self._ears[0](left), self._ears[1](right)))
        self.account.taken += len(left)
        self.account.given += len(made)
        return made

    def skip(self, start: int, stop: int) -> Spikes:
        """Return what both ears and the cells say while the ears hear silence over the gap ``[start, stop)`` µs."""
        made = self._compare((self._ears[0].skip(start, stop), self._ears[1].skip(start, stop)))
        self.account.given += len(made)
        return made

    def state(self) -> State:
        """Return copies of the memory of both ears, and of their last spikes, which wait in the delay lines."""
        own: State = {}
        for side, ear, recent in zip(SIDES, self._ears, self._recent, strict=True):
            own |= {f"{side}.{key}": value for key, value in ear.state().items()}
            own |= {f"{side}.recent.t": recent.t.copy(), f"{side}.recent.band": recent.axon.copy()}
        return own

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit, and has changed nothing then."""
        growing = tuple(f"{side}.recent.{key}" for side in SIDES for key in ("t", "band"))
        taken = take_over(self.state(), state, growing)
        recent = [self._recalled(taken.pop(f"{side}.recent.t"), taken.pop(f"{side}.recent.band")) for side in SIDES]
        ears = self._ear(), self._ear()
        for side, ear in zip(SIDES, ears, strict=True):
            ear.restore({key.removeprefix(f"{side}."): taken[key] for key in taken if key.startswith(side)})
        self._ears, self._recent = ears, (recent[0], recent[1])

    def activity(self, spikes: Spikes) -> Array:
        """Return how many spikes each cell has among ``spikes``, (bands up to 1.5 kHz, delays) int64."""
        cells = spikes.axon[spikes.axon >= self.first_cell] - self.first_cell
        count = np.bincount(cells, minlength=self.axons - self.first_cell)
        return count.reshape(len(self.centres_hz), len(self.delays_us))

    def _ear(self) -> ss.Cochlea:
        return ss.Cochlea(self.samplerate_hz, self.bands, **self._options)

    def _recalled(self, t: Array, band: Array) -> Spikes:
        sound = len(t) == len(band) and np.all(t[1:] >= t[:-1]) and np.all((band >= 0) & (band < len(self.centres_hz)))
        if not sound or (len(t) and t[-1] - t[0] > self._reach_us):
            raise ModelError("the saved state contradicts itself: its delay lines hold what they cannot hold")
        return Spikes(0, 0, t, band)

    def _compare(self, heard: tuple[Spikes, Spikes]) -> Spikes:
        """Return the spikes of both ears with those of the cells, and keep what later ones will be compared with."""
        start, stop = heard[0].start, heard[0].stop
        lines = self._line(self._recent[0], heard[0]), self._line(self._recent[1], heard[1])
        t, cell = self._coincidences(lines, start)
        self._recent = self._last(lines[0], stop), self._last(lines[1], stop)
        times = np.concatenate([heard[0].t, heard[1].t, t])
        ear = np.int32(self._ears[0].axons)
        axons = np.concatenate([heard[0].axon, heard[1].axon + ear, cell + np.int32(self.first_cell)])
        order = np.argsort(times, kind="stable")  # each part is in order, and its axons lie above those before
        return Spikes(start, stop, times[order], axons[order])

    def _line(self, recent: Spikes, heard: Spikes) -> Spikes:
        band = heard.axon % np.int32(self.bands)
        low = band < len(self.centres_hz)
        t, band = np.concatenate([recent.t, heard.t[low]]), np.concatenate([recent.axon, band[low]])
        return replace(heard, t=t, axon=band)

    def _last(self, line: Spikes, stop: int) -> Spikes:
        first = first_at(line.t, stop - self._reach_us)
        return Spikes(0, 0, line.t[first:], line.axon[first:])

    def _coincidences(self, lines: tuple[Spikes, Spikes], start: int) -> tuple[Array, Array]:
        """Return time and cell, (n,) int64 and int32, of each coincidence from ``start`` µs on, by time and cell."""
        if not (len(lines[0]) and len(lines[1])):
            return np.empty(0, np.int64), np.empty(0, np.int32)
        base = min(int(line.t[0]) for line in lines)
        # Bands one after the other on one axis, so far apart that no delay reaches from one to the next.
        width = max(int(line.t[-1]) for line in lines) - base + self._reach_us + 1
        left, right = (np.unique(line.axon * np.int64(width) + (line.t - base)) for line in lines)
        a, b = _pairs(left, right, self._reach_us)
        late = np.rint((b - a) * (self.samplerate_hz / 1e6)).astype(np.int64)
        delay = (late + self._step // 2) // self._step + self._side
        t = np.maximum(a, b) % width + base
        wanted = (delay >= 0) & (delay < len(self.delays_us)) & (t >= start)
        cells = len(self.centres_hz) * len(self.delays_us)
        cell = (b // width) * len(self.delays_us) + delay
        key = np.unique((t[wanted] - base) * cells + cell[wanted])  # a cell fires once, whatever the number of fibres
        return key // cells + base, (key % cells).astype(np.int32)


def _pairs(a: Array, b: Array, reach: int) -> tuple[Array, Array]:
    """Return all pairs from sorted ``a`` (n,) and ``b`` (m,) that differ by at most ``reach``, as two columns."""
    first = np.searchsorted(a, b - reach)
    count = np.searchsorted(a, b + reach, side="right") - first
    place = np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count)
    return a[place], np.repeat(b, count)


def _channels(batch: Batch) -> tuple[Sound, Sound]:
    """Return what each ear hears."""
    if not isinstance(batch, Sound):
        raise SpikestreamError(f"the ears hear sound, not {type(batch).__name__}")
    samples = batch.samples
    if samples.ndim != 2 or samples.shape[1] != 2:
        count = samples.shape[1] if samples.ndim == 2 else 0
        text = f"two ears need two channels, left and right; the sound has {count or 'no channels'}"
        found = f"expected float32 (n, 2), found {samples.dtype}{samples.shape}"
        raise SpikestreamError(text, details=[found], remedy=REMEDY)
    # Before the first ear hears anything: else one of them would be ahead of the other after the error.
    if not np.isfinite(samples).all():
        raise SpikestreamError(f"the sound in [{batch.start}, {batch.stop}) µs holds numbers that are not finite")
    left, right = (replace(batch, samples=np.ascontiguousarray(samples[:, k : k + 1])) for k in (0, 1))
    return left, right
