"""Graphs within graphs laid out flat: names joined by dots, edges led through the inner inputs and outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from spikestream.errors import ModelError

if TYPE_CHECKING:
    from spikestream.model.nir import Edge, Graph, Node

MOST_LAID = 2**20  # nodes, and edges; an inner input or output joins all before it with all behind it


class _Laid(NamedTuple):
    nodes: dict[str, Node | Graph]
    edges: list[Edge]
    ports: set[str]  # inner inputs and outputs


def inlined(graph: Graph) -> tuple[dict[str, Node | Graph], tuple[Edge, ...]]:
    """Return the nodes and edges of a graph with all graphs in it inlined; raises `ModelError`."""
    laid = _Laid({}, [], set())
    _lay(graph, "", laid)
    nodes = {name: node for name, node in laid.nodes.items() if name not in laid.ports}
    return nodes, tuple(_led(laid.edges, laid.ports))


def holds(graph: Graph, name: str) -> bool:
    """Return whether a name is that of a node of this graph, or as ``graph.node`` of a node in a graph in it."""
    return name in graph.nodes or _below(graph, name) is not None


def _lay(graph: Graph, path: str, laid: _Laid) -> None:
    """Put all nodes and edges of a graph under a path."""
    for name, node in graph.nodes.items():
        whole, inner = path + name, _graph(node)
        if inner is not None:
            _lay(inner, f"{whole}.", laid)
            continue
        if whole in laid.nodes:
            raise ModelError(f"two nodes are called '{whole}' once the graphs are inlined")
        laid.nodes[whole] = node
        if path and node.kind in ("Input", "Output"):
            laid.ports.add(whole)
    known: tuple[dict[str, str], dict[str, str]] = {}, {}
    for edge in graph.edges:
        for side, name in enumerate(edge):
            if name not in known[side]:
                known[side][name] = path + _node(graph, name, edge, side)
        laid.edges.append((known[0][edge[0]], known[1][edge[1]]))
    _check_size(max(len(laid.nodes), len(laid.edges)))


def _graph(node: Node | Graph) -> Graph | None:
    return cast("Graph", node) if node.kind == "NIRGraph" else None


def _below(graph: Graph, name: str) -> tuple[str, Graph, str] | None:
    """Return the graph in this one that a name speaks of, by its own name, and the rest of the name."""
    for at in (i for i, letter in enumerate(name) if letter == "."):
        inner = _graph(graph.nodes[name[:at]]) if name[:at] in graph.nodes else None
        if inner is not None and holds(inner, name[at + 1 :]):
            return name[:at], inner, name[at + 1 :]
    return None


def _node(graph: Graph, name: str, edge: Edge, side: int) -> str:
    """Return which node an edge leaves (side 0) or reaches (1) at the end of a name."""
    below = None if name in graph.nodes else _below(graph, name)
    if below is not None:
        first, inner, rest = below
        return f"{first}.{_node(inner, rest, edge, side)}"
    inner_graph = _graph(graph.nodes[name])
    return name if inner_graph is None else f"{name}.{_port(inner_graph, name, edge, side)}"


def _port(graph: Graph, name: str, edge: Edge, side: int) -> str:
    """Return the one node by which an edge leaves or enters a graph: an output or input, or else an end."""
    kind, word = (("Output", "outputs"), ("Input", "inputs"))[side]
    met = {edge[side] for edge in graph.edges}
    found = [one for one, node in graph.nodes.items() if node.kind == kind]
    found = found or [one for one in graph.nodes if one not in met]
    if len(found) != 1:
        raise ModelError(
            f"edge {edge} does not tell which of {len(found)} {word} of graph '{name}' it means",
            details=[", ".join(f"'{name}.{one}'" for one in found[:8])] if found else [],
        )
    return _node(graph, found[0], edge, side)


def _led(edges: list[Edge], ports: set[str]) -> list[Edge]:
    """Return edges without ports: whatever led to one leads on to where it led."""
    behind: dict[str, list[str]] = {}
    for source, target in edges:
        if source in ports:
            behind.setdefault(source, []).append(target)
    made: list[Edge] = []
    steps = 0
    for source, target in edges:
        ends = [] if source in ports else [target]
        while ends:
            end = ends.pop()
            if end in ports:
                ends.extend(behind.get(end, ()))
            else:
                made.append((source, end))
            steps += 1
            _check_size(max(steps, len(ends)))
    return made


def _check_size(size: int) -> None:
    if size > MOST_LAID:
        raise ModelError(
            f"there are over {MOST_LAID:,} nodes or edges once the graphs are inlined",
            details=["or inputs and outputs lead to each other in a ring"],
        )
