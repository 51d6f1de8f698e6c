"""Spiking classifier that learns by labels: LIF or adaptive LIF hidden neurons, leaky readouts, three-factor learning.

Per tick of dt, in this order (v in units of the threshold, relative to rest):

    decay        v_j <- v_j exp(-dt/tau_m,j)
    input i      v_j <- v_j + w_ij            of the first layer
    hidden i     v_j <- v_j + r_ij            for every i of the layer below, and with recurrence of the same layer,
                                              that fired in the tick before
    fire         th_j = 1 + beta_j a_j;  u_j = v_j - th_j;  fires where u_j > 0
                 a_j <- a_j exp(-dt/tau_a) + z_j;  v_j <- v_j - th_j z_j, or 0 where it fired;  v_j >= -2
    read         o_kj <- o_kj exp(-dt/tau_k) + z_j
    every `update` ticks of a window, and at its last:
                 of each layer: s = softmax over the live classes of b + sum_kj v_kjc o_kj,   evidence_c += age s_c

What a label brings, by a second run of the same ticks (`learn`):

    psi_j = 0.3 max(0, 1 - |u_j|), summed over the ticks between two updates: P_j
    x_i: every spike of i adds 1, decaying by exp(-dt/tau_trace);  the same of hidden neurons, a tick later, for r
    error_c = ramp (s_c - [c is the label]) of each layer,  ramp = age / length of the window
    later_kc = error_c + exp(-update/tau_k) later_kc'  of the update after: what a spike now will have had a part in
    signal_j = P_j / update * sum_kc v_kjc later_kc,  or sum_kc B_jc later_kc with feedback B fixed and random
    gradient: of w_ij sum x_i signal_j, of r_ij likewise, of v_kjc sum o_kj error_c, of b_c sum error_c, where signal
              and error are those of the layer of j, and b is one for all layers

and then one step of each synapse by its own size of gradients (Adam), of a row i only where it was active. Nothing
grows with time: gradients of one window, two moments a synapse. With no hidden neurons the readout hears the inputs
themselves: o_ki <- o_ki exp(-dt/tau_k) + the spikes of i in the tick. No error passes from layer to layer: each has a
readout of its own, which teaches it, and all readouts together decide.

Sources: e-prop, Bellec et al., Nat. Commun. 11:3625 (2020), with eligibility factorised into a presynaptic trace and
the mean surrogate derivative of an interval, and without the term of the adaptation. The filter of the readout is on
the errors, backwards, instead of on every synapse's eligibility, forwards, which gives the same sum: the window is
kept. Readouts of the layers as in DECOLLE, Kaiser, Mostafa & Neftci, Front. Neurosci. 14:424 (2020), but taught as
well. Adam, Kingma & Ba (2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numba import njit

from spikestream.kernels import Array

FLOOR = -2.0
"""No potential falls lower."""
GAMMA = 0.3
"""Height of the surrogate derivative."""
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-5
"""Of Adam: memories of the mean and of the square of a gradient, and what keeps its quotient finite."""


@dataclass(frozen=True, slots=True)
class Params:
    """Times in ms, weights in units of the threshold; ``tau_m_ms`` is a range, in which each neuron draws its own."""

    hidden: int | tuple[int, ...] = 200  # neurons, layer by layer; 0: the readout hears the inputs themselves
    recurrent: float = 0.0  # standard deviation of the recurrent weights as drawn; 0 for none
    adaptive: float = 0.0  # share of the hidden neurons whose threshold adapts
    beta: float = 0.3
    tau_a_ms: float = 150.0
    tau_m_ms: tuple[float, float] = (20.0, 20.0)
    tau_out_ms: tuple[float, ...] = (60.0,)
    tau_trace_ms: float = 20.0
    update_ms: float = 20.0
    w_init: float = 0.1
    fire_reset: str = "subtract"  # of a neuron that fires, by its threshold, or "value": to 0, as chips do
    feedback: str = "symmetric"
    rate: float = 5e-4  # of w and r, falling to
    rate_end: float = 2e-4
    rate_half: float = 20_000.0  # this is where it is half way, in windows learned
    rate_out: float = 2.0  # of the readout, as a multiple of that
    seed: int = 0

    @property
    def layers(self) -> tuple[int, ...]:
        """Return how many neurons each layer has, () where there are none."""
        return self.hidden if isinstance(self.hidden, tuple) else (self.hidden,) if self.hidden else ()


class Coeffs(NamedTuple):
    """What one tick needs, times in ticks."""

    decay_a: np.float32
    decay_x: np.float32
    decay_out: Array  # (K,) float32
    update: int
    layers: Array  # (L,) int32: where each layer begins; 0 also where there are no hidden neurons
    reach: Array  # (R, 2) int32: the hidden neurons [low, high) that hear the i-th one
    soft: bool
    rate: np.float32
    rate_end: np.float32
    rate_half: np.float32
    rate_out: np.float32


class Weights(NamedTuple):
    """What is learned, and the moments of its gradients.

    K readout times, H hidden neurons, C places for classes, S = H or, where there are none, the axons.
    """

    w: Array  # (axons, H) float32
    w_mean: Array
    w_square: Array
    r: Array  # (R, most that hear one of them) float32, row by row from the first that does
    r_mean: Array
    r_square: Array
    v: Array  # (K, S, C) float32
    v_mean: Array
    v_square: Array
    b: Array  # (C,) float32
    b_mean: Array
    b_square: Array
    decay_m: Array  # (H,) float32
    beta: Array  # (H,) float32
    back: Array  # (H, C) float32: random feedback; (0, C) where feedback is symmetric
    steps: Array  # (1,) int64: windows learned


class Memory(NamedTuple):
    """What moves from tick to tick."""

    v: Array  # (H,) float32
    a: Array  # (H,) float32
    fired: Array  # (H,) float32, 0 or 1: in the last tick
    o: Array  # (K, S) float32


class Scratch(NamedTuple):
    """Room for the gradients of one window of at most U updates."""

    x: Array  # (U, axons) float32
    place: Array  # (axons,) int32: where an active axon's trace stands, -1 for none
    active: Array  # (axons,) int32: the axons that have one
    xr: Array  # (U, R) float32
    signal: Array  # (U, H) float32
    psi: Array  # (H,) float32
    gv: Array  # (K, S, C) float32
    gb: Array  # (C,) float32
    error: Array  # (U, L, C) float32
    later: Array  # (K, C) float32
    s: Array  # (C,) float32


def design(params: Params, tick_us: int) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs."""
    tick_ms, f = tick_us / 1000, np.float32
    return Coeffs(
        decay_a=f(np.exp(-tick_ms / params.tau_a_ms)),
        decay_x=f(np.exp(-tick_ms / params.tau_trace_ms)),
        decay_out=np.exp(-tick_ms / np.array(params.tau_out_ms)).astype(f),
        update=max(1, round(params.update_ms / tick_ms)),
        layers=np.cumsum((0, *params.layers))[: max(1, len(params.layers))].astype(np.int32),
        reach=reach(params),
        soft=params.fire_reset == "subtract",
        rate=f(params.rate),
        rate_end=f(params.rate_end),
        rate_half=f(params.rate_half),
        rate_out=f(params.rate_out),
    )


