"""Models that the tests of the composed network share, and their naive twins."""

from __future__ import annotations

import naive_network as naive
import numpy as np
from hypothesis import strategies as st

from spikestream.batch import Spikes
from spikestream.model import Input, Model, Population, Projection, Rule

A, B = 6, 4
"""Axons of the two inputs."""
SIZES = {"left": A, "right": B, "exc": 5, "inh": 3}
RULE = {"a_plus": 0.4, "a_minus": 0.3, "tau_plus_ms": 15.0, "tau_minus_ms": 25.0, "w_max": 9.0}
LIF = {"tau_m_ms": 20.0, "v_thresh": 15.0, "v_reset": 0.0, "theta_plus": 0.0}


WAYS = [
    ("left", "exc", True),
    ("right", "inh", True),
    ("exc", "inh", True),
    ("inh", "exc", False),
    ("exc", "exc", True),
]
"""Source, target, and whether it learns: one structure, so that it is compiled once."""


@st.composite
def models(draw, dtype="float64"):
    """Draw a model of one structure: dense and listed synapses, with and without rules, of any delays and weights."""
    projections = []
    for place, (source, target, learns) in enumerate(WAYS):
        make = _dense if place % 2 == 0 else _listed_pairs
        rules = [Rule("pair", RULE)] if learns else []
        projections.append(make(draw, f"p{place}", source, target, rules))
    projections.append(Projection("rivals", "exc", "exc", connect="lateral", weights=-3.0))
    populations = [
        Population(name, SIZES[name], neuron="lif", params={**LIF, "tau_refrac_ms": draw(st.sampled_from([0.0, 2.0]))})
        for name in ("exc", "inh")
    ]
    return Model([Input("left", A), Input("right", B)], populations, projections, dtype=dtype)


def _dense(draw, name, source, target, rules):
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    weights, first = rng.uniform(0, 9, (SIZES[source], SIZES[target])), source in ("exc", "inh")
    delay = draw(st.integers(first, 3))
    return Projection(name, source, target, weights=weights, delay_ms=delay, rules=rules)


def _listed_pairs(draw, name, source, target, rules):
    rng, count = np.random.default_rng(draw(st.integers(0, 99))), draw(st.integers(1, 12))
    pre, post = rng.integers(0, SIZES[source], count), rng.integers(0, SIZES[target], count)
    delays = rng.integers(source in ("exc", "inh"), 5, count)
    weights = rng.uniform(0 if rules else -5, 9, count)
    options = {"connect": "pairs", "pre": pre, "post": post, "delay_ms": delays}
    return Projection(name, source, target, weights=weights, rules=rules, **options)


def spikes_for(model, count=150, stop=60_000, seed=1, start=0):
    rng = np.random.default_rng(seed)
    t = start + np.sort(rng.integers(0, stop, count))
    return Spikes(start, start + stop, t, rng.integers(0, A + B, count).astype(np.int32))


def twin(model, batch, learning=lambda n: True):
    """Run the naive network; return its spikes as (stamp, number), and its projections by name."""
    inputs = {"left": {}, "right": {}}
    for t, axon in zip(batch.t.tolist(), batch.axon.tolist(), strict=True):
        name, number = ("left", axon) if axon < A else ("right", axon - A)
        inputs[name].setdefault(t // 1000, []).append(number)
    populations = {p.name: naive.Population(p.size, int(p.params["tau_refrac_ms"])) for p in model.populations}
    made = {p.name: naive.Projection(_listed(p), tuple(RULE.values()) if p.rules else None) for p in model.projections}
    rows = [(p.source, p.target, made[p.name]) for p in model.projections]
    ticks = range(batch.start // 1000, batch.stop // 1000)
    fired = naive.run(ticks, inputs, populations, rows, 1.0, learning)
    numbers, first = {}, 0
    for name in model.outputs:
        numbers[name] = first
        first += SIZES[name]
    return [((n + 1) * 1000 - 1, numbers[p] + j) for n, p, j in fired if p in numbers], made


def _listed(p):
    if p.connect == "lateral":
        size = SIZES[p.source]
        return [(i, j, p.weights, 1) for i in range(size) for j in range(size) if i != j]
    if p.connect == "all":
        weights = p.weights.array
        return [(i, j, weights[i, j], int(p.delay_ms)) for i in range(len(weights)) for j in range(weights.shape[1])]
    columns = (p.pre.array, p.post.array, p.weights.array, p.delay_ms.array)
    return list(zip(*(column.tolist() for column in columns), strict=True))
