"""Stages as one transform of tonic: the events of a sample in, events out, nothing remembered from sample to sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from spikestream.batch import EVENT, Array, Batch, Events, Spikes, by_fields
from spikestream.errors import ConfigError
from spikestream.stages.base import Stage

PIXELS = np.dtype([("x", "<i8"), ("y", "<i8"), ("t", "<i8"), ("p", "<i8")])
CHANNELS = np.dtype([("t", "<i8"), ("x", "<i8"), ("p", "<i8")])
"""The fields of sound in tonic: x is the channel, p is 1."""
GRID_US = 1_000
LAST = 0xFFFF
SHOWN = 40
MADE = "ss.Transform(ss.Filters([{'kind': 'refractory'}], size=(34, 34)), ss.Address((34, 34)))"
"""A transform as it is made."""


class Transform:
    """``stages`` in a row as a callable that takes and gives the structured events of tonic, t in µs, x, y and p.

    It stands in `tonic.transforms.Compose` and as ``transform=`` of a data set. Every sample is one batch, from the
    millisecond its first event lies in to the end of that of its last one, and finds the stages as they were when the
    transform was made: what they learn from it is forgotten. Events that no pixel can have sent are left out.

    Stages that give events keep the fields and types that came in. Of spikes, axons are laid out as the last stage's
    ``shape`` says, (planes, height, width), p being the plane; where it has none, or with ``flat``, x is the number of
    the axon and p is 1, as in tonic's sets of sound. ``sensor_size`` is what tonic calls so of what comes out: (width,
    height, polarities). Raises `ConfigError` where no stage tells it; `RecordingError` for what are no events.
    """

    def __init__(self, *stages: Stage, flat: bool = False) -> None:
        if not stages:
            raise ConfigError("a transform needs a stage", key="stages", allowed="one or more", remedy=MADE)
        for number, stage in enumerate(stages, 1):
            _check(stage, number)
        if not isinstance(flat, bool):
            raise ConfigError(f"flat={flat!r} is neither true nor false", key="flat", value=flat, allowed="True, False")
        self.stages = stages
        self._begun = [stage.state() for stage in stages]
        last: Any = stages[-1]
        self._shape: tuple[int, int, int] | None = None if flat else getattr(last, "shape", None)
        axons = getattr(last, "neurons", None) or getattr(last, "axons", None)
        self._dtype = PIXELS if self._shape is not None else CHANNELS if axons is not None else None
        """Of what comes out, None where it is that of what came in."""
        self.sensor_size: tuple[int, int, int] = (axons or 0, 1, 1)
        if self._shape is not None:
            self.sensor_size = self._shape[2], self._shape[1], self._shape[0]
        elif axons is None and not flat and getattr(last, "size", None) is not None:
            self.sensor_size = last.size[0], last.size[1], 2
        elif axons is None:
            text = f"{type(last).__name__} does not tell how many {'axons' if flat else 'pixels'} come out"
            raise ConfigError(text, key="stages", remedy="put an Address behind it")

    def __call__(self, events: Array) -> Array:
        """Return what comes out of the last stage, a new array, sorted by t."""
        data = _sorted(*by_fields(events))
        kind = events.dtype if self._dtype is None else self._dtype
        if not len(data):
            return np.empty(0, kind)
        start, stop = int(data["t"][0]) // GRID_US * GRID_US, (int(data["t"][-1]) // GRID_US + 1) * GRID_US
        batch: Batch = Events(start, stop, data)
        for stage, begun in zip(self.stages, self._begun, strict=True):
            stage.restore(begun)
            batch = stage(batch)
        made = np.zeros(len(batch), kind)
        if isinstance(batch, Events) and self._dtype is None:
            for name in set(EVENT.names or ()) & set(kind.names or ()):
                made[name] = batch.data[name]
        elif isinstance(batch, Spikes) and self._dtype is not None:
            made["t"], made["x"], made["p"] = batch.t, batch.axon, 1
            if self._shape is not None:
                made["p"], made["y"], made["x"] = np.unravel_index(batch.axon, self._shape)
        else:
            what = f"a transform gives no {type(batch).__name__.lower()}"
            raise ConfigError(what, key="stages", remedy="leave the last stage out, and give it what comes out here")
        return made

    def __repr__(self) -> str:
        return f"Transform({', '.join(type(stage).__name__ for stage in self.stages)})"


def _check(stage: object, number: int) -> None:
    """Raise `ConfigError` for what is no stage, with what it may have been meant to be."""
    if not isinstance(stage, type) and callable(stage) and hasattr(stage, "state") and hasattr(stage, "restore"):
        return
    shown, why = repr(stage), ""
    if isinstance(stage, type):
        shown, why = f"the class {stage.__name__}", ": one has to be made of it"
    elif isinstance(stage, list | tuple):
        why = ": stages are given one after the other, ss.Transform(*stages)"
    elif isinstance(stage, str | Mapping):
        why = ": a name or a row makes none by itself, and filters are rows of ss.Filters"
    elif hasattr(stage, "stages"):
        shown, why = f"a {type(stage).__name__}", ": give what is in it, ss.Transform(*pipeline.stages.values())"
    what = f"{shown if len(shown) < SHOWN else f'a {type(stage).__name__}'} is no stage{why}"
    allowed = "what ss.Filters, ss.Address, ss.Network and the like make"
    raise ConfigError(what, key=f"stage {number}", value=stage, allowed=allowed, remedy=MADE)


def _sorted(t: Array, x: Array, y: Array, p: Array) -> Array:
    """Return the events (n,) EVENT, but for those of pixels that there cannot be."""
    inside = (x >= 0) & (x <= LAST) & (y >= 0) & (y <= LAST)
    data = np.empty(len(t), EVENT)
    data["t"], data["x"], data["y"], data["p"] = t, x & LAST, y & LAST, p
    data = data[inside]
    return data[np.argsort(data["t"], kind="stable")] if np.any(data["t"][1:] < data["t"][:-1]) else data
