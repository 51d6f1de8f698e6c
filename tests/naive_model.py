"""Synapses of each pattern in plain Python, written from docs/model.md; pairs of numbers, in no order."""

from __future__ import annotations

from fractions import Fraction


def address(shape, c, y, x):
    return (c * shape[1] + y) * shape[2] + x


def places(shape):
    return [(c, y, x) for c in range(shape[0]) for y in range(shape[1]) for x in range(shape[2])]


def everything(sources, targets, alone=False):
    return [(i, j) for i in range(sources) for j in range(targets) if not (alone and i == j)]


def local(source, target, radius):
    """Sources whose pixel lies within the radius around the target's centre, scaled to the source's picture."""
    found = []
    for o, y, x in places(target):
        centre = [
            (place + Fraction(1, 2)) * Fraction(source[axis], target[axis]) - Fraction(1, 2)
            for axis, place in ((1, y), (2, x))
        ]
        for c, i, j in places(source):
            if (i - centre[0]) ** 2 + (j - centre[1]) ** 2 <= Fraction(radius) ** 2:
                found.append((address(source, c, i, j), address(target, o, y, x)))
    return found


def conv(source, target, kernel, stride, padding):
    """(source, target, (out, in, row, column) of the weight) of a cross-correlation."""
    found = []
    for o, y, x in places(target):
        for c in range(source[0]):
            for i in range(kernel[0]):
                for j in range(kernel[1]):
                    row, column = y * stride[0] + i - padding[0], x * stride[1] + j - padding[1]
                    if 0 <= row < source[1] and 0 <= column < source[2]:
                        found.append((address(source, c, row, column), address(target, o, y, x), (o, c, i, j)))
    return found


def synapses(wires):
    """(source, target, delay in ticks, weight) of each synapse that `wire` lists, in its order."""
    rows = []
    for source in range(wires.sources):
        for k, delay in enumerate(wires.delays.tolist()):
            if wires.kind != "sparse":
                others = [j for j in range(wires.targets) if wires.kind == "dense" or j != source]
                weight = {j: wires.weights[source, j] if wires.kind == "dense" else wires.weights[0] for j in others}
                rows += [(source, j, delay, float(weight[j])) for j in others]
                continue
            group = source * len(wires.delays) + k
            for s in range(wires.ptr[group], wires.ptr[group + 1]):
                at = wires.share[s] if len(wires.share) else s
                rows.append((source, int(wires.post[s]), delay, float(wires.weights[at])))
    return rows
