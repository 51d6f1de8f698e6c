"""The shapes in a NIR graph: what each node takes and gives, told by its own fields or by what reaches it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from spikestream.errors import ModelError
from spikestream.model.nir.kinds import EACH, MOST_SIZE, volume

if TYPE_CHECKING:
    from spikestream.model.nir import Edge, Node

Shape: TypeAlias = tuple[int, ...]


class Shapes(NamedTuple):
    """What a node takes and what it gives, row by row."""

    taken: Shape
    given: Shape


def inferred(nodes: Mapping[str, Node], edges: Iterable[Edge]) -> dict[str, Shapes]:
    """Return the shapes of all nodes of a flat graph; raises `ModelError` with the node or the edge."""
    found: dict[str, Shapes] = {}
    behind: dict[str, list[str]] = {}
    for source, target in edges:
        behind.setdefault(source, []).append(target)
    for taken in (_taken, _alone):
        for name, node in nodes.items():
            if name not in found and _settle(found, name, node, taken(node)):
                _lead_on(found, nodes, behind, name)
    _guess_outward(nodes, edges, found)
    for name, node in nodes.items():
        if name not in found:
            raise ModelError(
                f"the shape of node '{name}' ({node.kind}) cannot be told",
                details=["expected a shape in it, or nodes that lead to it whose shape is known"],
            )
    for edge in edges:
        _check_edge(edge, nodes, found)
    return found


def _lead_on(found: dict[str, Shapes], nodes: Mapping[str, Node], behind: dict[str, list[str]], first: str) -> None:
    """Settle what lies behind a node and has no shape of its own."""
    ready = [first]
    while ready:
        name = ready.pop()
        for target in behind.get(name, ()):
            own = _taken(nodes[target])
            if target not in found and _settle(found, target, nodes[target], own or found[name].given):
                ready.append(target)


def _guess_outward(nodes: Mapping[str, Node], edges: Iterable[Edge], found: dict[str, Shapes]) -> None:
    """Give an Input without a shape that of a node it leads to."""
    for source, target in edges:
        if source not in found and nodes[source].kind == "Input" and target in found:
            taken = found[target].taken
            found[source] = Shapes(taken, taken)


def _settle(found: dict[str, Shapes], name: str, node: Node, taken: Shape | None) -> bool:
    """Note what a node takes and gives, if that can be told from what it takes."""
    if taken is None:
        return False
    try:
        given = GIVEN[node.kind](node, taken) if node.kind in GIVEN else taken
    except ModelError as error:
        raise ModelError(f"node '{name}' ({node.kind}): {error.what}") from error
    if volume(given) > MOST_SIZE:
        raise ModelError(f"node '{name}' ({node.kind}) would give {given}: over {MOST_SIZE:,} values")
    found[name] = Shapes(taken, given)
    return True


def _taken(node: Node) -> Shape | None:
    """Return what a node takes where its own fields tell it."""
    fields = node.params
    if node.kind in EACH:
        sides: Shape = next(iter(fields.values())).shape
        return sides if volume(sides) > 1 else None  # one number for all, however many there are
    if node.kind in ("Affine", "Linear"):
        weight = fields["weight"].shape
        return (*weight[:-2], weight[-1])
    if node.kind in ("Conv1d", "Conv2d"):
        space = fields["input_shape"]
        channels = fields["weight"].shape[1] * fields["groups"]
        return None if space is None else (channels, *((space,) if isinstance(space, int) else space))
    told: Shape | None = fields.get("input_type") or fields.get("shape")
    return told


def _alone(node: Node) -> Shape | None:
    """Return what a node of one number takes where nothing tells that it stands for more."""
    return (1,) if node.kind in EACH else None


def _linear(node: Node, taken: Shape) -> Shape:
    weight = node.params["weight"].shape
    return (*weight[:-2], weight[-2])


def _conv(node: Node, taken: Shape) -> Shape:
    fields, axes = node.params, int(node.kind[4])
    channels = fields["weight"].shape[1] * fields["groups"]
    if len(taken) != axes + 1 or taken[0] != channels:
        raise ModelError(f"expected {channels} channels of {axes} axes, found {taken}")
    kernel = fields["weight"].shape[2:]
    return (fields["weight"].shape[0], *_steps(node, taken[1:], kernel, fields["dilation"]))


def _pool(node: Node, taken: Shape) -> Shape:
    if len(taken) != 3:
        raise ModelError(f"expected channels of 2 axes, found {taken}")
    return (taken[0], *_steps(node, taken[1:], node.params["kernel_size"], 1))


def _steps(node: Node, space: Shape, kernel: Shape, dilation: int | Shape) -> Shape:
    """Return how often a kernel fits along each axis.

    floor((length + 2 padding - dilation (kernel - 1) - 1) / stride) + 1
    """
    pad, stride = node.params["padding"], node.params["stride"]
    if pad == "same":
        if set(_each(stride, len(space))) != {1}:
            raise ModelError(f"padding 'same' goes with stride 1, found {stride}")
        return space
    pads = _each(0 if pad == "valid" else pad, len(space))
    around = zip(space, pads, _each(dilation, len(space)), kernel, _each(stride, len(space)), strict=True)
    sides = tuple((long + 2 * p - d * (k - 1) - 1) // s + 1 for long, p, d, k, s in around)
    if min(sides) < 1:
        raise ModelError(f"a kernel of {tuple(kernel)} does not fit into {space}")
    return sides


def _each(value: int | Shape, axes: int) -> Shape:
    return (value,) * axes if isinstance(value, int) else tuple(value)


def _flatten(node: Node, taken: Shape) -> Shape:
    first, last = node.params["start_dim"], node.params["end_dim"]
    start, stop = (axis + len(taken) if axis < 0 else axis for axis in (first, last))
    if not 0 <= start <= stop < len(taken):
        raise ModelError(f"axes {first} to {last} are not there in {taken}")
    return (*taken[:start], volume(taken[start : stop + 1]), *taken[stop + 1 :])


def _check_edge(edge: Edge, nodes: Mapping[str, Node], found: dict[str, Shapes]) -> None:
    """Let a shape through that is expected, but for sides of 1; an output is any shape of as many values."""
    source, target = edge
    given, taken = found[source].given, found[target].taken
    if [side for side in given if side != 1] == [side for side in taken if side != 1]:
        return
    if nodes[target].kind == "Output" and volume(given) == volume(taken):
        return
    raise ModelError(
        f"edge {edge}: '{source}' ({nodes[source].kind}) gives {given}, "
        f"but '{target}' ({nodes[target].kind}) expects {taken}"
    )


GIVEN: dict[str, Callable[[Node, Shape], Shape]] = {
    "Affine": _linear,
    "Linear": _linear,
    "Conv1d": _conv,
    "Conv2d": _conv,
    "SumPool2d": _pool,
    "AvgPool2d": _pool,
    "Flatten": _flatten,
}
