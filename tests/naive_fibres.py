"""Spiking fibres in plain Python, written from their equation, in floats or in exact fractions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from spikestream.kernels.fibres import Params

Cells = list[list[tuple[Any, int]]]


def at_rest(params: Params) -> Cells:
    """Return (voltage, refractory samples to come) of every fibre by band."""
    return [[(0, 0)] * params.bands for _ in params.thresholds]


def spikes(
    x: Sequence[Sequence[float]], params: Params, cells: Cells, number: Callable[[Any], Any] = float
) -> list[tuple[int, int]]:
    """Return (sample, axon) of every spike, in order; ``cells`` goes along."""
    leak = number(1000) / (number(params.tau_ms) * params.samplerate_hz)
    rest = round(params.refrac_ms * params.samplerate_hz / 1000)
    out = []
    for n, row in enumerate(x):
        for f, threshold in enumerate(map(number, params.thresholds)):
            for b, heard in enumerate(row):
                v, wait = cells[f][b]
                v += leak * (number(params.drive) * max(number(heard), 0) - v)
                if wait > 0:
                    v, wait = number(0), wait - 1
                if v >= threshold:
                    v, wait = v - threshold, rest
                    out.append((n, f * params.bands + b))
                cells[f][b] = v, wait
    return out
