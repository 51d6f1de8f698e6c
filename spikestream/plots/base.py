"""What all plots share: axes to draw on, stream time in seconds, and an error where matplotlib is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikestream.batch import Array, Spikes
from spikestream.errors import ConfigError, SpikestreamError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_IN = (9.0, 4.5)
"""Of a new figure, in inches."""


def need_matplotlib() -> None:
    """Raise `ConfigError` unless matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        text = "a picture in a file needs matplotlib, which is not installed"
        raise ConfigError(text, remedy="pip install 'spikestream[plots]'") from None


def axes_for(ax: Axes | None) -> Axes:
    """Return ``ax``, or where None the axes of a new figure; raises `ConfigError` without matplotlib."""
    need_matplotlib()
    if ax is not None:
        return ax
    from matplotlib.figure import Figure  # not pyplot: it would keep the figure, and may look for a display

    return Figure(figsize=SIZE_IN, layout="constrained").add_subplot()


def panels(count: int) -> tuple[Axes, ...]:
    """Return so many axes of a new figure, side by side; raises `ConfigError` without matplotlib."""
    need_matplotlib()
    from matplotlib.figure import Figure

    width, height = SIZE_IN
    return tuple(Figure(figsize=(width * count * 0.75, height), layout="constrained").subplots(1, count))


def check_spikes(spikes: object) -> None:
    """Raise `SpikestreamError` for anything but `Spikes`."""
    if not isinstance(spikes, Spikes):
        raise SpikestreamError(f"spikes are drawn here, not {type(spikes).__name__}")


def seconds(t: Array, origin_us: int) -> Array:
    """Return stamps (n,) int64 µs as seconds since ``origin_us``; subtracted first: clocks since 1970 are large."""
    return (t - origin_us) / 1e6


def span(start: int, stop: int, origin_us: int) -> tuple[float, float]:
    """Return ``[start, stop)`` µs in seconds since ``origin_us``, never empty."""
    return (start - origin_us) / 1e6, (max(stop, start + 1) - origin_us) / 1e6
