"""From the parameters of CARFAC to what one sample of it needs: poles, stage gains, hair cell and gain control.

    poles       f_1 = first_pole fs/2, then each is step_erb bandwidths (f + break_hz) / 9.26449 below the one before
    pole angle  p = 2 pi f / fs,  c0 = sin p,  e0 = 1 - cos p
    damping     t = pi (x - x^3/2), x = 2 f / fs;  d1 = zeta_max t,
                zr = t (zeta_max - zeta),  zeta = zeta_min + (erb(f)/f - zeta_min) / 4
    stage gain  d = d1 - zr u,  r = 1 - d,  q = d^2 + 2 e0 r,  g(u) = q / (q + h c0 r): at undamping u, 0 Hz passes as
                it comes
    hair cell   a capacitor that empties through a conductance k, at most k_max, and fills through a resistance
                ri = tau_in / (tau_out k_max): at rest the current is 1 / (ri + 1/k_rest)
    gain        a smoothing filter over bands is a distribution: its taps are chosen for its mean and its variance

Tables hold e0 and d, not cos p and r: near 1, float32 keeps of the lowest bands' damping no more than three digits, and
the exact stage gain then misses the golden vectors by 3e-4 where now it is 7e-5.

Source: R. F. Lyon, Human and Machine Hearing (Cambridge 2017), chapters 15 to 19, and the parameters of the CARFAC
programs, version 2, their release notes and their tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spikestream.kernels import Array

STRIDE = 272
"""Floats from row to row of a table: 256 bands, and room for what stands beside the outermost of them."""
E0, C0, H, D1, ZR, GA, GB, GC, G1 = range(9)
RECTIFY, ONE_CAP, TWO_CAP = range(3)
HAIRS = ("rectify", "one_cap", "two_cap")
GAINS = ("quadratic", "exact")
BAND_RANGE = (8, 256)
RATE_RANGE_HZ = (8_000, 96_000)

ERB_Q = 1000 / (24.7 * 4.37)
DETECT_OFFSET = 0.175
DETECT_HALF = 0.1
DECIMATION = (8, 2, 2, 2)
STAGE_GAIN = 2.0
SPREAD_APEX, SPREAD_BASE = 1.0, 1.65  # bands, of the fastest stage; each slower one has sqrt(2) times that


@dataclass(frozen=True, slots=True)
class Params:
    """Physical parameters; the sound is in [-1, 1]."""

    step_erb: float = 0.5  # the dampings are tuned to it: a band's gain in dB grows about as 1/step_erb
    first_pole: float = 0.85  # of half the sample rate
    min_pole_hz: float = 30.0
    break_hz: float = 165.3
    zeta_min: float = 0.10
    zeta_max: float = 0.35
    zero_ratio: float = math.sqrt(2)
    velocity_scale: float = 0.1
    v_offset: float = 0.04
    ac_hz: float = 20.0
    hair: str = "two_cap"  # one of HAIRS
    tau_out_ms: float = 0.5  # the one capacitor of "one_cap"
    tau_in_ms: float = 10.0
    tau1_out_ms: float = 0.5
    tau1_in_ms: float = 0.2
    tau2_out_ms: float = 1.0
    tau2_in_ms: float = 10.0
    tau_lpf_ms: float = 0.08
    tau_agc_ms: tuple[float, float, float, float] = (2.0, 8.0, 32.0, 128.0)
    mix: float = 0.5  # how far the slower stages of several ears draw together
    gain: str = "quadratic"  # one of GAINS: version 2 takes a parabola through u = 0, 1/2, 1, version 1 the quotient
    closed: bool = True  # False: the gain control listens and changes nothing


class Coeffs(NamedTuple):
    """What one sample needs. Arrays have the dtype of the whole kernel, but for ``every`` and ``pole_hz``."""

    bands: int
    pole_hz: Array  # (bands,) float64, ascending: band 0 is the lowest
    table: Array  # (9 STRIDE,) rows E0 ... G1
    agc: Array  # (4, 8): rate, share of the input, mix, and five taps over bands b - 2 ... b + 2
    every: Array  # (4,) int64: samples from update to update of a stage
    hair: Array  # (9,): out1, in1, out2, in2, low-pass, scale, rest output, rest of capacitor 1 and of 2
    car: Array  # (3,): velocity scale, velocity offset, AC coupling
    modes: tuple[int, bool, bool]  # index into HAIRS, exact gain, closed loop


class Capacitor(NamedTuple):
    """A store that a conductance empties and a resistance fills: rates per sample, currents and voltage."""

    empties: float
    fills: float
    resistance: float
    rest_current: float
    half_current: float  # about the mean while the conductance is at its height half of the time
    rest_voltage: float


def erb_step(params: Params, samplerate_hz: float, bands: int) -> float:
    """Return the ``step_erb`` that gives so many bands at this sample rate."""
    lowest = params.min_pole_hz + params.break_hz
    highest = params.first_pole * samplerate_hz / 2 + params.break_hz
    # Poles fall geometrically; half a step of slack puts the last one clear of the border.
    return ERB_Q * float(1 - (lowest / highest) ** (1 / (bands - 0.5)))


def poles(params: Params, samplerate_hz: float) -> Array:
    """Return the pole frequencies in Hz, ascending, (bands,) float64; raises ValueError beyond 8 to 256 bands."""
    found: list[float] = []
    pole = params.first_pole * samplerate_hz / 2
    while pole > params.min_pole_hz and len(found) <= BAND_RANGE[1]:
        found.append(pole)
        pole -= params.step_erb * (params.break_hz + pole) / ERB_Q
    if not BAND_RANGE[0] <= len(found) <= BAND_RANGE[1]:
        few = "more than 256" if len(found) > BAND_RANGE[1] else f"{len(found)}"
        raise ValueError(f"step_erb {params.step_erb:g} at {samplerate_hz:g} Hz gives {few} bands, not 8 to 256")
    return np.array(found[::-1])


def stage_gain(table: Array, undamping: float) -> Array:
    """Return the gain of every stage at this undamping that passes 0 Hz unchanged."""
    d = table[D1] - table[ZR] * undamping
    r = 1 - d
    q = d**2 + 2 * table[E0] * r
    return np.asarray(q / (q + table[H] * table[C0] * r))


def resonators(params: Params, samplerate_hz: float, pole_hz: Array) -> Array:
    """Return the rows E0 ... G1 of the cascade, (9, STRIDE) float64; beyond the bands they are 0."""
    table = np.zeros((9, STRIDE))
    rows = table[:, : len(pole_hz)]
    angle = 2 * np.pi * pole_hz / samplerate_hz
    damped = np.pi * (angle / np.pi - (angle / np.pi) ** 3 / 2)
    zeta = params.zeta_min + ((params.break_hz + pole_hz) / ERB_Q / pole_hz - params.zeta_min) / 4
    rows[E0] = 2 * np.sin(angle / 2) ** 2
    rows[C0] = np.sin(angle)
    rows[H] = rows[C0] * (params.zero_ratio**2 - 1)
    rows[D1] = params.zeta_max * damped
    rows[ZR] = (params.zeta_max - zeta) * damped
    none, half, full = (stage_gain(rows, undamping) for undamping in (0.0, 0.5, 1.0))
    rows[GA] = 2 * (none + full - 2 * half)
    rows[GB] = 4 * half - 3 * none - full
    rows[GC] = none
    rows[G1] = full
    return table


def detect(x: float) -> float:
    """Return the conductance of a hair cell at this displacement."""
    z = max(0.0, x + DETECT_OFFSET)
    return z**3 / (z**3 + z**2 + DETECT_HALF)


def capacitor(k_max: float, k_rest: float, tau_out_ms: float, tau_in_ms: float, per_ms: float) -> Capacitor:
    """Return a capacitor of 1 V that empties in ``tau_out_ms`` at its largest conductance."""
    resistance = tau_in_ms / (tau_out_ms * k_max)
    rest = 1 / (resistance + 1 / k_rest)
    return Capacitor(
        empties=1 / (k_max * tau_out_ms * per_ms),
        fills=1 / (tau_in_ms * per_ms),
        resistance=resistance,
        rest_current=rest,
        half_current=1 / (2 / k_max + resistance),
        rest_voltage=1 - rest * resistance,
    )


def hair_cell(params: Params, per_ms: float) -> list[float]:
    """Return the numbers of ``Coeffs.hair`` at ``per_ms`` samples a millisecond."""
    low_pass = 1 - math.exp(-1 / (params.tau_lpf_ms * per_ms))
    k_max, k_rest = detect(10), detect(0)
    if params.hair == "one_cap":
        first = last = capacitor(k_max, k_rest, params.tau_out_ms, params.tau_in_ms, per_ms)
    else:
        first = capacitor(k_max, k_rest, params.tau1_out_ms, params.tau1_in_ms, per_ms)
        # What the first one has lost is the conductance of the second.
        v_max = first.resistance / (1 / k_max + first.resistance)
        v_rest = first.resistance * first.rest_current
        last = capacitor(v_max, v_rest, params.tau2_out_ms, params.tau2_in_ms, per_ms)
    scale = 1 / (last.half_current - last.rest_current)
    rates = [first.empties, first.fills, last.empties, last.fills]
    return [*rates, low_pass, scale, last.rest_current * scale, first.rest_voltage, last.rest_voltage]


def taps(spread: float, shift: float) -> list[float]:
    """Return five taps over bands b - 2 ... b + 2 with variance ``spread`` and mean ``shift``.

    The outer two are 0 while three are enough, which keeps the middle one at 1/4 or more. A positive shift takes more
    from the lower bands, so that a sound turns down what is above it.
    """
    square = spread + shift**2
    if square <= 0.75:
        return [0.0, (square + shift) / 2, 1 - square, (square - shift) / 2, 0.0]
    low, high = (square * 2 / 5 + sign * shift * 2 / 3 for sign in (1, -1))
    return [low / 4, low / 4, 1 - (low + high) / 2, high / 4, high / 4]


def gain_control(params: Params, per_ms: float) -> Array:
    """Return ``Coeffs.agc``, (4, 8) float64."""
    rows = []
    for k, tau_ms in enumerate(params.tau_agc_ms):
        times = tau_ms * per_ms / math.prod(DECIMATION[: k + 1])  # updates in a time constant
        spread = (SPREAD_APEX**2 + SPREAD_BASE**2) * 2**k / times
        shift = (SPREAD_BASE - SPREAD_APEX) * math.sqrt(2) ** k / times
        share = 1 / DECIMATION[k] / (1 if k else sum(STAGE_GAIN**j for j in range(4)))
        rows.append([1 - math.exp(-1 / times), share, params.mix / times, *taps(spread, shift)])
    return np.array(rows)


def design(params: Params, samplerate_hz: float, dtype: type[np.floating] = np.float32) -> Coeffs:
    """Return the coefficients of one sample at 8 to 96 kHz, in float32 or float64.

    Raises ValueError for an unknown ``hair`` or ``gain``, a rate out of range, or a step that gives less than 8 or
    more than 256 bands.
    """
    for name, value, known in (("hair", params.hair, HAIRS), ("gain", params.gain, GAINS)):
        if value not in known:
            raise ValueError(f"{name} {value!r} is none of {', '.join(known)}")
    if not RATE_RANGE_HZ[0] <= samplerate_hz <= RATE_RANGE_HZ[1]:
        raise ValueError(f"{samplerate_hz:g} Hz is not in {RATE_RANGE_HZ[0]:,} to {RATE_RANGE_HZ[1]:,} Hz")
    pole_hz = poles(params, samplerate_hz)
    per_ms = samplerate_hz / 1000
    ac = 2 * np.pi * params.ac_hz / samplerate_hz
    return Coeffs(
        bands=len(pole_hz),
        pole_hz=pole_hz,
        table=resonators(params, samplerate_hz, pole_hz).ravel().astype(dtype),
        agc=gain_control(params, per_ms).astype(dtype),
        every=np.cumprod(DECIMATION),
        hair=np.array(hair_cell(params, per_ms), dtype),
        car=np.array([params.velocity_scale, params.v_offset, ac], dtype),
        modes=(HAIRS.index(params.hair), params.gain == "exact", params.closed),
    )
