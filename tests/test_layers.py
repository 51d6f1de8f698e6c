"""The import law: which room may import which, held as data and checked against the source of every module."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "spikestream"

# Who may import whom, besides itself. A later row may say "all above".
_LOW = {
    "errors": "",
    "units": "errors",
    "batch": "errors",
    "registry": "errors",
    "security": "errors",
    "wire": "errors batch",
    "kernels": "",
    "formats": "errors batch kernels registry",
    "model": "errors units",
    "stages": "errors units batch kernels model registry",
    "pipeline": "errors batch stages registry",
    "files": "errors units batch formats model registry",
    "log": "errors batch files wire",
}
_HIGH = {
    "broker": "errors security",
    "client": "errors batch wire security",
    "sensors": "errors units batch formats files wire log kernels registry broker client",
    "outputs": "errors units batch formats files wire registry security broker",
}
_TOP = {**_LOW, "config": "", "building": "", "checkpoint": "", "compiling": "", **_HIGH}
_PICTURES = {"plots": "errors units batch model stages"}
ROOMS = {
    **_LOW,
    "config": " ".join(_LOW),
    "building": " ".join([*_LOW, "config"]),
    "checkpoint": " ".join([*_LOW, "config", "building"]),
    "compiling": " ".join([*_LOW, "config", "building", "checkpoint"]),
    **_HIGH,
    **_PICTURES,
    "service": " ".join(_TOP),
    "checks": " ".join(_TOP),
    "cli": " ".join([*_TOP, *_PICTURES, "service", "checks", "spikestream"]),
    "spikestream": " ".join([*_TOP, *_PICTURES, "service", "checks"]),  # the lazy public names
    "__main__": "cli",
}
NO_SIBLINGS = ("sensors", "outputs", "cli", "formats", "stages")
SIBLINGS_ALLOWED: dict[tuple[str, str], str] = {  # (module, sibling): the reason
    ("formats.datagrams", "formats.es"): "one of its layouts holds an Event Stream",
    ("stages.carfac", "stages.sound"): "what all ears share",
    ("stages.hear", "stages.sound"): "what all ears share",
    ("stages.contrast", "stages.sound"): "what all ears share",
    ("stages.chip.crossbar", "stages.helper"): "a second thread is one thing, whatever it runs",
    ("stages.network.fused", "stages.helper"): "a second thread is one thing, whatever it runs",
    ("stages.simulator", "stages.ticked"): "what all share that run in ticks",
    ("stages.features.edges", "stages.ticked"): "what all share that run in ticks",
    ("stages.features.maps", "stages.ticked"): "what all share that run in ticks",
    ("stages.readout", "stages.windows"): "what all share that decide windows",
    ("stages.classify", "stages.windows"): "what all share that decide windows",
    ("stages.classify.saved", "stages.windows"): "what all share that decide windows",
    ("stages.chip", "stages.ticked"): "what all share that run in ticks",
    ("stages.chip.base", "stages.ticked"): "what all share that run in ticks",
}

# Where a module from outside may be imported at all: rooms, or single files.
ONLY_IN = {
    "numba": ("kernels",),
    "llvmlite": ("kernels",),
    "asyncio": (
        "sensors",
        "outputs",
        "broker",
        "client",
        "log",
        "service",
        "cli",
        "checks",
    ),  # checks runs sensors, too
    "sounddevice": ("sensors.microphone",),
    "matplotlib": ("plots",),
    "aiohttp": ("service",),
    "websockets": ("outputs.websocket", "client.web"),
    "tonic": ("files.datasets.tonic",),
    "nats": ("sensors.nats", "outputs.nats", "broker"),
    "sklearn": ("service.baselines",),
    "h5py": (
        "files.careful_hdf5",
        "files.containers.hdf5_reading",
        "files.containers.hdf5_writing",
        "files.datasets.tonic",
    ),
    "hdf5plugin": ("files.containers.hdf5_reading",),
}
# No stage, kernel, codec or model reads a clock or a socket; what flows and the wire know none either.
BLIND = ("batch", "units", "wire", "kernels", "formats", "model", "stages")
WORLD = ("time", "datetime", "socket", "select", "selectors", "http", "urllib")
KERNELS_MAY = ("numpy", "numba")


class Import(NamedTuple):
    line: int
    module: str  # dotted and absolute


def modules(package: Path) -> dict[str, Path]:
    """Return every module of a package by its dotted name below it; the package itself is ``spikestream``."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        names[".".join(part for part in parts if part != "__init__") or "spikestream"] = path
    return names


