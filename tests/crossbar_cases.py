"""Random chips that do everything a chip can, for tests of its kernel and of its stage."""

from __future__ import annotations

import naive_crossbar
import numpy as np

from spikestream.batch import Spikes
from spikestream.model.crossbar import TRUENORTH, CrossbarPlacement
from spikestream.model.placement import NOWHERE, PIN
from spikestream.stages.chip import Chip


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


def spikes(rows, ticks, first=0):
    """Return a batch of (tick, input) rows."""
    t = np.array([tick * 1000 + 7 for tick, _ in rows], np.int64)
    return Spikes(first * 1000, (first + ticks) * 1000, t, np.array([axon for _, axon in rows], np.int32))


def fired(chip, rows, ticks, first=0):
    """Return the (tick, output) rows of a chip on inputs (tick, input)."""
    out = chip(spikes(rows, ticks, first))
    return list(zip((out.t // 1000).tolist(), out.axon.tolist(), strict=True))


def twin_run(placement, rows, ticks, first=0):
    """Return the plain-Python chip after some ticks, and its rows."""
    twin, found = naive_crossbar.Chip(placement), []
    for k in range(first, first + ticks):
        found += [(k, pin) for pin in twin.tick(k, [axon for tick, axon in rows if tick == k])]
    return twin, found


def equal(placement, seed, ticks, first=0, mean=6.0, **how):
    """Hold a chip against its twin on random input: spikes, state and counters; return the twin."""
    rows = [(first + k, i) for k, i in random_input(seed, placement.input_count, ticks, mean)]
    twin, expected = twin_run(placement, rows, ticks, first)
    chip = Chip(placement, **how)
    assert fired(chip, rows, ticks, first) == expected
    same_inside(chip, twin, first + ticks)
    return twin


def same_inside(chip, twin, now):
    """Hold what a chip remembers before tick ``now`` against its twin."""
    assert chip.v.tolist() == twin.v
    assert under_way(chip, now) == twin.waiting()
    assert chip.counters == twin.counters


def under_way(chip, now):
    """Return the (tick, core, axon) of what is under way."""
    bits = np.unpackbits(chip.state()["ring"].view(np.uint8), axis=2, bitorder="little")
    return {(now + (row - now) % 16, int(core), int(axon)) for core, row, axon in np.argwhere(bits).tolist()}


def many_networks(seed, count, axons, neurons, law=TRUENORTH):
    """Return a chip of ``count`` random networks that know nothing of each other, and the first core of each.

    A network is one to three cores with outputs of its own; what it may do at all is drawn for each: whether it draws
    random numbers, how dense it is, which of its leaks turn.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.choice([1, 1, 1, 2, 3], count)
    first = np.concatenate([[0], np.cumsum(sizes)])
    cores, exact, pins = int(first[-1]), law == TRUENORTH, 5
    shape, of = (cores, neurons), np.repeat(np.arange(count), sizes)
    wide, high = (255, 2**18 - 1) if exact else (3000, 2**31 - 2)
    target = first[of][:, None] + (rng.random(shape) * sizes[of][:, None]).astype(int)
    away = rng.random(shape)
    target = np.where(away < 0.2, PIN, np.where(away < 0.25, NOWHERE, target))
    axis = np.where(target >= 0, rng.integers(0, axons, shape), pins * of[:, None] + rng.integers(0, pins, shape))

    def flags(share, per_network, more=()):
        """Return flags that a share of the neurons has, in a share of the networks."""
        lot = (rng.random(count) < per_network)[of].reshape(-1, *(1 for _ in (*shape, *more)[1:]))
        return exact & lot & (rng.random((*shape, *more)) < share)

    draws = rng.random(count) < 0.4  # a core that draws goes a way of its own
    lots = draws[of][:, None] & exact
    dense = rng.choice([0.15, 0.5, 0.9], count)[of][:, None, None]
    grid = int(np.ceil(np.sqrt(2 * cores)))
    places = rng.permutation(grid * grid)[: cores + 1]
    given = {
        "axon_type": rng.integers(0, 4, (cores, axons)),
        "crossbar": rng.random((cores, axons, neurons)) < dense,
        "weights": some(rng, -20, 30, (*shape, 4), [-wide, 0, wide]),
        "random_weights": flags(0.4, 1.0, (4,)) & lots[:, :, None],
        "leak": some(rng, -4, 6, shape, [0, 0, -wide, wide]),
        "random_leak": flags(0.4, 0.7) & lots,
        "leak_reversal": flags(0.3, 0.6),
        "threshold": some(rng, 0, 60, shape, [high - 5, high // 500]),
        "threshold_bits": np.where(lots, some(rng, 0, 6, shape, [18]), 0),
        "floor": some(rng, 0, 60, shape, [high - 5, 0] if exact else [-40, 7, high]),
        "floor_clamps": flags(0.5, 1.0),
        "reset": some(rng, -30, 50, shape, [-(2**19) + 1, 2**19 - 1]),
        "reset_mode": rng.integers(0, 3 if exact else 2, shape),
        "v0": some(rng, -50, 50, shape, [2**19 - 3, -(2**19)]),
        "delay": rng.integers(1, 16, shape),
        "seed": rng.integers(0, 2**32, cores),
        "target_core": target,
        "target_axon": axis,
        "outputs": pins * count,
        "grid": (grid, grid),
        "core_xy": np.stack([places[:-1] % grid, places[:-1] // grid], axis=1),
        "bus_xy": (int(places[-1]) % grid, int(places[-1]) // grid) if seed % 3 else (-1, -1),
    }
    heard = np.sort(rng.integers(0, 8 * cores, 16 * cores))
    rows = [heard, heard // 8, rng.integers(0, axons, len(heard)), rng.integers(0, 16, len(heard))]
    given |= {"inputs": np.stack(rows, axis=1), "input_count": 8 * cores}
    odd = {} if exact else {"floor_included": bool(rng.random() < 0.5)}
    return CrossbarPlacement.of(cores, axons, neurons, law=law, **given, **odd), first
