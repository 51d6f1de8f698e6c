"""What the verbs that run a pipeline make of their options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any


def tables_of_model(path: str) -> dict[str, Any]:
    """Return the tables that a model was made with, without what belongs to the sensor and the run it came from.

    The sample rate stays: an axon at another one would be another frequency.
    """
    from spikestream.checkpoint import config_of

    tables = asdict(config_of(path))
    kept = {key: value for key, value in tables.items() if key not in ("sensor", "publish", "checkpoint")}
    kept["sensor"] = {"samplerate_hz": tables["sensor"]["samplerate_hz"]}
    # Its windows were those of the labels it was trained with.
    kept["readout"] = {key: value for key, value in kept["readout"].items() if key != "windows"}
    return kept


def tables_of(uri: str, model: str | None) -> Mapping[str, Any]:
    """Return the tables a model or a record brings along, without what belongs to the sensor it came from."""
    from spikestream.sensors.record import Record, is_record

    if is_record(uri):  # a record is replayed as it was run, with another model's memory where one is named
        tables: Mapping[str, Any] = Record(uri).config
        kept = {key: value for key, value in tables.items() if key not in ("sensor", "publish", "checkpoint")}
        sensor = tables.get("sensor")
        return kept | {"sensor": {"size": sensor.get("size", "") if isinstance(sensor, Mapping) else ""}}
    of_sensor = tables_of_sensor(uri)
    return overlaid(of_sensor, tables_of_model(model)) if model else of_sensor


def tables_of_chip(model: str) -> dict[str, Any]:
    """Return the tables of the saved model that a chip is to hold, {} for what is no saved model."""
    from spikestream.service.placing import is_saved

    return {**tables_of_model(model), "chip": {}} if model and is_saved(model) else {}


SOUND = {"network": {"theta_plus": 0.5}}
"""What is different for sound unless it is set: a cochlea gives more spikes than a camera does after `downsample`."""


WORDS: dict[str, Any] = {
    "hear": {"bands": 32, "even": 0.5},
    "readout": {"kind": "classifier"},
    "classifier": {
        "tick_us": 5_000,
        "reset": True,
        "store": 2_000,
        "recent": 10,
        "replays": 20,
        "most_spikes": 20_000,
        "tau_m_ms": [10.0, 60.0],
        "tau_out_ms": [30.0, 150.0, 400.0],
        "update_ms": 10.0,
        "w_init": 0.2,
        "rate": 1e-3,
        "rate_end": 3e-4,
        "rate_half": 3_000.0,
        "confidence_min": 0.7,
    },
}
"""What is different beside for words that are taught one by one."""


def tables_of_sensor(uri: str) -> Mapping[str, Any]:
    """Return the defaults that go with what a sensor's URI names, in front of all that is set.

    A data set brings its own, in its class: ``tables``.
    """
    from spikestream.files.sound import is_sound
    from spikestream.registry import load
    from spikestream.sensors.base import parse_uri

    scheme, location, _ = parse_uri(uri)
    if scheme != "file":
        own: Mapping[str, Any] = getattr(load("sensors", scheme), "tables", {})
        return own or (SOUND if scheme in ("wav", "microphone") else {})
    return SOUND if location != "-" and is_sound(location) else {}


def says_windows(path: str | None, sets: Sequence[str]) -> bool:
    """Return whether a configuration file or a setting chose the windows itself."""
    from spikestream.config import read_config

    return read_config(path, sets, base={"readout": {"windows": "unset"}}).readout.windows != "unset"


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of both, where a key of ``above`` wins over the same key of ``below``."""
    made = {**below, **above}
    return made | {k: {**below[k], **above[k]} for k in below.keys() & above.keys() if isinstance(below[k], Mapping)}
