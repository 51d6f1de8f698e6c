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
STEPS = 32_767
"""Largest weight in int16, in steps."""
DITHERS = 8_192
"""Numbers in [0, 1) to round by: a row takes a run of them, from where its number and its turn say."""


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


@njit
def update_steps(steps: np.ndarray, rows: np.ndarray, v: np.ndarray, less: np.ndarray, dither: np.ndarray) -> None:
    """The same on int16 weights, each rounded up as often as what is below a step asks for; nearest would lose it."""
    step, most = np.float32(1 / STEPS), np.float32(STEPS + 0.5)
    for k in range(len(rows)):
        row = steps[rows[k]]
        at = (((rows[k] * 2_654_435_761) ^ (k * 2_246_822_519)) >> 7) & (DITHERS - 1)
        by = dither[at : at + len(v)]
        for j in range(len(v)):
            w = np.float32(row[j])
            v[j] += step * w
            row[j] = np.int16(np.int32(min(max(w - less[j], np.float32(0)) + by[j], most)))


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


def rows() -> dict[str, tuple[float, float, float]]:
    """Return, per size of a float32 matrix in MB, µs to add a random row, to update one, and to update one of int16."""
    rng, found = np.random.default_rng(0), {}
    v, less = np.zeros(NEURONS, np.float32), np.full(NEURONS, 1e-9, np.float32)
    dither = rng.random(DITHERS + NEURONS, np.float32)
    for size, axons in MEGABYTES.items():
        weights = rng.random((axons, NEURONS), np.float32)
        chosen = rng.integers(0, axons, ROWS)
        added = seconds(lambda w=weights, r=chosen: read_rows(w, r, v))
        updated = seconds(lambda w=weights, r=chosen: update_rows(w, r, v, less))
        steps = np.round(weights * STEPS).astype(np.int16)
        coarse = seconds(lambda w=steps, r=chosen: update_steps(w, r, v, less * STEPS, dither))
        found[size] = 1e6 * added / ROWS, 1e6 * updated / ROWS, 1e6 * coarse / ROWS
    return found


KINDS = ("added", "updated", "updated as int16, half as many MB")


def show() -> dict[str, float]:
    """Print what one core can do, and return µs to update a row, by the MB of its matrix."""
    found, gigabytes = rows(), memory()
    print(f"one core: copies {gigabytes['copy']:.1f} GB/s, reads {gigabytes['read']:.1f} GB/s\n")
    heads = ["a random row of 1,000 weights", *(f"of {size} MB" for size in found)]
    lines = [[what, *(f"{row[k]:.3f} µs" for row in found.values())] for k, what in enumerate(KINDS)]
    print(f"{table([heads, *lines])}\n")
    return {size: updated for size, (_, updated, _) in found.items()}
