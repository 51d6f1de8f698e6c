"""What stands out of a sound in plain Python, written from its equations."""

from __future__ import annotations

import math
from collections.abc import Sequence

from spikestream.kernels.contrast import Params


def spikes(bm: Sequence[Sequence[float]], params: Params) -> list[tuple[int, int]]:
    """Return (sample, axon) of every spike of an ear that hears ``bm``, a row of bands a sample, from rest on."""
    frame = round(params.frame_ms / 1000 * params.samplerate_hz)
    seconds = frame / params.samplerate_hz
    bands, peak, active, out = params.bands, 0.0, 0, []
    late, change, fibres = [0.0] * bands, [0.0] * bands, [0.0] * (4 * bands)
    for last in range(frame - 1, len(bm), frame):
        power = [sum(bm[n][b] ** 2 for n in range(last - frame + 1, last + 1)) / frame for b in range(bands)]
        total = math.fsum(power)
        peak = max(total, peak / 10 ** (params.fall_db * seconds / 10), 0.5 * 10 ** ((params.quiet_db - 100) / 10))
        if 10 * math.log10(total / peak + 1e-300) <= -params.active_db:
            continue
        active += 1
        level = [math.log(1 + p / (peak / 10 ** (params.range_db / 10))) for p in power]
        for b in range(bands):
            here = around(level, b, params.spread) - around(level, b, params.surround)
            late[b] += (here - late[b]) / min(active, max(1, params.memory_ms / 1000 / seconds))
            change[b] += (here - change[b]) / min(active, max(1, params.change_ms / 1000 / seconds))
            stands, changes = here - params.even * late[b], here - change[b]
            for fibre, amount in enumerate((stands, -stands, changes, -changes)):
                gain = params.gain if fibre < 2 else params.change_gain
                fibres[fibre * bands + b] += gain * seconds * max(amount, 0)
        for axon in range(len(fibres)):
            if fibres[axon] >= 1:
                out.append((last, axon))
                fibres[axon] = min(1.0, fibres[axon] - 1)
    return out


def around(level: Sequence[float], band: int, width: float) -> float:
    """Return the mean level of the bands, a Gaussian's share of each."""
    weights = [math.exp(-0.5 * ((band - j) / width) ** 2) for j in range(len(level))]
    return sum(w * one for w, one in zip(weights, level, strict=True)) / sum(weights)
