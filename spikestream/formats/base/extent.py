"""The size of the sensor, for recordings that do not store it."""

from __future__ import annotations

from spikestream.batch import Array


class Extent:
    """The size of a sensor that a recording does not store: the smallest usual one that holds the events so far.

    ``sizes`` are the usual ones (width, height), smallest first; the last is all that the format can hold. A ``size``
    that is known stays, and ``limits``, what events have to lie within, is that then. A guess is told in one line of
    ``warnings``, which is kept up to date; with ``own`` the first size is that of the format, and no guess.
    """

    def __init__(
        self,
        sizes: tuple[tuple[int, int], ...],
        size: tuple[int, int] | None,
        warnings: list[str],
        own: bool = False,
    ) -> None:
        self.size = size or sizes[0]
        self.limits = size or sizes[-1]
        self._sizes, self._warnings = sizes, warnings
        self._known, self._guessed = size is not None, size is None and not own
        self._said = ""

    def told(self) -> tuple[int, int]:
        """Return the size, having told that it is a guess, where it is one: in place of what was told of a smaller."""
        text = (
            f"no sensor size is stored; {self.size[0]}x{self.size[1]} is the smallest usual one that holds the events "
            "so far; --size WIDTHxHEIGHT says which it is"
        )
        if self._guessed and text != self._said:
            at = self._warnings.index(self._said) if self._said else len(self._warnings)
            self._warnings[at : at + 1] = [text]
            self._said = text
        return self.size

    def fit(self, events: Array) -> tuple[int, int]:
        """Return the size with room for events (n > 0,) EVENT, having told of it."""
        return self.size if self._known else self.grow(int(events["x"].max()), int(events["y"].max()))

    def grow(self, max_x: int, max_y: int) -> tuple[int, int]:
        """Return the size with room for events up to there, having told of it."""
        if max_x >= self.size[0] or max_y >= self.size[1]:
            self.size = next(size for size in self._sizes if max_x < size[0] and max_y < size[1])
            self._guessed = True
        return self.told()
