"""What a configuration is made on: the defaults that go with a sensor, a saved model, and the model of a chip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikestream.config import Config

OF_A_RUN = ("sensor", "publish", "checkpoint", "log", "restart", "control", "http")
"""Sections that belong to a sensor and a run, and not to what a model has learned."""


def tables_of_model(path: str) -> dict[str, Any]:
    """Return the tables that a model was made with, without what belongs to the sensor and the run it came from.

    The sample rate stays: an axon at another one would be another frequency.
    """
    from spikestream.checkpoint import config_of

    tables = asdict(config_of(path))
    kept = {key: value for key, value in tables.items() if key not in OF_A_RUN}
    kept["sensor"] = {"samplerate_hz": tables["sensor"]["samplerate_hz"]}
    # Its windows were those of the labels it was trained with.
    kept["readout"] = {key: value for key, value in kept["readout"].items() if key != "windows"}
    return kept


def tables_of_chip(model: str) -> dict[str, Any]:
    """Return the tables of the saved model that a chip is to hold, {} for what is no saved model."""
    from spikestream.service.placing import is_saved

    return {**tables_of_model(model), "chip": {}} if model and is_saved(model) else {}


SOUND = {"network": {"theta_plus": 0.5}}
"""What is different for sound unless it is set: a cochlea gives more spikes than a camera does after `downsample`."""


def tables_of_sensor(uri: str) -> Mapping[str, Any]:
    """Return the defaults that go with what a sensor's URI names, in front of all that is set.

    A data set brings its own, in its class: ``tables``, or ``tables_of`` what its URI names.
    """
    from spikestream.files.sound import is_sound
    from spikestream.registry import load
    from spikestream.sensors.base import parse_uri

    scheme, location, _ = parse_uri(uri)
    if scheme != "file":
        kind = load("sensors", scheme)
        own: Mapping[str, Any] = kind.tables_of(location) if hasattr(kind, "tables_of") else getattr(kind, "tables", {})
        return own or (SOUND if scheme in ("wav", "microphone") else {})
    return SOUND if location != "-" and is_sound(location) else {}


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of both, where a key of ``above`` wins over the same key of ``below``."""
    made = {**below, **above}
    return made | {k: {**below[k], **above[k]} for k in below.keys() & above.keys() if isinstance(below[k], Mapping)}


def base_of(config: Config) -> dict[str, Any]:
    """Return the defaults that go with the sensor and the chip that a daemon's configuration names."""
    return overlaid(tables_of_sensor(config.sensor.uri), tables_of_chip(config.chip.model))
