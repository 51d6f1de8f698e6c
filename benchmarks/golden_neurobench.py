"""Write what NeuroBench says of two small snnTorch networks into tests/golden/neurobench.json, for the tests.

    make peers && .peers/neurobench/bin/python benchmarks/golden_neurobench.py

circuit: two layers that leak by half, biases, reset by subtraction in the step after a spike, three samples, input
that is no spike in some steps. All numbers are binary fractions, so short that every sum is exact in float32.
chip: two layers of whole weights, by rows of four types as a crossbar has them, no leak, reset to 0 in the step of a
spike, one sample of spikes.
Beside its metrics the file holds weights, biases, input, spikes of both layers, and the bytes of buffers: snnTorch
keeps four numbers a layer in them, which are part of its footprint.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import snntorch as snn
import torch
from neurobench.benchmarks import Benchmark
from neurobench.metrics.static import ConnectionSparsity, Footprint, ParameterCount
from neurobench.metrics.workload import ActivationSparsity, MembraneUpdates, SynapticOperations
from neurobench.models import SNNTorchModel

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden" / "neurobench.json"
PACKAGES = ("neurobench", "snntorch", "torch", "numpy")
METRICS = [[Footprint, ConnectionSparsity, ParameterCount], [ActivationSparsity, SynapticOperations, MembraneUpdates]]


def circuit(rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray | None], np.ndarray, dict[str, Any]]:
    """Return weights (out, in) and biases of both layers, input (samples, steps, inputs), and what the cells are."""
    sizes = (10, 7, 4)
    weights = [rng.integers(-6, 16, (post, pre)) / 8 * (rng.random((post, pre)) < 0.7) for pre, post in pairs(sizes)]
    biases: list[np.ndarray | None] = [rng.choice([0, 0, 0, -1, 2], post) / 16 for _, post in pairs(sizes)]
    given = (rng.random((3, 18, sizes[0])) < 0.3).astype(float)
    given[:, :4] = 0  # potentials that stay as they are
    given[:, 6::4] *= 0.5
    return weights, biases, given, {"beta": 0.5, "threshold": 1.0, "reset_mechanism": "subtract"}


def chip(rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray | None], np.ndarray, dict[str, Any]]:
    """Return the same of the other; a weight is what its neuron has for the type of its axon, or 0."""
    sizes = (12, 6, 4)
    weights = []
    for pre, post in pairs(sizes):
        by_type = rng.choice([-2, -1, 1, 2, 3, 4], (post, 4))
        weights.append(by_type[:, np.arange(pre) % 4] * (rng.random((post, pre)) < 0.6))
    given = (rng.random((1, 60, sizes[0])) < 0.25).astype(float)
    cells = {"beta": 1.0, "threshold": 4.5, "reset_mechanism": "zero", "reset_delay": False}
    return weights, [None, None], given, cells


def pairs(sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(pairwise(sizes))


def network(weights: list[np.ndarray], biases: list[np.ndarray | None], cells: dict[str, Any]) -> torch.nn.Sequential:
    """Return the layers in a row."""
    layers: list[torch.nn.Module] = []
    for k, (matrix, bias) in enumerate(zip(weights, biases, strict=True)):
        linear = torch.nn.Linear(matrix.shape[1], matrix.shape[0], bias=bias is not None)
        linear.weight.data = torch.tensor(matrix, dtype=torch.float32)
        if bias is not None:
            linear.bias.data = torch.tensor(bias, dtype=torch.float32)
        layers += [linear, snn.Leaky(init_hidden=True, output=k == len(weights) - 1, **cells)]
    return torch.nn.Sequential(*layers)


def measured(
    weights: list[np.ndarray], biases: list[np.ndarray | None], given: np.ndarray, cells: dict[str, Any]
) -> dict[str, Any]:
    """Return the golden values of one network."""
    net = network(weights, biases, cells)
    spikes: list[list[np.ndarray]] = [[], []]
    for kept, layer in zip(spikes, (net[1], net[3]), strict=True):
        layer.register_forward_hook(
            lambda _, __, out, kept=kept: kept.append((out[0] if isinstance(out, tuple) else out).numpy().astype(int))
        )
    data = torch.utils.data.TensorDataset(torch.tensor(given, dtype=torch.float32), torch.zeros(len(given)))
    loader = torch.utils.data.DataLoader(data, batch_size=len(given))
    buffers = sum(one.numel() * one.element_size() for one in net.buffers())
    with torch.no_grad():
        found = Benchmark(SNNTorchModel(net), loader, [], [], METRICS).run(quiet=True)
    return {
        "cells": cells,
        "weights": [matrix.tolist() for matrix in weights],
        "biases": [None if bias is None else bias.tolist() for bias in biases],
        "input": given.tolist(),
        "spikes": [np.stack(layer, axis=1).tolist() for layer in spikes],
        "buffer_bytes": buffers,
        "metrics": found,
    }


def main() -> None:
    found = {one.__name__: measured(*one(np.random.default_rng(5))) for one in (circuit, chip)}
    for name, one in found.items():
        rates = [round(float(np.mean(layer)), 3) for layer in one["spikes"]]
        print(name, "share of spikes", rates, one["buffer_bytes"], one["metrics"])
        assert all(0.05 < rate < 0.6 for rate in rates), "a network that is silent, or never is, measures nothing"
    made = {"made_by": "benchmarks/golden_neurobench.py"} | {name: version(name) for name in PACKAGES}
    GOLDEN.write_text(json.dumps(made | found) + "\n")


if __name__ == "__main__":
    main()
