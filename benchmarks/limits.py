"""What one core of this machine can do at most: copying and reading memory, and updating rows of weights."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from common import table
from numba import njit

NEURONS = 1_000
MEGABYTES = {"3.1": 784, "9.2": 2_312, "131": 32_768}
"""Sizes of a weight matrix of so many rows of 1,000 float32: W1, W2 and W2 at 1M/s."""
ROWS = 20_000


@njit
def read_rows(weights: np.ndarray, rows: np.ndarray, v: np.ndarray) -> None:
    for i in rows:
        row = weights[i]
        for j in range(len(v)):
            v[j] += row[j]


@njit
def update_rows(weights: np.ndarray, rows: np.ndarray, v: np.ndarray, less: np.ndarray) -> None:
    """Read each row and write it: the least that an input spike costs where the synapses learn."""
    for i in rows:
        row = weights[i]
        for j in range(len(v)):
            w = row[j]
            v[j] += w
            row[j] = max(w - less[j], np.float32(0))


def seconds(run: Callable[[], object], best_of: int = 5) -> float:
    """Return the CPU seconds of the fastest of some runs, once it has run for practice."""
    run()
    found = []
    for _ in range(best_of):
        begun = time.process_time()
        run()
        found.append(time.process_time() - begun)
    return min(found)


def memory() -> dict[str, float]:
    """Return GB/s of copying (bytes read and written, as STREAM counts) and of reading."""
    a, b = np.ones(16_000_000), np.zeros(16_000_000)
    copy = seconds(lambda: np.copyto(b, a))
    return {"copy": 2e-9 * a.nbytes / copy, "read": 1e-9 * a.nbytes / seconds(a.sum)}


def rows() -> dict[str, tuple[float, float]]:
    """Return, per size of a matrix in MB, µs to add a random row of it and to update one."""
    rng, found = np.random.default_rng(0), {}
    v, less = np.zeros(NEURONS, np.float32), np.full(NEURONS, 1e-9, np.float32)
    for size, axons in MEGABYTES.items():
        weights = rng.random((axons, NEURONS), np.float32)
        chosen = rng.integers(0, axons, ROWS)
        added = seconds(lambda w=weights, r=chosen: read_rows(w, r, v))
        updated = seconds(lambda w=weights, r=chosen: update_rows(w, r, v, less))
        found[size] = 1e6 * added / ROWS, 1e6 * updated / ROWS
    return found


def show() -> dict[str, float]:
    """Print what one core can do, and return µs to update a row, by the MB of its matrix."""
    found, gigabytes = rows(), memory()
    print(f"one core: copies {gigabytes['copy']:.1f} GB/s, reads {gigabytes['read']:.1f} GB/s\n")
    heads = ["a random row of 1,000 weights", *(f"of {size} MB" for size in found)]
    lines = [[what, *(f"{row[k]:.3f} µs" for row in found.values())] for k, what in enumerate(("added", "updated"))]
    print(f"{table([heads, *lines])}\n")
    return {size: updated for size, (_, updated) in found.items()}
