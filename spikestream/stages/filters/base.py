"""What a filter is: a callable with memory that takes events inside its size and returns those that pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

from spikestream.batch import Array

Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""


class Filter(Protocol):
    """A filter with its options and the size coming in."""

    size: Size
    """The size going out."""
    memory: Mapping[str, Array]
    """The live arrays it remembers by."""

    def __call__(self, data: Array) -> Array:
        """Return what passes of `data`, which is never written to."""
        ...
