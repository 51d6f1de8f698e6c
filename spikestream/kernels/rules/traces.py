"""What rules share: traces that spikes raise and time lets fade, and what may not be asked of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from spikestream.kernels import Array, compiled

TINY = 1e-30
"""A trace below this is none, which keeps subnormal numbers, which are slow, out of long silence."""
PAIRINGS = ("all", "nearest")


@compiled
def fade(trace: Array, decay: float) -> None:
    """Let a tick pass; ``decay`` has the dtype of the trace."""
    tiny, zero = trace.dtype.type(TINY), trace.dtype.type(0)
    for i in range(len(trace)):
        u = trace[i] * decay
        trace[i] = u if u > tiny else zero


def decay_of(tick_us: int, tau_ms: float) -> float:
    """Return what a tick of ``tick_us`` µs leaves of a trace."""
    return float(np.exp(-(tick_us / 1000) / tau_ms))


def scalars(params: Any, f: Any, *names: str) -> dict[str, Any]:
    """Return the parameters of these names as numbers of dtype f."""
    return {name: f(getattr(params, name)) for name in names}


def fade_long(trace: Array, ticks: int, tick_us: int, tau_ms: float) -> None:
    """Let ``ticks`` ticks without a spike pass at once, in place."""
    trace *= trace.dtype.type(np.exp(-ticks * (tick_us / 1000) / tau_ms))
    trace[np.abs(trace) <= TINY] = 0


def absurd_traces(*traces: Array) -> str:
    """Return what in traces can never have been, "" where all is well."""
    return "traces below 0" if any(np.any(trace < 0) for trace in traces) else ""


def check(params: Any) -> None:
    """Raise ValueError where bounds leave no room, or where a choice is none."""
    if params.w_min >= params.w_max:
        raise ValueError("w_min must lie below w_max")
    if getattr(params, "pairing", "all") not in PAIRINGS:
        raise ValueError(f"pairing is one of {', '.join(PAIRINGS)}, not '{params.pairing}'")


def every(every_ms: float, tick_us: int) -> int:
    """Return the ticks from one time on the absolute grid to the next; raises ValueError."""
    if every_ms <= 0:
        raise ValueError("every_ms must lie above 0")
    return max(1, round(every_ms * 1000 / tick_us))
