"""Linear nodes of NIR as sparse maps: what each source address adds to which target addresses, and products of them.

    (x A) B = x (A B),  (A B)[i, k] = sum over j of A[i, j] B[j, k], in float64, j ascending

Convolutions and pools are PyTorch's: cross-correlation, zeros around, an average counts the zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikestream.errors import ModelError
from spikestream.model.nir.kinds import volume

if TYPE_CHECKING:
    from spikestream.model.nir import Node
    from spikestream.model.nir.shapes import Shape, Shapes

Array: TypeAlias = NDArray[Any]

MOST_WEIGHTS = 2**25
"""Of one map, and of the terms of a product before they are summed up."""
PART = 2**21
"""Terms of a product in memory at once, or those of one row."""


class Sparse(NamedTuple):
    """A map of sources onto targets, row by row of the source; targets of a row ascend, each once."""

    first: Array  # (sources + 1,) int64
    post: Array  # (k,) int64
    weights: Array  # (k,) float64
    targets: int


def check(count: float, what: str) -> None:
    """Raise `ModelError` where there would be too many weights, before there are."""
    if count > MOST_WEIGHTS:
        text = f"{what} would be {count:,.0f} weights, at most {MOST_WEIGHTS:,} can be"
        raise ModelError(text, remedy="a smaller layer, or neurons between the layers")


def sparse(source: Array, target: Array, weights: Array, sources: int, targets: int) -> Sparse:
    """Return the map of weights (k,) by source and target; several of one pair are summed up."""
    key = source.astype(np.int64) * targets + target
    if np.any(np.diff(key) <= 0):
        order = np.argsort(key, kind="stable")
        key, weights = key[order], weights[order]
    begins = np.flatnonzero(np.diff(key, prepend=-1))
    total = np.add.reduceat(weights, begins) if len(key) else weights
    rows, post = np.divmod(key[begins], targets)
    return Sparse(np.searchsorted(rows, np.arange(sources + 1)), post, total, targets)


def identity(size: int) -> Sparse:
    """Return the map that changes nothing."""
    return Sparse(np.arange(size + 1), np.arange(size), np.ones(size), size)


def changes_nothing(given: Sparse) -> bool:
    """Return whether a map is the identity."""
    size = len(given.first) - 1
    same = len(given.post) == size == given.targets and np.array_equal(given.post, np.arange(size))
    return bool(same and np.all(np.diff(given.first) == 1) and np.all(given.weights == 1))


def rows_of(given: Sparse) -> Array:
    """Return the source of each weight."""
    return np.repeat(np.arange(len(given.first) - 1), np.diff(given.first))


def product(one: Sparse, other: Sparse) -> Sparse:
    """Return what two maps, one after the other, do."""
    if changes_nothing(one):
        return other
    many = np.diff(other.first)[one.post]  # what each weight of the first one meets
    check(float(many.sum()), "a product of two layers")
    ends = np.concatenate([[0], np.cumsum(many)])[one.first]  # terms up to a row
    cuts = [0]
    while cuts[-1] < len(one.first) - 1:
        cuts.append(max(cuts[-1] + 1, int(np.searchsorted(ends, ends[cuts[-1]] + PART, side="right")) - 1))
    parts = [_rows_product(one, other, many, a, b) for a, b in pairwise(cuts)]
    first = np.concatenate([[0], np.cumsum(np.concatenate([np.diff(part.first) for part in parts]))])
    post = np.concatenate([part.post for part in parts])
    return Sparse(first, post, np.concatenate([part.weights for part in parts]), other.targets)


def _rows_product(one: Sparse, other: Sparse, many: Array, a: int, b: int) -> Sparse:
    """Return rows [a, b) of a product."""
    k = slice(one.first[a], one.first[b])
    count = many[k]
    begin = np.repeat(other.first[one.post[k]] - (np.cumsum(count) - count), count)
    at = begin + np.arange(count.sum())
    rows = np.repeat(np.repeat(np.arange(b - a), np.diff(one.first[a : b + 1])), count)
    return sparse(rows, other.post[at], np.repeat(one.weights[k], count) * other.weights[at], b - a, other.targets)


def total(maps: Sequence[Sparse]) -> Sparse:
    """Return the sum of maps of as many sources onto as many targets."""
    if len(maps) == 1:
        return maps[0]
    check(sum(len(one.post) for one in maps), "a sum of layers")
    source = np.concatenate([rows_of(one) for one in maps])
    post, weights = np.concatenate([one.post for one in maps]), np.concatenate([one.weights for one in maps])
    return sparse(source, post, weights, len(maps[0].first) - 1, maps[0].targets)


def applied(values: Array, to: Sparse) -> Array:
    """Return what a map makes of values (sources,)."""
    return np.bincount(to.post, np.repeat(values, np.diff(to.first)) * to.weights, to.targets)


def columns(given: Sparse, wanted: Array) -> Sparse:
    """Return the map with the targets that are ``wanted`` (targets,) bool, and no others."""
    keep = wanted[given.post]
    first = np.concatenate([[0], np.cumsum(keep)])[given.first]
    return Sparse(first, given.post[keep], given.weights[keep], given.targets)


def mapped(node: Node, shapes: Shapes) -> tuple[Sparse, Array]:
    """Return a linear node as a map, and the bias (targets,) it adds; raises `ModelError` for one that is too large."""
    made = MAPS[node.kind](node, shapes)
    bias, out = node.params.get("bias"), volume(shapes.given)
    if bias is None:
        return made, np.zeros(out)
    spread = out // bias.size if node.kind.startswith("Conv") else 1
    return made, np.repeat(bias.astype(np.float64).reshape(-1), spread)


def _matrix(node: Node, shapes: Shapes) -> Sparse:
    """Return the map of weights (..., targets, sources): a matrix for each of what stands before."""
    weight = node.params["weight"].astype(np.float64)
    blocks = weight.reshape(-1, *weight.shape[-2:])
    check(blocks.size, f"a node of kind {node.kind}")
    block, target, source = np.nonzero(blocks)
    many, out, into = blocks.shape
    place = (block * into + source, block * out + target)
    return sparse(*place, blocks[block, target, source], many * into, many * out)


def _scale(node: Node, shapes: Shapes) -> Sparse:
    size = volume(shapes.taken)
    scale = np.broadcast_to(node.params["scale"].astype(np.float64).reshape(-1), (size,))
    return identity(size)._replace(weights=np.array(scale))


def _same(node: Node, shapes: Shapes) -> Sparse:
    return identity(volume(shapes.taken))


def _taps(long: int, out: int, kernel: int, stride: int, pad: int, dilation: int) -> tuple[Array, Array, Array]:
    """Return along one axis which (tap, source, target) meet; what lies in the zeros around is left out."""
    target = np.arange(out)[None, :]
    tap = np.arange(kernel)[:, None]
    source = target * stride - pad + tap * dilation
    inside = (source >= 0) & (source < long)
    tap, target = np.broadcast_to(tap, source.shape), np.broadcast_to(target, source.shape)
    return tap[inside], source[inside], target[inside]


def _axes(node: Node, shapes: Shapes, kernel: Shape) -> list[tuple[Array, Array, Array]]:
    """Return the taps along each axis of a convolution or a pool."""
    fields, found = node.params, []
    for axis, (long, out, size) in enumerate(zip(shapes.taken[1:], shapes.given[1:], kernel, strict=True)):
        each = {name: fields.get(name, 1) for name in ("stride", "padding", "dilation")}
        one = {name: value[axis] if isinstance(value, tuple) else value for name, value in each.items()}
        if isinstance(fields["padding"], str):
            # As PyTorch does: the odd zero stands behind.
            one["padding"] = one["dilation"] * (size - 1) // 2 if fields["padding"] == "same" else 0
        check(size * out, f"a node of kind {node.kind}")
        found.append(_taps(long, out, size, one["stride"], one["padding"], one["dilation"]))
    return found


def _conv(node: Node, shapes: Shapes) -> Sparse:
    """Return the map of a convolution over one axis or two, group by group of channels."""
    weight = node.params["weight"].astype(np.float64)
    axes = _axes(node, shapes, weight.shape[2:])
    if node.kind == "Conv1d":
        weight = weight[..., None]
        axes.append((np.zeros(1, np.int64),) * 3)
    return _spread(weight, axes, node.params["groups"], node.kind, shapes)


def _pool(node: Node, shapes: Shapes) -> Sparse:
    """Return the map of a pool: a convolution of ones, each channel by itself."""
    kernel = node.params["kernel_size"]
    weight = 1.0 / np.prod(kernel) if node.kind == "AvgPool2d" else 1.0
    channels = shapes.taken[0]
    axes = _axes(node, shapes, kernel)
    check(float(channels) * kernel[0] * kernel[1], f"a node of kind {node.kind}")
    return _spread(np.full((channels, 1, *kernel), weight), axes, channels, node.kind, shapes)


def _spread(weight: Array, axes: list[tuple[Array, Array, Array]], groups: int, kind: str, shapes: Shapes) -> Sparse:
    """Return the map of kernels (targets, sources of a group, height, width) wherever they meet something."""
    (tap_y, in_y, out_y), (tap_x, in_x, out_x) = axes
    out, into = weight.shape[:2]
    check(float(out) * into * len(tap_y) * len(tap_x), f"a node of kind {kind}")
    high, wide = shapes.taken[1], volume(shapes.taken[2:])
    over, across = shapes.given[1], volume(shapes.given[2:])
    to = np.arange(out)[:, None, None, None]
    of = to // (out // groups) * into + np.arange(into)[None, :, None, None]
    source = (of * high + in_y[:, None]) * wide + in_x
    target = np.broadcast_to((to * over + out_y[:, None]) * across + out_x, source.shape)
    weights = weight[:, :, tap_y][:, :, :, tap_x]
    keep = weights != 0
    return sparse(source[keep], target[keep], weights[keep], volume(shapes.taken), volume(shapes.given))


MAPS: dict[str, Callable[[Node, Shapes], Sparse]] = {
    "Affine": _matrix,
    "Linear": _matrix,
    "Scale": _scale,
    "Flatten": _same,
    "Conv1d": _conv,
    "Conv2d": _conv,
    "SumPool2d": _pool,
    "AvgPool2d": _pool,
}
