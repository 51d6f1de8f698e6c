"""CobaLIF: leaky integrate and fire on two conductances, excitatory and inhibitory, in units of the leak.

    tau_m dv/dt = (v_rest - v) + e (e_rev_e - v) + i (e_rev_i - v)

    decay    v_j relaxes to (v_rest + e_j e_rev_e + i_j e_rev_i) / (1 + e_j + i_j) with exp(-(1 + e_j + i_j) dt/tau_m),
             the conductances held for the tick at their mean over it;  then e_j, i_j <- times exp(-dt/tau_syn)
    input    e_j <- e_j + w or i_j <- i_j + w, weights from 0 on: from the next tick on it drives the voltage
    clamp    v_j <- v_reset where j fired in the last tau_refrac, not with reset "subtract"; the conductances go on
    fire     all j with v_j >= v_thresh that did not fire in the last tau_refrac: v_j <- v_reset, or with reset
             "subtract" v_j <- v_j - (v_thresh - v_reset)

Sources: Destexhe, Mainen & Sejnowski, in Methods in Neuronal Modeling (1998); exponential Euler after Rotter &
Diesmann, Biological Cybernetics 81 (1999). A conductance below 0 counts as none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled
from spikestream.kernels.neurons.decaying import fade, next_at, rested, sweep
from spikestream.kernels.neurons.held import absurd_queue, check_reset, clamp, hold, is_free, nobody

RECEPTORS = ("excitatory", "inhibitory")


@dataclass(frozen=True, slots=True)
class Params:
    """Physical parameters; voltages in mV, conductances in units of the leak conductance."""

    tau_m_ms: float = 20.0
    tau_syn_e_ms: float = 5.0
    tau_syn_i_ms: float = 10.0
    v_rest: float = -65.0
    v_thresh: float = -50.0
    v_reset: float = -65.0
    e_rev_e: float = 0.0
    e_rev_i: float = -70.0
    tau_refrac_ms: float = 5.0
    reset: str = "value"


class Coeffs(NamedTuple):
    """What one tick needs; numbers of the network's dtype."""

    per_tau: Any  # dt/tau_m
    decay_e: Any
    decay_i: Any
    mean_e: Any  # of a conductance over a tick, in what it is at its start
    mean_i: Any
    v_rest: Any
    v_thresh: Any
    v_reset: Any
    e_rev_e: Any
    e_rev_i: Any
    one: Any
    zero: Any
    refrac: int
    subtract: bool


class State(NamedTuple):
    """What is remembered from tick to tick; the last three as in `held`."""

    v: Array  # (neurons,)
    excitatory: Array  # (neurons,)
    inhibitory: Array  # (neurons,)
    last: Array
    held: Array
    queue: Array


def design(params: Params, tick_us: int, f: Any) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs; raises ValueError."""
    check_reset(params.reset, f(params.v_reset), f(params.v_thresh))
    tick_ms = tick_us / 1000
    e, i = tick_ms / params.tau_syn_e_ms, tick_ms / params.tau_syn_i_ms
    return Coeffs(
        per_tau=f(tick_ms / params.tau_m_ms),
        decay_e=f(np.exp(-e)),
        decay_i=f(np.exp(-i)),
        mean_e=f(-np.expm1(-e) / e),
        mean_i=f(-np.expm1(-i) / i),
        v_rest=f(params.v_rest),
        v_thresh=f(params.v_thresh),
        v_reset=f(params.v_reset),
        e_rev_e=f(params.e_rev_e),
        e_rev_i=f(params.e_rev_i),
        one=f(1),
        zero=f(0),
        refrac=round(params.tau_refrac_ms / tick_ms),
        subtract=params.reset == "subtract",
    )


def init(neurons: int, params: Params, f: Any) -> State:
    """Return ``neurons`` at rest."""
    return State(np.full(neurons, params.v_rest, f), np.zeros(neurons, f), np.zeros(neurons, f), *nobody(neurons))


@compiled
def decay(c: Coeffs, s: State, n: int, adapting: bool) -> None:
    """Let a tick pass, before its input comes."""
    v, excitatory, inhibitory = s.v, s.excitatory, s.inhibitory
    for j in range(len(v)):
        e, i = max(excitatory[j], c.zero) * c.mean_e, max(inhibitory[j], c.zero) * c.mean_i
        total = c.one + e + i
        towards = (c.v_rest + e * c.e_rev_e + i * c.e_rev_i) / total
        v[j] = towards + (v[j] - towards) * np.exp(-total * c.per_tau)
    fade(excitatory, c.decay_e)
    fade(inhibitory, c.decay_i)
    for values in (v, excitatory, inhibitory):
        sweep(values, n)


@compiled
def fire(c: Coeffs, s: State, n: int, adapting: bool, out: Array) -> int:
    """Hold who fired lately, let fire who reached the threshold; write them to ``out``, ascending; return how many."""
    clamp(c, s, n)
    count, j = 0, next_at(s.v, c.v_thresh, 0)
    while j < len(s.v):
        if is_free(c, s, j, n):
            s.v[j] = s.v[j] - (c.v_thresh - c.v_reset) if c.subtract else c.v_reset
            hold(c, s, j, n)
            out[count] = j
            count += 1
        j = next_at(s.v, c.v_thresh, j + 1)
    return count


@compiled
def step(c: Coeffs, s: State, n: int, drive: Array, adapting: bool, out: Array) -> int:
    """Run tick n of these neurons alone on ``drive`` (receptors, neurons); see `fire`."""
    decay(c, s, n, adapting)
    for j in range(len(s.v)):
        s.excitatory[j] += drive[0, j]
        s.inhibitory[j] += drive[1, j]
    return int(fire(c, s, n, adapting, out))


@compiled
def run(c: Coeffs, s: State, first: int, drive: Array, adapting: bool, out: Array, counts: Array) -> None:
    """Run ticks from ``first`` on, on ``drive`` (ticks, receptors, neurons).

    Writes who fires to ``out`` (ticks, neurons) int32 and how many to ``counts`` (ticks,).
    """
    for k in range(len(drive)):
        counts[k] = step(c, s, first + k, drive[k], adapting, out[k])


def rest(params: Params, s: State, ticks: int, adapting: int, tick_us: int) -> None:
    """Let silent ticks pass at once, in place; what is left of the conductances does not move the voltages."""
    span_ms = ticks * tick_us / 1000
    rested(s.v, params.v_rest, span_ms, params.tau_m_ms)
    rested(s.excitatory, 0.0, span_ms, params.tau_syn_e_ms)
    rested(s.inhibitory, 0.0, span_ms, params.tau_syn_i_ms)


def absurd(s: State) -> str:
    """Return what can never have been, "" where all is well."""
    return absurd_queue(s.held, s.queue)
