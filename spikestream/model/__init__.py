"""What a network is, whatever runs it: inputs, populations of neurons, projections between them, and how those learn.

`Model` describes it, from Python or from tables as TOML gives them; `wire` lists the synapses of one projection and
`initial_state` what a population begins with, both by seed. docs/model.md tells every key.
"""

from __future__ import annotations

from spikestream.model.network import Model
from spikestream.model.parts import Input, Population, Projection, Rule
from spikestream.model.values import Uniform, Values
from spikestream.model.wiring import Wires, initial_state, wire

__all__ = [
    "Input",
    "Model",
    "Population",
    "Projection",
    "Rule",
    "Uniform",
    "Values",
    "Wires",
    "initial_state",
    "wire",
]
