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


def tables_of_chip(model: str) -> dict[str, Any]:
    """Return the tables of the saved model that a chip is to hold, {} for what is no saved model."""
    from spikestream.service.placing import is_saved

    return {**tables_of_model(model), "chip": {}} if model and is_saved(model) else {}


SOUND = {"network": {"theta_plus": 0.5}}
"""What is different for sound unless it is set: a cochlea gives more spikes than a camera does after `downsample`."""


def tables_of_sensor(uri: str) -> Mapping[str, Any]:
    """Return the defaults that go with what a sensor's URI names, in front of all that is set."""
    from spikestream.files.sound import is_sound
    from spikestream.sensors.base import parse_uri

    scheme, location, _ = parse_uri(uri)
    sounds = scheme in ("wav", "microphone") or (scheme == "file" and location != "-" and is_sound(location))
    return SOUND if sounds else {}


def says_windows(path: str | None, sets: Sequence[str]) -> bool:
    """Return whether a configuration file or a setting chose the windows itself."""
    from spikestream.config import read_config

    return read_config(path, sets, base={"readout": {"windows": "unset"}}).readout.windows != "unset"
