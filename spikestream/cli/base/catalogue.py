"""What is known of a saved model: what it holds itself, and what the notes beside it, ``FILE.json``, say of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikestream.errors import printable
from spikestream.files.atomic import replacing
from spikestream.files.regular import open_regular

if TYPE_CHECKING:
    from spikestream.config import Config

MOST_NOTES = 1 << 20
"""Bytes of notes that are read."""
LONGEST = 200
"""Characters of what notes say that are shown."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One model: ``accuracy`` is what its notes state, measured by whoever made it; ``size`` counts bytes."""

    name: str
    path: str
    rule: str
    classes: tuple[str, ...]
    sensor: str
    accuracy: float | None
    measured_on: str
    size: int


def rule_of(config: Config) -> str:
    """Return by which rule a configuration learns: eprop, stdp, none, model for rules of its own, or chip."""
    if getattr(config.readout, "kind", "votes") == "classifier":
        return "eprop"
    if config.chip.placement or config.chip.model:
        return "chip"
    return "model" if config.model else config.learn.rule


def entry(path: str, name: str = "") -> Entry:
    """Return what a model file says of itself; raises `ModelError`."""
    from spikestream import checkpoint
    from spikestream.service.tally import in_order

    config, state = checkpoint.contents(path)
    told = _notes(path)
    held_out = told.get("held_out")
    accuracy = held_out.get("accuracy") if isinstance(held_out, Mapping) else None
    sound = f"sound, {config.sensor.samplerate_hz:,} Hz" if config.sensor.samplerate_hz else ""
    return Entry(
        name or Path(path).stem,
        path,
        rule_of(config),
        tuple(in_order(printable(str(label)) for label in state.get("readout/labels", ()))),
        sound or (f"events, {config.sensor.size}" if config.sensor.size else "events"),
        float(accuracy) if isinstance(accuracy, int | float) and 0 <= accuracy <= 1 else None,
        printable(str(told.get("measured_on", ""))[:LONGEST]).replace("\n", " "),
        os.path.getsize(path),
    )


def write_notes(path: str, notes: Mapping[str, Any]) -> None:
    """Write the notes of a model beside it, whole or not at all; raises `RecordingError`."""
    with replacing(f"{path}.json") as temporary:
        temporary.write_text(json.dumps(notes, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _notes(path: str) -> Mapping[str, Any]:
    """Return the notes beside a model, none where they are missing or not understood: they are only hearsay."""
    with suppress(OSError, ValueError, RecursionError), open_regular(f"{path}.json") as file:
        told = json.loads(file.read(MOST_NOTES))
        return told if isinstance(told, dict) else {}
    return {}
