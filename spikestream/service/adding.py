"""What a pipeline may name that is added while a daemon runs: files of one folder only, unless the folder itself says.

A TOML file in the folder of control is the word of who may write there, and may name anything. A text that comes with
a request is the word of whoever could connect: its files must lie in that folder, and its sensor be a microphone or
a file there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spikestream.sensors.base import parse_uri
from spikestream.service.asked import below
from spikestream.wire import Refusal

PATHS = (("checkpoint", "path"), ("chip", "placement"), ("chip", "model"), ("model", "file"))
"""Keys of a configuration that name a file."""
OF_FILES = ("file", "record", "wav")
"""Sensors whose location is a file or a folder."""


def confined(tables: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return tables of a stranger, whose files all lie below the folder; raises `Refusal` for any other."""
    made = {name: dict(table) if isinstance(table, Mapping) else table for name, table in tables.items()}
    for section, key in PATHS:
        table = made.get(section)
        if isinstance(table, dict) and table.get(key):
            table[key] = below(folder, str(table[key]))
    sensor = made.get("sensor")
    if isinstance(sensor, dict) and "uri" in sensor:
        sensor["uri"] = _sensor(str(sensor["uri"]), folder)
    return made


def _sensor(uri: str, folder: str) -> str:
    """Return the URI of a sensor that a stranger may name."""
    if Path(folder, uri).is_file():
        return below(folder, uri)
    scheme, location, _ = parse_uri(uri)
    if scheme == "microphone":
        return uri
    if scheme not in OF_FILES or uri == "-":
        text = f"sensor '{scheme:.40}' may be named only by a file in the folder of control"
        raise Refusal("folder", f"{text}, or in this text: microphone, {', '.join(OF_FILES)}")
    query = uri.partition("?")[2]
    head = "" if "://" not in uri and ":" not in uri else f"{scheme}:"
    return f"{head}{below(folder, location)}" + (f"?{query}" if query else "")
