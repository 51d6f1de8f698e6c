"""Random chips of Loihi cores that do everything such a chip can, and their input."""

from __future__ import annotations

import numpy as np
from crossbar_cases import some

from spikestream.model.loihi import LoihiPlacement
from spikestream.model.placement import PIN


def random_weights(rng, axon, sign, bits):
    """Return weights that fit the signs and bits of their axons."""
    step = 1 << (8 - bits + (sign == 0))
    least, most = np.where(sign > 0, 0, -256) // step, np.where(sign < 0, 0, 256 - step) // step
    low, high, step = least[axon], most[axon], step[axon]
    drawn = rng.integers(low, high, endpoint=True)
    extreme = rng.random(len(axon)) < 0.1
    return np.where(extreme, np.where(rng.random(len(axon)) < 0.5, low, high), drawn) * step


def learning(rng, cores):
    """Return random rules of learning."""
    return {
        "epoch": some(rng, 1, 9, cores, [1, 1, 63]),
        "x1_impulse": some(rng, 1, 60, cores, [127, 0]),
        "x1_decay": some(rng, 0, 900, cores, [4095]),
        "y1_impulse": some(rng, 1, 60, cores, [127, 0]),
        "y1_decay": some(rng, 0, 900, cores, [4095]),
        "a_plus": rng.integers(-8, 8, cores),
        "a_plus_exponent": some(rng, -7, 0, cores, [8]),
        "a_minus": rng.integers(-8, 8, cores),
        "a_minus_exponent": some(rng, -7, 0, cores, [8]),
        "seed": rng.integers(0, 2**32, cores),
    }


def random_chip(seed, plastic=None, most=10, delays=True, lively=True):
    """Return a placement of up to 3 cores of up to ``most`` axons and compartments each."""
    rng = np.random.default_rng(seed)
    cores = int(rng.choice([1, 1, 2, 3]))
    axons, compartments = rng.integers(1, most + 1, cores), rng.integers(1, most + 1, cores)
    all_axons, size = axons.sum(), compartments.sum()
    owner = np.repeat(np.arange(cores), axons)
    own = np.arange(all_axons) - np.repeat(np.cumsum(axons) - axons, axons)
    sign = rng.integers(-1, 2, all_axons)
    bits = np.minimum(some(rng, 1, 9, all_axons, [9]), 8 + (sign == 0))
    many = int(all_axons * rng.integers(1, 6))
    which = rng.integers(0, all_axons, many)
    delay = some(rng, 0, 5, many, [0, 17, 62, *range(63)]) if delays else np.zeros(many, int)
    columns = [
        owner[which],
        own[which],
        rng.integers(0, compartments[owner[which]]),
        random_weights(rng, which, sign, bits),
    ]
    home = np.repeat(np.arange(cores), compartments)
    j = np.arange(size) - np.repeat(np.cumsum(compartments) - compartments, compartments)
    spread, outputs = rng.integers(0, size, int(2 * size)), int(rng.integers(1, 70))
    to = some(rng, 0, cores - 1, len(spread), [PIN, PIN, PIN])
    axis = np.where(to >= 0, rng.integers(0, axons[np.maximum(to, 0)]), rng.integers(0, outputs, len(spread)))
    inputs = np.sort(rng.integers(0, 20, 40))
    core = rng.integers(0, cores, 40)
    rows = [inputs, core, rng.integers(0, axons[core]), some(rng, 0, 2, 40, [0, 62] if delays else [])]
    learns = bool(rng.random() < 0.5) if plastic is None else plastic
    given = {
        "du": some(rng, 0, 4095, size, [0, 1, 4095]),
        "dv": some(rng, 0, 4095, size, [0, 1, 4095]),
        "bias": some(rng, -40, 40, size, [-4095, 4095, 0, 0]),
        "bias_exponent": some(rng, 0, 2, size, [7]),
        "threshold": some(rng, 0, 60, size, [2**17 - 1, 3000, 20000]),
        "v_min": some(rng, -(2**12), 0, size, [-(2**23) + 1]),
        "v_max": some(rng, 2**13, 2**20, size, [2**23 - 1, 2**23 - 1, 0]),
        "refractory": some(rng, 1, 4, size, [64]),
        "weight_exponent": some(rng, -8, 7, all_axons, [7, 7]),
        "weight_bits": bits,
        "weight_sign": sign,
        "plastic": (rng.random(all_axons) < 0.6) & learns,
        "core_xy": np.stack([rng.permutation(4)[:cores], rng.integers(0, 4, cores)], axis=1),
        "grid": (4, 4),
        "inputs": np.stack(rows, axis=1),
        "input_count": 20,
        "outputs": outputs,
        **learning(rng, cores),
    }
    synapses = np.stack([*columns, delay], axis=1)
    targets = np.stack([home[spread], j[spread], to, axis], axis=1)
    return LoihiPlacement.of(compartments, axons, synapses=synapses, targets=targets, **given)
