"""What the runners of other simulators share: a workload read from a file, and the JSON line they end with."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from workloads import fingerprint


def arguments(text: str | None, formulations: tuple[str, ...]) -> argparse.Namespace:
    """Return formulation, workload and where the spikes go from the command line."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("formulation", choices=formulations)
    parser.add_argument("workload", type=Path, help="a file that workloads.save wrote")
    parser.add_argument("--spikes", type=Path, help="write ticks and neurons into this .npz")
    return parser.parse_args()


def load(path: Path) -> SimpleNamespace:
    """Return a workload with its arrays and constants as attributes, all in one level."""
    with np.load(path) as file:
        found = SimpleNamespace(**{key: file[key] if file[key].ndim else file[key].item() for key in file.files})
    if hasattr(found, "weights"):
        found.axons, found.neurons = found.weights.shape
    else:
        found.neurons = len(found.v0)
    found.seconds = found.length * found.dt_ms / 1000
    return found


def report(work: SimpleNamespace, cpu_s: float, ticks: np.ndarray, neurons: np.ndarray, spikes: Path | None) -> None:
    """Sort the spikes by (tick, neuron), save them where asked, and print the JSON line."""
    order = np.lexsort((neurons, ticks))
    ticks, neurons = ticks[order].astype(np.int32), neurons[order].astype(np.int32)
    if spikes:
        np.savez_compressed(spikes, ticks=ticks, neurons=neurons)
    figures = {
        "cpu_s": cpu_s,
        "seconds": work.seconds,
        "spikes": len(ticks),
        "fingerprint": fingerprint(ticks, neurons),
    }
    print(json.dumps(figures))
