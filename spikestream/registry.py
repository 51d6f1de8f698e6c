"""Built-ins and plugins found through the same entry points, loaded only when they are named."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from spikestream.errors import PluginError, nearest

GROUPS = ("sensors", "formats", "stages", "neurons", "rules", "outputs")


@dataclass(frozen=True, slots=True)
class Found:
    """A registered name, before anything of it is imported."""

    group: str
    name: str
    value: str
    distribution: str
    version: str


def _points(group: str) -> list[EntryPoint]:
    return sorted(entry_points(group=f"spikestream.{group}"), key=lambda point: point.name)


def _origin(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "?"


def found(group: str) -> list[Found]:
    """Return what is registered in a group, sorted by name, without importing any of it."""
    return [
        Found(group, p.name, p.value, _origin(p), p.dist.version if p.dist is not None else "?") for p in _points(group)
    ]


def load(group: str, name: str) -> Any:
    """Import and return the one object registered as `name`; raises `PluginError` where there is none, or two."""
    points = {(p.value, _origin(p)): p for p in _points(group) if p.name == name}
    kind = group.removesuffix("s")
    if not points:
        known = [p.name for p in _points(group)]
        close = nearest(name, known)
        raise PluginError(
            f"unknown {kind} '{name}'" + (f"; did you mean '{close}'?" if close else ""),
            details=[f"known: {', '.join(known) or 'none'}"],
            remedy="spikestream plugins",
        )
    if len(points) > 1:
        origins = sorted(origin for _, origin in points)
        raise PluginError(
            f"{kind} '{name}' is registered {len(points)} times: by {', '.join(origins)}",
            remedy=f"pip uninstall {origins[-1]}",
        )
    (point,) = points.values()
    try:
        return point.load()
    except Exception as error:  # whatever a module raises while it is imported is that module's fault
        raise PluginError(f"{kind} '{name}' of {_origin(point)} does not load: {error}") from error
