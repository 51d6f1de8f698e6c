"""Sound to spikes: gain control, gammatone bank, hair cells, and several spiking fibres for every band.

Equations, per sample x; every quantity with a dash is that of the sample before:

    gain      e <- e' + a (x^2 - e'),  a for attack where x^2 > e', else for release;   x <- x g / sqrt(max(e, e_min))
    bank      y per band: `spikestream.kernels.gammatone`
    hair      w = sqrt(max(y, 0)),  d <- d' + lp (w - d'),  h <- h' + lp (d - h')       (phase locking ends at 1 kHz)
    adapt     s <- s' + ad (h - s'),  on = max(h - k s, 0),  off = max(k s - h, 0)
    fibre     v <- v' - leak v' + drive on;  0 while refractory;  at v >= threshold a spike, v <- v - threshold

The gain sees no future and no file: it forgets a loud sound at the pace of ``release_ms``, and below ``quiet_db`` it
rises no further, so that silence stays silent. Fibres of one band differ in threshold: together they cover levels that
one alone would saturate at. An axon is ``fibre * bands + band``; band 0 is the lowest; OFF fibres come after ON ones.

Sources: the chain after Meddis, J. Acoust. Soc. Am. 79 (1986), and Lyon, Human and Machine Hearing (2017), ch. 18-19,
simplified to first order; fibre classes by threshold after Liberman, J. Acoust. Soc. Am. 63 (1978).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numba import njit

from spikestream.kernels import Array, gammatone
from spikestream.kernels.gammatone import FUSE, HUM, STRIDE, TOGETHER, Number

Three: TypeAlias = tuple[Number, Number, Number]
Hair: TypeAlias = tuple[Number, Number, Number, Number]

FULL_SCALE_DB = 100.0
"""Level of a sine of amplitude 1."""
MOST_FIBRES = 8
D, H, S = 0, STRIDE, 2 * STRIDE
OFF = TOGETHER * STRIDE
"""Where the drive of OFF fibres begins, behind that of ON fibres."""
MASK = 2 * MOST_FIBRES * STRIDE - 1


# Inlined where they are called: a call would hand over some sixty numbers, all arrays with their shapes.
INLINE: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": FUSE, "error_model": "numpy", "inline": "always"}


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
    """What one sample needs; ``thresholds`` (fibres,) float32, ``heard`` (fibres,) the row of its drive."""

    bank: gammatone.Coeffs
    gain: tuple[float, float, float, float]  # attack, release, target amplitude, least power
    hair: tuple[np.float32, np.float32, np.float32, np.float32]  # low-pass, adaptation rate and strength, drive
    fibre: tuple[np.float32, np.float32]  # what is kept of v, refractory samples
    thresholds: Array
    heard: Array


class State(NamedTuple):
    """``power`` (1,) float64 is the gain control's; ``cells`` holds d, h and s by rows.

    ``v`` and ``k`` hold the potentials and the refractory counters of the fibres, a row each.

    The rest is scratch that nothing depends on; ``words`` sees ``fired`` eight bytes at a time.
    """

    bank: gammatone.State
    power: Array
    cells: Array
    v: Array
    k: Array
    drive: Array
    fired: Array
    words: Array
    found: Array


def amplitude(level_db: float) -> float:
    """Return the amplitude of a sine of a level in dB."""
    return float(10 ** ((level_db - FULL_SCALE_DB) / 20))


def design(params: Params) -> Coeffs:
    """Return the coefficients of one sample."""
    fs, f = params.samplerate_hz, np.float32

    def share(tau_ms: float) -> float:
        return float(1 - np.exp(-1000 / (tau_ms * fs)))

    target, quiet = amplitude(params.target_db) / np.sqrt(2), amplitude(params.quiet_db) ** 2 / 2
    leak = 1000 / (params.tau_ms * fs)
    locking = 1 - np.exp(-2 * np.pi * params.locking_hz / fs)
    attack, release = (share(params.attack_ms), share(params.release_ms)) if params.gain_control else (0.0, 0.0)
    return Coeffs(
        gammatone.design(params.bank),
        (attack, release, float(target), float(quiet) if params.gain_control else float(target) ** 2),
        (f(locking), f(share(params.adapt_ms)), f(params.adapt), f(params.drive * leak)),
        (f(1 - leak), f(round(params.refrac_ms * fs / 1000))),
        np.array(params.thresholds * (2 if params.off else 1), f),
        np.repeat(np.array([0, OFF]), len(params.thresholds))[: params.fibres],
    )


def init(params: Params) -> State:
    """Return an ear that has heard nothing."""
    f = np.float32
    rows = params.fibres * STRIDE
    fired = np.zeros(rows, np.uint8)
    return State(
        gammatone.init(),
        np.zeros(1),
        np.zeros(3 * STRIDE, f),
        np.zeros(rows, f),
        np.zeros(rows, f),
        np.zeros(2 * OFF, f),
        fired,
        fired.view(np.uint64),
        np.zeros(rows, np.int32),
    )


@njit(cache=True, nogil=True, fastmath=FUSE, error_model="numpy")
def _cell(hair: Hair, y: Number, cell: Three) -> tuple[Three, Number, Number]:
    """Take one sample of one hair cell; return it and what ON and OFF fibres hear."""
    zero, hum = np.float32(0), np.float32(HUM)
    d, h, s = cell
    d = d + hair[0] * (np.sqrt(max(y, zero)) + hum - d)
    h = h + hair[0] * (d - h)
    s = s + hair[1] * (h - s)
    above = h - hair[2] * s
    return (d, h, s), hair[3] * max(above, zero) + hum, hair[3] * max(-above, zero) + hum


@njit(**INLINE)
def _hair1(c: Coeffs, y: Array, cells: Array, drive: Array) -> None:
    """Turn one sample of the bank into the drive of ON fibres, and of OFF fibres behind it."""
    for b in range(c.bank.bands):
        cell = cells[D + b], cells[H + b], cells[S + b]
        cell, on, off = _cell(c.hair, y[b], cell)
        drive[b], drive[OFF + b] = on, off
        cells[D + b], cells[H + b], cells[S + b] = cell


@njit(**INLINE)
def _hair4(c: Coeffs, y: Array, cells: Array, drive: Array) -> None:
    """Do the same for four samples, bit for bit."""
    for b in range(c.bank.bands):
        cell = cells[D + b], cells[H + b], cells[S + b]
        cell, on, off = _cell(c.hair, y[b], cell)
        drive[b], drive[OFF + b] = on, off
        cell, on, off = _cell(c.hair, y[STRIDE + b], cell)
        drive[STRIDE + b], drive[OFF + STRIDE + b] = on, off
        cell, on, off = _cell(c.hair, y[2 * STRIDE + b], cell)
        drive[2 * STRIDE + b], drive[OFF + 2 * STRIDE + b] = on, off
        cell, on, off = _cell(c.hair, y[3 * STRIDE + b], cell)
        drive[3 * STRIDE + b], drive[OFF + 3 * STRIDE + b] = on, off
        cells[D + b], cells[H + b], cells[S + b] = cell


@njit(cache=True, nogil=True, fastmath=FUSE, error_model="numpy")
def _spike(keep: Number, rest: Number, threshold: Number, drive: Number, v: Number, k: Number) -> tuple[Any, Any, Any]:
    """Take one sample of one fibre; ``k`` counts down and is below 1 where it is free."""
    v = keep * v + drive
    v = v if k < np.float32(1) else np.float32(0)
    hit = v >= threshold
    return (v - threshold if hit else v), (rest if hit else k - np.float32(1)), hit


@njit(**INLINE)
def _fibres1(c: Coeffs, s: State) -> None:
    """Take one sample of every fibre; bit 0 of ``fired`` tells which spike."""
    keep, rest, none = c.fibre[0], c.fibre[1], np.int32(0)
    v, k, drive, fired = s.v, s.k, s.drive, s.fired
    for f in range(len(c.thresholds)):
        threshold = c.thresholds[f]
        # Masked, so that the compiler knows them not to be negative: else it would not vectorise.
        row, heard = (f * STRIDE) & MASK, (c.heard[f]) & MASK
        for b in range(c.bank.bands):
            v0, k0, hit = _spike(keep, rest, threshold, drive[heard + b], v[row + b], k[row + b])
            bits = np.int32(1) if hit else none
            v[row + b], k[row + b], fired[row + b] = v0, k0, bits


@njit(**INLINE)
def _fibres4(c: Coeffs, s: State) -> None:
    """Do the same for four samples, bit for bit; bits 0 to 3 of ``fired`` tell which spike in which."""
    keep, rest, none = c.fibre[0], c.fibre[1], np.int32(0)
    v, k, drive, fired = s.v, s.k, s.drive, s.fired
    for f in range(len(c.thresholds)):
        threshold = c.thresholds[f]
        # Masked, so that the compiler knows them not to be negative: else it would not vectorise.
        row, heard = (f * STRIDE) & MASK, (c.heard[f]) & MASK
        for b in range(c.bank.bands):
            v0, k0, hit = _spike(keep, rest, threshold, drive[heard + b], v[row + b], k[row + b])
            bits = np.int32(1) if hit else none
            v0, k0, hit = _spike(keep, rest, threshold, drive[heard + STRIDE + b], v0, k0)
            bits |= np.int32(2) if hit else none
            v0, k0, hit = _spike(keep, rest, threshold, drive[heard + 2 * STRIDE + b], v0, k0)
            bits |= np.int32(4) if hit else none
            v0, k0, hit = _spike(keep, rest, threshold, drive[heard + 3 * STRIDE + b], v0, k0)
            bits |= np.int32(8) if hit else none
            v[row + b], k[row + b], fired[row + b] = v0, k0, bits


@njit(**INLINE)
def _collect(s: State, bands: int, fibres: int, took: int, sample: int, out: tuple[Array, Array], count: int) -> int:
    """Append the spikes of the last ``took`` samples, from ``sample`` on, to ``out``; return the new count."""
    found = 0
    for f in range(fibres):
        for w in range((bands + 7) // 8):
            if s.words[f * STRIDE // 8 + w]:
                for b in range(8 * w, 8 * w + 8):
                    if s.fired[f * STRIDE + b]:
                        s.found[found] = f * STRIDE + b
                        found += 1
    for k in range(took):
        for i in range(found):
            place = s.found[i]
            if s.fired[place] & (1 << k):
                out[0][count] = sample + k
                out[1][count] = place // STRIDE * bands + place % STRIDE
                count += 1
    return count


@njit(**INLINE)
def step(c: Coeffs, s: State, took: int, sample: int, out: tuple[Array, Array], count: int) -> int:
    """Hear one or four outputs of the bank; append their spikes to ``out``; return the new count."""
    if took == 1:
        _hair1(c, s.bank.out, s.cells, s.drive)
        _fibres1(c, s)
    else:
        _hair4(c, s.bank.out, s.cells, s.drive)
        _fibres4(c, s)
    made: int = _collect(s, c.bank.bands, len(c.thresholds), took, sample, out, count)
    return made


@njit(**INLINE)
def _controlled(c: Coeffs, s: State, x: float) -> np.float32:
    """Return one sample after the gain control."""
    attack, release, target, quiet = c.gain
    x = min(max(x, -1.0), 1.0)
    square = x * x
    s.power[0] += (attack if square > s.power[0] else release) * (square - s.power[0])
    return np.float32(x * (target / np.sqrt(max(s.power[0], quiet))) + HUM)


@njit(cache=True, nogil=True, fastmath=FUSE, error_model="numpy")
def run(c: Coeffs, s: State, samples: Array, out: tuple[Array, Array], first: int) -> tuple[int, int]:
    """Hear ``samples[first:]`` (n,) float32 until all are heard or ``out`` = (sample (m,), axon (m,)) may overflow.

    Writes spikes in order of sample, then axon; returns (spikes written, samples heard so far).
    """
    bank, u, y, hum = c.bank, s.bank.flat, s.bank.out, np.float32(HUM)
    room = len(out[0]) - TOGETHER * len(c.thresholds) * bank.bands
    count, n = 0, first
    while n < len(samples) and count <= room:
        if n + TOGETHER <= len(samples):
            x0, x1 = _controlled(c, s, samples[n]), _controlled(c, s, samples[n + 1])
            x2, x3 = _controlled(c, s, samples[n + 2]), _controlled(c, s, samples[n + 3])
            gammatone.step4(bank.flat, u, y, bank.bands, hum, x0, x1, x2, x3)
            took = TOGETHER
        else:
            gammatone.step(bank.flat, u, y, bank.bands, hum, _controlled(c, s, samples[n]))
            took = 1
        count = step(c, s, took, n, out, count)
        n += took
    return count, n
