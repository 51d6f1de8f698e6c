"""A bank of order-4 gammatone filters on the ERB scale, each a cascade of four complex one-pole low-passes.

Equations, per band of centre f and sample x (prime = the sample before):

    B = 1.019 * 2 pi ERB(f) / fs,   ERB(f) = f / 9.26449 + 24.7 Hz,   p = exp(-B + 2 pi i f / fs)
    u1 <- g x + p u1',   uk <- u(k-1) + p uk' for k = 2..4,   y = Re u4,   g = 2 (1 - exp(-B))^4

so that a tone at the centre comes out with the amplitude it went in with. Near the Nyquist frequency the image of the
pole matters, which `spikestream.kernels.slaney` has and this has not: keep centres below 0.45 fs.

Order of work: samples n = 0..7 of a group turn with the pole, w = u / p^n, which leaves sums of what was products:

    w1 <- w1 + p^-n x,   wk <- wk + w(k-1),   y = Re g p^n w4;   after the group w <- p^8 w

That is 12 operations a sample instead of 17. A group that a block cuts is computed again when the next block goes on
with it, from the state before it: so there is one way to compute a sample, and no cut changes a bit.

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
Cascade: TypeAlias = tuple[Number, Number, Number, Number, Number, Number, Number, Number]

EAR_Q, MIN_BANDWIDTH_HZ = 9.26449, 24.7
TOGETHER, GROUPS = 8, 4
"""Samples of a group: the state is loaded and stored once for all of them. Groups of a stretch: what is counted and
looked up between two loops over bands, references to arrays above all, is so for all of them."""
STRETCH = GROUPS * TOGETHER
STRIDE = 272
"""Rows of coefficients and of state lie so many numbers apart: constant, or LLVM does not vectorise the band loop.

