"""LIF: leaky integrate and fire, exact over a tick, with an adaptive threshold.

    decay    v_j <- v_rest + (v_j - v_rest) exp(-dt/tau_m);  while learning also theta_j <- theta_j exp(-dt/tau_theta)
    input    v_j <- v_j + w
    clamp    with reset "value" v_j <- v_reset where j fired in the last tau_refrac; what it received is lost
    fire     all j with v_j > v_thresh + theta_j (strictly) that did not fire in the last tau_refrac:
             v_j <- v_reset, or with reset "subtract" v_j <- v_j - (v_thresh + theta_j - v_reset);
             while learning also theta_j <- theta_j + theta_plus

Sources: Gerstner, Kistler, Naud & Paninski, Neuronal Dynamics (2014), section 1.3; the adaptive threshold after Diehl &
Cook, Front. Comput. Neurosci. 9:99 (2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled
from spikestream.kernels.neurons.decaying import fade, leak, next_above, rested, sweep
from spikestream.kernels.neurons.held import absurd_queue, check_reset, clamp, hold, is_free, nobody

RECEPTORS = ("v",)
LEARNED = ("theta",)


@dataclass(frozen=True, slots=True)
class Params:
    """Physical parameters; voltages in mV, or in the unit of the weights."""

    tau_m_ms: float = 20.0
    v_rest: float = 0.0
    v_thresh: float = 15.0
    v_reset: float = 0.0
    tau_refrac_ms: float = 5.0
    theta_plus: float = 0.0
    tau_theta_ms: float = 1e7
    reset: str = "value"


class Coeffs(NamedTuple):
    """What one tick needs; numbers of the network's dtype."""

    decay_m: Any
    decay_theta: Any
    v_rest: Any
    v_thresh: Any
    v_reset: Any
    theta_plus: Any
    one: Any
    refrac: int
    subtract: bool


class State(NamedTuple):
    """What is remembered from tick to tick; the last three as in `held`."""

    v: Array  # (neurons,)
    theta: Array  # (neurons,)
    last: Array
    held: Array
    queue: Array


def design(params: Params, tick_us: int, f: Any) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs; raises ValueError."""
    check_reset(params.reset, f(params.v_reset), f(params.v_thresh))
    if params.theta_plus < 0:
        raise ValueError("theta_plus must not be below 0")
    tick_ms = tick_us / 1000
    return Coeffs(
        decay_m=f(np.exp(-tick_ms / params.tau_m_ms)),
        decay_theta=f(np.exp(-tick_ms / params.tau_theta_ms)),
        v_rest=f(params.v_rest),
        v_thresh=f(params.v_thresh),
        v_reset=f(params.v_reset),
        theta_plus=f(params.theta_plus),
        one=f(1),
        refrac=round(params.tau_refrac_ms / tick_ms),
        subtract=params.reset == "subtract",
    )


def init(neurons: int, params: Params, f: Any) -> State:
    """Return ``neurons`` at rest."""
    return State(np.full(neurons, params.v_rest, f), np.zeros(neurons, f), *nobody(neurons))


@compiled
def decay(c: Coeffs, s: State, n: int, adapting: bool) -> None:
    """Let a tick pass, before its input comes."""
    leak(s.v, c.decay_m, c.v_rest)
    sweep(s.v, n)
    if adapting:
        fade(s.theta, c.decay_theta)
        sweep(s.theta, n)


@compiled
def fire(c: Coeffs, s: State, n: int, adapting: bool, out: Array) -> int:
    """Hold who fired lately, let fire who is above its threshold; write them to ``out``, ascending; return how many."""
    clamp(c, s, n)
    count, j = 0, next_above(s.v, s.theta, c.one, c.v_thresh, 0)
    while j < len(s.v):
        if is_free(c, s, j, n):
            s.v[j] = s.v[j] - (c.v_thresh + s.theta[j] - c.v_reset) if c.subtract else c.v_reset
            if adapting:
                s.theta[j] += c.theta_plus
            hold(c, s, j, n)
            out[count] = j
            count += 1
        j = next_above(s.v, s.theta, c.one, c.v_thresh, j + 1)
    return count


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
    rested(s.v, params.v_rest, ticks * tick_ms, params.tau_m_ms)
    rested(s.theta, 0.0, adapting * tick_ms, params.tau_theta_ms)


def absurd(s: State) -> str:
    """Return what can never have been, "" where all is well."""
    return absurd_queue(s.held, s.queue) or ("thresholds below 0" if np.any(s.theta < 0) else "")
