"""LIF neurons of which at most one fires in a tick and inhibits all others, as in the kernel `lif_stdp`.

    decay    v_j <- v_j exp(-dt/tau_m);  while learning also theta_j <- theta_j exp(-dt/tau_theta)
    input    v_j <- v_j + w
    clamp    a neuron has v_j = v_reset for tau_refrac after its spike, and cannot fire
    fire     the free neuron farthest above v_thresh + theta, the first of equals: v <- v_reset; while learning also
             theta <- theta + theta_plus;  all others v_j <- max(v_j - inhibition, -v_floor)

Source: Diehl & Cook, Front. Comput. Neurosci. 9:99 (2015), with direct inhibition in the place of inhibitory neurons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled
from spikestream.kernels.neurons.decaying import rested

RECEPTORS = ("v",)
LEARNED = ("theta",)
SUBNORMAL = float(np.finfo(np.float32).tiny)
"""Below this a number is 0 here: a smaller bound than elsewhere, so that all but these equals `lif_stdp` to the bit."""


@dataclass(frozen=True, slots=True)
class Params:
    """Physical parameters; voltages in units of weight, relative to rest."""

    tau_m_ms: float = 20.0
    v_thresh: float = 0.25
    v_reset: float = 0.0
    v_floor: float = 6.0
    tau_refrac_ms: float = 1.0
    inhibition: float = 3.0
    theta_plus: float = 0.1
    tau_theta_ms: float = 100_000.0


class Coeffs(NamedTuple):
    """What one tick needs; numbers of the network's dtype."""

    decay_m: Any
    decay_theta: Any
    v_thresh: Any
    v_reset: Any
    v_floor: Any
    inhibition: Any
    theta_plus: Any
    zero: Any
    refrac: int


class State(NamedTuple):
    """What is remembered from tick to tick."""

    v: Array  # (neurons,)
    theta: Array  # (neurons,)
    refrac: Array  # (neurons,) int64, ticks still to be clamped


def design(params: Params, tick_us: int, f: Any) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs; raises ValueError."""
    if params.v_reset >= params.v_thresh:
        raise ValueError("v_reset must lie below v_thresh")
    for name in ("v_floor", "inhibition", "theta_plus"):
        if getattr(params, name) < 0:
            raise ValueError(f"{name} must not be below 0")
    tick_ms = tick_us / 1000
    return Coeffs(
        decay_m=f(np.exp(-tick_ms / params.tau_m_ms)),
        decay_theta=f(np.exp(-tick_ms / params.tau_theta_ms)),
        v_thresh=f(params.v_thresh),
        v_reset=f(params.v_reset),
        v_floor=f(params.v_floor),
        inhibition=f(params.inhibition),
        theta_plus=f(params.theta_plus),
        zero=f(0),
        refrac=round(params.tau_refrac_ms / tick_ms),
    )


def init(neurons: int, params: Params, f: Any) -> State:
    """Return ``neurons`` at rest."""
    return State(np.zeros(neurons, f), np.zeros(neurons, f), np.zeros(neurons, np.int64))


@compiled
def _fade(values: Array, decay: float) -> None:
    least, zero = values.dtype.type(SUBNORMAL), values.dtype.type(0)
    for j in range(len(values)):
        u = values[j] * decay
        values[j] = u if abs(u) >= least else zero


@compiled
def decay(c: Coeffs, s: State, n: int, adapting: bool) -> None:
    """Let a tick pass, before its input comes."""
    _fade(s.v, c.decay_m)
    if adapting:
        _fade(s.theta, c.decay_theta)


@compiled
def fire(c: Coeffs, s: State, n: int, adapting: bool, out: Array) -> int:
    """Let the winner fire, if there is one; write it to ``out``; return how many."""
    # Without a branch, so that it is done many at a time: in most ticks there is nothing else to do.
    some = 0
    for j in range(len(s.v)):
        some |= (s.refrac[j] > 0) | (s.v[j] - c.v_thresh - s.theta[j] > c.zero)
    if some == 0:
        return 0
    winner, margin = -1, c.zero
    for j in range(len(s.v)):
        if s.refrac[j] > 0:
            s.refrac[j] -= 1
            s.v[j] = c.v_reset
        elif s.v[j] - c.v_thresh - s.theta[j] > margin:
            margin = s.v[j] - c.v_thresh - s.theta[j]
            winner = j
    if winner < 0:
        return 0
    for j in range(len(s.v)):
        s.v[j] = max(s.v[j] - c.inhibition, -c.v_floor)
    s.v[winner] = c.v_reset
    s.refrac[winner] = c.refrac
    if adapting:
        s.theta[winner] += c.theta_plus
    out[0] = winner
    return 1


@compiled
def step(c: Coeffs, s: State, n: int, drive: Array, adapting: bool, out: Array) -> int:
    """Run tick n of these neurons alone on ``drive`` (receptors, neurons); see `fire`."""
    decay(c, s, n, adapting)
    for j in range(len(s.v)):
        s.v[j] += drive[0, j]
    return int(fire(c, s, n, adapting, out))


@compiled
def run(c: Coeffs, s: State, first: int, drive: Array, adapting: bool, out: Array, counts: Array) -> None:
    """Run ticks from ``first`` on, on ``drive`` (ticks, receptors, neurons).

    Writes who fires to ``out`` (ticks, neurons) int32 and how many to ``counts`` (ticks,).
    """
    for k in range(len(drive)):
        counts[k] = step(c, s, first + k, drive[k], adapting, out[k])


def rest(params: Params, s: State, ticks: int, adapting: int, tick_us: int) -> None:
    """Let silent ticks pass at once, in place, thresholds decaying for ``adapting`` of them."""
    tick_ms = tick_us / 1000
    rested(s.v, 0.0, ticks * tick_ms, params.tau_m_ms)
    rested(s.theta, 0.0, adapting * tick_ms, params.tau_theta_ms)
    s.refrac[:] = np.maximum(s.refrac - ticks, 0)


def absurd(s: State) -> str:
    """Return what can never have been, "" where all is well."""
    return "thresholds or ticks below 0" if np.any(s.theta < 0) or np.any(s.refrac < 0) else ""
