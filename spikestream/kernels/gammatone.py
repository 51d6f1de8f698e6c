"""A bank of order-4 gammatone filters on the ERB scale, each a cascade of four complex one-pole low-passes.

Equations, per band of centre f and sample x (prime = the sample before):

    B = 1.019 * 2 pi ERB(f) / fs,   ERB(f) = f / 9.26449 + 24.7 Hz,   p = exp(-B + 2 pi i f / fs)
    u1 <- g x + p u1',   uk <- u(k-1) + p uk' for k = 2..4,   y = Re u4,   g = 2 (1 - exp(-B))^4

so that a tone at the centre comes out with the amplitude it went in with. Near the Nyquist frequency the image of the
pole matters, which `spikestream.kernels.slaney` has and this has not: keep centres below 0.45 fs.

Sources: Patterson, Nimmo-Smith, Holdsworth & Rice, APU report 2341 (1988), the filter; Glasberg & Moore, Hear. Res. 47
(1990), the ERB scale; Holdsworth et al., APU report 2341 annex C (1988), the complex cascade.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numba import njit

from spikestream.kernels import Array

Number: TypeAlias = float | np.floating[Any]

EAR_Q, MIN_BANDWIDTH_HZ = 9.26449, 24.7
STRIDE = 256
"""Rows of coefficients and of state lie so many numbers apart: constant, or LLVM does not vectorise the band loop."""
P_RE, P_IM, GAIN = 0, STRIDE, 2 * STRIDE
ROWS = 8
"""Of the state: u1 to u4, real and imaginary."""
TOGETHER = 4
"""Samples taken in one pass over the bands: the state is loaded and stored once for all of them."""
FUSE = {"contract", "nsz", "nnan", "ninf"}
"""Fused multiply-add only: what may be reassociated could come out otherwise where samples are taken one by one."""
HUM = 1e-18
"""Added to every sample: in silence the filters would sink into denormal numbers, which cost a hundred times more."""


def erb_hz(frequency_hz: Array | float) -> Array | float:
    """Return the equivalent rectangular bandwidth at a frequency, both in Hz (Glasberg & Moore 1990)."""
    return frequency_hz / EAR_Q + MIN_BANDWIDTH_HZ


def erb_rate(frequency_hz: Array | float) -> Array:
    """Return the number of ERBs below a frequency in Hz."""
    return EAR_Q * np.log1p(np.asarray(frequency_hz) / (EAR_Q * MIN_BANDWIDTH_HZ))


def centres_hz(low_hz: float, high_hz: float, bands: int) -> Array:
    """Return ``bands`` frequencies in Hz equally spaced in ERB rate, the lowest first, both ends included."""
    rates = np.linspace(erb_rate(low_hz), erb_rate(high_hz), bands)
    centres: Array = EAR_Q * MIN_BANDWIDTH_HZ * np.expm1(rates / EAR_Q)
    return centres


@dataclass(frozen=True, slots=True)
class Params:
    """The bank; ``high_hz`` None is 7 kHz, or 0.45 of the sample rate where that is less."""

    samplerate_hz: int = 16_000
    bands: int = 64
    low_hz: float = 50.0
    high_hz: float | None = None

    @property
    def centres_hz(self) -> Array:
        """Return the centre frequencies in Hz, lowest first."""
        return centres_hz(self.low_hz, self.highest_hz, self.bands)

    @property
    def highest_hz(self) -> float:
        """Return the centre of the highest band in Hz."""
        return self.high_hz if self.high_hz is not None else min(7_000.0, 0.45 * self.samplerate_hz)


class Coeffs(NamedTuple):
    """``flat``: the rows P_RE, P_IM and GAIN, `STRIDE` apart."""

    bands: int
    flat: Array


class State(NamedTuple):
    """``flat``: u1 to u4, real and imaginary, `STRIDE` apart; ``out``: the last outputs, which nothing depends on."""

    flat: Array
    out: Array


def design(params: Params, dtype: type = np.float32) -> Coeffs:
    """Return the coefficients of the bank, computed in float64 and kept in ``dtype``."""
    centres, fs = params.centres_hz, params.samplerate_hz
    width = 1.019 * 2 * np.pi * erb_hz(centres) / fs
    pole = np.exp(-width + 2j * np.pi * centres / fs)
    flat: Array = np.zeros(3 * STRIDE, dtype)
    for row, values in ((P_RE, pole.real), (P_IM, pole.imag), (GAIN, 2 * (1 - np.exp(-width)) ** 4)):
        flat[row : row + len(centres)] = values
    return Coeffs(len(centres), flat)


def init(dtype: type = np.float32) -> State:
    """Return a bank that has heard nothing."""
    return State(np.zeros(ROWS * STRIDE, dtype), np.zeros(TOGETHER * STRIDE, dtype))


@njit(cache=True, nogil=True, fastmath=FUSE, error_model="numpy")
def step(a: Array, s: Array, y: Array, bands: int, hum: Number, x0: Number) -> None:
    """Take one sample; the first row of ``y`` then holds every band's output."""
    for c in range(bands):
        g, pr, pi = a[GAIN + c], a[P_RE + c], a[P_IM + c]
        r1, i1 = s[c], s[STRIDE + c]
        r2, i2 = s[2 * STRIDE + c], s[3 * STRIDE + c]
        r3, i3 = s[4 * STRIDE + c], s[5 * STRIDE + c]
        r4, i4 = s[6 * STRIDE + c], s[7 * STRIDE + c]
        r1, i1 = x0 + pr * r1 - pi * i1, hum + pr * i1 + pi * r1
        r2, i2 = r1 + pr * r2 - pi * i2, i1 + pr * i2 + pi * r2
        r3, i3 = r2 + pr * r3 - pi * i3, i2 + pr * i3 + pi * r3
        r4, i4 = r3 + pr * r4 - pi * i4, i3 + pr * i4 + pi * r4
        y[c] = g * r4
        s[c], s[STRIDE + c] = r1, i1
        s[2 * STRIDE + c], s[3 * STRIDE + c] = r2, i2
        s[4 * STRIDE + c], s[5 * STRIDE + c] = r3, i3
        s[6 * STRIDE + c], s[7 * STRIDE + c] = r4, i4


