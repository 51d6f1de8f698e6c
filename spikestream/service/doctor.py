"""What this machine offers a daemon, one thing after the other, from versions and caches to ports and plugins."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import shutil
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit

from spikestream import __version__
from spikestream.config import Config
from spikestream.errors import SpikestreamError
from spikestream.files import shipped
from spikestream.registry import GROUPS, found, load

if TYPE_CHECKING:
    from spikestream.service.job import Job

State: TypeAlias = Literal["ok", "note", "bad"]
OPEN_FILES = 1_024
"""So many descriptors a daemon with the default of 256 connections is at ease with."""
FREE_BYTES = 1 << 30
PORTS = {7077: "the wire", 7078: "HTTP", 7079: "WebSocket"}
LISTENING = ("tcp", "tcps", "ws", "wss")
EXTRAS = {
    "plots": ("matplotlib",),
    "nir": ("h5py",),
    "baselines": ("sklearn",),
    "nats": ("nats",),
    "hdf5": ("h5py", "hdf5plugin", "zlib_ng"),
    "datasets": ("tonic",),
}
"""The modules that each extra of the package brings."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: ``ok``, ``note`` (it works, but) or ``bad``, and what to do about it."""

    what: str
    state: State
    text: str
    remedy: str = ""


def examine(configured: Callable[[], Mapping[str, Config]] | None = None) -> Iterator[Finding]:
    """Yield what is found, one thing after the other; ``configured`` reads the pipelines of a daemon, looked at too."""
    for look in (_versions, _cache, _processors, _files, _disk, _recordings, _extras, _plugins, _microphones, _ports):
        yield from _safely(look.__name__.strip("_"), look)
    if configured is not None:
        yield from _safely("configuration", lambda: _pipelines(configured()))


