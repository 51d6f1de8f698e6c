"""Random circuits for tests of the compiler: such as a chip can compute exactly, and any."""

from __future__ import annotations

import numpy as np

import spikestream as ss
from spikestream.model.circuit import Cells, Circuit, Link

LEVELS = ([1.0], [-2.0], [1.0, -1.0], [0.5, -1.5, 1.0], [3.0, -1.0, 2.0, -2.0])
"""Values of weights onto one population: each of four types or fewer."""


def weights(rng, rows, columns, levels=None, density=0.4):
    """Return a matrix, some of it zeros, of some levels or of any numbers."""
    drawn = rng.normal(0.3, 1.0, (rows, columns)) if levels is None else rng.choice(levels, (rows, columns))
    return np.where(rng.random((rows, columns)) < density, drawn, 0.0)


def exact_cells(rng, name, size):
    """Return cells that forget at once or never, in halves of a unit."""
    subtract, at = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    if rng.random() < 0.3:
        return Cells(
            name, (size,), bias=rng.choice([0, 0.5, -1], size), threshold=rng.choice([1, 1.5, 3], size), at_threshold=at
        )
    return Cells(
        name,
        (size,),
        decay=1.0,
        drift=rng.choice([0.0, 0.0, -0.5], size),
        threshold=rng.choice([1.5, 2.0, 4.0], size),
        reset_to=0.5 if rng.random() < 0.3 else 0.0,
        floor=rng.choice([-2.0, -5.5, -np.inf]),
        reset="subtract" if subtract else "value",
        at_threshold=at,
    )


def any_cells(rng, name, size):
    """Return cells of any kind that a crossbar chip can be given."""
    decay = rng.choice([0.0, 1.0, 0.9, 0.8])
    return Cells(
        name,
        (size,),
        decay=decay,
        gain=rng.uniform(0.5, 2),
        drift=rng.choice([0.0, 0.1, -0.2]),
        bias=rng.choice([0.0, 0.2]),
        threshold=rng.uniform(0.8, 4, size),
        reset_to=rng.choice([0.0, -0.3]),
        floor=rng.choice([0.0, -3.0, -np.inf]),
        refractory=int(rng.choice([0, 0, 2])),
        reset=str(rng.choice(["value", "subtract", "crossing"])),
        late_reset=False,
        late_spikes=bool(rng.random() < 0.2),
        at_threshold=bool(rng.random() < 0.5),
    )


def random_circuit(seed, exact):
    """Return a circuit of 1 to 3 populations: forward links, some that skip or come late, and loops of enough steps."""
    rng = np.random.default_rng(seed)
    inputs = [(f"in{k}", int(rng.integers(3, 12))) for k in range(int(rng.integers(1, 3)))]
    make, sizes = (exact_cells if exact else any_cells), dict(inputs)
    cells, links = [], []
    for k in range(int(rng.integers(1, 4))):
        size, levels = int(rng.integers(2, 14)), LEVELS[rng.integers(len(LEVELS))] if exact else None
        before = [one.name for one in cells]
        cells.append(make(rng, f"p{k}", size))
        for source in {before[-1] if before else inputs[0][0], str(rng.choice([*sizes]))}:
            delay = int(rng.choice([0, 0, 1, 3, 20]))
            links.append(Link.dense(source, f"p{k}", weights(rng, sizes[source], size, levels), delay))
        if rng.random() < 0.5:  # onto itself, and back to the first: as many steps as there are neurons in the loop
            links.append(Link.dense(f"p{k}", f"p{k}", weights(rng, size, size, levels, 0.2), int(rng.integers(1, 4))))
        if not exact and k and rng.random() < 0.5:
            links.append(Link.dense(f"p{k}", "p0", weights(rng, size, cells[0].size, None, 0.2), 8))
        sizes[f"p{k}"] = size
    outputs = [one.name for one in cells if rng.random() < 0.4] or [cells[-1].name]
    return Circuit(tuple(inputs), tuple(cells), tuple(links), tuple(outputs))


def random_rows(seed, count, steps, mean=2.5):
    """Return step and number (k, 2) of what inputs give, each at most once in a step."""
    rng = np.random.default_rng(seed + 7)
    n = rng.poisson(mean * steps)
    return np.unique(np.stack([rng.integers(0, steps, n), rng.integers(0, count, n)], axis=1), axis=0)


def spikes_of(rows, steps, tick_us=1000):
    """Return rows as spikes in the middle of their ticks."""
    return ss.Spikes(0, steps * tick_us, rows[:, 0] * tick_us + tick_us // 2, rows[:, 1].astype(np.int32))


def on_chip(placement, reference, rows, steps):
    """Return the chip's spikes (m, 2) as the reference counts steps: latencies taken away."""
    longer = int(reference.latency.max(initial=0))
    out = ss.Chip(placement, tick_us=1000)(spikes_of(rows, steps + longer))
    made = np.stack([out.t // 1000 - reference.latency[out.axon], out.axon.astype(np.int64)], axis=1)
    made = made[(made[:, 0] >= 0) & (made[:, 0] < steps)]
    return made[np.lexsort((made[:, 1], made[:, 0]))]


def in_floating_point(circuit, rows, steps):
    """Return the spikes (m, 2) of the simulator."""
    values = np.zeros((steps, circuit.input_count))
    values[rows[:, 0], rows[:, 1]] = 1
    return np.argwhere(ss.Simulator(circuit).run(values).outputs > 0)
