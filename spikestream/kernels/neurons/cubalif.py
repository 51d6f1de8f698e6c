"""CubaLIF: leaky integrate and fire on two currents, excitatory and inhibitory, that jump and decay exponentially.

    decay    v_j <- v_rest + (v_j - v_rest) exp(-dt/tau_m) + e_j k_e + i_j k_i, with the currents as they were,
             k = tau_syn/(tau_syn - tau_m) (exp(-dt/tau_syn) - exp(-dt/tau_m));  then e_j, i_j decay
    input    e_j <- e_j + w or i_j <- i_j + w: from the next tick on it drives the voltage
    clamp    v_j <- v_reset where j fired in the last tau_refrac, not with reset "subtract"; the currents go on
    fire     all j with v_j >= v_thresh that did not fire in the last tau_refrac: v_j <- v_reset, or with reset
             "subtract" v_j <- v_j - (v_thresh - v_reset)

That is tau_m dv/dt = v_rest - v + e + i, solved exactly over a tick: the order of NEST's iaf_psc_exp.

Sources: Vogels & Abbott, J. Neurosci. 25 (2005); Rotter & Diesmann, Biological Cybernetics 81 (1999), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled
from spikestream.kernels.neurons.decaying import next_at, rested, sweep
from spikestream.kernels.neurons.held import absurd_queue, check_reset, clamp, hold, is_free, nobody

RECEPTORS = ("excitatory", "inhibitory")


@dataclass(frozen=True, slots=True)
class Params:
    """Physical parameters; voltages in mV, currents in mV as well: what they would move the voltage to in the end."""

    tau_m_ms: float = 20.0
    tau_syn_e_ms: float = 5.0
    tau_syn_i_ms: float = 10.0
    v_rest: float = 0.0
    v_thresh: float = 15.0
    v_reset: float = 0.0
    tau_refrac_ms: float = 5.0
    reset: str = "value"


class Coeffs(NamedTuple):
    """What one tick needs; numbers of the network's dtype."""

    decay_m: Any
    decay_e: Any
    decay_i: Any
    gain_e: Any
    gain_i: Any
    v_rest: Any
    v_thresh: Any
    v_reset: Any
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
    return Coeffs(
        decay_m=f(np.exp(-tick_ms / params.tau_m_ms)),
        decay_e=f(np.exp(-tick_ms / params.tau_syn_e_ms)),
        decay_i=f(np.exp(-tick_ms / params.tau_syn_i_ms)),
        gain_e=f(gain(tick_ms, params.tau_m_ms, params.tau_syn_e_ms)),
        gain_i=f(gain(tick_ms, params.tau_m_ms, params.tau_syn_i_ms)),
        v_rest=f(params.v_rest),
        v_thresh=f(params.v_thresh),
        v_reset=f(params.v_reset),
        refrac=round(params.tau_refrac_ms / tick_ms),
        subtract=params.reset == "subtract",
    )


def gain(tick_ms: float, tau_m_ms: float, tau_syn_ms: float) -> float:
    """Return what a current of 1 at the start of a tick makes of the voltage at its end."""
    # The difference of the two exponentials by way of expm1: nothing cancels where the two times are nearly equal.
    apart = abs(tick_ms / tau_m_ms - tick_ms / tau_syn_ms)
    slower = np.exp(-tick_ms / max(tau_m_ms, tau_syn_ms))
    return float(tick_ms / tau_m_ms * slower * (-np.expm1(-apart) / apart if apart > 0 else 1.0))


def init(neurons: int, params: Params, f: Any) -> State:
    """Return ``neurons`` at rest."""
    return State(np.full(neurons, params.v_rest, f), np.zeros(neurons, f), np.zeros(neurons, f), *nobody(neurons))


@compiled
def _integrate(v: Array, e: Array, i: Array, c: Coeffs) -> None:
    # One pass without a branch: it is nearly all of the time of a network that spikes little.
    decay_m, decay_e, decay_i, gain_e, gain_i, rest = c.decay_m, c.decay_e, c.decay_i, c.gain_e, c.gain_i, c.v_rest
    for j in range(len(v)):
        v[j] = rest + (v[j] - rest) * decay_m + e[j] * gain_e + i[j] * gain_i
        e[j] *= decay_e
        i[j] *= decay_i


@compiled
def decay(c: Coeffs, s: State, n: int, adapting: bool) -> None:
    """Let a tick pass, before its input comes."""
    _integrate(s.v, s.excitatory, s.inhibitory, c)
    for values in (s.v, s.excitatory, s.inhibitory):
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
    """Let silent ticks pass at once, in place."""
    span_ms = ticks * tick_us / 1000
    rested(s.v, params.v_rest, span_ms, params.tau_m_ms)
    for current, tau_ms in ((s.excitatory, params.tau_syn_e_ms), (s.inhibitory, params.tau_syn_i_ms)):
        s.v[:] += current * s.v.dtype.type(gain(span_ms, params.tau_m_ms, tau_ms))
        rested(current, 0.0, span_ms, tau_ms)


def absurd(s: State) -> str:
    """Return what can never have been, "" where all is well."""
    return absurd_queue(s.held, s.queue)
