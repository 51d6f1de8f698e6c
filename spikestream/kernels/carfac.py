"""CARFAC, a cascade of asymmetric resonators with fast-acting compression: sound in, neural activity of bands out.

Equations of one sample x, per band; primes are values of the sample before:

    undamping   g = g' + dg,  zb = zb' + dzb
    outer hair  r = r1 + zb / (1 + (scale (z2' - z2'') + offset)^2)
    resonator   z1 = r (a0 z1' - c0 z2') + in,   z2 = r (c0 z1' + a0 z2')
    cascade     y = g (in + h z2),  in = y of the band above, x for the highest
    membrane    bm = y - m',  m = m' + ac (y - m')
    inner hair  k = z^3 / (z^3 + z^2 + 0.1),  z = max(0, bm + 0.175)
      two_cap   v1 = v1' - out1 k v1' + in1 (1 - v1'),  i = (1 - v1) v2',  v2 = v2' - out2 i + in2 (1 - v2')
                l = l' + lp (scale i - l'),  nap = l - rest
      one_cap   i = k v1',  v1 = v1' - out1 i + in1 (1 - v1'),  two low-passes of scale i,  nap = the second - rest
      rectify   nap = min(2, max(0, bm))
    gain        stage k, every 8, 16, 32, 64 samples: a_k moves towards (mean input + 2 a_(k+1)) and is smoothed over
                bands; the stages of several ears but the fastest draw together;
                u = 1 - a_0: zb goes to zr u and g to g(u), in eight equal steps

Order inside one sample: outer hair cells, resonators, cascade from the highest band down, membrane, inner hair cells,
gain control with the slowest stage due first.

Source: R. F. Lyon, Human and Machine Hearing (Cambridge 2017), chapters 15 to 19, in the form of the CARFAC programs,
version 2. `carfac_design` has the coefficients.

Bands are stored lowest first. Coefficients and state are flat with rows at a constant stride: the compiler then knows
that rows do not overlap and packs the loops over bands; only the cascade is a chain, and stands alone for that reason.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from spikestream.kernels import Array
from spikestream.kernels.carfac_design import (
    C0,
    D1,
    DECIMATION,
    DETECT_HALF,
    DETECT_OFFSET,
    E0,
    G1,
    GA,
    GAINS,
    GB,
    GC,
    HAIRS,
    ONE_CAP,
    STAGE_GAIN,
    STRIDE,
    TWO_CAP,
    ZR,
    Coeffs,
    H,
    Params,
    design,
    erb_step,
)

__all__ = ["GAINS", "HAIRS", "Coeffs", "Params", "State", "design", "erb_step", "init", "run", "step"]

Z1, Z2, BEFORE, ZB, DZB, G, DG, Y, M, V1, V2, L1, L2, ACC, AGC = (*range(14), 17)
ROWS = 22
SMOOTH = 21
EAR = ROWS * STRIDE
PERIOD = int(np.prod(DECIMATION))
TINY = 1e-20
"""Added to the sound and to the gain control's input. Silence then settles there and not among subnormal numbers, which
cost some processors a hundred cycles each; 250 dB below the smallest step of 24 bits, nothing else can tell."""


class State(NamedTuple):
    """What is remembered from sample to sample."""

    rows: Array  # (ears, EAR): an ear has rows Z1 ... L2, four of ACC, four of AGC, and one to smooth in
    phase: Array  # (1,) int64, samples so far modulo 64


def init(c: Coeffs, ears: int = 1) -> State:
    """Return ``ears`` ears at rest."""
    rows = np.zeros((ears, ROWS, STRIDE), c.table.dtype)
    table = c.table.reshape(-1, STRIDE)
    rows[:, ZB] = table[ZR]
    rows[:, G] = table[G1]
    rows[:, V1, : c.bands] = c.hair[7]
    rows[:, V2, : c.bands] = c.hair[8]
    rows[:, [L1, L2], : c.bands] = c.hair[6]
    return State(rows.reshape(ears, EAR), np.zeros(1, np.int64))


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def resonate(n: int, k: Array, car: Array, a: Array, e: int, x: float) -> None:
    """Turn the resonators of ear ``e`` of ``a``, and let ``x`` fall down the cascade into row Y."""
    scale, offset = car[0], car[1]
    one = a.dtype.type(1)
    for b in range(n):
        g = a[e, b + G * STRIDE] + a[e, b + DG * STRIDE]
        zb = a[e, b + ZB * STRIDE] + a[e, b + DZB * STRIDE]
        z1 = a[e, b + Z1 * STRIDE]
        z2 = a[e, b + Z2 * STRIDE]
        v = scale * (z2 - a[e, b + BEFORE * STRIDE]) + offset
        d = k[b + D1 * STRIDE] - zb / (one + v * v)
        t1 = z1 - (k[b + C0 * STRIDE] * z2 + k[b + E0 * STRIDE] * z1)
        t2 = z2 + (k[b + C0 * STRIDE] * z1 - k[b + E0 * STRIDE] * z2)
        t2 -= d * t2
        a[e, b + Z1 * STRIDE] = t1 - d * t1
        a[e, b + Z2 * STRIDE] = t2
        a[e, b + BEFORE * STRIDE] = z2
        a[e, b + G * STRIDE] = g
        a[e, b + ZB * STRIDE] = zb
        a[e, b + Y * STRIDE] = g * (k[b + H * STRIDE] * t2)
    a[e, n + Y * STRIDE] = x
    for b in range(n - 1, -1, -1):
        x = a[e, b + G * STRIDE] * x + a[e, b + Y * STRIDE]
        a[e, b + Y * STRIDE] = x


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def displace(n: int, car: Array, a: Array, bm: Array, t: int, e: int) -> None:
    """Feed every resonator what came down to it, and write the displacement of the membrane."""
    ac = car[2]
    for b in range(n):
        a[e, b + Z1 * STRIDE] += a[e, b + 1 + Y * STRIDE]
        d = a[e, b + Y * STRIDE] - a[e, b + M * STRIDE]
        a[e, b + M * STRIDE] += ac * d
        bm[t, e, b] = d


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def hear_two_cap(n: int, hair: Array, a: Array, bm: Array, nap: Array, t: int, e: int) -> None:
    """Let hair cells with two capacitors hear the membrane."""
    f = a.dtype.type
    zero, one, offset, half = f(0), f(1), f(DETECT_OFFSET), f(DETECT_HALF)
    out1, in1, out2, in2, lp, scale, rest = hair[0], hair[1], hair[2], hair[3], hair[4], hair[5], hair[6]
    for b in range(n):
        z = bm[t, e, b] + offset
        z = z if z > zero else zero
        square = z * z
        cube = square * z
        v = a[e, b + V1 * STRIDE]
        w = a[e, b + V2 * STRIDE]
        v += in1 * (one - v) - out1 * (cube / (cube + square + half)) * v
        current = (one - v) * w
        a[e, b + V1 * STRIDE] = v
        a[e, b + V2 * STRIDE] = w + in2 * (one - w) - out2 * current
        low = a[e, b + L1 * STRIDE]
        low += lp * (scale * current - low)
        a[e, b + L1 * STRIDE] = low
        nap[t, e, b] = low - rest
        a[e, b + ACC * STRIDE] += low - rest


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def hear_one_cap(n: int, hair: Array, a: Array, bm: Array, nap: Array, t: int, e: int) -> None:
    """Let hair cells with one capacitor hear the membrane."""
    f = a.dtype.type
    zero, one, offset, half = f(0), f(1), f(DETECT_OFFSET), f(DETECT_HALF)
    out1, in1, lp, scale, rest = hair[0], hair[1], hair[4], hair[5], hair[6]
    for b in range(n):
        z = bm[t, e, b] + offset
        z = z if z > zero else zero
        square = z * z
        cube = square * z
        v = a[e, b + V1 * STRIDE]
        current = cube / (cube + square + half) * v
        a[e, b + V1 * STRIDE] = v + in1 * (one - v) - out1 * current
        first = a[e, b + L1 * STRIDE]
        first += lp * (scale * current - first)
        second = a[e, b + L2 * STRIDE]
        second += lp * (first - second)
        a[e, b + L1 * STRIDE] = first
        a[e, b + L2 * STRIDE] = second
        nap[t, e, b] = second - rest
        a[e, b + ACC * STRIDE] += second - rest


@njit(cache=True, nogil=True)
def rectify(n: int, a: Array, bm: Array, nap: Array, t: int, e: int) -> None:
    """Take the upper half of the membrane's displacement, at most 2."""
    zero, two = a.dtype.type(0), a.dtype.type(2)
    for b in range(n):
        y = bm[t, e, b]
        y = y if y > zero else zero
        y = y if y < two else two
        nap[t, e, b] = y
        a[e, b + ACC * STRIDE] += y


