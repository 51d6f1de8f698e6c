"""The size of the sensor, for recordings that do not store it."""

from __future__ import annotations

from spikestream.batch import Array


class Extent:
    """The size of a sensor that a recording does not store: the smallest usual one that holds the events so far.

    ``sizes`` are the usual ones (width, height), smallest first; the last is all that the format can hold. A ``size``
    that is known stays, and ``limits``, what events have to lie within, is that then.
    """

    def __init__(self, sizes: tuple[tuple[int, int], ...], size: tuple[int, int] | None = None) -> None:
        self.size = size or sizes[0]
        self.limits = size or sizes[-1]
        self._sizes = sizes
        self._known = size is not None

    def fit(self, events: Array) -> str:
        """Make room for events (n > 0,) EVENT; return a warning where that takes another size, else ""."""
        return "" if self._known else self.grow(int(events["x"].max()), int(events["y"].max()))

    def grow(self, max_x: int, max_y: int) -> str:
        """Make room for events up to there; return a warning where that takes another size, else ""."""
        if max_x < self.size[0] and max_y < self.size[1]:
            return ""
        self.size = next(size for size in self._sizes if max_x < size[0] and max_y < size[1])
        return (
            f"no sensor size is stored; {self.size[0]}x{self.size[1]} is the smallest usual one that holds the events "
            f"so far (x <= {max_x}, y <= {max_y}); --size WIDTHxHEIGHT says which it is"
        )
