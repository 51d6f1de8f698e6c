"""Sound to spikes: gain control, gammatone bank, hair cells, and several spiking fibres for every band.

Equations, per sample x; every quantity with a dash is that of the sample before:

    gain      e <- e' + a (x^2 - e'),  a for attack where x^2 > e', else for release;   x <- x g / sqrt(max(e, e_min))
    bank      y per band: `spikestream.kernels.gammatone`
    hair      w = sqrt(max(y, 0)),  d <- d' + lp (w - d'),  h <- h' + lp (d - h')       (phase locking ends at 1 kHz)
    adapt     s <- s' + ad (h - s'),  on = max(h - k s, 0),  off = max(k s - h, 0)
    fibre     v <- v' - leak v' + drive on;  0 while refractory;  at v >= threshold a spike, v <- v - threshold

All behind the root is linear, so that d, h, s and v are kept without their constant factors, lp, ad and drive, and the
thresholds are divided by them instead.

The gain sees no future and no file: it forgets a loud sound at the pace of ``release_ms``, and below ``quiet_db`` it
rises no further, so that silence stays silent. Fibres of one band differ in threshold: together they cover levels that
one alone would saturate at. An axon is ``fibre * bands + band``; band 0 is the lowest; OFF fibres come after ON ones.

Sources: the chain after Meddis, J. Acoust. Soc. Am. 79 (1986), and Lyon, Human and Machine Hearing (2017), ch. 18-19,
simplified to first order; fibre classes by threshold after Liberman, J. Acoust. Soc. Am. 63 (1978).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numba import njit

from spikestream.kernels import Array, gammatone, nerve
from spikestream.kernels.gammatone import FUSE, GROUPS, HUM, INLINE, MASK, ROWS, STRETCH, STRIDE, TOGETHER, Number
from spikestream.kernels.nerve import ABREAST, FIBRES, MOST, OFF

Three: TypeAlias = tuple[Number, Number, Number]

FULL_SCALE_DB = 100.0
"""Level of a sine of amplitude 1."""
MOST_FIBRES = 8
D, H, S = ROWS * STRIDE, (ROWS + 1) * STRIDE, (ROWS + 2) * STRIDE
"""Rows of the state behind those of the bank, and before those of the fibres."""


@dataclass(frozen=True, slots=True)
class Params:
    """The chain; levels in dB, of which a full-scale sine has 100. ``thresholds`` has one entry for each fibre."""

    samplerate_hz: int = 16_000
    bands: int = 64
    low_hz: float = 50.0
    high_hz: float | None = None
    gain_control: bool = True
    target_db: float = 74.0
    quiet_db: float = 30.0
    attack_ms: float = 1.0
    release_ms: float = 20.0
    locking_hz: float = 1_000.0
    adapt_ms: float = 50.0
    adapt: float = 0.2
    tau_ms: float = 20.0
    drive: float = 60.0
    thresholds: tuple[float, ...] = (0.4, 0.8, 1.6)
    refrac_ms: float = 1.0
    off: bool = False

    @property
    def bank(self) -> gammatone.Params:
        """Return the parameters of the filters."""
        return gammatone.Params(self.samplerate_hz, self.bands, self.low_hz, self.high_hz)

    @property
    def fibres(self) -> int:
        """Return the number of fibres of one band."""
        return len(self.thresholds) * (2 if self.off else 1)


class Coeffs(NamedTuple):
    """What one sample needs; ``thresholds`` (rows,) float32 by fibre, those of OFF fibres last, padded to `ABREAST`."""

    bank: gammatone.Coeffs
    gain: tuple[float, float, float, float]  # attack, release, target amplitude, least power
    hair: tuple[float, float, float]  # what is kept of d and h, and of s, strength of adaptation
    fibre: tuple[float, float]  # what is kept of v, refractory samples
    thresholds: Array
    on: int
    off: int


class State(NamedTuple):
    """``bank.flat`` holds the rows of the bank, of d, h and s, and of the fibres; ``power`` (1,) float64 the gain's.

    The rest is scratch that nothing depends on; ``words`` sees ``fired`` eight bytes at a time.
    """

    bank: gammatone.State
    power: Array
    least: Array
    drive: Array
    fired: Array
    words: Array
    samples: Array
    axons: Array
    places: Array


def amplitude(level_db: float) -> float:
    """Return the amplitude of a sine of a level in dB."""
    return float(10 ** ((level_db - FULL_SCALE_DB) / 20))


def kept(share: float) -> float:
    """Return what is left of 1 without ``share``, as float32 has it, and less than 1 that nothing piles up."""
    return float(min(np.float32(1 - share), np.nextafter(np.float32(1), np.float32(0))))


def design(params: Params) -> Coeffs:
    """Return the coefficients of one sample."""
    fs = params.samplerate_hz

    def share(tau_ms: float) -> float:
        return float(1 - np.exp(-1000 / (tau_ms * fs)))

    target, quiet = amplitude(params.target_db) / np.sqrt(2), amplitude(params.quiet_db) ** 2 / 2
    leak = 1000 / (params.tau_ms * fs)
    locked, adapted = kept(1 - np.exp(-2 * np.pi * params.locking_hz / fs)), kept(share(params.adapt_ms))
    attack, release = (share(params.attack_ms), share(params.release_ms)) if params.gain_control else (0.0, 0.0)
    on, sides = len(params.thresholds), 2 if params.off else 1
    thresholds = np.full((sides, -(-on // ABREAST) * ABREAST), MOST)
    thresholds[:, :on] = np.array(params.thresholds) / (params.drive * leak * (1 - locked) ** 2)
    return Coeffs(
        gammatone.design(params.bank),
        (attack, release, float(target), float(quiet) if params.gain_control else float(target) ** 2),
        (locked, adapted, params.adapt * (1 - adapted)),
        (1 - leak, float(round(params.refrac_ms * fs / 1000))),
        thresholds.astype(np.float32).ravel(),
        on,
        on * (sides - 1),
    )


def init(params: Params) -> State:
    """Return an ear that has heard nothing."""
    rows = len(design(params).thresholds)
    fired = np.zeros(GROUPS * rows * STRIDE, np.uint8)
    return State(
        gammatone.init(rows=FIBRES // STRIDE + 2 * rows),
        np.zeros(1),
        np.zeros(STRETCH, np.float32),
        np.zeros(2 * OFF, np.float32),
        fired,
        fired.view(np.int64),
        np.zeros(len(fired), np.int64),
        np.zeros(len(fired), np.int64),
        np.zeros(STRETCH + 1, np.int64),
    )


@njit(**INLINE)
def _control(c: Coeffs, s: State, samples: Array, held: int, took: int, n: int) -> None:
    """Let samples through the gain control, to where the bank takes them."""
    attack, release, target, quiet = c.gain
    power, waiting, least = s.power[0], s.bank.waiting, s.least
    for k in range(held, held + took):
        x = min(max(samples[n - held + k], np.float32(-1)), np.float32(1))
        square = float(x) * float(x)
        louder, softer = power + attack * (square - power), power + release * (square - power)
        power = louder if square > power else softer
        waiting[k], least[k] = x, max(power, quiet)
    s.power[0] = power
    for k in range(held, held + took):
        waiting[k] = waiting[k] * (np.float32(target) / np.sqrt(least[k])) + np.float32(HUM)


@njit(cache=True, nogil=True, fastmath=FUSE, error_model="numpy")
def _cell(hair: Three, y: Number, cell: Three) -> tuple[Three, Number]:
    """Take one sample of one hair cell; return it and what ON fibres hear, OFF fibres where it is below 0."""
    d, h, s = cell
    d = hair[0] * d + np.sqrt(max(y, np.float32(HUM * HUM)))
    h = hair[0] * h + d
    s = hair[1] * s + h
    return (d, h, s), h - hair[2] * s


@njit(**INLINE)
def _listen(c: Coeffs, s: State, groups: int, off: bool) -> None:
    """Turn the samples that wait into the drive of ON fibres, and of OFF fibres behind it if there are any."""
    a, u, x, drive, hum = c.bank.flat, s.bank.flat, s.bank.waiting, s.drive, np.float32(HUM)
    hair = np.float32(c.hair[0]), np.float32(c.hair[1]), np.float32(c.hair[2])
    for g in range(0, groups * TOGETHER, TOGETHER):
        row = (g * STRIDE) & MASK
        group = (x[g], x[g + 1], x[g + 2], x[g + 3], x[g + 4], x[g + 5], x[g + 6], x[g + 7])
        for b in range(c.bank.bands):
            w = gammatone.cascade(u, b)
            cell = u[b + D], u[b + H], u[b + S]
            for n in range(TOGETHER):
                w, y = gammatone.pass_on(a, b + n * STRIDE, group[n], w)
                cell, above = _cell(hair, y, cell)
                drive[b + row + n * STRIDE] = max(above, hum)
                if off:
                    drive[b + row + n * STRIDE + OFF] = max(-above, hum)
            gammatone.turn(a, u, b, w)
            u[b + D], u[b + H], u[b + S] = cell


@njit(**INLINE)
def step(c: Coeffs, s: State, held: int, took: int, number: int, out: tuple[Array, Array], count: int) -> int:
    """Hear what waits; append the spikes of its samples from ``held`` on to ``out``; return the new count."""
    groups = (held + took + TOGETHER - 1) // TOGETHER
    if c.off:
        _listen(c, s, groups, True)
    else:
        _listen(c, s, groups, False)
    if c.fibre[1] + 1 >= TOGETHER:
        nerve.charge(c, s, groups, 0, TOGETHER)
        count = nerve.write(s, nerve.find(c, s, groups, TOGETHER, held, held + took), number, out, count)
    else:
        for n in range(held + took):
            nerve.charge(c, s, 1, n, 1)
            count = nerve.write(s, nerve.find(c, s, 1, n + 1, held, held + took), number, out, count)
    return count


@njit(cache=True, nogil=True, fastmath=FUSE, error_model="numpy")
def run(c: Coeffs, s: State, samples: Array, out: tuple[Array, Array], first: int, number: int) -> tuple[int, int]:
    """Hear ``samples[first:]`` (n,) float32 until all are heard or ``out`` = (sample (m,), axon (m,)) may overflow.

    Writes spikes in order of sample, then axon, where ``samples[0]`` is sample ``number``; returns (spikes written,
    samples heard so far).
    """
    room = len(out[0]) - STRETCH * (c.on + c.off) * c.bank.bands
    groups = GROUPS if c.fibre[1] + 1 >= TOGETHER else 1
    count, n = 0, first
    while n < len(samples) and count <= room:
        held = s.bank.held[0]
        took = gammatone.stretch(held, len(samples) - n, groups)
        _control(c, s, samples, held, took, n)
        gammatone.open_stretch(s.bank, held + took)
        count = step(c, s, held, took, number + n - held, out, count)
        gammatone.close_stretch(s.bank, held + took)
        n += took
    return count, n