@njit(cache=True, nogil=True, fastmath=FUSE, error_model="numpy")
def step4(
    a: Array, s: Array, y: Array, bands: int, hum: Number, x0: Number, x1: Number, x2: Number, x3: Number
) -> None:
    """Take four samples, bit for bit as four times `step`; the rows of ``y`` hold the outputs."""
    for c in range(bands):
        g, pr, pi = a[GAIN + c], a[P_RE + c], a[P_IM + c]
        r1, i1 = s[c], s[STRIDE + c]
        r2, i2 = s[2 * STRIDE + c], s[3 * STRIDE + c]
        r3, i3 = s[4 * STRIDE + c], s[5 * STRIDE + c]
        r4, i4 = s[6 * STRIDE + c], s[7 * STRIDE + c]
        r1, i1 = x0 + pr * r1 - pi * i1, hum + pr * i1 + pi * r1
        r2, i2 = r1 + pr * r2 - pi * i2, i1 + pr * i2 + pi * r2
        r3, i3 = r2 + pr * r3 - pi * i3, i2 + pr * i3 + pi * r3
        r4, i4 = r3 + pr * r4 - pi * i4, i3 + pr * i4 + pi * r4
        y[c] = g * r4
        r1, i1 = x1 + pr * r1 - pi * i1, hum + pr * i1 + pi * r1
        r2, i2 = r1 + pr * r2 - pi * i2, i1 + pr * i2 + pi * r2
        r3, i3 = r2 + pr * r3 - pi * i3, i2 + pr * i3 + pi * r3
        r4, i4 = r3 + pr * r4 - pi * i4, i3 + pr * i4 + pi * r4
        y[STRIDE + c] = g * r4
        r1, i1 = x2 + pr * r1 - pi * i1, hum + pr * i1 + pi * r1
        r2, i2 = r1 + pr * r2 - pi * i2, i1 + pr * i2 + pi * r2
        r3, i3 = r2 + pr * r3 - pi * i3, i2 + pr * i3 + pi * r3
        r4, i4 = r3 + pr * r4 - pi * i4, i3 + pr * i4 + pi * r4
        y[2 * STRIDE + c] = g * r4
        r1, i1 = x3 + pr * r1 - pi * i1, hum + pr * i1 + pi * r1
        r2, i2 = r1 + pr * r2 - pi * i2, i1 + pr * i2 + pi * r2
        r3, i3 = r2 + pr * r3 - pi * i3, i2 + pr * i3 + pi * r3
        r4, i4 = r3 + pr * r4 - pi * i4, i3 + pr * i4 + pi * r4
        y[3 * STRIDE + c] = g * r4
        s[c], s[STRIDE + c] = r1, i1
        s[2 * STRIDE + c], s[3 * STRIDE + c] = r2, i2
        s[4 * STRIDE + c], s[5 * STRIDE + c] = r3, i3
        s[6 * STRIDE + c], s[7 * STRIDE + c] = r4, i4


@njit(cache=True, nogil=True, fastmath=FUSE, error_model="numpy")
def run(c: Coeffs, s: State, samples: Array, out: Array) -> None:
    """Filter ``samples`` (n,) into ``out`` (n, bands), all of the dtype of the state."""
    a, u, y, bands, hum = c.flat, s.flat, s.out, c.bands, samples.dtype.type(HUM)
    n = 0
    while n < len(samples):
        if n + TOGETHER <= len(samples):
            step4(
                a, u, y, bands, hum, samples[n] + hum, samples[n + 1] + hum, samples[n + 2] + hum, samples[n + 3] + hum
            )
            took = TOGETHER
        else:
            step(a, u, y, bands, hum, samples[n] + hum)
            took = 1
        for k in range(took):
            for band in range(bands):
                out[n + k, band] = y[k * STRIDE + band]
        n += took
