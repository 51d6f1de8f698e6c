"""``spikestream devices``: what can be opened live, and what is missing where nothing can be."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from spikestream.cli.base import Console, add_quiet

if TYPE_CHECKING:
    from spikestream.sensors.base import Device, Finding


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sensor: its devices, or why they cannot be listed, and what to do about it."""

    kind: str
    devices: list[Device] = field(default_factory=list)
    unavailable: str = ""
    remedy: str = ""


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(prog="spikestream devices", description=__doc__)
    made.add_argument("kinds", nargs="*", metavar="KIND", help="list these only: microphone, or a plugin's sensor")
    made.add_argument("--json", action="store_true", help="one JSON list")
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Print the devices; return 4 where a kind that is named has none, or cannot be asked."""
    from spikestream.errors import DeviceError

    console = Console(options.quiet)
    kinds = [_named(name) for name in options.kinds] if options.kinds else list(_all())
    if options.json:
        console.json([asdict(kind) for kind in kinds])
    else:
        for line in _lines(kinds):
            console.out(line)
    return DeviceError.exit_code if options.kinds and not all(kind.devices for kind in kinds) else 0


def _all() -> Iterator[Kind]:
    """Yield the kinds that have devices, or would have them; one that does not load might."""
    from spikestream.errors import PluginError
    from spikestream.registry import found, load
    from spikestream.sensors.base import Finding

    for name in sorted({entry.name for entry in found("sensors")}):
        try:
            factory = load("sensors", name)
        except PluginError as error:
            yield Kind(name, unavailable=error.what, remedy=error.remedy)
            continue
        if isinstance(factory, Finding):
            yield _asked(name, factory)


def _named(name: str) -> Kind:
    from spikestream.errors import ConfigError
    from spikestream.registry import load
    from spikestream.sensors.base import Finding

    factory = load("sensors", name)
    if not isinstance(factory, Finding):
        raise ConfigError(f"sensor '{name}' has no devices to list", key="KIND", value=name)
    return _asked(name, factory)


def _asked(name: str, factory: Finding) -> Kind:
    from spikestream.errors import SpikestreamError

    try:
        return Kind(name, factory.devices())
    except SpikestreamError as error:
        return Kind(name, unavailable=error.what, remedy=error.remedy)
    except Exception as error:  # of a plugin, which must not hide what the others have
        return Kind(name, unavailable=f"{type(error).__name__}: {error}")


def _lines(kinds: list[Kind]) -> Iterator[str]:
    rows = [(one.uri, one.name, one.detail) for kind in kinds for one in kind.devices]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    for uri, name, detail in rows:
        yield f"{uri:{widths[0]}}  {name:{widths[1]}}  {detail}".rstrip()
    for kind in kinds:
        if kind.unavailable:
            yield f"{kind.kind}: unavailable: {kind.unavailable}" + (f"; try: {kind.remedy}" if kind.remedy else "")
        elif not kind.devices:
            yield f"{kind.kind}: there is none"
