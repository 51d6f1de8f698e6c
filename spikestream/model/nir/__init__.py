"""NIR graphs as data: nodes by name and edges between them, as the Neuromorphic Intermediate Representation has them.

Pedersen et al., *Neuromorphic intermediate representation*, Nature Communications 15, 8122 (2024). A graph says what is
computed in continuous time; how it is cut into steps is said where it is folded into a circuit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any, TypeAlias

from spikestream.errors import ModelError
from spikestream.model.nir.flat import holds, inlined
from spikestream.model.nir.kinds import complete
from spikestream.model.nir.shapes import Shapes, inferred

Edge: TypeAlias = tuple[str, str]
MOST_NODES = 2**16
MOST_EDGES = 2**20
MOST_DEPTH = 16  # graphs within graphs
MOST_NAME = 512  # letters


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Node:
    """A node of a kind, its fields by NIR's names: arrays, whole numbers, tuples of them, or words.

    What a file may leave out is there: ``v_reset`` 0, ``w_in`` 1, and None for a shape that is not known. Arrays are
    copies that cannot be written; the fields of a neuron have one shape. Raises `ModelError`.
    """

    kind: str
    params: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Node({self.kind})"

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", MappingProxyType(complete(self.kind, self.params)))
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Graph:
    """Nodes and graphs by name, and edges (from, to) between them, each once; raises `ModelError`.

    An edge may name a node inside a graph as ``graph.node``, where that graph has several inputs or outputs.
    """

    nodes: Mapping[str, Node | Graph]
    edges: tuple[Edge, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    kind = "NIRGraph"

    def __repr__(self) -> str:
        return f"Graph({len(self.nodes)} nodes, {len(self.edges)} edges)"

    def __post_init__(self) -> None:
        for name in ("nodes", "metadata"):
            given: object = getattr(self, name)
            if not isinstance(given, Mapping):
                raise ModelError(f"{name} of a graph are a mapping by name, not {type(given).__name__}")
        object.__setattr__(self, "nodes", MappingProxyType(dict(self.nodes)))
        object.__setattr__(self, "edges", _edges(self.edges))
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))
        _check_nodes(self)
        _check_edges(self)

    @classmethod
    def row(cls, *nodes: Node | Graph, **named: Node | Graph) -> Graph:
        """Return a graph of nodes one after the other; those without a name are called by their number."""
        all_nodes = {str(number): node for number, node in enumerate(nodes)} | named
        names = list(all_nodes)
        return cls(all_nodes, tuple(pairwise(names)))

    def flat(self) -> Graph:
        """Return the same with the graphs in it inlined, as ``graph.node``: only its own Input and Output remain.

        Raises `ModelError` where an edge to or from a graph does not tell which of its inputs or outputs it means.
        """
        nodes, edges = inlined(self)
        return Graph(nodes, edges, self.metadata)

    def shapes(self) -> dict[str, Shapes]:
        """Return what each node of `flat()` takes and gives, by its name there.

        Raises `ModelError`, with the node or the edge, where a shape cannot be told or two do not fit.
        """
        flat = self.flat()
        return inferred({name: node for name, node in flat.nodes.items() if isinstance(node, Node)}, flat.edges)


def _edges(edges: Iterable[Any]) -> tuple[Edge, ...]:
    """Return edges as pairs of names."""
    made = []
    for edge in edges:
        ends = tuple(edge) if isinstance(edge, (tuple, list)) else ()
        if len(ends) != 2 or not all(isinstance(end, str) for end in ends):
            raise ModelError(f"an edge is a pair of names, found {edge!r:.80}")
        made.append((ends[0], ends[1]))
    return tuple(made)


def _check_nodes(graph: Graph) -> None:
    if not 1 <= len(graph.nodes) <= MOST_NODES or len(graph.edges) > MOST_EDGES:
        raise ModelError(
            f"a graph has 1 to {MOST_NODES:,} nodes and up to {MOST_EDGES:,} edges, "
            f"found {len(graph.nodes):,} and {len(graph.edges):,}"
        )
    for name, node in graph.nodes.items():
        if not isinstance(name, str) or not 1 <= len(name) <= MOST_NAME:
            raise ModelError(f"a node has a name of 1 to {MOST_NAME} letters, found {name!r:.80}")
        if not isinstance(node, (Node, Graph)):
            raise ModelError(f"node '{name}' is a Node or a Graph, found {type(node).__name__}")
    if _depth(graph) > MOST_DEPTH:
        raise ModelError(f"graphs lie at most {MOST_DEPTH} deep within each other")


def _depth(graph: Graph) -> int:
    inner = [_depth(node) for node in graph.nodes.values() if isinstance(node, Graph)]
    return 1 + max(inner, default=0)


def _check_edges(graph: Graph) -> None:
    seen: set[Edge] = set()
    known: set[str] = set()
    for edge in graph.edges:
        for end in edge:
            if end in known:
                continue
            known.add(end)
            if len(end) > MOST_DEPTH * MOST_NAME or not holds(graph, end):
                there = ", ".join(f"'{name}'" for name in list(graph.nodes)[:8])
                raise ModelError(
                    f"edge {edge!r:.200} joins '{end:.80}', which the graph does not have", details=[f"nodes: {there}"]
                )
        if edge in seen:
            raise ModelError(f"edge {edge} is there twice")
        seen.add(edge)
