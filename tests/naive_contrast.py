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
    mean, fibres = [0.0] * bands, [0.0] * (2 * bands)
    for last in range(frame - 1, len(bm), frame):
        power = [sum(bm[n][b] ** 2 for n in range(last - frame + 1, last + 1)) / frame for b in range(bands)]
        total = math.fsum(power)
        peak = max(total, peak / 10 ** (params.fall_db * seconds / 10), 0.5 * 10 ** ((params.quiet_db - 100) / 10))
        if 10 * math.log10(total / peak + 1e-300) <= -params.active_db:
            continue
        active += 1
        level = [math.log(1 + p / (peak / 10 ** (params.range_db / 10))) for p in power]
        for b in range(bands):
            weights = [math.exp(-0.5 * ((b - j) / params.spread) ** 2) for j in range(bands)]
            here = sum(w * one for w, one in zip(weights, level, strict=True)) / sum(weights)
            mean[b] += (here - mean[b]) / min(active, params.memory_ms / 1000 / seconds)
            above = here - mean[b]
            fibres[b] += params.gain * seconds * max(above, 0)
            fibres[bands + b] += params.gain * seconds * max(-above, 0)
        for axon in range(2 * bands):
            if fibres[axon] >= 1:
                out.append((last, axon))
                fibres[axon] = min(1.0, fibres[axon] - 1)
    return out
