"""Pictures of what was learned: weights on the grid of the sensor, and what a rule makes of a pair of spikes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spikestream.batch import Array, Spikes
from spikestream.errors import ConfigError
from spikestream.plots.base import axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

MOST_MAPS = 100
"""Neurons that are drawn where none are named."""
ON, OFF = np.array([1.0, 0.55, 0.0]), np.array([0.0, 0.45, 1.0])
"""Orange and blue: they add up to white."""
BETWEEN = 0.5
"""Grey between coloured maps."""
WIDE = 2.0
"""How much wider than high the picture of all maps should be."""
LAGS_MS = tuple(range(-100, 101, 2))
PRE, POST = 0.5, 0.75**0.5
"""Weights of a pair, of length 1 together: the first spike alone stays below `FIRES`, the second one does not."""
FIRES = 0.7


def weight_maps(
    weights: Array,
    ax: Axes | None = None,
    *,
    size: tuple[int, int] | None = None,
    bands: int | None = None,
    neurons: Sequence[int] | None = None,
) -> Axes:
    """Draw the weights (axons, neurons) of each neuron as a map with its number: brighter is stronger.

    Where some lie below 0, those are blue, those above red and 0 white; of two polarities what lies below is left out.

    Of a sensor of ``size`` (width, height) pixels, with or without polarity, as a picture: with it ON is orange, OFF
    blue, both white. Of an ear of so many ``bands``: high ones on top, a column for each fibre. ``neurons`` are those
    drawn, by default the first 100. Raises `ConfigError` where the weights are not of such a sensor.
    """
    chosen = range(min(weights.shape[-1], MOST_MAPS)) if neurons is None else neurons
    _check_neurons(weights, chosen)
    maps = _maps(weights[:, list(chosen)].astype(np.float64), size, bands)
    drawn = axes_for(ax)
    tiled, places = _tiled(maps)
    signed = maps.ndim == 3 and float(maps.min()) < 0
    full = max(float(np.abs(maps).max()), 1e-12)
    drawn.imshow(tiled, vmin=-full if signed else 0, vmax=full, cmap=_colours(signed), interpolation="nearest")
    for number, (x, y) in zip(chosen, places, strict=True):
        drawn.text(x, y, f"{number}", color="black" if signed else "white", fontsize=5, verticalalignment="top")
    drawn.set_axis_off()
    return drawn


def pair_change(lag_ms: float, *, tick_us: int = 1_000, **options: Any) -> float:
    """Return by how much a weight of 0.5, in units of ``w_norm`` where there is one, changes for one pair of spikes.

    The axon's spike comes ``lag_ms`` before the neuron's, after it where negative, to whole ticks; the change is
    relative to the weight. It is measured: a `Network` of one neuron with these options, by default with rule "stdp",
    runs the pair, and whatever else its rule does, such as scaling columns, is in it. Raises `ConfigError` for options
    with which the neuron does not fire exactly once.
    """
    from spikestream.stages.network import Network

    length = float(options.get("w_norm", 1.0))
    before = np.array([[PRE], [POST]]) * length
    network = Network(
        2, 1, tick_us=tick_us, init_weights=before, **{"v_reset": 0.0, **options, "v_thresh": FIRES * length}
    )
    lag = round(lag_ms * 1_000 / tick_us)
    spikes = sorted([(0, 0), (lag, 1)])  # (tick, axon); within a tick the order makes no difference
    first, last = spikes[0][0], spikes[-1][0]
    stamps = np.array([tick * tick_us for tick, _ in spikes], np.int64)
    axons = np.array([axon for _, axon in spikes], np.int32)
    made = network(Spikes(first * tick_us, (last + 1) * tick_us, stamps, axons))
    if made.t.tolist() != [(lag + 1) * tick_us - 1]:
        text = f"a pair {lag_ms:g} ms apart makes {len(made)} spikes with these options, not one"
        raise ConfigError(text, key="options", allowed="those of a network whose neuron fires once")
    return float(network.weights[0, 0] / before[0, 0] - 1)


def stdp_window(
    change: Callable[[float], float] = pair_change, ax: Axes | None = None, *, lags_ms: Sequence[float] = LAGS_MS
) -> Axes:
    """Draw what a learning rule makes of a pair of spikes: the change of the weight over the lag, before and after 0.

    ``change`` takes a lag in ms, positive where the axon's spike comes first, and returns the relative change.
    """
    drawn = axes_for(ax)
    lags = np.sort(np.asarray(lags_ms, float))
    changes = np.array([change(float(lag)) for lag in lags])
    drawn.axhline(0, color="0.8", linewidth=0.8)
    drawn.axvline(0, color="0.8", linewidth=0.8)
    for side in (lags < 0, lags >= 0):  # two lines: the rule jumps at 0
        drawn.plot(lags[side], changes[side] * 100, ".-", color="tab:blue", markersize=3)
    drawn.set(xlabel="neuron's spike after the axon's, ms", ylabel="change of the weight, %")
    return drawn


def _colours(signed: bool) -> Colormap:
    from matplotlib import colormaps

    return colormaps["RdBu_r" if signed else "magma"].with_extremes(bad=str(BETWEEN) if signed else "none")


def _check_neurons(weights: Array, chosen: Sequence[int]) -> None:
    if weights.ndim != 2 or not weights.size or not np.isfinite(weights).all():
        text = f"weights of shape {weights.shape} make no maps"
        raise ConfigError(text, key="weights", allowed="(axons, neurons), finite, one or more of each")
    if not len(chosen) or not 0 <= min(chosen) <= max(chosen) < weights.shape[1]:
        allowed = f"one or more of 0 to {weights.shape[1] - 1:,}"
        raise ConfigError("there are no such neurons", key="neurons", value=chosen, allowed=allowed)


def _maps(weights: Array, size: tuple[int, int] | None, bands: int | None) -> Array:
    """Return maps of weights (axons, n), the top row first: (n, rows, columns), or of colours (n, rows, columns, 3)."""
    axons, count = weights.shape
    if size is not None and bands is None and min(size) > 0 and axons in (size[0] * size[1], 2 * size[0] * size[1]):
        planes = weights.T.reshape(count, -1, size[1], size[0])
        return planes[:, 0] if planes.shape[1] == 1 else _coloured(planes[:, 0], planes[:, 1])
    if bands is not None and size is None and bands > 0 and axons % bands == 0:
        return weights.T.reshape(count, -1, bands).transpose(0, 2, 1)[:, ::-1]
    text = f"{axons:,} axons are not those of " + (f"{size} pixels" if size else f"{bands or 'no'} bands")
    allowed = "either size with one or two axons for each pixel, or bands with the same number of axons each"
    raise ConfigError(text, key="size" if size else "bands", value=size or bands, allowed=allowed)


def _coloured(off: Array, on: Array) -> Array:
    """Return maps (n, rows, columns) of both polarities as one of colours, the strongest weight of all at full."""
    full = max(float(off.max()), float(on.max()), 1e-12)
    colours: Array = np.clip(on / full, 0, 1)[..., np.newaxis] * ON + np.clip(off / full, 0, 1)[..., np.newaxis] * OFF
    return np.minimum(colours, 1)


def _tiled(maps: Array) -> tuple[Array, list[tuple[int, int]]]:
    """Return all maps in rows beside each other, a pixel apart, and the (x, y) of each one's top left corner."""
    count, rows, columns = maps.shape[:3]
    across = min(count, max(1, round((WIDE * count * (rows + 1) / (columns + 1)) ** 0.5)))
    down = -(-count // across)
    shape = (down * (rows + 1) - 1, across * (columns + 1) - 1)
    tiled: Array = np.full(shape, np.nan) if maps.ndim == 3 else np.full((*shape, 3), BETWEEN)
    places = [(place % across * (columns + 1), place // across * (rows + 1)) for place in range(count)]
    for one, (x, y) in zip(maps, places, strict=True):
        tiled[y : y + rows, x : x + columns] = one
    return tiled, places