def _safely(what: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield what a look finds; one that fails is a finding as well, and no end of the examination."""
    try:
        yield from look()
    except SpikestreamError as error:
        text = str(error).partition("\n  try: ")[0].replace("\n  ", "; ")
        yield Finding(what, "bad", text, error.remedy)
    except Exception as error:
        yield Finding(what, "bad", f"cannot be looked at: {type(error).__name__}: {error}")


def _versions() -> Iterator[Finding]:
    yield Finding("spikestream", "ok", f"{__version__} in {shipped.PACKAGE}")
    yield Finding("Python", "ok", f"{platform.python_version()} ({sys.executable}), {platform.platform()}")
    for line in requires("spikestream") or ():
        if "extra ==" in line:
            continue
        name = line.split(">")[0].split("=")[0].split(";")[0].strip()
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            yield Finding(name, "bad", f"is not installed; needed is {line}", f"pip install '{line}'")


def _cache() -> Iterator[Finding]:
    from spikestream import kernels

    if kernels.CACHE is None:
        text = "no folder for compiled kernels can be written: each start compiles them anew"
        yield Finding("kernel cache", "bad", text, "set SPIKESTREAM_CACHE to a folder that this user may write")
    elif kernels.COLD:
        yield Finding("kernel cache", "note", f"{kernels.CACHE} is empty: the first run compiles for some seconds")
    else:
        size = sum(file.stat().st_size for file in kernels.CACHE.rglob("*") if file.is_file())
        yield Finding("kernel cache", "ok", f"{kernels.CACHE}, {size / 1e6:.1f} MB")


def _processors() -> Iterator[Finding]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0]
    text = f"{usable} usable of {os.cpu_count()}, load {load:.1f}"
    busy = load > usable
    yield Finding("processors", "note" if busy else "ok", text + (": others keep them busy" if busy else ""))
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    yield Finding("memory", "ok", f"{total / 2**30:.1f} GiB")


def _files() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= OPEN_FILES:
        yield Finding("open files", "ok", f"up to {soft:,}")
    else:
        text = f"only {soft:,} at a time: with many subscribers they run out"
        yield Finding("open files", "note", text, f"ulimit -n {min(hard, 4_096) if hard > 0 else 4_096}")


def _disk() -> Iterator[Finding]:
    here = Path.cwd()
    free = shutil.disk_usage(here).free
    state: State = "ok" if free >= FREE_BYTES else "note"
    yield Finding("disk", state, f"{free / 1e9:.1f} GB free at {here}")
    if not os.access(here, os.W_OK):
        yield Finding(
            "disk", "note", f"{here} is not this user's to write: records and checkpoints need another folder"
        )


def _recordings() -> Iterator[Finding]:
    place = shipped.folder("recordings")
    if place is None:
        yield Finding(
            "recordings", "bad", "what ships with the package is not there", "pip install --force-reinstall spikestream"
        )
        return
    sidecars = sorted(place.glob("*.json"))
    damaged = [one.stem for one in sidecars if not _whole(one)]
    if damaged:
        text = f"damaged or missing in {place}: {', '.join(damaged)}"
        yield Finding("recordings", "bad", text, "pip install --force-reinstall spikestream")
    else:
        yield Finding("recordings", "ok", f"{len(sidecars)} in {place}, all whole")
    yield Finding("models", "ok", ", ".join(shipped.models()) or "none shipped")


def _whole(sidecar: Path) -> bool:
    recording, told = sidecar.with_suffix(""), json.loads(sidecar.read_text(encoding="utf-8"))
    return recording.is_file() and hashlib.sha256(recording.read_bytes()).hexdigest() == told["sha256"]


def _extras() -> Iterator[Finding]:
    for extra, modules in EXTRAS.items():
        missing = [module for module in modules if find_spec(module) is None]
        if missing:
            text = f"not installed ({', '.join(missing)})"
            yield Finding(f"extra [{extra}]", "note", text, f"pip install 'spikestream[{extra}]'")
        else:
            yield Finding(f"extra [{extra}]", "ok", "installed")


def _plugins() -> Iterator[Finding]:
    entries = [entry for group in GROUPS for entry in found(group)]
    twice = Counter((entry.group, entry.name) for entry in entries)
    foreign = [entry for entry in entries if entry.distribution != "spikestream"]
    yield Finding("plugins", "ok", f"{len(entries) - len(foreign)} built in, {len(foreign)} installed")
    for (group, name), count in twice.items():
        if count > 1:
            text = f"registered {count} times; naming it is an error"
            yield Finding(f"{group} {name}", "bad", text, "spikestream plugins")
    for entry in foreign:
        if twice[entry.group, entry.name] > 1:
            continue
        try:
            load(entry.group, entry.name)
            yield Finding(f"{entry.group} {entry.name}", "ok", f"of {entry.distribution} {entry.version}")
        except SpikestreamError as error:
            yield Finding(f"{entry.group} {entry.name}", "bad", error.what, error.remedy)


def _microphones() -> Iterator[Finding]:
    from spikestream.errors import DeviceError
    from spikestream.sensors.microphone.driver import devices

    try:
        names = [one.name for one in devices()]
    except DeviceError as error:
        yield Finding("microphones", "note", error.what, error.remedy)
        return
    text = ", ".join(names) if names else "none: `spikestream listen` has nothing to listen to"
    yield Finding("microphones", "ok" if names else "note", text)


def _ports() -> Iterator[Finding]:
    for port, what in PORTS.items():
        yield _port("127.0.0.1", port, what)


def _port(host: str, port: int, what: str) -> Finding:
    with socket.socket() as probe:
        taken = probe.connect_ex((host, port)) == 0
    if not taken:
        return Finding(f"port {port}", "ok", f"free, for {what}")
    text = f"somebody listens at it already: a second daemon needs another port for {what}"
    return Finding(f"port {port}", "note", text, "ss -ltnp")


def _named_ports(configs: Mapping[str, Config]) -> Iterator[Finding]:
    """Yield what is found of the ports that a daemon listens at, beside those it does by default."""
    from spikestream.service.http import address

    places = {url: address(url)[:2] for url in {config.http.url for config in configs.values()} if url}
    for url in {url for config in configs.values() for url in config.publish.urls}:
        parts = urlsplit(url)
        if parts.scheme in LISTENING and parts.hostname and parts.port:
            places[url] = parts.hostname, parts.port
    for url, (host, port) in sorted(places.items()):
        if port not in PORTS:
            yield _port("127.0.0.1" if host in ("0.0.0.0", "::", "*") else host, port, url)


def _looked_at(config: Config) -> Job:
    """Return what a daemon would do with a configuration; unlike it, a damaged checkpoint stays where it is."""
    from spikestream.service.job import Job

    path = config.checkpoint.path
    return Job(config, model=path if path and Path(path).is_file() else "", save=path, blocking=False)


def _pipelines(configs: Mapping[str, Config]) -> Iterator[Finding]:
    from spikestream.outputs.base import open_output
    from spikestream.service.daemon import check_together
    from spikestream.service.hub import Hub
    from spikestream.service.lane import Lane

    for url in {url for config in configs.values() for url in config.publish.urls}:
        open_output(url)
    yield from _named_ports(configs)
    jobs = {name: _looked_at(config) for name, config in configs.items()}
    check_together(jobs)
    for name, config in configs.items():
        Lane(jobs[name], Hub([], epoch=""))
        yield Finding(f"pipeline {name}", "ok", f"{config.sensor.uri} can be opened, and what is behind it built")
        path = config.checkpoint.path
        folder = Path(path).absolute().parent
        if path and not os.access(folder, os.W_OK):
            text = f"{folder} is no folder that this user may write"
            yield Finding(f"checkpoint of {name}", "bad", text, "set checkpoint.path to another one")
