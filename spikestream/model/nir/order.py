"""The order in which the nodes of a graph run in a step, and which edges lead back in it."""

from __future__ import annotations

from collections.abc import Iterable, Set

Edge = tuple[str, str]


def in_order(nodes: Iterable[str], edges: Iterable[Edge], cut: Set[str] = frozenset()) -> list[str]:
    """Return the nodes so that each comes after those that lead to it, but for edges that close a loop.

    It walks in depth from the first nodes on that nothing leads to, along edges in their order, and turns around what
    it left last. Edges out of nodes in ``cut`` bind nobody.
    """
    behind: dict[str, list[str]] = {name: [] for name in nodes}
    led = set()
    for source, target in edges:
        if source not in cut:
            behind[source].append(target)
            led.add(target)
    left: list[str] = []
    seen: set[str] = set()
    # What nothing leads to comes first; the last one that is walked from stands first in the end.
    roots = [name for name in behind if name not in led] + [name for name in behind if name in led]
    for root in roots:
        if root not in seen:
            left += _walk(behind, root, seen)
    return left[::-1]


def _walk(behind: dict[str, list[str]], root: str, seen: set[str]) -> list[str]:
    """Return what can be reached from a node and was not seen, in the order in which it is left."""
    left, path = [], [(root, iter(behind[root]))]
    seen.add(root)
    while path:
        name, rest = path[-1]
        following = next((one for one in rest if one not in seen), None)
        if following is None:
            left.append(name)
            path.pop()
        else:
            seen.add(following)
            path.append((following, iter(behind[following])))
    return left


def backward(edges: Iterable[Edge], order: list[str], cut: Set[str] = frozenset()) -> set[Edge]:
    """Return the edges that lead to a node that does not come later; those out of nodes in ``cut`` are none."""
    rank = {name: number for number, name in enumerate(order)}
    return {(a, b) for a, b in edges if rank[a] >= rank[b] and a not in cut}