def imports(path: Path, package: Path) -> Iterator[Import]:
    """Yield what a file imports anywhere in it: in functions, for type checkers, and by `import_module("name")`."""
    folder = ("spikestream", *path.relative_to(package).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = folder[: len(folder) + 1 - node.level] if node.level else ()
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (Import(node.lineno, f"{origin}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield Import(node.lineno, node.args[0].value)


def part(name: str, index: int) -> str:
    """Return one part of a dotted name, "" where it has none there."""
    return (*name.split("."), "", "")[index]


def inside(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(place + ".") for place in places)


def wrong_room(name: str, target: str) -> str:
    """Return why the module `name` may not import `target` of this package, "" where it may."""
    room, other = part(name, 0), part(target, 0)
    other = other if other in ROOMS else "spikestream"  # a public name, e.g. `from spikestream import read`
    if other != room:
        return "" if other in ROOMS[room].split() else f"{room} may not import {other}"
    if room in NO_SIBLINGS and name != room:
        own, sibling = part(name, 1), part(target, 1)
        if sibling not in (own, "base") and (name, f"{room}.{sibling}") not in SIBLINGS_ALLOWED:
            return f"siblings may share only {room}.base"
    return ""


def wrong_outsider(name: str, target: str) -> str:
    """Return why the module `name` may not import `target` from outside of this package, "" where it may."""
    room, top = part(name, 0), part(target, 0)
    if top in ONLY_IN and not inside(name, ONLY_IN[top]):
        return f"{top} belongs in {', '.join(ONLY_IN[top])}"
    if room in BLIND and top in WORLD:
        return f"{room} sees no clock and no socket"
    if room == "kernels" and top not in KERNELS_MAY and top not in sys.stdlib_module_names:
        return f"kernels may import only {', '.join(KERNELS_MAY)}"
    return ""


def violations(package: Path) -> list[str]:
    """Return every breach of the law in a source tree, one line each."""
    known, found = modules(package), []
    for name, path in known.items():
        if part(name, 0) not in ROOMS:
            found.append(f"{name}: no such room in the design")
            continue
        for line, target in imports(path, package):
            if target == "spikestream.__version__":
                continue
            if part(target, 0) == "spikestream":
                why = wrong_room(name, target.removeprefix("spikestream").removeprefix(".") or "spikestream")
            else:
                why = wrong_outsider(name, target)
            if why:
                found.append(f"{name}:{line} imports {target}: {why}")
    return found


def plant(folder: Path, sources: dict[str, str]) -> Path:
    """Make a small source tree of ``folder/file`` and what is in it."""
    for name, source in sources.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return folder


def test_every_import_keeps_the_law():
    assert violations(PACKAGE) == []


def test_the_law_speaks_of_every_room_that_is_there():
    rooms = {part(name, 0) for name in modules(PACKAGE)}
    assert {"errors", "batch", "kernels", "formats", "stages", "sensors", "outputs", "cli"} <= rooms
    assert rooms <= set(ROOMS)


def test_the_graph_has_no_cycle():
    order = [*_LOW, "config", "building", "checkpoint", "compiling", *_HIGH, *_PICTURES, "service", "checks", "cli"]
    for room in order:
        before = set(order[: order.index(room)])
        assert set(ROOMS[room].split()) - {"spikestream"} <= before, room


def test_an_allowed_exception_is_still_needed():
    used = {
        (name, target.removeprefix("spikestream."))
        for name, path in modules(PACKAGE).items()
        for _, target in imports(path, PACKAGE)
    }
    for name, sibling in SIBLINGS_ALLOWED:
        assert any(n == name and inside(target, (sibling,)) for n, target in used), (name, sibling)


ALLOWED = {
    "formats/aedat2": "import numpy as np\nfrom spikestream.batch import EVENT\nfrom spikestream.formats import base\n",
    "formats/aedat4/packet": "from .table import read\nfrom spikestream.formats.aedat4 import table\n",
    "formats/aedat4/table": "from spikestream.formats import base\nfrom ..base import Decoder\n",
    "formats/__init__": "from spikestream.formats.aedat2 import FORMAT\n",
    "kernels/lif": "import math, numpy\nfrom numba import njit\nfrom spikestream.kernels import CACHE\n",
    "sensors/udp": "import asyncio, socket, time\nfrom spikestream import __version__, files\n",
    "sensors/microphone": "def batches():\n    import sounddevice\n",
    "plots/raster": "def draw():\n    from matplotlib.figure import Figure\n",
    "service/http": "from aiohttp import web\nfrom spikestream import config\n",
    "cli/demo": "import spikestream as ss\nfrom spikestream import read\nfrom spikestream.service import engine\n",
    "__init__": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from spikestream.files import read\n",
}
FORBIDDEN = [
    ("stages/sight", "from spikestream.files import read", "stages may not import files"),
    ("stages/sight", "def f():\n    from spikestream.files import read", "stages may not import files"),
    ("stages/sight", "import spikestream.config as c", "stages may not import config"),
    ("stages/sight", "from spikestream import files", "stages may not import files"),
    ("stages/sight", "from spikestream import read", "stages may not import spikestream"),
    ("stages/sight", "import spikestream", "stages may not import spikestream"),
    ("stages/sight", "from .. import pipeline", "stages may not import pipeline"),
    (
        "stages/sight",
        "if TYPE_CHECKING:\n    from spikestream.sensors.base import Sensor",
        "stages may not import sensors",
    ),
    ("stages/sight", "m = importlib.import_module('spikestream.service')", "stages may not import service"),
    ("stages/sight", "m = __import__('spikestream.service')", "stages may not import service"),
    ("errors", "from spikestream.units import show_us", "errors may not import units"),
    ("kernels/lif", "from spikestream.errors import ModelError", "kernels may not import errors"),
    ("kernels/lif", "import scipy.signal", "kernels may import only numpy, numba"),
    ("files/order", "from numba import njit", "numba belongs in kernels"),
    ("checks", "from spikestream.service.hub import Hub", "checks may not import service"),
    ("service/engine", "from spikestream.cli import main", "service may not import cli"),
    ("stages/sight", "import asyncio", "asyncio belongs in sensors"),
    ("pipeline", "async def f():\n    import asyncio.queues", "asyncio belongs in sensors"),
    ("sensors/wav", "import sounddevice", "sounddevice belongs in sensors.microphone"),
    ("cli/base/drawing", "from matplotlib.figure import Figure", "matplotlib belongs in plots"),
    ("service/engine", "from spikestream.plots import raster", "service may not import plots"),
    ("plots/raster", "from spikestream.cli.base import drawing", "plots may not import cli"),
    ("outputs/tcp", "import aiohttp", "aiohttp belongs in service"),
    ("files/reader", "import tonic.io", "tonic belongs in files.datasets.tonic"),
    ("service/hub", "import nats", "nats belongs in sensors.nats, outputs.nats"),
    (
        "files/nir",
        "def read():\n    import h5py",
        "h5py belongs in files.careful_hdf5, files.containers.hdf5_reading",
    ),
    ("stages/sight", "from time import monotonic", "stages sees no clock and no socket"),
    ("wire", "import socket", "wire sees no clock and no socket"),
    ("sensors/udp", "from spikestream.sensors.tcp import Tcp", "siblings may share only sensors.base"),
    ("sensors/udp", "from .tcp import Tcp", "siblings may share only sensors.base"),
    ("outputs/udp", "from . import tcp", "siblings may share only outputs.base"),
    ("cli/run", "from spikestream.cli import replay", "siblings may share only cli.base"),
    ("formats/aedat4/table", "from ..aedat2 import Decoder", "siblings may share only formats.base"),
    ("formats/base", "from spikestream.formats.aedat2 import Decoder", "siblings may share only formats.base"),
    ("stages/sight", "from spikestream.stages import Filters", "siblings may share only stages.base"),
]


def test_what_the_design_allows_passes(tmp_path: Path):
    assert violations(plant(tmp_path, ALLOWED)) == []


@pytest.mark.parametrize(("module", "source", "why"), FORBIDDEN)
def test_the_law_bites(tmp_path: Path, module: str, source: str, why: str):
    (found,) = violations(plant(tmp_path, {module: source}))
    assert found.startswith(module.replace("/", ".") + ":")
    assert why in found


def test_a_room_outside_the_design_is_reported(tmp_path: Path):
    tree = plant(tmp_path, {"utils": "", "helpers/text": ""})
    assert violations(tree) == ["helpers.text: no such room in the design", "utils: no such room in the design"]
