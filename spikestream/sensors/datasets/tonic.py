"""Data sets of the package tonic as sensors, and any other list of samples that are (events, label)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ConfigError
from spikestream.files.datasets.samples import Choice, choose
from spikestream.files.datasets.tonic import Indexable, Part, events_of, flat, held_out, labels_of, open_parts
from spikestream.files.options import check_options
from spikestream.sensors.datasets.base import EventSet, Slots
from spikestream.sensors.datasets.options import choice_of, microseconds, whole
from spikestream.units import pixels

SLOTS_MS = {"NMNIST": 320.0, "NCALTECH101": 320.0}
"""How long a window is by default, of others a second."""
ORDERS = ("mixed", "shuffled", "stored")
MARKED = {"readout": {"windows": "marked"}}


class Samples(EventSet):
    """Samples (events, label) of a data set, each from the beginning of a slot of ``slot_ms`` on, ``gap_ms`` behind.

    ``train`` and ``test`` are data sets of tonic, or lists; without ``test`` every fifth sample of each class is held
    out. ``size`` is (width, height) in pixels, or (channels, 1) of sound, whose events have no y. ``order`` is "mixed":
    a fixed order in which all classes take turns by chance; "shuffled": another one in every epoch; or "stored".
    Other options are those of `Choice`. Raises `RecordingError` and `ConfigError`.
    """

    def __init__(
        self,
        train: Indexable,
        test: Indexable | None = None,
        *,
        size: tuple[int, int],
        slot_ms: float | str = 1_000.0,
        gap_ms: float | str = 0.0,
        together: int | str = 1,
        order: str = "mixed",
        name: str = "samples",
        **choice: Any,
    ) -> None:
        check_options("a data set", Choice, choice)
        labels = labels_of(train, name)
        none_held = np.zeros(len(labels), bool)
        parts = [Part(train, labels, held_out(labels) if test is None else none_held, range(len(labels)))]
        if test is not None:
            labels = labels_of(test, name)
            parts.append(Part(test, labels, np.ones(len(labels), bool), range(len(labels))))
        slots = Slots(microseconds("slot_ms", slot_ms), microseconds("gap_ms", gap_ms, 0))
        self._play(name, parts, size, slots, together, {**choice, "order": order})

    def _play(
        self,
        name: str,
        parts: Sequence[Part],
        size: tuple[int, int],
        slots: Slots,
        together: int | str,
        choice: Mapping[str, Any],
    ) -> None:
        """Lay the samples of all parts out in stream time."""
        order = choice["order"]
        if order not in ORDERS:
            raise ConfigError(f"unknown order '{order}'", key="order", value=order, allowed=", ".join(ORDERS))
        chosen = choice_of({**choice, "order": "shuffled" if order == "shuffled" else "stored"})
        self._samples: list[tuple[Indexable, int]] = []
        labels: list[str] = []
        test: list[bool] = []
        for part in parts:
            places = np.arange(len(part.labels))
            if order != "stored":  # or the first thousand of ten classes would be of one
                places = np.random.default_rng(0).permutation(len(part.labels))
            self._samples += [(part.data, part.index[k]) for k in places.tolist()]
            labels += [part.labels[k] for k in places.tolist()]
            test += part.test[places].tolist()
        played = choose(labels, np.array(test, bool), chosen)
        super().__init__(name, size, played, labels, slots, whole("together", together, 1, 10_000))

    def _events(self, place: int, start: int) -> Array:
        data, index = self._samples[int(self._played.index[place])]
        made = events_of(data, index, self.size, self._slots.shown_us, self.location, self.problems)
        made["t"] += start
        return made


class Tonic(Samples):
    """The data set of tonic whose class is called ``location``, kept by tonic in the folder ``root``.

    Nothing is fetched unless ``download`` is "true". ``names`` "true" calls samples by the names of their classes where
    tonic gives numbers. ``size`` as WIDTHxHEIGHT is for sets that do not tell it. Options that the class itself has,
    such as ``stabilize`` of NMNIST, are handed to it; all others are those of `Samples`. All may be text. Raises
    `RecordingError` and `ConfigError`.
    """

    def __init__(
        self,
        location: str,
        *,
        root: str = "",
        download: bool | str = False,
        names: bool | str = False,
        size: str = "",
        slot_ms: float | str = "",
        gap_ms: float | str = 0.0,
        together: int | str = 1,
        order: str = "mixed",
        **options: Any,
    ) -> None:
        if not root:
            remedy = f"tonic://{location}?root=FOLDER, where FOLDER/{location} is"
            raise ConfigError("the folder of tonic's data sets is not named", key="root", remedy=remedy)
        own = Choice.__dataclass_fields__
        choice = {key: value for key, value in options.items() if key in own}
        rest = {key: value for key, value in options.items() if key not in own}
        shown_ms = slot_ms if slot_ms != "" else SLOTS_MS.get(location, 1_000.0)
        slots = Slots(microseconds("slot_ms", shown_ms), microseconds("gap_ms", gap_ms, 0))
        fetch, by_name = _flag("download", download), _flag("names", names)
        split = str(choice.get("split", "all"))
        parts, kind = open_parts(location, root, rest, split=split, download=fetch, named=by_name)
        field = pixels(size) if size else _size_of(parts[0].data, kind, location)
        self._play(location, parts, field, slots, together, {**choice, "order": order})

    @staticmethod
    def tables_of(location: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the settings that go with a data set: of sound, each channel is one axon."""
        return {**MARKED, "address": {"polarity": "ignore"}} if flat(location) else MARKED


def _size_of(data: Indexable, kind: Any, name: str) -> tuple[int, int]:
    size = getattr(data, "sensor_size", None) or getattr(kind, "sensor_size", None)
    if size is None:
        text = f"tonic does not tell the size of {name}"
        raise ConfigError(text, key="size", allowed="WIDTHxHEIGHT in pixels", remedy="size=240x180 behind the ?")
    return int(size[0]), int(size[1])


def _flag(key: str, value: bool | str) -> bool:
    text = str(value).lower()
    if text not in ("true", "false"):
        raise ConfigError(f"{key} cannot be '{value}'", key=key, value=value, allowed="true, false")
    return text == "true"
