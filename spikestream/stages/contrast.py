"""The third hearing stage: sound in, spikes of fibres on what stands out of it out, little of it the voice's own.

Equations: `spikestream.kernels.gammatone`, from sound to bands, `spikestream.kernels.contrast`, from there to spikes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ConfigError, ModelError, nearest
from spikestream.stages.base import State
from spikestream.stages.sound import Ear

BLOCK = 1 << 10
"""Samples heard at once: bounds the memory of a long batch."""
BANK = ("samplerate_hz", "bands", "low_hz", "high_hz")
"""Options of the filterbank; all others, and two of these, are those of the fibres."""
KEPT = ("flat", "waiting", "held")
"""What is remembered of the bank's state."""
WHOLES = {"samplerate_hz": (8_000, 96_000), "bands": (8, 256)}
RANGES = {
    "frame_ms": (0.5, 1_000.0),
    "quiet_db": (-50.0, 100.0),
    "range_db": (1.0, 100.0),
    "active_db": (0.0, 100.0),
    "fall_db": (0.0, 1e4),
    "spread": (0.0, 256.0),
    "surround": (0.0, 1e6),
    "memory_ms": (1.0, 1e9),
    "even": (0.0, 1.0),
    "change_ms": (1.0, 1e9),
    "gain": (1e-3, 1e6),
    "change_gain": (1e-3, 1e6),
}


class Contrast(Ear):
    """A filterbank and fibres that compare a band with its neighbours and its past; `Sound` in, `Spikes` out.

    ``samplerate_hz`` 8,000 to 96,000, ``bands`` 8 to 256; ``low_hz`` and ``high_hz`` as of
    `spikestream.kernels.gammatone.Params`, other options as of `spikestream.kernels.contrast.Params`. ``axons`` is
    four times the bands, the lowest band of each kind of fibre first. Several channels are averaged. Raises
    `ConfigError`.
    """

    def __init__(self, samplerate_hz: int = 16_000, bands: int = 64, **options: Any) -> None:
        from spikestream.kernels import contrast, gammatone

        self._kernel, self._filters = contrast, gammatone
        self.options, self._bank = _checked({"samplerate_hz": samplerate_hz, "bands": bands, **options})
        super().__init__(samplerate_hz, bands, contrast.FIBRES, (1.0,))
        self._coeffs, self._filter = contrast.design(self.options), gammatone.design(self._bank)
        self._rest()
        self._bm = np.empty((BLOCK, bands), np.float32)
        room = self.axons * (BLOCK // self._coeffs.frame + 1)
        self._out = np.empty(room, np.int64), np.empty(room, np.int32)

    @property
    def centres_hz(self) -> Array:
        """Return the centre frequencies of the bands in Hz, (bands,), lowest first."""
        centres: Array = self._bank.centres_hz
        return centres

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit this ear."""
        held, count = state.get("held", np.zeros(1)), state.get("counts", np.zeros(2))
        peak, v = state.get("peak", np.zeros(1)), state.get("v", np.zeros(1))
        fits = ((held >= 0) & (held < self._filters.TOGETHER)).all() and (count >= 0).all() and (peak >= 0).all()
        if not fits or not (count.ravel()[:1] < self._coeffs.frame).all() or not ((v >= 0) & (v <= 1)).all():
            raise ModelError("the saved state contradicts itself: counts, peaks or potentials out of range")
        super().restore(state)

    def _rest(self) -> None:
        self._state, self._filtered = self._kernel.init(self.options), self._filters.init()

    def _memory(self) -> State:
        own = {name: value for name, value in self._state._asdict().items() if name != "level"}
        return {**own, **{key: getattr(self._filtered, key) for key in KEPT}}

    def _hear(self, samples: Array) -> tuple[Array, Array]:
        numbers, axons = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
        samples = np.clip(samples, -1, 1)
        for at in range(0, len(samples), BLOCK):
            part = samples[at : at + BLOCK]
            bm = self._bm[: len(part)]
            self._filters.run(self._filter, self._filtered, part, bm)
            count = self._kernel.run(self._coeffs, self._state, bm, self._heard + at, self._out)
            numbers.append(self._out[0][:count].copy())
            axons.append(self._out[1][:count].copy())
        return np.concatenate(numbers), np.concatenate(axons)


def _checked(options: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the parameters of the fibres and of the bank; raises `ConfigError`."""
    from spikestream.kernels import contrast, gammatone

    known = [*dict.fromkeys([*BANK, *(field.name for field in fields(contrast.Params))])]
    for key, value in options.items():
        if key not in known:
            raise ConfigError(f"unknown option '{key}' of the ear", key=key, value=value, nearest=nearest(key, known))
        _in_range(key, value)
    bank = gammatone.Params(**{key: options[key] for key in BANK if key in options})
    rate, high_hz = bank.samplerate_hz, bank.highest_hz
    if not 20 <= bank.low_hz < high_hz <= 0.45 * rate:
        text = f"bands from {bank.low_hz:g} to {high_hz:g} Hz do not fit a sample rate of {rate:,} Hz"
        raise ConfigError(text, key="high_hz", allowed=f"20 <= low_hz < high_hz <= {0.45 * rate:g}")
    own = {key: value for key, value in options.items() if key not in ("low_hz", "high_hz")}
    return replace(contrast.Params(), **own), bank


def _in_range(key: str, value: Any) -> None:
    if key in WHOLES:
        low, high = WHOLES[key]
        fits, allowed = isinstance(value, int) and low <= value <= high, f"{low:,} to {high:,}"
    elif key in RANGES:
        least, most = RANGES[key]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits, allowed = number and least <= value <= most, f"{least:g} to {most:g}"
    else:
        return
    if not fits:
        raise ConfigError(f"{key} = {value!r} is out of range", key=key, value=value, allowed=allowed)
