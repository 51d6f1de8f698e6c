"""From whatever describes a network to a chip that runs it, and how the two compare on samples."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from spikestream.batch import Array, Spikes
from spikestream.errors import ConfigError
from spikestream.files.regular import open_regular
from spikestream.model.circuit import Circuit

if TYPE_CHECKING:
    from spikestream.model.compile import Computes
    from spikestream.model.compile.options import Progress
    from spikestream.model.nir.steps import Discretisation
    from spikestream.model.placement import Placement

WINDOW_US = 100_000
"""Outputs are compared by their spikes in windows of this length."""
ZIP, HDF5 = b"PK\x03\x04", b"\x89HDF"
"""What saved models and NIR files begin with."""


def compile(
    model: Any,
    target: str = "truenorth",
    *,
    samples: Spikes | None = None,
    window_us: int = WINDOW_US,
    discretisation: Discretisation | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Placement:
    """Return what a chip of the kind ``target`` holds to run a network (docs/compile.md).

    ``model`` is a `Circuit`, a `Model`, a trained `Network` or a pipeline with one, a NIR `Graph`, or the path of a
    saved model, of a NIR file, or of a TOML file of a model. ``discretisation`` tells how NIR is cut into steps.
    ``options`` are those of the target; ``progress`` is told the name of a step and how much of it is done, 0 to 1.
    With ``samples``, spikes of the inputs, the report tells how circuit and chip agree on them, in windows of
    ``window_us`` µs. Raises `ModelError` for what does not fit, `ConfigError`.
    """
    given: object = samples
    if given is not None and not isinstance(given, Spikes):
        text = f"samples are Spikes of the inputs, not {type(given).__name__}"
        raise ConfigError(text, key="samples")
    circuit = circuit_of(model, discretisation)
    placement, _ = compile_with_reference(circuit, target, progress=progress, **options)
    if samples is None:
        return placement
    found = agreement(circuit, placement, samples, window_us=window_us)
    made: Placement = replace(cast("Any", placement), notes={**placement.notes, "agreement": found})
    return made


def compile_with_reference(
    model: Any, target: str = "truenorth", *, progress: Progress | None = None, **options: Any
) -> tuple[Placement, Computes]:
    """Return the same and its integer reference: what the chip computes, without cores and ways between them."""
    from spikestream.model.compile import compile_circuit

    return compile_circuit(circuit_of(model), target, options, progress)


def agreement(circuit: Circuit, placement: Placement, samples: Spikes, *, window_us: int = WINDOW_US) -> dict[str, Any]:
    """Return how the spikes of a circuit in floating point and of the chip compare, from rest, on the same input.

    ``same_decision`` is the share of windows in which the same output, or none, spikes most; ``count_error`` the mean
    difference of an output's spikes in a window over their mean in floating point. Raises `ConfigError`.
    """
    from spikestream.stages.chip import Chip
    from spikestream.stages.simulator import Simulator

    simulator = Simulator(circuit)
    if window_us < 1 or window_us % simulator.tick_us:
        text = f"window_us = {window_us} is no multiple of a tick, {simulator.tick_us} µs"
        raise ConfigError(text, key="window_us", value=window_us)
    late = _latency(circuit, placement) * simulator.tick_us
    longer = replace(samples, stop=samples.stop + max(0, int(late.max(initial=0))))
    exact, chip = simulator(samples), Chip(placement, tick_us=simulator.tick_us)(longer)
    span = samples.start, samples.stop, window_us
    wanted = _counts(exact.t, exact.axon, span, placement.outputs)
    found = _counts(chip.t - late[chip.axon], chip.axon, span, placement.outputs)
    mean = float(wanted.mean())
    return {
        "windows": len(wanted),
        "same_decision": float(np.mean(_decision(wanted) == _decision(found))),
        "count_error": float(np.abs(wanted - found).mean() / mean) if mean else None,
        "spikes": {"circuit": int(wanted.sum()), "chip": int(found.sum())},
    }


def _latency(circuit: Circuit, placement: Placement) -> Array:
    """Return how many ticks later each output spikes on the chip, (outputs,)."""
    late = placement.notes["latency_ticks"]
    return np.concatenate([np.full(circuit.place(name).size, late[name]) for name in circuit.outputs])


def _counts(t: Array, axon: Array, span: tuple[int, int, int], outputs: int) -> Array:
    """Return the spikes of each output in each window (windows, outputs)."""
    start, stop, window_us = span
    inside = (t >= start) & (t < stop)
    made = np.zeros((max(1, -(-(stop - start) // window_us)), outputs), np.int64)
    np.add.at(made, ((t[inside] - start) // window_us, axon[inside]), 1)
    return made


def _decision(counts: Array) -> Array:
    """Return the output that spikes most in each window, the first of equals, -1 for none."""
    return np.where(counts.any(axis=1), counts.argmax(axis=1), -1)


def circuit_of(model: Any, discretisation: Discretisation | None = None) -> Circuit:
    """Return the circuit of whatever describes a network; raises `ModelError`, `ConfigError`."""
    from spikestream.model.nir import Graph
    from spikestream.model.nir.fold import fold

    if isinstance(model, str | os.PathLike):
        model = _of_file(Path(model))
    if isinstance(model, Graph):
        return fold(model, discretisation)
    if discretisation is not None:
        text = f"a {type(model).__name__} has steps of its own: only NIR is cut into steps"
        raise ConfigError(text, key="discretisation")
    return model if isinstance(model, Circuit) else _of_network(model)


def _of_network(model: Any) -> Circuit:
    from spikestream.model import Model
    from spikestream.pipeline import Pipeline
    from spikestream.stages.classify import Classifier
    from spikestream.stages.network import Network

    if isinstance(model, Pipeline):
        model = model.stages.get("network", model.stages.get("readout"))
    if isinstance(model, Model):
        model = Network.from_model(model, learning=False)
    if isinstance(model, Network | Classifier):
        return model.circuit()
    text = f"a {type(model).__name__} is no network that can be compiled"
    raise ConfigError(
        text, key="model", allowed="a Circuit, a Model, a Network, a Classifier, a NIR Graph, or a file's path"
    )


def _of_file(path: Path) -> Any:
    """Return what a file holds, by its first bytes: a saved model, NIR, or TOML."""
    from spikestream.checkpoint import load
    from spikestream.config import read_toml
    from spikestream.files.nir import read_nir
    from spikestream.model import Model

    try:
        with open_regular(path) as file:
            begin = file.read(4)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}", key="model", value=str(path)) from error
    if begin == ZIP:
        return load(path)
    if begin == HDF5:
        return read_nir(path)
    tables = read_toml(path)
    tables = tables if "populations" in tables else tables.get("model", {})
    if not tables:
        text = f"{path} describes no model, and a configuration has learned nothing"
        raise ConfigError(text, key="model", remedy="compile the model that was saved after learning")
    return Model.from_tables(tables)
