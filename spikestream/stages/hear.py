"""The hearing stage: sound in, the spikes of a cochlea out.

Sample n of a stretch of sound that began at stream time t0 is at ``t0 + n * 10^6 // samplerate`` µs: derived from the
count, so that nothing adds up. A spike has the stamp of its sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spikestream.batch import Array, Batch, Sound, Spikes
from spikestream.errors import ConfigError, ModelError, SpikestreamError, nearest
from spikestream.stages.base import Account, State, take_over

if TYPE_CHECKING:
    from spikestream.kernels import cochlea

ROOM = 1 << 15
"""Spikes the kernel may write in one call, beside what four samples can make at most."""
REST_US = 1_000_000
"""A gap is heard as silence for so long; after it the ear is at rest."""
KEPT = ("power", "cells", "v", "k")
"""What is remembered of the kernel's state, beside the bank."""
NOWHERE = -(2**63)
LIMITS = {"samplerate_hz": (8_000, 96_000), "bands": (8, 256)}


class Cochlea:
    """A filterbank with hair cells and spiking fibres; called with `Sound`, returns `Spikes`, the lowest band first.

    ``samplerate_hz`` 8,000 to 96,000, ``bands`` 8 to 256; other options as of `spikestream.kernels.cochlea.Params`.
    ``axons`` is fibres times bands: axon = ``fibre * bands + band``. Several channels are averaged. Levels from 30 to
    90 dB, of which a full-scale sine has 100, are brought to one by a causal gain control. Raises `ConfigError`.
    """

    def __init__(self, samplerate_hz: int = 16_000, bands: int = 64, **options: Any) -> None:
        from spikestream.kernels import cochlea

        self._kernel = cochlea
        self.params = _params(cochlea, {"samplerate_hz": samplerate_hz, "bands": bands, **options})
        self.samplerate_hz, self.bands, self.axons = samplerate_hz, bands, bands * self.params.fibres
        self.account = Account(conserves=False)
        self._coeffs = cochlea.design(self.params)
        self._state = cochlea.init(self.params)
        room = ROOM + 4 * self.axons
        self._out = np.empty(room, np.int32), np.empty(room, np.int32)
        self._origin = NOWHERE  # stream time of sample 0, µs
        self._heard = 0  # samples since then

    @property
    def centres_hz(self) -> Array:
        """Return the centre frequencies of the bands in Hz, (bands,), lowest first."""
        return self.params.bank.centres_hz

    def __call__(self, batch: Batch) -> Spikes:
        """Return the spikes of all samples of the batch."""
        if not isinstance(batch, Sound):
            raise SpikestreamError(f"the cochlea hears sound, not {type(batch).__name__}")
        if self._origin == NOWHERE:
            self._origin, self._heard = batch.start, 0
        samples = self._mono(batch)
        made = self._hear(samples, batch.start, batch.stop)
        self.account.taken += len(samples)
        self.account.given += len(made)
        return made

    def skip(self, start: int, stop: int) -> Spikes:
        """Hear silence over the gap ``[start, stop)`` µs, for a second at most; what comes after starts a new count."""
        silence = min(stop - start, REST_US) * self.samplerate_hz // 1_000_000
        self._origin, self._heard = start, 0
        made = self._hear(np.zeros(silence, np.float32), start, stop)
        if stop - start > REST_US:
            self._state = self._kernel.init(self.params)
        self._origin = NOWHERE
        self.account.given += len(made)
        return made

    def state(self) -> State:
        """Return copies of what filters, cells and fibres hold, and of the count of samples."""
        own = {"origin": np.int64(self._origin), "heard": np.int64(self._heard), "bank": self._state.bank.flat}
        own |= {key: getattr(self._state, key) for key in KEPT}
        return {key: np.array(value) for key, value in own.items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit this ear."""
        taken = take_over(self.state(), state)
        if taken["heard"] < 0 or not all(np.isfinite(taken[key]).all() for key in ("bank", *KEPT)):
            raise ModelError("the saved state contradicts itself: a count below 0, or numbers that are not finite")
        self._origin, self._heard = int(taken["origin"]), int(taken["heard"])
        fresh = self._kernel.init(self.params)
        bank = fresh.bank._replace(flat=taken["bank"])
        self._state = fresh._replace(bank=bank, **{key: taken[key] for key in KEPT})

    def _mono(self, batch: Sound) -> Array:
        samples = batch.samples
        if samples.ndim != 2 or samples.dtype != np.float32 or not samples.shape[1]:
            raise SpikestreamError(f"sound is (n, channels) float32, not {samples.dtype}{samples.shape}")
        if abs(len(samples) * 1_000_000 - (batch.stop - batch.start) * self.samplerate_hz) > 2_000_000:
            text = f"{len(samples)} samples in {batch.stop - batch.start} µs are not {self.samplerate_hz:,} in a second"
            raise SpikestreamError(text, remedy="give the cochlea the sample rate of the sound")
        # The sum tells nearly always, and at a fraction of the cost.
        if not np.isfinite(samples.sum()) and not np.isfinite(samples).all():
            raise SpikestreamError(f"the sound in [{batch.start}, {batch.stop}) µs holds numbers that are not finite")
        return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)

    def _hear(self, samples: Array, start: int, stop: int) -> Spikes:
        count, done = self._kernel.run(self._coeffs, self._state, samples, self._out, 0)
        number, axon = self._out[0][:count].astype(np.int64), self._out[1][:count].copy()
        while done < len(samples):
            count, done = self._kernel.run(self._coeffs, self._state, samples, self._out, done)
            number = np.concatenate([number, self._out[0][:count]])
            axon = np.concatenate([axon, self._out[1][:count]])
        t = self._origin + (self._heard + number) * 1_000_000 // self.samplerate_hz
        self._heard += len(samples)
        if len(t) and not start <= t[0] <= t[-1] < stop:  # a sensor may end a batch up to a sample early
            t = np.clip(t, start, max(start, stop - 1))
        return Spikes(start, stop, t, axon)


def _params(kernel: Any, options: Mapping[str, Any]) -> cochlea.Params:
    known = [field.name for field in fields(kernel.Params)]
    for key in options:
        if key not in known:
            raise ConfigError(f"unknown option '{key}' of the cochlea", key=key, nearest=nearest(key, known))
    for key, (least, most) in LIMITS.items():
        if not isinstance(options[key], int) or not least <= options[key] <= most:
            raise ConfigError(f"{key} = {options[key]!r} is out of range", key=key, allowed=f"{least:,} to {most:,}")
    made: cochlea.Params = replace(kernel.Params(), **options)
    highest = made.bank.highest_hz
    if not 20 <= made.low_hz < highest <= 0.45 * made.samplerate_hz:
        text = f"bands from {made.low_hz:g} to {highest:g} Hz do not fit a sample rate of {made.samplerate_hz:,} Hz"
        raise ConfigError(text, key="high_hz", allowed=f"20 <= low_hz < high_hz <= {0.45 * made.samplerate_hz:g}")
    positive = ("attack_ms", "release_ms", "locking_hz", "adapt_ms", "tau_ms", "drive")
    for key in positive:
        if not 0 < getattr(made, key) < 1e9:
            raise ConfigError(f"{key} = {getattr(made, key)} is out of range", key=key, allowed="numbers above 0")
    fits = len(made.thresholds) > 0 and made.fibres <= kernel.MOST_FIBRES
    if not fits or not all(0 < threshold < 1e9 for threshold in made.thresholds):
        allowed = f"1 to {kernel.MOST_FIBRES} fibres, those for OFF included, with thresholds above 0"
        raise ConfigError("the thresholds of the fibres make no sense", key="thresholds", allowed=allowed)
    if (
        not 0 <= made.adapt <= 1
        or not 0 <= made.refrac_ms <= 1_000
        or not -50 <= made.quiet_db <= made.target_db <= 100
    ):
        allowed = "adapt 0 to 1, refrac_ms 0 to 1000, quiet_db <= target_db <= 100"
        raise ConfigError("adaptation, refractory time or levels make no sense", key="adapt", allowed=allowed)
    return made
