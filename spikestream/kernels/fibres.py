"""Nerve fibres: what the bands of any ear send, sample by sample, to spikes of several fibres a band.

Equation, per fibre and sample; primes are values of the sample before:

    v <- v' - leak v' + leak drive max(x, 0);   0 while refractory;   at v >= threshold a spike, v <- v - threshold

Order inside one sample: leak and drive, refractory, fire; the fibres one after the other. A constant x drives v towards
``drive x``: what stays below ``threshold / drive`` makes no spike. The fibres of a band differ in threshold: together
they cover levels that one alone would saturate at. An axon is ``fibre * bands + band``.

These are the fibres of the cochlea (`spikestream.kernels.nerve`, which is faster and tied to its bank); here they stand
alone, for any ear.

Source: fibre classes by threshold after Liberman, J. Acoust. Soc. Am. 63 (1978).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from spikestream.kernels import Array

MOST_FIBRES = 8
HUM = 1e-18
"""Added to the drive: in silence voltages would sink into denormal numbers, which cost a hundred times more."""


@dataclass(frozen=True, slots=True)
class Params:
    """Fibres at every band; ``thresholds`` has one entry for each fibre, in the units of ``drive`` times the input."""

    samplerate_hz: int = 16_000
    bands: int = 64
    tau_ms: float = 20.0
    drive: float = 1.0
    thresholds: tuple[float, ...] = (0.4, 0.8, 1.6)
    refrac_ms: float = 1.0


class Coeffs(NamedTuple):
    """What one sample needs: scalars in float32, ``thresholds`` (fibres,) float32."""

    bands: int
    drive: np.float32
    keep: np.float32
    rest: np.float32  # samples of the refractory time
    thresholds: Array


class State(NamedTuple):
    """Potentials ``v`` and refractory samples to come ``k``, both (fibres, bands) float32.

    The rest is scratch that nothing depends on; ``words`` sees ``fired`` eight fibres at a time.
    """

    v: Array
    k: Array
    fired: Array
    words: Array


def design(params: Params) -> Coeffs:
    """Return the coefficients of one sample."""
    f, leak = np.float32, 1000 / (params.tau_ms * params.samplerate_hz)
    rest = round(params.refrac_ms * params.samplerate_hz / 1000)
    return Coeffs(params.bands, f(params.drive * leak), f(1 - leak), f(rest), np.array(params.thresholds, f))


def init(params: Params) -> State:
    """Return fibres at rest."""
    shape = len(params.thresholds), params.bands
    fired = np.zeros(-(-shape[0] * shape[1] // 8) * 8, np.uint8)
    return State(np.zeros(shape, np.float32), np.zeros(shape, np.float32), fired, fired.view(np.uint64))


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy", inline="always")
def step(c: Coeffs, s: State, x: Array, t: int, out: tuple[Array, Array], count: int) -> int:
    """Take ``x[t]`` (bands,) float32; append the spikes to ``out`` = (sample, axon); return the new count."""
    zero, one, hum = np.float32(0), np.float32(1), np.float32(HUM)
    drive, keep, rest, v, k, fired = c.drive, c.keep, c.rest, s.v, s.k, s.fired
    for f in range(len(c.thresholds)):
        threshold = c.thresholds[f]
        mine = fired[f * c.bands :]
        for b in range(c.bands):
            heard = drive * max(x[t, b], zero) + hum
            now = keep * v[f, b] + heard
            now = now if k[f, b] < one else zero
            hit = now >= threshold
            v[f, b] = now - threshold if hit else now
            k[f, b] = rest if hit else max(k[f, b] - one, zero)
            mine[b] = hit
    for w in range(len(s.words)):
        if s.words[w]:
            for axon in range(8 * w, 8 * w + 8):
                if fired[axon]:
                    out[0][count], out[1][count] = t, axon
                    count += 1
    return count


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def run(c: Coeffs, s: State, x: Array, out: tuple[Array, Array], first: int) -> tuple[int, int]:
    """Take ``x[first:]`` (n, bands) float32 until all are taken or ``out`` = (sample (m,), axon (m,)) may overflow.

    Writes spikes in order of sample, then axon; returns (spikes written, samples taken so far).
    """
    room = len(out[0]) - len(c.thresholds) * c.bands
    count, t = 0, first
    while t < len(x) and count <= room:
        count = step(c, s, x, t, out, count)
        t += 1
    return count, t
