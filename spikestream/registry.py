"""Built-ins and plugins found through the same entry points, loaded only when they are named."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any
from urllib.parse import unquote

from spikestream.errors import PluginError, nearest

GROUPS = ("sensors", "formats", "stages", "neurons", "rules", "outputs")
LISTS = {"formats": "spikestream formats"}
"""What tells of the names of a group, where it is not what tells of all of them."""
APART = {("sensors", "camera"): "pip install -e plugins/camera, in the repository of spikestream (docs/live.md)"}
"""How to install what is ours and no part of the package."""


@dataclass(frozen=True, slots=True)
class Found:
    """A registered name, before anything of it is imported."""

    group: str
    name: str
    value: str
    distribution: str
    version: str


def _points(group: str) -> dict[Found, EntryPoint]:
    return _scanned(group, tuple((folder, _changed_ns(folder)) for folder in sys.path))


@lru_cache(maxsize=2 * len(GROUPS))
def _scanned(group: str, path: tuple[tuple[str, int], ...]) -> dict[Found, EntryPoint]:
    """Return what is registered, sorted by name: looked for again when a folder of ``path`` has changed, as it takes
    longer than to read a small file.
    """
    points = sorted(entry_points(group=f"spikestream.{group}"), key=lambda point: point.name)
    origins = [(p.dist.name, p.dist.version) if p.dist is not None else ("?", "?") for p in points]
    return {Found(group, p.name, p.value, *origin): p for p, origin in zip(points, origins, strict=True)}


def _changed_ns(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


def found(group: str) -> list[Found]:
    """Return what is registered in a group, sorted by name, without importing any of it."""
    return list(_points(group))


def load(group: str, name: str) -> Any:
    """Import and return the one object registered as `name`; raises `PluginError` where there is none, or two."""
    return loader(group)(name)


def loader(group: str) -> Callable[[str], Any]:
    """Return what does as `load` for names of one group, as they are registered now: for who asks for many of them."""
    return partial(_load, group, _points(group))


def _load(group: str, registered: Mapping[Found, EntryPoint], name: str) -> Any:
    points = {(one.value, one.distribution): p for one, p in registered.items() if one.name == name}
    kind = group.removesuffix("s")
    if not points:
        known = [one.name for one in registered]
        close = nearest(name, known)
        raise PluginError(
            f"unknown {kind} '{name}'" + (f"; did you mean '{close}'?" if close else ""),
            details=[f"known: {', '.join(known) or 'none'}"],
            remedy=APART.get((group, name), LISTS.get(group, "spikestream plugins")),
        )
    if len(points) > 1:
        origins = sorted(origin for _, origin in points)
        raise PluginError(
            f"{kind} '{name}' is registered {len(points)} times: by {', '.join(origins)}",
            remedy=f"pip uninstall {origins[-1]}",
        )
    ((_, origin), point) = next(iter(points.items()))
    try:
        return point.load()
    except Exception as error:  # whatever a module raises while it is imported is that module's fault
        what = f"{kind} '{name}' of {origin} does not load: {error}"
        raise PluginError(what, remedy=f"{_again(point)}, or leave it out: pip uninstall {origin}") from error


def _again(point: EntryPoint) -> str:
    """Return the command that installs once more what a plugin is part of, from where it was installed."""
    dist = point.dist
    told = (dist.read_text("direct_url.json") if dist is not None else None) or ""
    # Written by pip for what came from elsewhere: another may have taken its name on the index.
    origin = json.loads(told or "{}")
    url, vcs = str(origin.get("url", "")), origin.get("vcs_info", {}).get("vcs", "")
    name = f"{vcs}+{url}" if vcs else unquote(url.removeprefix("file://")) if url else dist.name if dist else point.name
    return f"pip install --upgrade --force-reinstall {shlex.quote(name)}"
