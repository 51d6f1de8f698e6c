"""Small chips for the tests of what surrounds a chip: relays, clocks, and a mesh in which no two ways end alike."""

from __future__ import annotations

import numpy as np

from spikestream.model.crossbar import CrossbarPlacement
from spikestream.model.placement import PIN


def relays(count: int, threshold: int = 1) -> CrossbarPlacement:
    """Return a core that repeats each of its inputs, or every ``threshold``-th spike of it."""
    crossbar = np.eye(count, dtype=bool)[None]
    pins = {"target_core": PIN, "target_axon": np.arange(count)[None], "outputs": count}
    more = {"reset_mode": 1, "floor": 0, "threshold": threshold}
    return CrossbarPlacement.of(1, count, count, crossbar=crossbar, weights=1, **pins, **more)


def ticking(periods: list[int]) -> CrossbarPlacement:
    """Return a core of neurons that fire by their leak alone, each with its period in ticks."""
    count = len(periods)
    pins = {"target_core": PIN, "target_axon": np.arange(count)[None], "outputs": count}
    return CrossbarPlacement.of(1, 1, count, leak=1, threshold=np.array([periods]), **pins)


def mesh(seed: int, columns: int = 4, rows: int = 3, side: int = 8) -> CrossbarPlacement:
    """Return cores of ``side`` axons and neurons on a mesh with a bus; no two neurons drive the same axon or output."""
    rng = np.random.default_rng(seed)
    places = rng.permutation(columns * rows)
    cores = columns * rows - 2  # a place for the bus, and one where nothing is
    xy = np.stack([places % columns, places // columns], axis=1)
    goal = rng.permutation(cores * side).reshape(cores, side)
    free = rng.random((cores, side)) < 0.5
    pins = np.flatnonzero(~free.ravel())
    axon = goal % side
    axon.ravel()[pins] = np.arange(len(pins))
    target = np.where(free, goal // side, np.where(rng.random((cores, side)) < 0.8, PIN, -1))
    return CrossbarPlacement.of(
        cores,
        side,
        side,
        crossbar=rng.random((cores, side, side)) < 0.4,
        weights=rng.integers(-2, 6, (cores, side, 4)),
        axon_type=rng.integers(0, 4, (cores, side)),
        threshold=rng.integers(1, 12, (cores, side)),
        leak=rng.integers(0, 3, (cores, side)),
        target_core=target,
        target_axon=axon,
        delay=rng.integers(1, 16, (cores, side)),
        outputs=max(len(pins), 1),
        grid=(columns, rows),
        core_xy=xy[:cores],
        bus_xy=tuple(int(side) for side in xy[cores]),
        inputs=np.zeros((0, 4), int),
        input_count=0,
    )
