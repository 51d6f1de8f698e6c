"""Parameters, coefficients and state of the pair-STDP network of `lif_pair`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikestream.kernels import Array

RING = 1024
"""Ticks that the rings remember, a power of two."""
REFRESH = RING // 2
"""A row whose trace is alive is brought up to date when it was not visited for so many ticks,"""
SWEEP = RING // 4
"""and each row is looked at once in so many: none is ever older than the sum of both, and a block."""
MOST_REFRAC = REFRESH
BLOCK = 64
"""Most ticks that share one origin of the decaying sums: a power of two."""
TAUS = {"float32": 14, "float64": 28}
"""A pre trace is cut after so many time constants: below the last digit of a weight that it could still move."""
ONE_BY_ONE = 16
"""A row takes its pending spikes one by one where this many times their number is no more than its neurons."""
FADED = 1e-12
"""A post trace below this counts as none: it keeps the list of live ones short and subnormal numbers out."""
HALVED = 512
"""From so many neurons on they are kept in two parts, which two threads may run."""
LINE = 64
"""Bytes of a cache line: a part begins with one, as far as rows do."""
FAR = 1 << 24
"""Weights of more bytes are fetched ahead: below, caches hold them, and asking costs up to 15 % of a visit."""
TINY = 1e-30
"""A voltage below this is none, which keeps subnormal numbers out of long silence."""


@dataclass(frozen=True, slots=True)
class Params:
    """Physical parameters; voltages and weights in mV, relative to rest. ``dtype`` is "float32" or "float64"."""

    tau_m_ms: float = 100.0
    v_thresh: float = 13.0
    v_reset: float = 5.0
    tau_refrac_ms: float = 5.0
    inhibition: float = 17.5
    theta_plus: float = 0.05
    tau_theta_ms: float = 1e7
    tau_plus_ms: float = 20.0
    tau_minus_ms: float = 20.0
    a_plus: float = 0.01
    a_minus: float = 1e-4
    w_max: float = 1.0
    seed: int = 0
    dtype: str = "float32"


class Coeffs(NamedTuple):
    """What one tick needs; numbers of the network's dtype unless told."""

    zero: Any
    one: Any
    tiny: Any
    decay_m: Any
    decay_minus: Any
    decay_theta: float  # float64: a day's decay is lost in the last digit of a float32
    v_thresh: Any
    v_reset: Any
    inhibition: Any
    theta_plus: Any
    a_plus: Any
    a_minus: Any
    faded: Any  # y below this is none
    dim: Any  # x below this is none
    w_max: Any
    refrac: int
    shift: int  # a block has 2**shift ticks
    one_by_one: int
    lam: Array  # (RING + 1,) exp(-k dt/tau_plus), 0 where it is cut


class State(NamedTuple):
    """What is remembered from tick to tick; F is the network's dtype. `SCRATCH` holds nothing that counts.

    Neurons are in one part or two; what a part remembers does not depend on the other.
    """

    weights: Array  # (axons, neurons) F, C order: one input spike is one contiguous row; without what is pending
    v: Array  # (neurons,) F
    theta: Array  # (neurons,) F, in units of ``fade``
    fade: Array  # (1,) float64
    y: Array  # (neurons,) F
    x: Array  # (axons,) F, at the last visit
    seen: Array  # (axons,) int64, tick of the last visit
    ids: Array  # (parts, 2**k) int32 ring of the neurons that fired, ~j where their weights are to learn no more
    when: Array  # (parts, 2**k) int64 ring of their ticks
    start: Array  # (parts, RING) int64, spikes before tick k
    sums: Array  # (RING + 1, neurons) F decaying sums over spikes, see `lif_pair_rows`; the last row stays 0
    after: Array  # (parts, RING) int32, row of ``sums`` that holds after tick k
    sweep: Array  # (1,) int64, next row of the sweep
    now: Array  # (1,) int64, the tick that runs next
    edges: Array  # (parts + 1,) int64, first neuron of each part: the same whenever there are as many
    live: Array  # (neurons,) int32 scratch, neurons with a post trace where they are few
    lives: Array  # (parts,) int64 scratch, how many; below 0 they are to be counted
    kept: Array  # (neurons,) F scratch
    words: Array  # scratch, uint64: whether any of eight neurons is above its threshold
    above: Array  # the same memory, uint8: whether one is


