"""ALIF: leaky integrate and fire with a threshold that every spike raises and that always decays back.

    decay    v_j <- v_rest + (v_j - v_rest) exp(-dt/tau_m);  a_j <- a_j exp(-dt/tau_a)
    input    v_j <- v_j + w
    clamp    with reset "value" v_j <- v_reset where j fired in the last tau_refrac; what it received is lost
    fire     all j with v_j > v_thresh + beta a_j (strictly) that did not fire in the last tau_refrac: a_j <- a_j + 1;
             with reset "subtract" v_j <- v_j - (v_thresh - v_reset), with "value" v_j <- v_reset

Unlike the threshold of `lif`, this one is fast, belongs to the neuron's dynamics, and moves whether or not it learns.

Source: Bellec, Salaj, Subramoney, Legenstein & Maass, NeurIPS (2018); Bellec et al., Nature Communications 11:3625
(2020), equations 6 to 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled
from spikestream.kernels.neurons.decaying import fade, leak, next_above, rested, sweep
from spikestream.kernels.neurons.held import absurd_queue, check_reset, clamp, hold, is_free, nobody

RECEPTORS = ("v",)


@dataclass(frozen=True, slots=True)
class Params:
    """Physical parameters; voltages in mV, or in the unit of the weights."""

    tau_m_ms: float = 20.0
    tau_a_ms: float = 200.0
    beta: float = 1.8
    v_rest: float = 0.0
    v_thresh: float = 15.0
    v_reset: float = 0.0
    tau_refrac_ms: float = 5.0
    reset: str = "subtract"


class Coeffs(NamedTuple):
    """What one tick needs; numbers of the network's dtype."""

    decay_m: Any
    decay_a: Any
    beta: Any
    v_rest: Any
    v_thresh: Any
    v_reset: Any
    one: Any
    refrac: int
    subtract: bool


class State(NamedTuple):
    """What is remembered from tick to tick; the last three as in `held`."""

    v: Array  # (neurons,)
    a: Array  # (neurons,)
    last: Array
    held: Array
    queue: Array


def design(params: Params, tick_us: int, f: Any) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs; raises ValueError."""
    check_reset(params.reset, f(params.v_reset), f(params.v_thresh))
    if params.beta < 0:
        raise ValueError("beta must not be below 0")
    tick_ms = tick_us / 1000
    return Coeffs(
        decay_m=f(np.exp(-tick_ms / params.tau_m_ms)),
        decay_a=f(np.exp(-tick_ms / params.tau_a_ms)),
        beta=f(params.beta),
        v_rest=f(params.v_rest),
        v_thresh=f(params.v_thresh),
        v_reset=f(params.v_reset),
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
    fade(s.a, c.decay_a)
    sweep(s.v, n)
    sweep(s.a, n)


@compiled
def fire(c: Coeffs, s: State, n: int, adapting: bool, out: Array) -> int:
    """Hold who fired lately, let fire who is above its threshold; write them to ``out``, ascending; return how many."""
    clamp(c, s, n)
    count, j = 0, next_above(s.v, s.a, c.beta, c.v_thresh, 0)
    while j < len(s.v):
        if is_free(c, s, j, n):
            s.v[j] = s.v[j] - (c.v_thresh - c.v_reset) if c.subtract else c.v_reset
            s.a[j] += c.one
            hold(c, s, j, n)
            out[count] = j
            count += 1
        j = next_above(s.v, s.a, c.beta, c.v_thresh, j + 1)
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
    """Let silent ticks pass at once, in place."""
    span_ms = ticks * tick_us / 1000
    rested(s.v, params.v_rest, span_ms, params.tau_m_ms)
    rested(s.a, 0.0, span_ms, params.tau_a_ms)


def absurd(s: State) -> str:
    """Return what can never have been, "" where all is well."""
    return absurd_queue(s.held, s.queue) or ("an adaptation below 0" if np.any(s.a < 0) else "")
