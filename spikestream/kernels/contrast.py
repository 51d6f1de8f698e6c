"""What stands out of a sound: the power of bands beside that of their neighbours and their past, to spikes of fibres.

Equations; y_b is what the filterbank gives of band b, a frame is ``frame_ms`` long:

    power     P_b = mean of y_b^2 over the frame,  T = sum of all P_b
    peak      K <- max(T, K' 10^(-fall_db frame / 10), quiet)
    level     l_b = ln(1 + P_b / (K 10^(-range_db / 10)))
    beside    s_b = sum_j (g_bj - h_bj) l_j,  g and h Gaussians of ``spread`` and ``surround`` bands over j, sums 1
    means     where T > K 10^(-active_db / 10), the n-th time, of the last seconds and of the last tens of ms:
              m_b <- m_b' + (s_b - m_b') / min(n, memory / frame),  c_b likewise with ``change_ms``
    fibres    there too:  on_b <- on_b' + gain max(s_b - even m_b, 0),  off_b likewise with the sign turned round,
              rise_b <- rise_b' + change_gain max(s_b - c_b, 0),  fall_b likewise
              at 1 or more a spike with the stamp of the frame's last sample, and 1 less; what is left is at most 1

Beside its neighbours a band says where the formants are, and neither how loud nor how bright a voice is: lateral
inhibition, as in the cochlear nucleus (Shamma, J. Acoust. Soc. Am. 78, 1985). Logarithms turn what a microphone, a room
or a throat does to all that is said into a sum, and ``even`` 1 takes its mean away (cepstral mean subtraction, Atal,
J. Acoust. Soc. Am. 55, 1974; of late speech only: Viikki & Laurila, Speech Communication 25, 1998). What changes within
tens of ms, onsets, ends and glides, is what is left of any voice (Hermansky & Morgan, IEEE Trans. Speech Audio Proc. 2,
1994). Where nothing is as loud as speech was of late nothing is sent or remembered: noises before and behind a word are
none. Every peak, level and mean is of the past: nothing looks ahead. An axon is ``fibre * bands + band``, the fibres in
the order on, off, rise, fall.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from spikestream.kernels import Array

FIBRES = 4
"""Of each band: on, off, rise, fall."""


@dataclass(frozen=True, slots=True)
class Params:
    """Levels in dB, of which a full-scale sine has 100; gains in spikes a second for a neper of power.

    ``spread`` and ``surround`` are in bands.
    """

    samplerate_hz: int = 16_000
    bands: int = 64
    frame_ms: float = 5.0
    quiet_db: float = 35.0
    range_db: float = 43.0
    active_db: float = 20.0
    fall_db: float = 20.0  # a second
    spread: float = 1.0
    surround: float = 6.0
    memory_ms: float = 2_000.0
    even: float = 0.0  # 0 to 1: how much of that mean is taken away
    change_ms: float = 60.0
    gain: float = 60.0
    change_gain: float = 120.0


class Coeffs(NamedTuple):
    """What a frame needs; shares are of the peak."""

    frame: int  # samples
    quiet: float
    range: float
    active: float
    keep: float
    memory: float  # frames
    even: float
    change: float  # frames
    gain: float
    change_gain: float
    beside: Array  # (bands, bands)


class State(NamedTuple):
    """``counts`` (2,) int64: samples of the frame under way, and frames that were active; the rest is float64."""

    counts: Array
    peak: Array  # (1,)
    power: Array  # (bands,) sums of squares of the frame under way
    mean: Array  # (2, bands) of seconds and of tens of ms
    v: Array  # (FIBRES, bands)
    level: Array  # (bands,) scratch


def design(params: Params) -> Coeffs:
    """Return the coefficients of a frame."""
    frame = max(1, round(params.frame_ms * params.samplerate_hz / 1000))
    frame_s = frame / params.samplerate_hz
    return Coeffs(
        frame,
        10 ** ((params.quiet_db - 100) / 10) / 2,
        10 ** (-params.range_db / 10),
        10 ** (-params.active_db / 10),
        10 ** (-params.fall_db * frame_s / 10),
        max(1.0, params.memory_ms / 1000 / frame_s),
        params.even,
        max(1.0, params.change_ms / 1000 / frame_s),
        params.gain * frame_s,
        params.change_gain * frame_s,
        gaussians(params.bands, params.spread) - gaussians(params.bands, params.surround),
    )


def gaussians(bands: int, width: float) -> Array:
    """Return weights (bands, bands) of all bands around each one, in rows whose sum is 1."""
    place = np.arange(bands)
    weights: Array = np.exp(-(((place[:, np.newaxis] - place) / max(width, 1e-3)) ** 2) / 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def init(params: Params) -> State:
    """Return an ear that has heard nothing."""
    n = params.bands
    mean, v = np.zeros((2, n)), np.zeros((FIBRES, n))
    return State(np.zeros(2, np.int64), np.zeros(1), np.zeros(n), mean, v, np.zeros(n))


@njit(cache=True, nogil=True)
def step(c: Coeffs, s: State, number: int, out: tuple[Array, Array], count: int) -> int:
    """End a frame whose last sample is ``number``; append its spikes to ``out`` from ``count`` on; return the count."""
    bands, total = len(s.power), 0.0
    for b in range(bands):
        total += s.power[b] / c.frame
    s.peak[0] = max(max(total, s.peak[0] * c.keep), c.quiet)
    for b in range(bands):
        s.level[b] = np.log(1 + s.power[b] / c.frame / (s.peak[0] * c.range))
        s.power[b] = 0
    if total <= s.peak[0] * c.active:
        return count
    s.counts[1] += 1
    for b in range(bands):
        beside = 0.0
        for j in range(bands):
            beside += c.beside[b, j] * s.level[j]
        s.mean[0, b] += (beside - s.mean[0, b]) / min(float(s.counts[1]), c.memory)
        s.mean[1, b] += (beside - s.mean[1, b]) / min(float(s.counts[1]), c.change)
        here, change = c.gain * (beside - c.even * s.mean[0, b]), c.change_gain * (beside - s.mean[1, b])
        s.v[0, b] += max(here, 0.0)
        s.v[1, b] += max(-here, 0.0)
        s.v[2, b] += max(change, 0.0)
        s.v[3, b] += max(-change, 0.0)
    for fibre in range(FIBRES):
        for b in range(bands):
            if s.v[fibre, b] >= 1:
                s.v[fibre, b] = min(s.v[fibre, b] - 1, 1.0)
                out[0][count] = number
                out[1][count] = fibre * bands + b
                count += 1
    return count


@njit(cache=True, nogil=True)
def run(c: Coeffs, s: State, bm: Array, number: int, out: tuple[Array, Array]) -> int:
    """Hear ``bm`` (n, bands) float32, whose first sample is ``number``; return how many spikes ``out`` holds.

    ``out`` = (number of the sample (m,) int64, axon (m,) int32) has room for a spike of every fibre a frame.
    """
    count = 0
    for n in range(len(bm)):
        for b in range(len(s.power)):
            s.power[b] += float(bm[n, b]) * float(bm[n, b])
        s.counts[0] += 1
        if s.counts[0] == c.frame:
            s.counts[0] = 0
            count = step(c, s, number + n, out, count)
    return count
