"""The gammatone bank in Slaney's form, four real second-order sections a band: the reference for the faster cascade.

Equations, per band of centre f with E = exp(-B), th = 2 pi f / fs, B as in `spikestream.kernels.gammatone`:

    section i    (1 + a_i / z) / (1 + b1 / z + b2 / z^2),   b1 = -2 E cos th,   b2 = E^2
                 a_i = -E (cos th + s_i sin th),   s_i = +-sqrt(3 + 2^1.5), +-sqrt(3 - 2^1.5)
    gain         1 / |H(exp(i th))|

each run as transposed direct form II. Source: Slaney, An Efficient Implementation of the Patterson-Holdsworth Auditory
Filter Bank, Apple technical report 35 (1993).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit

from spikestream.kernels import Array, gammatone

SECTIONS = 4


@dataclass(frozen=True, slots=True)
class Params:
    """The bank; ``centres_hz`` () are those of `gammatone.Params` at this rate."""

    samplerate_hz: int = 16_000
    centres_hz: tuple[float, ...] = ()


class Coeffs(NamedTuple):
    """``zeros`` (4, bands), ``poles`` (2, bands): b1 and b2, ``gain`` (bands,)."""

    zeros: Array
    poles: Array
    gain: Array


class State(NamedTuple):
    """``z`` (4, 2, bands): two numbers a section."""

    z: Array


def centres_hz(low_hz: float, high_hz: float, bands: int) -> Array:
    """Return Slaney's spacing: ``bands`` frequencies in Hz from below ``high_hz`` down to ``low_hz``, highest first."""
    shift = gammatone.EAR_Q * gammatone.MIN_BANDWIDTH_HZ
    steps = np.arange(1, bands + 1) * (np.log(low_hz + shift) - np.log(high_hz + shift)) / bands
    centres: Array = np.exp(steps) * (high_hz + shift) - shift
    return centres


def design(params: Params, dtype: type = np.float64) -> Coeffs:
    """Return the coefficients of the bank, computed in float64 and kept in ``dtype``."""
    fs = params.samplerate_hz
    centres = np.array(params.centres_hz or gammatone.Params(fs).centres_hz, np.float64)
    theta = 2 * np.pi * centres / fs
    shrink = np.exp(-1.019 * 2 * np.pi * gammatone.erb_hz(centres) / fs)
    roots = np.sqrt([3 + 2**1.5, 3 - 2**1.5])
    zeros = np.array(
        [-shrink * (np.cos(theta) + s * np.sin(theta)) for s in (roots[0], -roots[0], roots[1], -roots[1])]
    )
    poles = np.array([-2 * shrink * np.cos(theta), shrink**2])
    back = np.exp(-1j * theta)
    response = np.prod((1 + zeros * back) / (1 + poles[0] * back + poles[1] * back**2), axis=0)
    return Coeffs(zeros.astype(dtype), poles.astype(dtype), (1 / np.abs(response)).astype(dtype))


def init(bands: int, dtype: type = np.float64) -> State:
    """Return a bank that has heard nothing."""
    return State(np.zeros((SECTIONS, 2, bands), dtype))


@njit(cache=True, nogil=True, error_model="numpy")
def step(c: Coeffs, s: State, x: gammatone.Number, out: Array) -> None:
    """Filter one sample into ``out`` (bands,)."""
    for b in range(len(c.gain)):
        y = x * c.gain[b]
        for i in range(SECTIONS):
            z0 = y + s.z[i, 0, b]
            s.z[i, 0, b] = c.zeros[i, b] * y - c.poles[0, b] * z0 + s.z[i, 1, b]
            s.z[i, 1, b] = -c.poles[1, b] * z0
            y = z0
        out[b] = y


@njit(cache=True, nogil=True, error_model="numpy")
def run(c: Coeffs, s: State, samples: Array, out: Array) -> None:
    """Filter ``samples`` (n,) into ``out`` (n, bands), all of the dtype of the state."""
    for n in range(len(samples)):
        step(c, s, samples[n], out[n])
