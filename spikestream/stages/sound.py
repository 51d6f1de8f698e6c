"""What all ears share: sound in, spikes out, the stamps of samples, gaps, and a memory that can be saved.

Sample n is at ``n * 10^6 // samplerate`` µs of stream time: derived from the count, so that nothing adds up and no cut
is seen. The first sample of all, and the first behind a gap, is the first one at or after the start of its batch; from
there they are counted. A spike has the stamp of its sample.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np

from spikestream.batch import Array, Batch, Sound, Spikes
from spikestream.errors import ConfigError, ModelError, PluginError, SpikestreamError
from spikestream.registry import load
from spikestream.stages.base import Account, State, take_over

REST_US = 1_000_000
"""A gap is heard as silence for so long; after it the ear is at rest."""
NOWHERE = -(2**63)
FARTHEST = 2**42
"""No stream has more samples, so that their numbers in µs fit an int64: a year at 96 kHz."""
FLOAT = np.dtype(np.float32)


class Ear:
    """An ear of ``axons`` = fibres times ``bands``, axon = ``fibre * bands + band``; band 0 is the lowest.

    ``thresholds`` are those of the fibres; those for OFF, if there are any, have the same ones again.
    What it is made of stands in `_hear`, `_rest` and `_memory` of the ear itself.
    """

    def __init__(self, samplerate_hz: int, bands: int, fibres: int, thresholds: Sequence[float]) -> None:
        self.samplerate_hz, self.bands, self.axons = samplerate_hz, bands, bands * fibres
        self.thresholds = tuple(thresholds)
        self.account = Account(conserves=False)
        self._heard = NOWHERE  # the number of the next sample

    @property
    def centres_hz(self) -> Array:
        """Return the centre frequencies of the bands in Hz, (bands,), lowest first."""
        raise NotImplementedError

    def _hear(self, samples: Array) -> tuple[Array, Array]:
        """Return the spikes of samples (n,) float32: (number of the sample (m,) int64, axon (m,) int32), both its own.

        ``_heard`` is the number of the first one.
        """
        raise NotImplementedError

    def _rest(self) -> None:
        """Forget all sound."""
        raise NotImplementedError

    def _memory(self) -> State:
        """Return the arrays, not copies, that all further spikes depend on."""
        raise NotImplementedError

    def __call__(self, batch: Batch) -> Spikes:
        """Return the spikes of all samples of the batch; raises `SpikestreamError` for what is no sound of its rate."""
        if not isinstance(batch, Sound):
            raise SpikestreamError(f"an ear hears sound, not {type(batch).__name__}")
        samples = self._mono(batch)
        if self._heard == NOWHERE:
            self._heard = self._number(batch.start)
        self.account.taken += len(samples)
        return self._stamped(samples, batch.start, batch.stop)

    def skip(self, start: int, stop: int) -> Spikes:
        """Hear silence over the gap ``[start, stop)`` µs, for a second at most; what comes after starts a new count."""
        silence = min(stop - start, REST_US) * self.samplerate_hz // 1_000_000
        self._heard = self._number(start)
        made = self._stamped(np.zeros(silence, np.float32), start, stop)
        if stop - start > REST_US:
            self._rest()
        self._heard = NOWHERE
        return made

    def state(self) -> State:
        """Return copies of all that the ear holds, and of the count of samples."""
        return {key: np.array(value) for key, value in ({"heard": np.int64(self._heard)} | self._memory()).items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit this ear."""
        taken = take_over(self.state(), state)
        heard = int(taken["heard"])
        if (heard != NOWHERE and abs(heard) > FARTHEST) or not all(
            np.isfinite(value).all() for value in taken.values()
        ):
            raise ModelError("the saved state contradicts itself: a time no stream reaches, or numbers not finite")
        self._heard = heard
        for key, mine in self._memory().items():
            mine[...] = taken[key]

    def _mono(self, batch: Sound) -> Array:
        """Return the mean of the channels, (n,) float32."""
        samples, rate = batch.samples, self.samplerate_hz
        if samples.ndim != 2 or samples.dtype != FLOAT or not samples.shape[1]:
            raise SpikestreamError(f"sound is (n, channels) float32, not {samples.dtype}{samples.shape}")
        if abs(len(samples) * 1_000_000 - (batch.stop - batch.start) * rate) > 2_000_000:
            text = f"{len(samples)} samples in {batch.stop - batch.start} µs are not {rate:,} in a second"
            raise SpikestreamError(text, remedy="give the ear the sample rate of the sound")
        mono: Array = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
        # The sum tells nearly always, and at a fraction of the cost.
        if not isfinite(np.add.reduce(mono)) and not np.isfinite(samples).all():
            raise SpikestreamError(f"the sound in [{batch.start}, {batch.stop}) µs holds numbers that are not finite")
        return mono

    def _number(self, time: int) -> int:
        """Return the number of the first sample at or after ``time`` µs."""
        return -(-time * self.samplerate_hz // 1_000_000)

    def _stamped(self, samples: Array, start: int, stop: int) -> Spikes:
        t, axon = self._hear(samples)
        self._heard += len(samples)
        self.account.given += len(t)
        t *= 1_000_000
        t //= self.samplerate_hz
        if len(t) and not start <= t[0] <= t[-1] < stop:  # a sensor may end a batch up to a sample early
            t = np.clip(t, start, max(start, stop - 1))
        return Spikes(start, stop, t, axon)


def make_ear(name: str, samplerate_hz: int, options: Mapping[str, Any]) -> Any:
    """Return the ear registered as the stage ``name``, with ``axons``, made for a sample rate.

    Raises `ConfigError` where that stage takes no such options, and `PluginError` where it is unknown or breaks.
    """
    make = load("stages", name)
    try:
        inspect.signature(make).bind(samplerate_hz, **options)
    except (TypeError, ValueError) as error:
        text = f"the ear '{name}' cannot be made with {', '.join(options)}: {error}"
        allowed = "hear, contrast, carfac, or the ear of a plugin"
        raise ConfigError(text, key="hear.stage", value=name, allowed=allowed) from error
    try:
        ear = make(samplerate_hz, **options)
        axons = ear.axons
    except SpikestreamError:
        raise
    except Exception as error:  # whatever else a plugin raises is the plugin's fault
        raise PluginError(f"the ear '{name}' cannot be made: {type(error).__name__}: {error}") from error
    if not callable(ear) or type(axons) is not int or axons < 1:
        raise PluginError(f"the stage '{name}' is no ear: it cannot be called, or has {axons!r} axons")
    return ear
