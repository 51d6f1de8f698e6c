"""Pictures of what happens: spikes by neuron, voltages of neurons, spikes of an ear by band."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spikestream.batch import Array, Spikes, concat, cut
from spikestream.errors import ConfigError
from spikestream.plots.base import axes_for, check_spikes, seconds, span
from spikestream.plots.counts import band_counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from spikestream.stages.network import Network

NAMED = 10
"""So many voltages have a line each in the legend."""


class Membrane(NamedTuple):
    """Voltages of some neurons, as `record` keeps them."""

    t: Array  # (ticks,) int64 µs, the last µs of each tick
    v: Array  # (ticks, chosen) float32, at the end of the tick: a neuron that fired is reset already
    neurons: tuple[int, ...]
    spikes: Spikes  # of the whole network


def raster(
    spikes: Spikes,
    ax: Axes | None = None,
    *,
    rows: int | None = None,
    origin_us: int | None = None,
    name: str = "neuron",
) -> Axes:
    """Draw a dot for each spike: time to the right, in s from ``origin_us`` (default: the start), its number upwards.

    ``rows`` numbers are shown, by default up to the highest that is there. Raises `SpikestreamError` for other batches.
    """
    check_spikes(spikes)
    drawn, origin = axes_for(ax), spikes.start if origin_us is None else origin_us
    highest = int(spikes.axon.max()) + 1 if len(spikes) else 1
    dots = {"linestyle": "none", "marker": ".", "markersize": 2, "markeredgewidth": 0, "color": "black"}
    drawn.plot(seconds(spikes.t, origin), spikes.axon, rasterized=True, **dots)  # type: ignore[arg-type]
    drawn.set(xlim=span(spikes.start, spikes.stop, origin), ylim=(-0.5, (rows or highest) - 0.5))
    drawn.set(xlabel="s", ylabel=name)
    return drawn


def record(network: Network, spikes: Spikes, neurons: Sequence[int]) -> Membrane:
    """Run a network on ``spikes`` tick by tick and keep the voltages of ``neurons`` at the end of each tick.

    The network is left as if it had been called with all of them at once. Its whole state is copied at every tick, so
    this is for short stretches. Raises `ConfigError` for neurons that are not there.
    """
    check_spikes(spikes)
    chosen = tuple(int(number) for number in neurons)
    for number in chosen:
        if not 0 <= number < network.neurons:
            allowed = f"0 to {network.neurons - 1:,}"
            raise ConfigError(f"there is no neuron {number}", key="neurons", value=number, allowed=allowed)
    times: list[int] = []
    voltages: list[Array] = []
    made: list[Spikes] = []
    for piece in _ticks(spikes, network.tick_us):
        made.append(network(piece))
        if piece.stop % network.tick_us == 0:
            times.append(piece.stop - 1)
            voltages.append(network.v[list(chosen)])
    v = np.array(voltages, np.float32).reshape(len(times), len(chosen))
    return Membrane(np.array(times, np.int64), v, chosen, concat(made))


def membrane(recorded: Membrane, ax: Axes | None = None, *, origin_us: int | None = None) -> Axes:
    """Draw voltages kept by `record` as a line for each neuron, and a stroke above them for each of its spikes.

    Times are in s from ``origin_us``, by default from the start. Raises `ConfigError` where nothing was kept.
    """
    if not recorded.v.size:
        raise ConfigError("there is no voltage to draw", key="recorded", allowed="a tick and a neuron, or more")
    spikes = recorded.spikes
    drawn, origin = axes_for(ax), spikes.start if origin_us is None else origin_us
    top = float(recorded.v.max())
    top += 0.1 * ((top - float(recorded.v.min())) or 1.0)
    for number, v in zip(recorded.neurons, recorded.v.T, strict=True):
        (line,) = drawn.plot(seconds(recorded.t, origin), v, linewidth=0.8, label=f"neuron {number}")
        fired = seconds(spikes.t[spikes.axon == number], origin)
        drawn.plot(fired, np.full(len(fired), top), linestyle="none", marker="|", color=line.get_color())
    if len(recorded.neurons) <= NAMED:
        drawn.legend(loc="lower right", fontsize="small")
    drawn.set(xlim=span(spikes.start, spikes.stop, origin), xlabel="s", ylabel="v")
    return drawn


def cochleagram(
    spikes: Spikes, centres_hz: Array, ax: Axes | None = None, *, columns: int = 1_000, origin_us: int | None = None
) -> Axes:
    """Draw the spikes of an ear by band and time, all fibres of a band together, high bands on top.

    ``centres_hz`` (bands,); axon = ``fibre * bands + band``. Times are in s from ``origin_us``, by default from the
    start. Raises `ConfigError` without bands or columns.
    """
    check_spikes(spikes)
    bands = len(centres_hz)
    if not bands or columns < 1:
        raise ConfigError(f"{bands} bands in {columns} columns make no picture", key="columns", allowed="1 or more")
    start, stop = spikes.start, max(spikes.stop, spikes.start + 1)
    column = (spikes.t - start) * columns // (stop - start)
    cells = np.bincount(spikes.axon % bands * columns + column, minlength=bands * columns)
    return band_counts(cells.reshape(bands, columns), centres_hz, (start, stop), ax, origin_us=origin_us)


def _ticks(spikes: Spikes, tick_us: int) -> Iterator[Spikes]:
    """Yield the batch cut at the ends of its ticks; at least one piece."""
    rest = spikes
    for end in range((spikes.start // tick_us + 1) * tick_us, spikes.stop, tick_us):
        piece, rest = cut(rest, end)
        yield piece
    yield rest