@njit(cache=True, nogil=True, fastmath={"contract"})
def smooth(taps: Array, memory: Array, p: Array) -> None:
    """Smooth a stage over bands, in place, by way of ``p`` (bands + 4,); beyond the edge lies a mirror."""
    n = len(memory)
    for b in range(n):
        p[b + 2] = memory[b]
    p[0], p[1] = memory[1], memory[0]
    p[n + 2] = p[n + 3] = memory[n - 1]
    t0, t1, t2, t3, t4 = taps[0], taps[1], taps[2], taps[3], taps[4]
    for b in range(n):
        memory[b] = t0 * p[b] + t1 * p[b + 1] + t2 * p[b + 2] + t3 * p[b + 3] + t4 * p[b + 4]
    # The CARFAC programs let both of the last two bands see themselves two bands up: no mirror shows that.
    memory[n - 2] += t4 * (p[n] - p[n + 1])


@njit(cache=True, nogil=True, fastmath={"contract"})
def adapt(n: int, agc: Array, a: Array, e: int, due: int) -> None:
    """Update the first ``due`` stages of the gain control of one ear from what they have gathered."""
    f = a.dtype.type
    zero, gain, tiny = f(0), f(STAGE_GAIN), f(TINY)
    for stage in range(min(due, 3)):
        share, q = agc[stage, 1], (ACC + stage) * STRIDE
        gathered, slower = a[e, q : q + n], a[e, q + STRIDE : q + STRIDE + n]
        for b in range(n):
            slower[b] += share * gathered[b]
    # The slowest stage has none above: what lies there, the row to smooth in, counts nothing.
    for stage in range(due - 1, -1, -1):
        rate, share = agc[stage, 0], agc[stage, 1]
        factor = gain if stage < 3 else zero
        p, q = (ACC + stage) * STRIDE, (AGC + stage) * STRIDE
        gathered, memory, slower = a[e, p : p + n], a[e, q : q + n], a[e, q + STRIDE : q + STRIDE + n]
        for b in range(n):
            heard = share * gathered[b] + factor * slower[b] + tiny
            memory[b] += rate * (heard - memory[b])
            gathered[b] = zero
        smooth(agc[stage, 3:], memory, a[e, SMOOTH * STRIDE :])


