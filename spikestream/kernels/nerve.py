"""The fibres of the cochlea's nerve: leaky integrators that rest after a spike, and the collecting of what they fired.

Equation, per sample, as in `spikestream.kernels.cochlea`; every fibre of a band hears the same drive:

    v <- v' - leak v' + drive;  0 while refractory;  at v >= threshold a spike, v <- v - threshold

Order of work: a window of samples, in which a fibre can spike but once because it rests longer. Nothing in it depends
on a spike then, and what a fibre did after its first is thrown away; that is several times faster than to decide sample
by sample. Where the rest is shorter than a group of samples, a window is one sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numba import njit

from spikestream.kernels import Array
from spikestream.kernels.gammatone import FUSE, INLINE, MASK, ROWS, STRETCH, STRIDE, TOGETHER, Number

if TYPE_CHECKING:
    from spikestream.kernels.cochlea import Coeffs, State

Fibre: TypeAlias = tuple[Number, Number, Number]

ABREAST = 3
"""Fibres of one band that are computed side by side: while one waits for a result, the next has its turn."""
MOST = 1e38
"""More than any potential."""
FIBRES = (ROWS + 3) * STRIDE
"""Where the rows of the fibres begin, behind bank and hair cells: of each its potential and how long it still rests."""
OFF = STRETCH * STRIDE
"""Where the drive of OFF fibres begins, behind that of ON fibres."""


@njit(cache=True, nogil=True, fastmath=FUSE, error_model="numpy")
def _charge_one(keep: Number, threshold: Number, now: Number, left: Number, drive: Number, fibre: Fibre) -> Fibre:
    """Take sample ``now`` of a window, with ``left`` to its end, into one fibre.

    A fibre is its potential, how long it rests, and how much was left at its first spike, 0 before. What it would go on
    to do after that is computed too and then forgotten, so that no sample waits for a decision.
    """
    v, k, spiked = fibre
    v = keep * v + drive if k <= now else np.float32(0)
    return v, k, max(spiked, left) if v >= threshold else spiked


@njit(cache=True, nogil=True, fastmath=FUSE, error_model="numpy")
def _settle(loss: Number, rest: Number, samples: Number, fibre: Fibre) -> tuple[Number, Number, np.int32]:
    """End a window for one fibre: return its potential, how long it rests, and when it spiked."""
    v, k, spiked = fibre
    zero = np.float32(0)
    v, k = (max(v - loss, zero), rest - spiked) if spiked > zero else (v, max(k - samples, zero))
    return v, k, np.int32(spiked)


@njit(**INLINE)
def charge(c: Coeffs, s: State, groups: int, begin: int, samples: int) -> None:
    """Take a window of every group into all fibres; none may spike twice in it.

    ``fired`` then tells of every fibre how many samples before the end of the window it spiked, or 0.
    """
    keep, rest, length = np.float32(c.fibre[0]), np.float32(c.fibre[1] + 1), np.float32(samples)
    # Who rests after a spike keeps nothing of its potential.
    more = np.float32(0 if c.fibre[1] == 0 else MOST)
    none: Number = np.float32(0)
    u, drive, fired, rows = s.bank.flat, s.drive, s.fired, len(c.thresholds)
    for g in range(groups):
        for f in range(0, rows, ABREAST):
            t0, t1, t2 = c.thresholds[f], c.thresholds[f + 1], c.thresholds[f + 2]
            row, place = (FIBRES + 2 * f * STRIDE) & MASK, ((g * rows + f) * STRIDE) & MASK
            heard = ((g * TOGETHER + begin) * STRIDE + (OFF if f >= c.on else 0)) & MASK
            for b in range(c.bank.bands):
                one = u[b + row], u[b + row + STRIDE], none
                two = u[b + row + 2 * STRIDE], u[b + row + 3 * STRIDE], none
                three = u[b + row + 4 * STRIDE], u[b + row + 5 * STRIDE], none
                for n in range(samples):
                    now, left, power = np.float32(n), np.float32(samples - n), drive[b + heard + n * STRIDE]
                    one = _charge_one(keep, t0, now, left, power, one)
                    two = _charge_one(keep, t1, now, left, power, two)
                    three = _charge_one(keep, t2, now, left, power, three)
                ended = _settle(t0 + more, rest, length, one)
                u[b + row], u[b + row + STRIDE], fired[b + place] = ended
                ended = _settle(t1 + more, rest, length, two)
                u[b + row + 2 * STRIDE], u[b + row + 3 * STRIDE], fired[b + place + STRIDE] = ended
                ended = _settle(t2 + more, rest, length, three)
                u[b + row + 4 * STRIDE], u[b + row + 5 * STRIDE], fired[b + place + 2 * STRIDE] = ended


@njit(cache=True, nogil=True)
def _first_byte(word: int) -> int:
    """Return the place of the lowest byte that is not 0 of a word that has one: the exponent tells the lowest bit."""
    return int(((np.float64(word & -word).view(np.int64) >> 52) - 1023) >> 3)


@njit(**INLINE)
def find(c: Coeffs, s: State, groups: int, end: int, begin: int, stop: int) -> int:
    """Write samples and axons of what spiked in ``[begin, stop)`` to those columns of the state; return how many did.

    ``end`` is the end of the window in its group.
    """
    bands, rows, words, samples, axons = c.bank.bands, len(c.thresholds), s.words, s.samples, s.axons
    spikes = 0
    for g in range(groups):
        for f in range(c.on + c.off):
            row = g * rows + (f if f < c.on else f - c.on + rows // 2)
            place = (row * STRIDE // 8) & MASK
            for w in range((bands + 7) // 8):
                word = words[place + w]
                while word:
                    b = _first_byte(word)
                    left = (word >> 8 * b) & 255
                    word -= left << 8 * b
                    sample = g * TOGETHER + end - left
                    samples[spikes], axons[spikes] = sample, f * bands + 8 * w + b
                    spikes += 1 if begin <= sample < stop else 0
    return spikes


@njit(**INLINE)
def write(s: State, spikes: int, number: int, out: tuple[Array, Array], count: int) -> int:
    """Append what was found to ``out`` in order of samples; return the new count."""
    samples, axons, places = s.samples, s.axons, s.places
    for k in range(STRETCH + 1):
        places[k] = 0
    for i in range(spikes):
        places[samples[i] + 1] += 1
    at = count
    for k in range(STRETCH + 1):
        at += places[k]
        places[k] = at
    for i in range(spikes):
        sample = samples[i]
        at = places[sample]
        out[0][at], out[1][at] = number + sample, axons[i]
        places[sample] = at + 1
    return count + spikes
