"""What stands out of a sound: the power of bands, in decibels and beside its own mean, to spikes of ON and OFF fibres.

Equations; y_b is what the filterbank gives of band b, a frame is ``frame_ms`` long:

    power     P_b = mean of y_b^2 over the frame,  T = sum of all P_b
    peak      K <- max(T, K' 10^(-fall_db frame / 10), quiet)
    level     l_b = ln(1 + P_b / (K 10^(-range_db / 10)))
    spread    s_b = sum_j g_bj l_j,  g a Gaussian of ``spread`` bands over j whose sum is 1
    mean      where T > K 10^(-active_db / 10), the n-th time:  m_b <- m_b' + (s_b - m_b') / min(n, memory / frame)
    fibres    there too:  on_b <- on_b' + gain max(s_b - m_b, 0),  off_b <- off_b' + gain max(m_b - s_b, 0)
              at 1 or more a spike with the stamp of the frame's last sample, and 1 less; what is left is at most 1

Spectra in decibels turn what a microphone, a room or a throat does to all that is said into a sum, and the running mean
takes it away (cepstral mean subtraction, Atal, J. Acoust. Soc. Am. 55, 1974; of late speech only: Viikki & Laurila,
Speech Communication 25, 1998). Spreading along bands leaves formants and takes harmonics, hence the pitch of a voice.
Where nothing is as loud as speech was of late nothing is sent or remembered: noises before and behind a word are none.
Every peak, level and mean is of the past: nothing looks ahead. An axon is ``band``, or ``bands + band`` of OFF fibres.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from spikestream.kernels import Array


@dataclass(frozen=True, slots=True)
class Params:
    """Levels in dB, of which a full-scale sine has 100; ``gain`` in spikes a second for a neper of power."""

    samplerate_hz: int = 16_000
    bands: int = 64
    frame_ms: float = 5.0
    quiet_db: float = 35.0
    range_db: float = 43.0
    active_db: float = 20.0
    fall_db: float = 20.0  # a second
    spread: float = 2.5
    memory_ms: float = 2_000.0
    gain: float = 50.0


class Coeffs(NamedTuple):
    """What a frame needs; shares are of the peak."""

    frame: int  # samples
    quiet: float
    range: float
    active: float
    keep: float
    memory: float  # frames
    gain: float
    spread: Array  # (bands, bands)


class State(NamedTuple):
    """``counts`` (2,) int64: samples of the frame under way, and frames that were active; the rest is float64."""

    counts: Array
    peak: Array  # (1,)
    power: Array  # (bands,) sums of squares of the frame under way
    mean: Array  # (bands,)
    v: Array  # (2, bands) of ON and OFF fibres
    level: Array  # (bands,) scratch


def design(params: Params) -> Coeffs:
    """Return the coefficients of a frame."""
    frame = max(1, round(params.frame_ms * params.samplerate_hz / 1000))
    frame_s, place = frame / params.samplerate_hz, np.arange(params.bands)
    spread = np.exp(-(((place[:, np.newaxis] - place) / max(params.spread, 1e-3)) ** 2) / 2)
    return Coeffs(
        frame,
        10 ** ((params.quiet_db - 100) / 10) / 2,
        10 ** (-params.range_db / 10),
        10 ** (-params.active_db / 10),
        10 ** (-params.fall_db * frame_s / 10),
        max(1.0, params.memory_ms / 1000 / frame_s),
        params.gain * frame_s,
        spread / spread.sum(axis=1, keepdims=True),
    )


def init(params: Params) -> State:
    """Return an ear that has heard nothing."""
    n = params.bands
    return State(np.zeros(2, np.int64), np.zeros(1), np.zeros(n), np.zeros(n), np.zeros((2, n)), np.zeros(n))


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
    share = 1 / min(float(s.counts[1]), c.memory)
    for b in range(bands):
        spread = 0.0
        for j in range(bands):
            spread += c.spread[b, j] * s.level[j]
        s.mean[b] += share * (spread - s.mean[b])
        s.v[0, b] += c.gain * max(spread - s.mean[b], 0.0)
        s.v[1, b] += c.gain * max(s.mean[b] - spread, 0.0)
    for side in range(2):
        for b in range(bands):
            if s.v[side, b] >= 1:
                s.v[side, b] = min(s.v[side, b] - 1, 1.0)
                out[0][count] = number
                out[1][count] = side * bands + b
                count += 1
    return count


@njit(cache=True, nogil=True)
def run(c: Coeffs, s: State, bm: Array, number: int, out: tuple[Array, Array]) -> int:
    """Hear ``bm`` (n, bands) float32, whose first sample is ``number``; return how many spikes ``out`` holds.

    ``out`` = (number of the sample (m,) int64, axon (m,) int32) has room for ``2 * bands`` spikes a frame.
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
