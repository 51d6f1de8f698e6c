"""The other hearing stage: sound in, the spikes of nerve fibres on CARFAC's neural activity out.

Equations: `spikestream.kernels.carfac`, from sound to activity, and `spikestream.kernels.fibres`, from there to spikes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ConfigError, ModelError, nearest
from spikestream.stages.base import State
from spikestream.stages.sound import Ear

if TYPE_CHECKING:
    from spikestream.kernels import carfac

BLOCK = 1 << 10
"""Samples heard at once: bounds the memory of a long batch."""
ROOM = 1 << 15
"""Spikes the kernel may write in one call, beside what one sample can make at most."""
LIMITS: Mapping[str, tuple[Any, float, float]] = {
    "samplerate_hz": (int, 8_000, 96_000),
    "bands": (int, 8, 256),
    "tau_ms": (int | float, 0.1, 1e6),
    "drive": (int | float, 1e-3, 1e6),
    "refrac_ms": (int | float, 0, 1_000),
}


@dataclass(frozen=True, slots=True)
class Options:
    """The ear; ``high_hz`` None is 0.85 of half the sample rate. ``thresholds`` has one entry for each fibre."""

    samplerate_hz: int = 16_000
    bands: int = 64
    low_hz: float = 30.0
    high_hz: float | None = None
    gain_control: bool = True
    hair: str = "two_cap"
    tau_ms: float = 20.0
    drive: float = 2.2
    thresholds: tuple[float, ...] = (0.1, 0.4, 1.6)
    refrac_ms: float = 10.0

    @property
    def highest_hz(self) -> float:
        """Return the pole of the highest band in Hz."""
        return self.high_hz if self.high_hz is not None else 0.425 * self.samplerate_hz


class Carfac(Ear):
    """CARFAC with spiking fibres; called with `Sound`, returns `Spikes`, the lowest band first.

    ``samplerate_hz`` 8,000 to 96,000, ``bands`` 8 to 256; other options as of `Options`. ``axons`` is fibres times
    bands: axon = ``fibre * bands + band``. Several channels are averaged. A full-scale sine has 100 dB and amplitude 1
    in CARFAC; from 30 to 90 dB louder is more, compressed by its filters and by ``refrac_ms``, which lets a fibre of
    the default fire at most 100 times a second. Raises `ConfigError`.
    """

    def __init__(self, samplerate_hz: int = 16_000, bands: int = 64, **options: Any) -> None:
        from spikestream.kernels import carfac, fibres

        self.options = made = _checked({"samplerate_hz": samplerate_hz, "bands": bands, **options})
        super().__init__(samplerate_hz, bands, len(made.thresholds), made.thresholds)
        self._carfac, self._fibres = carfac, fibres
        self._coeffs = _design(made)
        self._nerve = fibres.Params(samplerate_hz, bands, made.tau_ms, made.drive, made.thresholds, made.refrac_ms)
        self._rates = fibres.design(self._nerve)
        self._rest()
        self._bm, self._nap = np.empty((2, BLOCK, 1, bands), np.float32)
        room = ROOM + self.axons
        self._out = np.empty(room, np.int32), np.empty(room, np.int32)

    @property
    def centres_hz(self) -> Array:
        """Return the frequencies of the poles of the bands in Hz, (bands,), lowest first."""
        return self._coeffs.pole_hz.copy()

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned; raises `ModelError` where it does not fit this ear."""
        phase = state.get("phase", np.zeros(1))
        if not ((phase >= 0) & (phase < self._carfac.PERIOD)).all():
            raise ModelError("the saved state contradicts itself: no such phase of the gain control")
        super().restore(state)

    def _rest(self) -> None:
        self._ear, self._nerves = self._carfac.init(self._coeffs), self._fibres.init(self._nerve)

    def _memory(self) -> State:
        return {"rows": self._ear.rows, "phase": self._ear.phase, "v": self._nerves.v, "k": self._nerves.k}

    def _hear(self, samples: Array) -> tuple[Array, Array]:
        numbers, axons = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
        samples = np.clip(samples, -1, 1)
        for at in range(0, len(samples), BLOCK):
            part = samples[at : at + BLOCK, np.newaxis]
            bm, nap = self._bm[: len(part)], self._nap[: len(part)]
            self._carfac.run(self._coeffs, self._ear, part, bm, nap)
            done = 0
            while done < len(part):
                count, done = self._fibres.run(self._rates, self._nerves, nap[:, 0], self._out, done)
                numbers.append(self._out[0][:count].astype(np.int64) + (self._heard + at))
                axons.append(self._out[1][:count].copy())
        return np.concatenate(numbers), np.concatenate(axons)