@njit(cache=True, nogil=True)
def couple(n: int, agc: Array, a: Array, due: int) -> None:
    """Draw the stages of all ears that were updated, but the fastest, towards their mean."""
    ears = len(a)
    for stage in range(1, due):
        for b in range((AGC + stage) * STRIDE, (AGC + stage) * STRIDE + n):
            mean = a.dtype.type(0)
            for e in range(ears):
                mean += a[e, b]
            mean /= a.dtype.type(ears)
            for e in range(ears):
                a[e, b] += agc[stage, 2] * (mean - a[e, b])


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def close(n: int, k: Array, a: Array, e: int, exact: bool) -> None:
    """Set out from here to the damping and the gain that the fastest stage asks for."""
    f = a.dtype.type
    one, two, ease = f(1), f(2), f(1 / DECIMATION[0])
    for b in range(n):
        u = one - a[e, b + AGC * STRIDE]
        zb = k[b + ZR * STRIDE] * u
        if exact:
            d = k[b + D1 * STRIDE] - zb
            r = one - d
            q = d * d + two * k[b + E0 * STRIDE] * r
            g = q / (q + k[b + H * STRIDE] * k[b + C0 * STRIDE] * r)
        else:
            g = (k[b + GA * STRIDE] * u + k[b + GB * STRIDE]) * u + k[b + GC * STRIDE]
        a[e, b + DZB * STRIDE] = ease * (zb - a[e, b + ZB * STRIDE])
        a[e, b + DG * STRIDE] = ease * (g - a[e, b + G * STRIDE])


@njit(cache=True, nogil=True)
def control(c: Coeffs, a: Array, due: int) -> None:
    """Let the first ``due`` stages of the gain control of all ears do their work."""
    for e in range(len(a)):
        adapt(c.bands, c.agc, a, e, due)
    if len(a) > 1:
        couple(c.bands, c.agc, a, due)
    if c.modes[2]:
        for e in range(len(a)):
            close(c.bands, c.table, a, e, c.modes[1])


@njit(cache=True, nogil=True)
def run(c: Coeffs, s: State, x: Array, bm: Array, nap: Array) -> None:
    """Hear a block of any length: ``x`` (n, ears) in, ``bm`` and ``nap`` (n, ears, bands) out, all of one dtype.

    ``bm`` is the membrane after its AC coupling, ``nap`` the neural activity, 0 at rest; band 0 is the lowest.
    """
    # A call that takes c and s counts references to all their arrays, a fifth of a sample's time: hence no `step` here.
    n, k, car, hair, every, a = c.bands, c.table, c.car, c.hair, c.every, s.rows
    kind, tiny, phase = c.modes[0], a.dtype.type(TINY), s.phase[0]
    for t in range(len(x)):
        for e in range(len(a)):
            resonate(n, k, car, a, e, x[t, e] + tiny)
            displace(n, car, a, bm, t, e)
            if kind == TWO_CAP:
                hear_two_cap(n, hair, a, bm, nap, t, e)
            elif kind == ONE_CAP:
                hear_one_cap(n, hair, a, bm, nap, t, e)
            else:
                rectify(n, a, bm, nap, t, e)
        phase = (phase + 1) % PERIOD
        due = 0
        while due < 4 and phase % every[due] == 0:
            due += 1
        if due > 0:
            control(c, a, due)
    s.phase[0] = phase


@njit(cache=True, nogil=True)
def step(c: Coeffs, s: State, x: Array, bm: Array, nap: Array) -> None:
    """Hear one sample of every ear: ``x`` (ears,) in, ``bm`` and ``nap`` (ears, bands) out."""
    ears = len(x)
    run(c, s, x.reshape(1, ears), bm.reshape(1, ears, c.bands), nap.reshape(1, ears, c.bands))