SCRATCH = ("edges", "live", "lives", "kept", "words", "above")


def design(params: Params, tick_us: int) -> Coeffs:
    """Return the coefficients of one tick of ``tick_us`` µs."""
    tick_ms = tick_us / 1000
    f = np.dtype(params.dtype).type
    ages = np.arange(RING + 1) * (tick_ms / params.tau_plus_ms)
    taus = TAUS[params.dtype]
    lam = np.where(ages < taus, np.exp(-ages), 0).astype(f)
    shift = 0
    # Sums are divided by the decay over a block: beyond a factor of 25 that would cost digits.
    while 2 << shift <= BLOCK and (2 << shift) * tick_ms / params.tau_plus_ms <= 3.25:
        shift += 1
    return Coeffs(
        zero=f(0),
        one=f(1),
        tiny=f(TINY),
        decay_m=f(np.exp(-tick_ms / params.tau_m_ms)),
        decay_minus=f(np.exp(-tick_ms / params.tau_minus_ms)),
        decay_theta=float(np.exp(-tick_ms / params.tau_theta_ms)),
        v_thresh=f(params.v_thresh),
        v_reset=f(params.v_reset),
        inhibition=f(params.inhibition),
        theta_plus=f(params.theta_plus),
        a_plus=f(params.a_plus),
        a_minus=f(params.a_minus),
        faded=f(FADED),
        dim=f(np.exp(-taus)),
        w_max=f(params.w_max),
        refrac=round(params.tau_refrac_ms / tick_ms),
        shift=shift,
        one_by_one=ONE_BY_ONE,
        lam=lam,
    )


def init(axons: int, neurons: int, params: Params, tick_us: int, parts: int = 0) -> State:
    """Return a network at rest with weights drawn uniformly in [0, w_max) from ``seed``.

    ``parts``, 1 or 2, follows from ``neurons`` unless told.
    """
    f = np.dtype(params.dtype).type
    weights = np.random.default_rng(params.seed).random((axons, neurons), dtype=f)
    weights *= f(params.w_max)
    edges = _edges(neurons, parts or 1 + (neurons >= HALVED), LINE // weights.itemsize)
    parts = len(edges) - 1
    refrac = round(params.tau_refrac_ms * 1000 / tick_us)
    most = int(np.diff(edges).max()) * (RING // (refrac + 1) + 2)  # spikes in as many ticks as the rings hold
    capacity = 1 << (most - 1).bit_length()
    words = np.zeros((neurons + 7) // 8, np.uint64)
    return State(
        weights=weights,
        v=np.zeros(neurons, f),
        theta=np.zeros(neurons, f),
        fade=np.ones(1),
        y=np.zeros(neurons, f),
        x=np.zeros(axons, f),
        seen=np.zeros(axons, np.int64),
        ids=np.zeros((parts, capacity), np.int32),
        when=np.zeros((parts, capacity), np.int64),
        start=np.zeros((parts, RING), np.int64),
        sums=np.zeros((RING + 1, neurons), f),
        after=np.full((parts, RING), RING, np.int32),
        sweep=np.zeros(1, np.int64),
        now=np.zeros(1, np.int64),
        edges=edges,
        live=np.zeros(neurons, np.int32),
        lives=np.full(parts, -1),
        kept=np.zeros(neurons, f),
        words=words,
        above=words.view(np.uint8),
    )


def _edges(neurons: int, parts: int, line: int) -> Array:
    """Return where the parts begin and the last one ends; the second begins with a cache line of ``line`` numbers."""
    half = (neurons // 2 + line - 1) // line * line
    return np.array([0, half, neurons] if parts == 2 and 0 < half < neurons else [0, neurons])
