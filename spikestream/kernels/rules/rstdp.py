"""Reward-modulated STDP: pairs of spikes make a synapse eligible, and dopamine turns what is left of that into weight.

    decay           x_i, y_j, c, d fall by exp(-dt/tau) with tau_plus, tau_minus, tau_c, tau_d
    reward r        d <- d + r, in its tick
    spike of i      c <- c - a_minus y_j; then x_i <- x_i + 1
    spike of j      c <- c + a_plus x_i; then y_j <- y_j + 1
    between ticks   w <- w + INT c (d + d_tonic) dt, kept in [w_min, w_max]; c and d decay meanwhile, so the integral is
                    c d (1 - exp(-a dt))/a + c d_tonic tau_c (1 - exp(-dt/tau_c)),  a = 1/tau_c + 1/tau_d,  t in s

Order in tick n: what c and d came to in tick n - 1 moves the weights; both decay; rewards are added; spikes follow.

All c decay by one factor `scale`, which is multiplied in when it gets small, so synapses are walked over only while
there is dopamine. Without learning no pair makes eligible and no weight moves, while c and d decay.

Source: Izhikevich, Cerebral Cortex 17 (2007), equations 1 to 3; amplitudes of the program published with it, which
moves weights 100 times a second by c (d + 0.002): there 0.5 is a reward, which is 50 per second here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array, compiled
from spikestream.kernels.rules.traces import absurd_traces, check, decay_of, fade, fade_long, scalars

RATES = ("a_plus", "a_minus")
SMALL = 1e-6
"""The common factor is multiplied in below this: about every 14 tau_c."""
FADED = 1e-20
"""Eligibility below this is none: times a small gain it would become subnormal."""
GONE = 1e-12
"""Dopamine below this is none."""


@dataclass(frozen=True, slots=True)
class Params:
    """Physical parameters; amplitudes and bounds in the unit of the weights, dopamine in 1/s."""

    tau_plus_ms: float = 20.0
    tau_minus_ms: float = 20.0
    tau_c_ms: float = 1000.0
    tau_d_ms: float = 200.0
    a_plus: float = 0.1
    a_minus: float = 0.15
    d_tonic: float = 0.0
    w_min: float = 0.0
    w_max: float = 1.0


class Coeffs(NamedTuple):
    """What one tick needs; numbers of the network's dtype, from ``decay_c`` on float64."""

    decay_plus: Any
    decay_minus: Any
    a_plus: Any
    a_minus: Any
    w_min: Any
    w_max: Any
    one: Any
    decay_c: float
    decay_d: float
    phasic: float  # s, integral over a tick while c and d decay
    tonic: float  # while c decays, times d_tonic


class State(NamedTuple):
    """Traces, eligibility and dopamine."""

    x: Array  # (groups,)
    y: Array  # (neurons,)
    c: Array  # (synapses,), in units of ``scale``
    scale: Array  # (1,) float64
    d: Array  # (1,) float64, without the baseline
    due: Array  # (1,) float64, rewards of the tick that comes
    gain: Array  # (1,) weight for a c of 1 in the tick that passed
    share: Array  # (1,) what 1 is in units of ``scale``


