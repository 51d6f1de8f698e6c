"""NIR files: graphs from HDF5 and back, those among them that the nir package refuses.

A file holds ``version`` and a group ``node``, the graph: ``type``, ``nodes`` (a group each) and ``edges`` (pairs of
names); a node's group holds its ``type``, its fields by NIR's names, and perhaps ``metadata``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from spikestream.errors import ModelError
from spikestream.files.careful_hdf5 import Group
from spikestream.files.nir_hdf5 import check_names, naming, read_tree, write_tree
from spikestream.model.nir import MOST_DEPTH, MOST_EDGES, Edge, Graph, Node
from spikestream.model.nir.kinds import KINDS
from spikestream.model.nir.shapes import Shapes

VERSION = "1.0.8"  # of the nir package whose form is written
LEFT_OUT = ("type", "metadata", "input_type", "output_type")  # the last two in files of some versions


def read_nir(path: str | os.PathLike[str]) -> Graph:
    """Return the graph of a NIR file, of any version; raises `ModelError`."""
    return graph_from(read_tree(path), os.fspath(path))


def graph_from(tree: Group, name: str) -> Graph:
    """Return the graph that an HDF5 file of some name holds; raises `ModelError`."""
    with naming(f"{name} is no NIR graph"):
        if tree.attributes.get("__type__") == "NIRGraphData":
            raise ModelError("it holds recorded activity", remedy="spikestream.files.nir_data.read_nir_data")
        return _graph(_inner(tree, "node"), 0)


def write_nir(path: str | os.PathLike[str], graph: Graph) -> None:
    """Write a graph as the nir package 1.0.8 writes it, atomically; shapes that are missing are told by the others.

    Raises `ModelError` for names that HDF5 cannot hold and shapes that cannot be told.
    """
    given: object = graph
    if not isinstance(given, Graph):
        raise ModelError(f"a NIR graph is wanted, not {type(given).__name__}")
    tree = Group({"version": VERSION, "node": _graph_tree(_told(graph))})
    write_tree(path, tree)


def _inner(group: Group, name: str) -> Group:
    found = group.items.get(name)
    if not isinstance(found, Group):
        raise ModelError(f"a group '{name}' is missing")
    return found


def _graph(group: Group, depth: int) -> Graph:
    if _kind(group) != "NIRGraph" or depth >= MOST_DEPTH:
        raise ModelError(f"a NIRGraph is expected, found {_kind(group)}, {depth} deep")
    nodes: dict[str, Node | Graph] = {}
    for name, found in _inner(group, "nodes").items.items():
        with naming(f"node '{name}'"):
            if not isinstance(found, Group):
                raise ModelError("a group is expected, found data")
            nodes[name] = _graph(found, depth + 1) if _kind(found) == "NIRGraph" else _node(found)
    nodes, edges = _gathered(nodes, _edges(group))
    return Graph(nodes, edges, _metadata(group))


def _kind(group: Group) -> str:
    kind = group.items.get("type")
    if not isinstance(kind, str):
        raise ModelError("its type is missing, or no text")
    return kind


def _edges(group: Group) -> tuple[Edge, ...]:
    found = group.items.get("edges", [])
    if isinstance(found, np.ndarray) and not found.size:  # no edges are an empty array of numbers
        return ()
    if not isinstance(found, list) or len(found) > MOST_EDGES:
        raise ModelError(f"edges are up to {MOST_EDGES:,} pairs of names")
    return tuple(tuple(edge) if isinstance(edge, list) else (edge,) for edge in found)


def _gathered(
    nodes: dict[str, Node | Graph], edges: tuple[Edge, ...]
) -> tuple[dict[str, Node | Graph], tuple[Edge, ...]]:
    """Make a graph of nodes ``a.b`` where an edge speaks of ``a``, which is not there: early exports of snnTorch."""
    missing = {end for edge in edges for end in edge if end not in nodes}
    inside = {name: _owner(name, missing) for name in nodes} if missing else {}
    owners = dict.fromkeys(owner for owner in inside.values() if owner)
    made = {name: node for name, node in nodes.items() if not inside.get(name)}
    kept = tuple(edge for edge in edges if not inside.get(edge[0]) or inside.get(edge[0]) != inside.get(edge[1]))
    within: dict[str, list[Edge]] = {owner: [] for owner in owners}
    for a, b in set(edges) - set(kept):
        within[inside[a]].append((a.removeprefix(f"{inside[a]}."), b.removeprefix(f"{inside[a]}.")))
    members: dict[str, dict[str, Node | Graph]] = {owner: {} for owner in owners}
    for name, owner in inside.items():
        if owner:
            members[owner][name.removeprefix(f"{owner}.")] = nodes[name]
    return made | {owner: Graph(members[owner], tuple(within[owner])) for owner in owners}, kept


def _owner(name: str, missing: set[str]) -> str:
    """Return the graph that a node is in by its name, "" for none."""
    parts = name.split(".", MOST_DEPTH)
    starts = (".".join(parts[:count]) for count in range(1, len(parts)))
    return next((start for start in starts if start in missing), "")


def _node(group: Group) -> Node:
    kind = _kind(group)
    known = KINDS.get(kind, {})
    fields = {name: value for name, value in group.items.items() if name in known or name not in LEFT_OUT}
    for name, value in fields.items():
        if isinstance(value, Group):
            raise ModelError(f"field '{name}' is a group, where data are expected")
    return Node(kind, fields, _metadata(group))


def _metadata(group: Group) -> dict[str, Any]:
    found = group.items.get("metadata", Group())
    if not isinstance(found, Group):
        raise ModelError("its metadata are data, where a group is expected")
    return _plain(found)


def _plain(group: Group) -> dict[str, Any]:
    """Return metadata as dicts, texts, numbers and arrays."""
    return {name: _value(value) for name, value in group.items.items()}


def _value(value: Any) -> Any:
    if isinstance(value, Group):
        return _plain(value)
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _told(graph: Graph) -> Graph:
    """Return a graph whose convolutions and flattenings tell what they take, as nir expects it of a file."""
    missing = any(
        isinstance(node, Graph) or any(value is None for value in node.params.values()) for node in graph.nodes.values()
    )
    return _filled(graph, graph.shapes(), "") if missing else graph


def _filled(graph: Graph, shapes: Mapping[str, Shapes], path: str) -> Graph:
    nodes: dict[str, Node | Graph] = {}
    for name, node in graph.nodes.items():
        if isinstance(node, Graph):
            nodes[name] = _filled(node, shapes, f"{path}{name}.")
            continue
        told = shapes.get(path + name)
        spaces = told and {"input_shape": told.taken[1:], "input_type": told.taken, "shape": told.taken}
        fields = {key: spaces[key] if spaces and value is None else value for key, value in node.params.items()}
        nodes[name] = replace(node, params=fields)
    return replace(graph, nodes=nodes)


def _graph_tree(graph: Graph) -> Group:
    check_names(graph.nodes)
    nodes = Group()
    for name, node in graph.nodes.items():
        with naming(f"node '{name}' cannot be written"):
            nodes.items[name] = _graph_tree(node) if isinstance(node, Graph) else _node_tree(node)
    edges: Any = [list(edge) for edge in graph.edges] or np.zeros((0, 2))
    made = {"edges": edges, "nodes": nodes, "type": "NIRGraph"}
    return Group(made | _metadata_tree(graph.metadata))


def _node_tree(node: Node) -> Group:
    made: dict[str, Any] = {"type": node.kind}
    for name, value in node.params.items():
        if value is None and not (node.kind == "Flatten" and name == "input_type"):
            raise ModelError(f"its field '{name}' is missing, and cannot be told by what leads to it")
        if value is not None:
            made[name] = np.array(value, np.int64) if isinstance(value, tuple) else value
    return Group(made | _metadata_tree(node.metadata))


def _metadata_tree(metadata: Mapping[str, Any]) -> dict[str, Group]:
    """Return metadata as groups, texts and numbers; raises `ModelError` for anything else."""
    return {"metadata": _mapping_tree(metadata)} if metadata else {}


def _mapping_tree(values: Mapping[str, Any]) -> Group:
    if not all(isinstance(name, str) for name in values):
        raise ModelError(f"the names of metadata are texts, found {list(values)!r:.80}")
    check_names(values)
    made = Group()
    for name, value in values.items():
        if isinstance(value, Mapping):
            made.items[name] = _mapping_tree(value)
        elif isinstance(value, str):
            made.items[name] = value
        else:
            made.items[name] = _numbers(name, value)
    return made


def _numbers(name: str, value: Any) -> Any:
    """Return metadata that are numbers, or texts in a row."""
    try:
        made = np.asarray(value)
    except ValueError:
        made = np.empty(0, object)
    if made.dtype.kind == "U":
        return made.tolist()
    if made.dtype.kind not in "biuf":
        raise ModelError(f"metadata '{name}' are numbers, texts or mappings, found {type(value).__name__}")
    return made