def reach(params: Params) -> Array:
    """Return the spans (R, 2) of the hidden neurons that hear those of all layers, or of all but the last."""
    ends = np.cumsum((*params.layers, 0))
    begins = ends - (*params.layers, 0)
    low = begins if params.recurrent > 0 else ends
    spans = np.stack([low[:-1], ends[1:]], axis=1).repeat(params.layers, axis=0)
    return spans[spans[:, 0] < spans[:, 1]].astype(np.int32)


def init(axons: int, classes: int, params: Params, tick_us: int) -> Weights:
    """Return what nobody has taught yet, drawn from ``seed``; the readout begins at zero."""
    hidden, rng = sum(params.layers), np.random.default_rng(params.seed)
    w = rng.standard_normal((axons, sum(params.layers[:1])), np.float32) * np.float32(params.w_init)
    low, high = params.tau_m_ms
    tau_m_ms = np.exp(rng.uniform(np.log(low), np.log(high), hidden))
    beta = np.where(rng.permutation(hidden) < round(params.adaptive * hidden), params.beta, 0)
    r = between(params, rng)
    v = np.zeros((len(params.tau_out_ms), hidden or axons, classes), np.float32)
    b = np.zeros(classes, np.float32)
    back = np.zeros((hidden if params.feedback == "random" else 0, classes), np.float32)
    back[:] = rng.standard_normal(back.shape, np.float32)
    blank = [np.zeros_like(one) for one in (w, w, r, r, v, v, b, b)]
    return Weights(
        *(w, blank[0], blank[1], r, blank[2], blank[3], v, blank[4], blank[5], b, blank[6], blank[7]),
        decay_m=np.exp(-tick_us / 1000 / tau_m_ms).astype(np.float32),
        beta=beta.astype(np.float32),
        back=back,
        steps=np.zeros(1, np.int64),
    )


