"""Random chips that do everything a chip can, for tests of its kernel and of its stage."""

from __future__ import annotations

import numpy as np

from spikestream.model.crossbar import TRUENORTH, CrossbarPlacement
from spikestream.model.placement import NOWHERE, PIN


def some(rng, low, high, shape, rare=()):
    """Return whole numbers in [low, high], one in eight of them one of ``rare``."""
    drawn = rng.integers(low, high, shape, endpoint=True)
    if len(rare):
        drawn = np.where(rng.random(shape) < 0.125, rng.choice(rare, shape), drawn)
    return drawn


def random_chip(seed, cores=0, axons=0, neurons=0, law=TRUENORTH, drawn=None):
    """Return a placement of up to 3 cores of up to 32 x 32; ``drawn`` says whether it draws random numbers."""
    rng = np.random.default_rng(seed)
    cores = cores or int(rng.choice([1, 1, 1, 2, 3]))
    axons, neurons = axons or int(rng.integers(1, 33)), neurons or int(rng.integers(1, 33))
    drawn = bool(rng.random() < 0.4 and law == TRUENORTH) if drawn is None else drawn
    exact, outputs = law == TRUENORTH, int(rng.integers(1, 70))
    shape = (cores, neurons)
    wide = 255 if exact else 3000
    high = 2**18 - 1 if exact else 2**31 - 2
    target = some(rng, 0, cores - 1, shape, [PIN, PIN, NOWHERE])
    axis = np.where(target >= 0, rng.integers(0, axons, shape), rng.integers(0, outputs, shape))
    some_of = (lambda share, more=(): rng.random((*shape, *more)) < share) if exact else (lambda share, more=(): False)
    given = {
        "axon_type": rng.integers(0, 4, (cores, axons)),
        "crossbar": rng.random((cores, axons, neurons)) < rng.choice([0.1, 0.5, 0.9]),
        "weights": some(rng, -20, 30, (*shape, 4), [-wide, 0, wide]),
        "leak": some(rng, -4, 6, shape, [0, 0, -wide, wide]),
        "leak_reversal": some_of(0.3 * (rng.random() < 0.6)),
        "threshold": some(rng, 0, 60, shape, [high - 5, high // 500]),
        "floor": some(rng, 0, 60, shape, [high - 5, 0] if exact else [-40, 7, high]),
        "floor_clamps": some_of(0.5),
        "reset": some(rng, -30, 50, shape, [-(2**19) + 1, 2**19 - 1]),
        "reset_mode": rng.integers(0, 3 if exact else 2, shape),
        "v0": some(rng, -50, 50, shape, [2**19 - 3, -(2**19)]),
        "delay": rng.integers(1, 16, shape),
        "seed": rng.integers(0, 2**32, cores),
    }
    if drawn:
        given |= {"random_weights": some_of(0.4, (4,)), "random_leak": some_of(0.4)}
        given["threshold_bits"] = some(rng, 0, 6, shape, [18])
    inputs = np.sort(rng.integers(0, 40, 90))
    rows = [inputs, rng.integers(0, cores, 90), rng.integers(0, axons, 90), rng.integers(0, 16, 90)]
    given |= {"target_core": target, "target_axon": axis, "outputs": outputs}
    given |= {"inputs": np.stack(rows, axis=1), "input_count": 40}
    odd = {} if exact else {"floor_included": bool(rng.random() < 0.5)}
    return CrossbarPlacement.of(cores, axons, neurons, law=law, **given, **odd)


def random_input(seed, count, ticks, mean=6.0):
    """Return (tick, input) rows, sorted, some of them twice in a tick."""
    rng = np.random.default_rng(seed + 1_000_000)
    return [(k, int(i)) for k in range(ticks) for i in rng.integers(0, count, rng.poisson(mean))]