def _design(options: Options) -> carfac.Coeffs:
    """Return CARFAC's coefficients for so many bands between the two frequencies; raises `ConfigError`."""
    from spikestream.kernels import carfac

    rate, own = options.samplerate_hz, carfac.Params()
    chosen = replace(own, hair=options.hair, closed=options.gain_control)
    chosen = replace(chosen, min_pole_hz=options.low_hz, first_pole=2 * options.highest_hz / rate)
    step = carfac.erb_step(chosen, rate, options.bands)
    # Many weak resonators in an octave do what few strong ones do, if each adds as much as its share of the octave:
    # left alone, 128 bands hear noise of -10 dB as 64 hear it at 50 dB.
    ratio = math.sqrt(1 + (own.zero_ratio**2 - 1) * step / own.step_erb)
    try:
        return carfac.design(replace(chosen, step_erb=step, zero_ratio=ratio), rate)
    except ValueError as error:
        raise ConfigError(f"CARFAC cannot be built so: {error}", key="bands", value=options.bands) from error


def _checked(options: Mapping[str, Any]) -> Options:
    """Return the options, or say which of them makes no sense."""
    known = [field.name for field in fields(Options)]
    for key in options:
        if key not in known:
            raise ConfigError(f"unknown option '{key}' of CARFAC", key=key, nearest=nearest(key, known))
    made = Options(**options)
    for key, (kinds, least, most) in LIMITS.items():
        value = getattr(made, key)
        if not isinstance(value, kinds) or not least <= value <= most:
            raise ConfigError(f"{key} = {value!r} is out of range", key=key, allowed=f"{least:,} to {most:,}")
    _check_range(made)
    _check_kinds(made)
    return made


def _check_range(made: Options) -> None:
    highest = made.highest_hz
    fits = all(isinstance(value, int | float) for value in (made.low_hz, highest))
    if not fits or not 20 <= made.low_hz < highest <= 0.45 * made.samplerate_hz:
        text = f"bands from {made.low_hz} to {highest} Hz do not fit a sample rate of {made.samplerate_hz:,} Hz"
        raise ConfigError(text, key="high_hz", allowed=f"20 <= low_hz < high_hz <= {0.45 * made.samplerate_hz:g}")


def _check_kinds(made: Options) -> None:
    from spikestream.kernels.carfac import HAIRS
    from spikestream.kernels.fibres import MOST_FIBRES

    if made.hair not in HAIRS:
        raise ConfigError(f"hair = {made.hair!r} is unknown", key="hair", allowed=", ".join(HAIRS))
    if not isinstance(made.gain_control, bool):
        raise ConfigError(f"gain_control = {made.gain_control!r}", key="gain_control", allowed="True, False")
    row = made.thresholds
    fits = isinstance(row, tuple) and 0 < len(row) <= MOST_FIBRES
    if not fits or not all(isinstance(level, int | float) and 0 < level < 1e9 for level in row):
        allowed = f"1 to {MOST_FIBRES} fibres with thresholds above 0"
        raise ConfigError("the thresholds of the fibres make no sense", key="thresholds", allowed=allowed)