def between(params: Params, rng: np.random.Generator) -> Array:
    """Return the weights r from hidden neurons to hidden neurons, drawn from ``rng``; none to themselves."""
    spans, bounds = reach(params), np.cumsum((0, *params.layers))
    width = int(np.diff(spans).max()) if len(spans) else sum(params.layers)
    r = rng.standard_normal((len(spans), width), np.float32)
    for begin, end in pairwise(bounds):
        if begin < len(spans):
            (low, high), rows = spans[begin], r[begin:end]
            own = end - low  # with recurrence its own layer comes first
            rows[:, :own] *= np.float32(params.recurrent)
            np.fill_diagonal(rows[:, :own], 0)
            rows[:, own:] *= np.float32(params.w_init)
            rows[:, high - low :] = 0
    return r


def rest(weights: Weights) -> Memory:
    """Return the memory of a network at rest."""
    outs, sources, _ = weights.v.shape
    v, a, fired = (np.zeros(len(weights.decay_m), np.float32) for _ in range(3))
    return Memory(v, a, fired, np.zeros((outs, sources), np.float32))


def scratch(weights: Weights, ticks: int, c: Coeffs) -> Scratch:
    """Return room for windows of up to ``ticks`` ticks."""
    (outs, sources, classes), axons, hidden = weights.v.shape, len(weights.w), len(weights.decay_m)
    updates, f = -(-ticks // c.update), np.float32
    return Scratch(
        x=np.zeros((updates, axons), f),
        place=np.full(axons, -1, np.int32),
        active=np.zeros(axons, np.int32),
        xr=np.zeros((updates, len(c.reach)), f),
        signal=np.zeros((updates, hidden), f),
        psi=np.zeros(hidden, f),
        gv=np.zeros((outs, sources, classes), f),
        gb=np.zeros(classes, f),
        error=np.zeros((updates, len(c.layers), classes), f),
        later=np.zeros((outs, classes), f),
        s=np.zeros(classes, f),
    )


@njit(cache=True, nogil=True)
def trace(c: Coeffs, m: Memory, axon: Array) -> None:
    """Let the readout's traces of one tick decay, and hear its hidden neurons, or where there are none its input."""
    outs, sources = m.o.shape
    direct = len(m.v) == 0
    for k in range(outs):
        decay = c.decay_out[k]
        if direct:
            for i in range(sources):
                m.o[k, i] *= decay
            for e in range(len(axon)):
                m.o[k, axon[e]] += np.float32(1)
        else:
            for j in range(sources):
                m.o[k, j] = m.o[k, j] * decay + m.fired[j]


@njit(cache=True, nogil=True)
def integrate(c: Coeffs, w: Weights, m: Memory, axon: Array) -> None:
    """Let the voltages of one tick decay, and add its input ``axon`` (n,) and what fired in the tick before."""
    first = w.w.shape[1]
    for j in range(len(m.v)):
        m.v[j] *= w.decay_m[j]
    for e in range(len(axon)):
        row = w.w[axon[e]]
        for j in range(first):
            m.v[j] += row[j]
    for i in range(len(c.reach)):
        if m.fired[i] > 0:
            low, high = c.reach[i, 0], c.reach[i, 1]
            row = w.r[i]
            for j in range(high - low):
                m.v[low + j] += row[j]


@njit(cache=True, nogil=True)
def step(c: Coeffs, w: Weights, m: Memory, axon: Array) -> int:
    """Run one tick on its input ``axon`` (n,), without learning; return how many hidden neurons fired."""
    integrate(c, w, m, axon)
    one, low = np.float32(1), np.float32(FLOOR)
    count = np.float32(0)
    for j in range(len(m.v)):
        threshold = one + w.beta[j] * m.a[j]
        fires = one if m.v[j] > threshold else np.float32(0)
        m.a[j] = m.a[j] * c.decay_a + fires
        m.v[j] = max(m.v[j] - (threshold if c.soft else m.v[j]) * fires, low)
        m.fired[j] = fires
        count += fires
    trace(c, m, axon)
    return int(count)


@njit(cache=True, nogil=True)
def span(c: Coeffs, m: Memory, layer: int) -> tuple[int, int]:
    """Return which sources the readout of a layer hears, [low, high)."""
    return c.layers[layer], c.layers[layer + 1] if layer + 1 < len(c.layers) else m.o.shape[1]


@njit(cache=True, nogil=True)
def read(c: Coeffs, w: Weights, m: Memory, layer: int, live: int, s: Array) -> None:
    """Write the softmax of the first ``live`` classes, as the readout of a layer has it, into ``s``."""
    low, high = span(c, m, layer)
    for k in range(live):
        s[k] = w.b[k]
    for q in range(len(m.o)):
        for j in range(low, high):
            o = m.o[q, j]
            if o > np.float32(1e-3):
                for k in range(live):
                    s[k] += w.v[q, j, k] * o
    top = s[0]
    for k in range(1, live):
        top = max(top, s[k])
    total = np.float32(0)
    for k in range(live):
        s[k] = np.exp(s[k] - top)
        total += s[k]
    for k in range(live):
        s[k] /= total


@njit(cache=True, nogil=True)
def weigh(c: Coeffs, w: Weights, m: Memory, age: int, live: int, s: Array, evidence: Array) -> None:
    """Add the shares of the classes at ``age`` ticks of a window, of all layers alike, to ``evidence`` (C + 1,)."""
    for layer in range(len(c.layers)):
        read(c, w, m, layer, live, s)
        for k in range(live):
            evidence[k] += np.float32(age) * s[k]
        evidence[-1] += np.float32(age)


@njit(cache=True, nogil=True)
def run(
    c: Coeffs,
    w: Weights,
    m: Memory,
    span: tuple[int, int, int],
    t: Array,
    axon: Array,
    age: int,
    live: int,
    s: Array,
    evidence: Array,
) -> tuple[int, int]:
    """Run ticks ``[first, stop)`` of ``span = (first, stop, tick_us)`` on spikes sorted by ``t`` (n,) int64 µs.

    ``age`` is the number of ticks its window has had before ``first``, -1 outside of windows, where nothing is read.
    Adds to ``evidence`` (C + 1,): the sums by class, and the sum of their weights. Returns (spikes heard, spikes of
    hidden neurons).
    """
    first, stop, tick_us = span
    heard, spikes, e = 0, 0, 0
    for tick in range(first, stop):
        begin = e
        end = (tick + 1) * tick_us
        while e < len(t) and t[e] < end:
            e += 1
        heard += e - begin
        spikes += step(c, w, m, axon[begin:e])
        if age >= 0:
            age += 1
            if live > 0 and age % c.update == 0:
                weigh(c, w, m, age, live, s, evidence)
    return heard, spikes
