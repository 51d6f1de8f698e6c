"""What the verbs that run a pipeline make of their options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spikestream.service.defaults import OF_A_RUN, overlaid, tables_of_model, tables_of_sensor


def tables_of(uri: str, model: str | None) -> Mapping[str, Any]:
    """Return the tables a model or a record brings along, without what belongs to the sensor it came from."""
    from spikestream.sensors.record import Record, is_record

    if is_record(uri):  # a record is replayed as it was run, with another model's memory where one is named
        tables: Mapping[str, Any] = Record(uri).config
        kept = {key: value for key, value in tables.items() if key not in OF_A_RUN}
        sensor = tables.get("sensor")
        return kept | {"sensor": {"size": sensor.get("size", "") if isinstance(sensor, Mapping) else ""}}
    of_sensor = tables_of_sensor(uri)
    return overlaid(of_sensor, tables_of_model(model)) if model else of_sensor


WORDS: dict[str, Any] = {
    "hear": {"stage": "contrast", "bands": 32, "even": 0.5},
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


def says_windows(path: str | None, sets: Sequence[str]) -> bool:
    """Return whether a configuration file or a setting chose the windows itself."""
    from spikestream.config import read_config

    return read_config(path, sets, base={"readout": {"windows": "unset"}}).readout.windows != "unset"