def design(params: Params, tick_us: int, f: Any) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs; raises ValueError."""
    check(params)
    if params.tau_c_ms * 1000 < tick_us:
        raise ValueError("tau_c_ms may not be shorter than a tick")
    tick, tau_c = tick_us / 1e6, params.tau_c_ms / 1000
    a = 1 / tau_c + 1000 / params.tau_d_ms
    return Coeffs(
        decay_plus=f(decay_of(tick_us, params.tau_plus_ms)),
        decay_minus=f(decay_of(tick_us, params.tau_minus_ms)),
        **scalars(params, f, "a_plus", "a_minus", "w_min", "w_max"),
        one=f(1),
        decay_c=decay_of(tick_us, params.tau_c_ms),
        decay_d=decay_of(tick_us, params.tau_d_ms),
        phasic=float(-np.expm1(-a * tick) / a),
        tonic=float(-params.d_tonic * tau_c * np.expm1(-tick / tau_c)),
    )


def init(groups: int, neurons: int, synapses: int, params: Params, f: Any) -> State:
    """Return traces of nothing, no eligibility and no dopamine."""
    x, y, c = np.zeros(groups, f), np.zeros(neurons, f), np.zeros(synapses, f)
    return State(x, y, c, np.ones(1), np.zeros(1), np.zeros(1), np.zeros(1, f), np.ones(1, f))


@compiled
def _rescale(c: Array, scale: float) -> None:
    for k in range(len(c)):
        u = c[k] * scale
        c[k] = u if abs(u) > FADED else 0.0


@compiled
def step(c: Coeffs, s: State, n: int) -> int:
    """Let all traces decay; a pass over the synapses where there was dopamine."""
    fade(s.x, c.decay_plus)
    fade(s.y, c.decay_minus)
    if s.scale[0] < SMALL:
        _rescale(s.c, s.scale[0])
        s.scale[0] = 1.0
    gain = s.scale[0] * (s.d[0] * c.phasic + c.tonic)
    s.gain[0] = gain
    s.scale[0] *= c.decay_c
    s.share[0] = 1.0 / s.scale[0]
    d = s.d[0] * c.decay_d
    s.d[0] = (d if abs(d) > GONE else 0.0) + s.due[0]
    s.due[0] = 0.0
    return 1 if gain != 0.0 else 0


@compiled
def on_all(c: Coeffs, s: State, p: int, g: int, j: int, k: int, w: Any) -> Any:
    """Move a weight by what its eligibility and dopamine came to in the tick that passed."""
    return min(max(w + s.c[k] * s.gain[0], c.w_min), c.w_max)


@compiled
def on_pre(c: Coeffs, s: State, g: int, j: int, k: int, w: Any) -> Any:
    """Make a synapse over which a spike came eligible for depression."""
    s.c[k] -= c.a_minus * s.y[j] * s.share[0]
    return w


@compiled
def pre(c: Coeffs, s: State, g: int) -> None:
    """Raise the trace of the group that spiked."""
    s.x[g] += c.one


@compiled
def on_post(c: Coeffs, s: State, g: int, j: int, k: int, w: Any) -> Any:
    """Make a synapse onto a neuron that fired eligible for potentiation."""
    s.c[k] += c.a_plus * s.x[g] * s.share[0]
    return w


@compiled
def post(c: Coeffs, s: State, j: int) -> None:
    """Raise the trace of the neuron that fired."""
    s.y[j] += c.one


def reward(c: Coeffs, s: State, amount: float) -> None:
    """Let a reward of ``amount`` 1/s come in the tick that steps next; below 0 it is a punishment."""
    s.due[0] += amount


def _pass(s: State, ticks: int, decay: float) -> None:
    """Let eligibility decay for ``ticks`` ticks, its scale going where single ticks would leave it."""
    cycle = int(np.log(SMALL) / np.log(decay)) + 1
    while ticks > 0:
        if s.scale[0] < SMALL:
            _rescale(s.c, s.scale[0])
            s.scale[0] = 1.0
            ticks = ticks if s.c.any() else (ticks - 1) % cycle + 1
        some = min(ticks, int(np.log(SMALL / s.scale[0]) / np.log(decay)) + 1)
        s.scale[0] *= decay**some
        ticks -= some


def rest(params: Params, s: State, ticks: int, adapting: int, tick_us: int) -> None:
    """Let silent ticks pass at once, in place, dopamine in them moving no weight."""
    for trace, tau_ms in ((s.x, params.tau_plus_ms), (s.y, params.tau_minus_ms), (s.d, params.tau_d_ms)):
        fade_long(trace, ticks, tick_us, tau_ms)
    _pass(s, ticks, decay_of(tick_us, params.tau_c_ms))
    s.share[0] = 1.0 / s.scale[0]


def absurd(s: State) -> str:
    """Return what can never have been, "" where all is well."""
    return absurd_traces(s.x, s.y) or ("" if 0 < s.scale[0] <= 1 else "a scale of eligibility outside of (0, 1]")