256 bands and a cache line: rows a power of two apart would fight for the same few lines of the cache.
"""
P_RE, P_IM = 0, STRIDE
INTO, OUT_OF = 2 * STRIDE, (2 + 2 * TOGETHER) * STRIDE
IMAGINARY = TOGETHER * STRIDE
"""From the row of a real part to that of its imaginary part, in what goes into the cascade and comes out of it."""
MASK = 32 * 1024 - 1
"""More than any row: told that a row is not negative, LLVM vectorises."""
ROWS = 8
"""Of the state: w1 to w4, real and imaginary."""
FUSE = {"contract", "nsz", "nnan", "ninf"}
"""Fused multiply-add only: what may be reassociated could come out otherwise from one version of LLVM to the next."""
HUM = 1e-18
"""Added to every sample: in silence the filters would sink into denormal numbers, which cost a hundred times more."""
# Inlined where they are called: a call would hand over some sixty numbers, all arrays with their shapes.
INLINE: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": FUSE, "error_model": "numpy", "inline": "always"}


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
    """``flat``: rows `STRIDE` apart: p^8, then p^-n and g p^n for every sample n of a group."""

    bands: int
    flat: Array


class State(NamedTuple):
    """``flat``: w1 to w4, real and imaginary, `STRIDE` apart, before the group that ``waiting`` (STRETCH,) begins.

    ``held`` (1,) int64 tells how many samples are waiting. ``out``, the rows of what came out, and ``before`` are
    scratch that nothing depends on.
    """

    flat: Array
    waiting: Array
    held: Array
    out: Array
    before: Array


def design(params: Params, dtype: type = np.float32) -> Coeffs:
    """Return the coefficients of the bank, computed in float64 and kept in ``dtype``."""
    centres, fs = params.centres_hz, params.samplerate_hz
    width = 1.019 * 2 * np.pi * erb_hz(centres) / fs
    pole = np.exp(-width + 2j * np.pi * centres / fs)
    gain = 2 * (1 - np.exp(-width)) ** 4
    rows = {P_RE: (pole**TOGETHER).real, P_IM: (pole**TOGETHER).imag}
    for n in range(TOGETHER):
        into, out_of = pole**-n, gain * np.conj(pole**n)
        rows |= {INTO + n * STRIDE: into.real, INTO + IMAGINARY + n * STRIDE: into.imag}
        rows |= {OUT_OF + n * STRIDE: out_of.real, OUT_OF + IMAGINARY + n * STRIDE: out_of.imag}
    flat: Array = np.zeros(OUT_OF + 2 * IMAGINARY, dtype)
    for row, values in rows.items():
        flat[row : row + len(centres)] = values
    return Coeffs(len(centres), flat)


def init(dtype: type = np.float32, rows: int = ROWS) -> State:
    """Return a bank that has heard nothing; ``rows`` beyond `ROWS` are there for who goes on from its output."""
    flat: Array = np.zeros(rows * STRIDE, dtype)
    waiting: Array = np.zeros(STRETCH, dtype)
    out: Array = np.zeros(STRETCH * STRIDE, dtype)
    return State(flat, waiting, np.zeros(1, np.int64), out, flat.copy())


@njit(cache=True, nogil=True, fastmath=FUSE, error_model="numpy")
def cascade(s: Array, b: int) -> Cascade:
    """Return the state of one band."""
    return (
        *(s[b], s[b + STRIDE], s[b + 2 * STRIDE], s[b + 3 * STRIDE]),
        *(s[b + 4 * STRIDE], s[b + 5 * STRIDE], s[b + 6 * STRIDE], s[b + 7 * STRIDE]),
    )


@njit(cache=True, nogil=True, fastmath=FUSE, error_model="numpy")
def pass_on(a: Array, at: int, x: Number, w: Cascade) -> tuple[Cascade, Number]:
    """Take sample n into the band whose coefficients are ``at`` = band + n * STRIDE; return its state and output."""
    r1, i1, r2, i2, r3, i3, r4, i4 = w
    r1, i1 = r1 + a[at + INTO] * x, i1 + a[at + INTO + IMAGINARY] * x
    r2, i2 = r2 + r1, i2 + i1
    r3, i3 = r3 + r2, i3 + i2
    r4, i4 = r4 + r3, i4 + i3
    return (r1, i1, r2, i2, r3, i3, r4, i4), a[at + OUT_OF] * r4 + a[at + OUT_OF + IMAGINARY] * i4


@njit(cache=True, nogil=True, fastmath=FUSE, error_model="numpy")
def turn(a: Array, s: Array, b: int, w: Cascade) -> None:
    """Store the state of one band, turned on by one group."""
    re, im = a[b + P_RE], a[b + P_IM]
    r1, i1, r2, i2, r3, i3, r4, i4 = w
    s[b], s[b + STRIDE] = re * r1 - im * i1, re * i1 + im * r1
    s[b + 2 * STRIDE], s[b + 3 * STRIDE] = re * r2 - im * i2, re * i2 + im * r2
    s[b + 4 * STRIDE], s[b + 5 * STRIDE] = re * r3 - im * i3, re * i3 + im * r3
    s[b + 6 * STRIDE], s[b + 7 * STRIDE] = re * r4 - im * i4, re * i4 + im * r4


@njit(**INLINE)
def step(c: Coeffs, s: State, groups: int) -> None:
    """Take the groups that wait; the rows of ``s.out`` then hold every band's outputs."""
    a, u, y, x = c.flat, s.flat, s.out, s.waiting
    for g in range(0, groups * TOGETHER, TOGETHER):
        row = (g * STRIDE) & MASK
        group = (x[g], x[g + 1], x[g + 2], x[g + 3], x[g + 4], x[g + 5], x[g + 6], x[g + 7])
        for b in range(c.bands):
            w = cascade(u, b)
            for n in range(TOGETHER):
                w, y[b + row + n * STRIDE] = pass_on(a, b + n * STRIDE, group[n], w)
            turn(a, u, b, w)


@njit(cache=True, nogil=True)
def stretch(held: int, left: int, groups: int) -> int:
    """Return how many of the ``left`` samples to take next: whole groups, or what a group that was cut still needs."""
    if held or left < TOGETHER:
        return min(TOGETHER - held, left)
    return min(left // TOGETHER, groups) * TOGETHER


@njit(**INLINE)
def open_stretch(s: State, filled: int) -> None:
    """Keep the state where the group to come is not whole."""
    if filled % TOGETHER:
        for i in range(len(s.flat)):
            s.before[i] = s.flat[i]


@njit(**INLINE)
def close_stretch(s: State, filled: int) -> None:
    """Return to the state before a group that was not whole, and let its samples wait."""
    held = filled % TOGETHER
    s.held[0] = held
    if held:
        for i in range(len(s.flat)):
            s.flat[i] = s.before[i]
    else:
        for k in range(STRETCH):
            s.waiting[k] = 0


@njit(cache=True, nogil=True, fastmath=FUSE, error_model="numpy")
def run(c: Coeffs, s: State, samples: Array, out: Array) -> None:
    """Filter ``samples`` (n,) into ``out`` (n, bands), all of the dtype of the state."""
    hum, n = samples.dtype.type(HUM), 0
    while n < len(samples):
        held = s.held[0]
        took = stretch(held, len(samples) - n, GROUPS)
        for k in range(took):
            s.waiting[held + k] = samples[n + k] + hum
        open_stretch(s, held + took)
        step(c, s, (held + took + TOGETHER - 1) // TOGETHER)
        close_stretch(s, held + took)
        for k in range(took):
            row = ((held + k) * STRIDE) & MASK
            for band in range(c.bands):
                out[n + k, band] = s.out[band + row]
        n += took
