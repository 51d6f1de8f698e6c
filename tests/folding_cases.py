"""Graphs for tests of folding: nodes in a row, a relay, and what they give."""

from __future__ import annotations

import numpy as np

from spikestream.model.nir import Graph, Node
from spikestream.model.nir.fold import fold
from spikestream.stages.simulator import Simulator

RNG = np.random.default_rng(7)
LEAKY = {"tau": np.full(3, 0.01), "r": np.ones(3), "v_leak": np.zeros(3)}


def between(shape, *nodes, out=None):
    """Return a graph of an Input, nodes in a row, and an Output."""
    named = {f"n{k}": node for k, node in enumerate(nodes)}
    return Graph.row(**{"in": Node("Input", {"shape": shape}), **named, "out": Node("Output", {"shape": out})})


def outputs(graph, values, how=None):
    return Simulator(fold(graph, how)).run(values).outputs


def relay(**given):
    return Node("Threshold", {"threshold": np.array([0.5]), **given})
