"""The cochlea in plain Python and float64, written from its equations: slow, and easy to compare with them."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence

from spikestream.kernels.cochlea import Params


def pole(centre_hz: float, samplerate_hz: int) -> complex:
    """Return the pole of a band."""
    width = 1.019 * 2 * math.pi * (centre_hz / 9.26449 + 24.7) / samplerate_hz
    return cmath.exp(complex(-width, 2 * math.pi * centre_hz / samplerate_hz))


def gammatone(samples: Sequence[float], centres_hz: Sequence[float], samplerate_hz: int) -> list[list[float]]:
    """Return the output of every band for every sample."""
    poles = [pole(centre, samplerate_hz) for centre in centres_hz]
    stages = [[0j] * 4 for _ in poles]
    out = []
    for x in samples:
        row = []
        for p, u in zip(poles, stages, strict=True):
            drive = complex(x)
            for k in range(4):
                u[k] = drive + p * u[k]
                drive = u[k]
            row.append(2 * (1 - abs(p)) ** 4 * u[3].real)
        out.append(row)
    return out


def controlled(samples: Sequence[float], params: Params) -> list[float]:
    """Return the samples after the gain control."""

    def share(ms: float) -> float:
        return 1 - math.exp(-1000 / (ms * params.samplerate_hz))

    target = 10 ** ((params.target_db - 100) / 20) / math.sqrt(2)
    least = (10 ** ((params.quiet_db - 100) / 20)) ** 2 / 2
    power, out = 0.0, []
    for x in samples:
        power += share(params.attack_ms if x * x > power else params.release_ms) * (x * x - power)
        out.append(x * target / math.sqrt(max(power, least)))
    return out


def spikes(samples: Sequence[float], params: Params) -> list[tuple[int, int]]:
    """Return (sample, axon) of every spike, in order."""
    fs, bands = params.samplerate_hz, params.bands
    centres = [float(c) for c in params.bank.centres_hz]
    heard = gammatone(controlled(samples, params) if params.gain_control else samples, centres, fs)
    lp, ad = 1 - math.exp(-2 * math.pi * params.locking_hz / fs), 1 - math.exp(-1000 / (params.adapt_ms * fs))
    leak, rest = 1000 / (params.tau_ms * fs), round(params.refrac_ms * fs / 1000)
    signs = [1] * len(params.thresholds) + [-1] * len(params.thresholds) * params.off
    levels = list(params.thresholds) * (2 if params.off else 1)
    cells = [[0.0, 0.0, 0.0] for _ in range(bands)]
    fibres = [[[0.0, 0] for _ in range(bands)] for _ in levels]
    out = []
    for n, row in enumerate(heard):
        above = []
        for (d, h, s), cell, y in zip(cells, cells, row, strict=True):
            d += lp * (math.sqrt(max(y, 0)) - d)
            h += lp * (d - h)
            s += ad * (h - s)
            cell[:] = d, h, s
            above.append(h - params.adapt * s)
        for f, (level, sign) in enumerate(zip(levels, signs, strict=True)):
            for b in range(bands):
                fibre = fibres[f][b]
                v = fibre[0] - leak * fibre[0] + params.drive * leak * max(sign * above[b], 0)
                v, fibre[1] = (0.0, fibre[1] - 1) if fibre[1] > 0 else (v, 0)
                if v >= level:
                    v, fibre[1] = v - level, rest
                    out.append((n, f * bands + b))
                fibre[0] = v
    return sorted(out)
