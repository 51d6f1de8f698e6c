"""What the tests of the pair-STDP network share: sparse streams of spikes, lively networks, and a run of the twin."""

from __future__ import annotations

import importlib
import sys
from dataclasses import asdict, replace

import numpy as np
from conftest import ROOT
from hypothesis import settings
from hypothesis import strategies as st
from naive_pair import Pair

from spikestream.batch import Spikes, concat
from spikestream.kernels import lif_pair
from spikestream.pipeline import Pipeline
from spikestream.stages.network import Network

sys.path.append(str(ROOT / "benchmarks"))
workloads = importlib.import_module("workloads")

AXONS = 5
SLOW_START = settings(max_examples=60, deadline=None)  # the first example may compile the kernel
LIVELY = {
    "v_thresh": 1.0137,
    "v_reset": -0.21,
    "w_max": 0.973,
    "a_plus": 0.0571,
    "a_minus": 0.0313,
    "inhibition": 0.2179,
    "theta_plus": 0.0173,
    "tau_theta_ms": 300.0,
    "tau_refrac_ms": 1.0,
}
"""Nobody's sums come to lie on a threshold by chance."""


def options():
    """Draw options around `LIVELY`: traces from less than a tick to longer than the rings."""
    taus = st.sampled_from([0.3, 4.0, 20.0, 90.0, 5000.0])
    few = {
        "tau_m_ms": st.sampled_from([5.0, 40.0, 1000.0]),
        "tau_plus_ms": taus,
        "tau_minus_ms": taus,
        "tau_refrac_ms": st.sampled_from([0.0, 1.0, 5.0]),
        "inhibition": st.sampled_from([0.0, 0.2179]),
        "tau_theta_ms": st.sampled_from([0.5, 40.0, 300.0, 1e7]),
        "theta_plus": st.sampled_from([0.0, 0.0173, 0.31]),
    }
    return st.fixed_dictionaries(few).map(lambda drawn: {**LIVELY, **drawn})


@st.composite
def inputs(draw, most=60):
    """Draw (tick, axon) rows, close and far apart, and a number of ticks behind them."""
    tick, rows = draw(st.integers(0, 70)), []
    apart = st.sampled_from([0, 0, 0, 1, 1, 1, 2, 5, 20, 63, 64, 65, 129, 700])
    for step, axon in draw(st.lists(st.tuples(apart, st.integers(0, AXONS - 1)), min_size=10, max_size=most)):
        tick += step
        rows.append((tick, axon))
    return rows, tick + 1 + draw(st.integers(0, 900))


def random_weights(seed, axons, neurons, w_max=LIVELY["w_max"]):
    return np.random.default_rng(seed).random((axons, neurons)) * w_max


def through(net, parts, commands=()):
    """Return all spikes of a stage on a stream in parts, each command handed over with the part it falls into."""
    pipeline = Pipeline({"net": net})
    return concat([pipeline(p, [c for c in commands if p.start <= c.t < p.stop])["net"] for p in parts])


@st.composite
def cuts(draw, batch):
    edges = [int(t) + d for t in batch.t for d in (0, 1)]
    return draw(st.lists(st.one_of(st.integers(batch.start, batch.stop), st.sampled_from(edges)), max_size=12))


def batch_of(rows, ticks, tick_us, first=0):
    """Return the spikes of (tick, axon) rows over so many ticks from tick ``first`` on."""
    t = np.array([(first + tick) * tick_us + tick_us // 3 for tick, _ in rows], np.int64)
    axon = np.array([axon for _, axon in rows], np.int32)
    return Spikes(first * tick_us, (first + ticks) * tick_us, t, axon)


def busy(ticks=600, first=0, neurons=30, seed=1, tick_us=1000):
    """Return weights (12, neurons) and a stream on which most neurons fire."""
    rng = np.random.default_rng(seed)
    rows = [(tick, int(i)) for tick in range(ticks) for i in np.unique(rng.integers(0, 12, rng.poisson(1.5)))]
    return random_weights(seed, 12, neurons), batch_of(rows, ticks, tick_us, first)


def network(weights, tick_us=1000, **more):
    axons, neurons = np.shape(weights)
    merged = {"dtype": "float64", **LIVELY, **more}
    return Network(axons, neurons, rule="pair", tick_us=tick_us, init_weights=weights, **merged)


def twin_run(weights, rows, ticks, tick_us, learning=lambda tick: True, changes=(), **more):
    """Run the dense twin, its options changed at the start of a tick by (tick, name, value), in order.

    Returns it and the (tick, neuron) of its spikes.
    """
    twin = Pair(lif_pair.Params(**{**LIVELY, **more}), tick_us, weights)
    inside = [[] for _ in range(ticks)]
    for tick, axon in rows:
        inside[tick].append(axon)
    fired = []
    for k, axons in enumerate(inside):
        for _, name, value in (change for change in changes if change[0] == k):
            twin.p = replace(twin.p, **{name: value})
        fired += [(k, j) for j in twin.tick(axons, learning(k))]
    return twin, fired


def fired_of(batch, tick_us):
    return list(zip((batch.t // tick_us).tolist(), batch.axon.tolist(), strict=True))


def of_workload(workload, dtype):
    """Return a network with the constants and weights of a workload, and its input as one batch."""
    constants = asdict(workload.params)
    tick_us = round(constants.pop("dt_ms") * 1000)
    net = Network(
        workload.axons,
        workload.neurons,
        rule="pair",
        tick_us=tick_us,
        dtype=dtype,
        init_weights=workload.weights,
        **constants,
    )
    t = workload.ticks.astype(np.int64) * tick_us
    return net, Spikes(0, workload.length * tick_us, t, workload.inputs.astype(np.int32))
