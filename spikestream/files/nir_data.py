"""Files of recorded activity as the nir package writes them: what the nodes of a graph did."""

from __future__ import annotations

import os
from typing import Any

from spikestream.errors import ModelError
from spikestream.files.careful_hdf5 import Group
from spikestream.files.nir_hdf5 import check_names, naming, read_tree, write_tree
from spikestream.model.nir.data import Activity, Gridded, Happened, Observables


def read_nir_data(path: str | os.PathLike[str]) -> Activity:
    """Return the activity that a file holds; raises `ModelError`."""
    return activity_from(read_tree(path), os.fspath(path))


def write_nir_data(path: str | os.PathLike[str], activity: Activity) -> None:
    """Write activity as the nir package 1.0.8 reads it, atomically; raises `ModelError` for names HDF5 cannot hold."""
    write_tree(path, _activity_tree(activity))


def activity_from(tree: Group, name: str) -> Activity:
    """Return the activity that an HDF5 file of some name holds; raises `ModelError`."""
    with naming(f"{name} holds no recorded activity"):
        return _activity(tree)


def _activity(group: Group) -> Activity:
    _expect(group, "NIRGraphData")
    nodes: dict[str, Activity | Observables] = {}
    for name, inner in _groups(group, "nodes").items():
        with naming(f"node '{name}'"):
            deep = inner.attributes.get("__type__") == "NIRGraphData"
            nodes[name] = _activity(inner) if deep else _observables(inner)
    return Activity(nodes)


def _observables(group: Group) -> Observables:
    _expect(group, "NIRNodeData")
    found = {}
    for name, inner in _groups(group, "observables").items():
        with naming(f"observable '{name}'"):
            found[name] = _observable(inner)
    return found


def _observable(group: Group) -> Gridded | Happened:
    kind = _expect(group, "TimeGriddedData", "EventData", "ValuedEventData")
    items, more = group.items, group.attributes
    if kind == "TimeGriddedData":
        return Gridded(items.get("data"), more.get("dt"))  # type: ignore[arg-type]
    value = items.get("value") if kind == "ValuedEventData" else None
    if kind == "ValuedEventData" and value is None:
        raise ModelError("its values are missing")
    return Happened(items.get("idx"), items.get("time"), more.get("n_neurons"), more.get("t_max"), value)  # type: ignore[arg-type]


def _expect(group: Group, *kinds: str) -> str:
    found = group.attributes.get("__type__")
    if not isinstance(found, str) or found not in kinds:
        raise ModelError(f"{' or '.join(kinds)} is expected, found {found!r:.60}")
    return found


def _groups(group: Group, name: str) -> dict[str, Group]:
    found = group.items.get(name)
    if not isinstance(found, Group) or not all(isinstance(one, Group) for one in found.items.values()):
        raise ModelError(f"a group '{name}' of groups is missing")
    return found.items


def _activity_tree(activity: Activity) -> Group:
    check_names(activity.nodes)
    nodes = {
        name: _activity_tree(node) if isinstance(node, Activity) else _node_tree(node)
        for name, node in activity.nodes.items()
    }
    return Group({"nodes": Group(nodes)}, {"__type__": "NIRGraphData"})


def _node_tree(observables: Observables) -> Group:
    check_names(observables)
    inner = {name: _observable_tree(one) for name, one in observables.items()}
    return Group({"observables": Group(inner)}, {"__type__": "NIRNodeData"})


def _observable_tree(one: Gridded | Happened) -> Group:
    if isinstance(one, Gridded):
        return Group({"data": one.data}, {"__type__": "TimeGriddedData", "dt": one.step_s})
    items: dict[str, Any] = {"idx": one.idx, "time": one.time_s}
    kind = "EventData" if one.value is None else "ValuedEventData"
    items |= {} if one.value is None else {"value": one.value}
    return Group(items, {"__type__": kind, "n_neurons": one.neurons, "t_max": one.duration_s})
