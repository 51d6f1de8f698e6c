"""Patterns of pictures: local receptive fields with weights of their own, and convolutions that share them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from spikestream.errors import ConfigError
from spikestream.model.checks import number_of, refused, whole_of
from spikestream.model.pattern import Option, Pattern, Synapses
from spikestream.model.values import Array

if TYPE_CHECKING:
    from spikestream.model.parts import Projection, Source

MOST_SIDE = 4096
"""Of a kernel, a stride, a padding, and a radius, in pixels."""
HAIR = 1e-9
"""A pixel on the rim of a receptive field belongs to it, however its distance was rounded."""


class Local(Pattern):
    """Each target to the pixels, of all channels, that lie within a radius around its place on the source."""

    options: ClassVar[Mapping[str, Option]] = {
        "radius": Option(lambda key, value: number_of(key, value, 0, MOST_SIDE), needed=True)
    }

    def fits(self, p: Projection, source: Source, target: Source) -> None:
        """Refuse what has no shape."""
        _need_shapes(p, source, target)

    def most(self, p: Projection, source: Source, target: Source) -> int:
        """Return how many lie in the squares around the circles."""
        channels, height, width = source.shape
        window = 2 * int(p.radius) + 3
        return int(target.size * channels * min(window, height) * min(window, width))

    def synapses(self, p: Projection, source: Source, target: Source, rng: np.random.Generator) -> Synapses:
        """Return them by target, then source; the centre of the target's pixel is scaled to the source's picture."""
        (channels, height, width), (maps, rows, columns) = source.shape, target.shape
        y, dy = _near(rows, height, p.radius)
        x, dx = _near(columns, width, p.radius)
        inside = (dy[:, None, :, None] ** 2 + dx[None, :, None, :] ** 2) <= (p.radius + HAIR) ** 2
        row, column, i, j = np.nonzero(inside)
        pixel, place = y[row, i] * width + x[column, j], row * columns + column
        pre = np.arange(channels)[None, :, None] * (height * width) + pixel
        post = np.arange(maps)[:, None, None] * (rows * columns) + place
        pre, post = (side.astype(np.int32).ravel() for side in np.broadcast_arrays(pre, post))
        return Synapses(pre, post)


class Conv(Pattern):
    """Each target to a patch of the source, with weights (out, in, height, width) shared by all places."""

    options: ClassVar[Mapping[str, Option]] = {
        "kernel": Option(lambda key, value: _sides(key, value, 1), needed=True),
        "stride": Option(lambda key, value: _sides(key, value, 1), 1),
        "padding": Option(lambda key, value: _sides(key, value, 0), 0),
    }

    def fits(self, p: Projection, source: Source, target: Source) -> None:
        """Refuse a target of another shape than the kernel makes."""
        _need_shapes(p, source, target)
        sides = zip(source.shape[1:], p.kernel, p.stride, p.padding, strict=True)
        made = [(side + 2 * padding - kernel) // stride + 1 for side, kernel, stride, padding in sides]
        if min(made) < 1:
            raise refused(f"projections.{p.name}.kernel", p.kernel, f"up to the source's shape {list(source.shape)}")
        if list(target.shape[1:]) != made:
            text = f"'{p.name}' makes pictures of {made[0]} x {made[1]}, and '{target.name}' has another shape"
            right = [target.shape[0], *made]
            key = f"populations.{target.name}.shape"
            raise ConfigError(text, key=key, value=target.shape, allowed=f"shape = {right}")

    def most(self, p: Projection, source: Source, target: Source) -> int:
        """Return how many there are where nothing is cut off at the rim."""
        return int(target.size * source.shape[0] * p.kernel[0] * p.kernel[1])

    def weights_shape(self, p: Projection, source: Source, target: Source) -> tuple[int, ...]:
        """Return (out, in, height, width)."""
        return (target.shape[0], source.shape[0], *p.kernel)

    def delays_shape(self, p: Projection, source: Source, target: Source) -> tuple[int, ...]:
        """Return (): a number or a range."""
        return ()

    def shared(self, p: Projection, source: Source, target: Source) -> int:
        """Return the weights of all kernels."""
        return int(target.shape[0] * source.shape[0] * p.kernel[0] * p.kernel[1])

    def synapses(self, p: Projection, source: Source, target: Source, rng: np.random.Generator) -> Synapses:
        """Return them by target, then source: target (o, y, x) sees source (c, y·stride + i - padding, …)."""
        (channels, height, width), (maps, rows, columns), (tall, wide) = source.shape, target.shape, p.kernel
        y = np.arange(rows)[:, None] * p.stride[0] + np.arange(tall) - p.padding[0]
        x = np.arange(columns)[:, None] * p.stride[1] + np.arange(wide) - p.padding[1]
        inside = ((y >= 0) & (y < height))[:, None, :, None] & ((x >= 0) & (x < width))[None, :, None, :]
        row, column, i, j = np.nonzero(inside)
        pixel, place, tap = y[row, i] * width + x[column, j], row * columns + column, i * wide + j
        out, into = np.arange(maps)[:, None, None], np.arange(channels)[None, :, None]
        sides = (into * (height * width) + pixel, out * (rows * columns) + place)
        pre, post, share = np.broadcast_arrays(*sides, (out * channels + into) * (tall * wide) + tap)
        return Synapses(*(side.astype(np.int32).ravel() for side in (pre, post, share)))


def _need_shapes(p: Projection, source: Source, target: Source) -> None:
    for side, table in ((source, "source"), (target, "target")):
        if not side.shape:
            text = f"the pattern '{p.connect}' needs the shape of its {table} '{side.name}'"
            raise ConfigError(text, key=f"projections.{p.name}.{table}", allowed="shape = [channels, height, width]")


def _near(targets: int, sources: int, radius: float) -> tuple[Array, Array]:
    """Return, for each target along one side, sources that may be near and how far they are, infinitely outside."""
    centre = (np.arange(targets) + 0.5) * (sources / targets) - 0.5
    window = 2 * int(radius) + 3
    first = np.zeros(targets, np.int64) if window >= sources else np.rint(centre).astype(np.int64) - window // 2
    near = first[:, None] + np.arange(min(window, sources))
    return near, np.where((near >= 0) & (near < sources), near - centre[:, None], np.inf)


def _sides(key: str, value: object, low: int) -> tuple[int, int]:
    """Return (down, across) of one number for both, or of two."""
    both = value if isinstance(value, list | tuple) else (value, value)
    if len(both) != 2:
        raise refused(key, value, "a whole number, or [down, across]")
    return whole_of(key, both[0], low, MOST_SIDE), whole_of(key, both[1], low, MOST_SIDE)
