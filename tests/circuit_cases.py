"""Random circuits and input for them: every kind of cell, links with and without delay, sparse and dense."""

from __future__ import annotations

import numpy as np

from spikestream.model.circuit import Cells, Circuit, Link


def random_cells(rng, name, size, round_):
    def some(low, high):
        return rng.uniform(low, high, size if rng.random() < 0.5 else 1)

    spiking, reset = rng.random() < 0.8, str(rng.choice(["value", "subtract", "crossing"]))
    several = bool(reset != "crossing" and rng.random() < 0.3)
    late_reset = bool(reset != "crossing" and rng.random() < 0.3)
    own = {"decay": rng.choice([0.0, 0.5, 1.0]) if round_ or rng.random() < 0.5 else some(0, 1)}
    if rng.random() < 0.4 and not round_:
        own |= {"current_decay": some(0.2, 0.95), "current_gain": some(0.3, 1.2), "old_current": rng.random() < 0.5}
    if rng.random() < 0.3:
        own |= {"refractory": rng.integers(0, 4, size)}
    if rng.random() < 0.3:
        own |= {"floor": -0.25, "v0": some(-0.2, 2.0)}
    if round_:
        own |= {"threshold": 0.5, "gain": 0.5, "drift": 0.0, "bias": 0.25, "reset_to": 0.25}
    else:
        own |= {"threshold": some(0.3, 1.0), "gain": some(0.5, 1.5), "drift": some(-0.1, 0.1), "bias": some(-0.2, 0.2)}
        own |= {"reset_to": some(-0.2, 0.2)}
    flags = {"late_reset": late_reset, "late_spikes": rng.random() < 0.3, "at_threshold": rng.random() < 0.5}
    return Cells(name, (size,), reset=reset, several=several, spiking=bool(spiking), **flags, **own)


def random_link(rng, sizes, source, target, delay, round_):
    weights = rng.normal(0.2, 0.6, (sizes[source], sizes[target])) * (rng.random((sizes[source], sizes[target])) < 0.6)
    return Link.dense(source, target, np.round(weights * 4) / 4 if round_ else weights, delay)


def random_circuit(seed, groups=3, size=5):
    """Return a circuit of up to so many groups of up to ``size`` cells; of every fourth seed, one of round numbers.

    Only these meet a threshold exactly.
    """
    rng, round_ = np.random.default_rng(seed), seed % 4 == 1
    inputs = [(f"in{k}", int(rng.integers(1, size + 1))) for k in range(int(rng.integers(1, 3)))]
    count = int(rng.integers(1, groups + 1))
    cells = [random_cells(rng, f"c{k}", int(rng.integers(1, size + 1)), round_) for k in range(count)]
    sizes, names = dict(inputs) | {one.name: one.size for one in cells}, [one.name for one in cells]
    links = [random_link(rng, sizes, inputs[0][0], names[0], 0, round_)]
    for _ in range(int(rng.integers(1, 2 * groups + 1))):
        source, target = str(rng.choice(list(sizes))), str(rng.choice(names))
        forward = source not in names or names.index(source) < names.index(target)
        delay = int(rng.integers(0 if forward else 1, 4))
        links.append(random_link(rng, sizes, source, target, delay, round_))
    outputs = [str(name) for name in rng.permutation(names)[: int(rng.integers(1, len(names) + 1))]]
    return Circuit(tuple(inputs), tuple(cells), tuple(links), tuple(outputs))


def random_values(seed, circuit, steps):
    """Return values (steps, inputs): counts of spikes, or any numbers, zeros among them."""
    rng = np.random.default_rng(seed)
    shape = (steps, circuit.input_count)
    return rng.poisson(0.6, shape) if seed % 2 else rng.normal(0.4, 1.0, shape) * (rng.random(shape) < 0.7)
