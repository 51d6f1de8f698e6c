"""Each law of a writer bites: a lawful one, broken in one place, breaks just the laws it should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from broken import broken

from spikestream import checks, registry
from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.files.containers.npz import NpzPacker
from spikestream.formats import aedat4, es
from spikestream.formats.base.records import refuse, refuse_outside


def named(name: str, **parts: Any) -> Any:
    return replace(registry.load("formats", name), **parts)


class TurnsAnEvent(es.Encoder):
    def feed(self, events: Array) -> bytes:
        events = events.copy()
        events["p"][-1:] ^= True
        return super().feed(events)


class AnySize(aedat4.Encoder):
    """Stores the first size, whatever comes."""

    grow: Any = property()  # which hasattr says is not there

    def _refuse(self, events: Array) -> None:
        pass


class NoRemedy(es.Encoder):
    def feed(self, events: Array) -> bytes:
        refuse_outside(self._size, events, 0, "an Event Stream", remedy="")
        return super().feed(events)


class ForgetsToGrow(aedat4.Encoder):
    """Lets events lie within the larger size, and stores the first one all the same."""

    def index(self) -> tuple[bytes, int, bytes]:
        self._size = self._first
        return super().index()


class GrowsByItself(NpzPacker):
    """Stores a size that holds what came, whatever it was told: nothing lies outside of that."""

    def feed(self, events: Array) -> None:
        wide, high = self._size
        self._size = max(wide, int(events["x"].max()) + 1), max(high, int(events["y"].max()) + 1)
        super().feed(events)


class NeverRefuses(NpzPacker):
    def feed(self, events: Array) -> None:
        size, self._size = self._size, None
        super().feed(events)
        self._size = size


class AnyTime(NpzPacker):
    def feed(self, events: Array) -> None:
        held, events = events["t"], events.copy()
        events["t"] = 0
        super().feed(events)
        self._held["t"].seek(-held.size * 8, 2)
        self._held["t"].write(held.tobytes())


class NoRemedyForTime(NpzPacker):
    def feed(self, events: Array) -> None:
        refuse(events["t"] != events["t"] << 1 >> 1, events, 0, "it", "less", remedy="")
        super().feed(events)


class RaisesAtOnce(NpzPacker):
    def feed(self, events: Array) -> None:
        if np.any(events["x"] == 0):
            raise RecordingError("x = 0 cannot be written", remedy="another format")
        super().feed(events)


WRITERS: list[tuple[Any, set[str]]] = [
    (named("es"), set()),
    (named("aedat4"), set()),
    (named("csv"), set()),
    (named("npz"), set()),
    (named("npz", packer=GrowsByItself), set()),
    (named("es", encoder=TurnsAnEvent), {"reads back"}),
    (named("npz", packer=RaisesAtOnce), {"reads back"}),
    (named("npz", packer=AnyTime), {"stream time"}),
    (named("npz", packer=NoRemedyForTime), {"stream time"}),
    (named("aedat4", encoder=AnySize), {"told size", "growing size", "stream time"}),
    (named("es", encoder=NoRemedy), {"told size", "growing size"}),
    (named("aedat4", encoder=ForgetsToGrow), {"growing size"}),
    (named("npz", packer=NeverRefuses), {"told size"}),
]


@pytest.mark.parametrize(("format", "laws"), WRITERS)
def test_laws_of_writers_bite(format: Any, laws: set[str], tmp_path: Path):
    assert broken(checks.writer(format, tmp_path)) == laws


def test_every_law_of_writers_is_shown_to_bite(tmp_path: Path):
    assert set.union(*(laws for _, laws in WRITERS)) == {name for name, _ in checks.writer(named("csv"), tmp_path)}
