"""The hearing stage: sound in, the spikes of a cochlea out; stamps, gaps and memory are those of every ear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ConfigError, ModelError, nearest
from spikestream.stages.base import State
from spikestream.stages.sound import Ear

if TYPE_CHECKING:
    from spikestream.kernels import cochlea

ROOM = 1 << 15
"""Spikes the kernel may write in one call, beside what a stretch of samples can make at most."""
KEPT = ("flat", "waiting", "held")
"""What is remembered of the bank's state, on which cells and fibres sit; of the ear's, ``power`` is."""
LIMITS = {"samplerate_hz": (8_000, 96_000), "bands": (8, 256)}


class Cochlea(Ear):
    """A filterbank with hair cells and spiking fibres; called with `Sound`, returns `Spikes`, the lowest band first.

    ``samplerate_hz`` 8,000 to 96,000, ``bands`` 8 to 256; other options as of `spikestream.kernels.cochlea.Params`.
    ``axons`` is fibres times bands: axon = ``fibre * bands + band``. Several channels are averaged. Levels from 30 to
    90 dB, of which a full-scale sine has 100, are brought to one by a causal gain control. Raises `ConfigError`.
    """

    def __init__(self, samplerate_hz: int = 16_000, bands: int = 64, **options: Any) -> None:
        from spikestream.kernels import cochlea
        from spikestream.kernels.gammatone import STRETCH

        self._kernel = cochlea
        self.params = _params(cochlea, {"samplerate_hz": samplerate_hz, "bands": bands, **options})
        super().__init__(samplerate_hz, bands, self.params.fibres, self.params.thresholds)
        self._coeffs = cochlea.design(self.params)
        self._rest()
        room = ROOM + STRETCH * self.axons
        self._out = np.empty(room, np.int64), np.empty(room, np.int32)

    @property
    def centres_hz(self) -> Array:
        """Return the centre frequencies of the bands in Hz, (bands,), lowest first."""
        return self.params.bank.centres_hz

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit this ear."""
        from spikestream.kernels.gammatone import TOGETHER

        held = state.get("held", np.zeros(1))
        if not ((held >= 0) & (held < TOGETHER)).all():
            raise ModelError("the saved state contradicts itself: no group holds so many samples")
        super().restore(state)

    def _rest(self) -> None:
        self._state = self._kernel.init(self.params)

    def _memory(self) -> State:
        return {"power": self._state.power, **{key: getattr(self._state.bank, key) for key in KEPT}}

    def _hear(self, samples: Array) -> tuple[Array, Array]:
        parts, done = [], 0
        while True:
            count, done = self._kernel.run(self._coeffs, self._state, samples, self._out, done, self._heard)
            parts.append((self._out[0][:count].copy(), self._out[1][:count].copy()))
            if done == len(samples):
                break
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([number for number, _ in parts]), np.concatenate([axon for _, axon in parts])


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
