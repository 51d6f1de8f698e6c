"""The whole memory of a classifier as arrays by name, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spikestream.batch import Array, Setting, Spikes, Window
from spikestream.errors import ConfigError, ModelError
from spikestream.kernels.eprop import Memory, Weights
from spikestream.stages.base import State, take_over
from spikestream.stages.classify.options import MOST_CLASSES
from spikestream.stages.classify.samples import absurd, packed, unpacked
from spikestream.stages.windows import ENABLED, waiting_agrees

if TYPE_CHECKING:
    from spikestream.stages.classify import Classifier

NO_TICK = -(2**62)
LATEST = 2**62
"""No stamp, µs, and no tick lies beyond."""
ROUNDING = 1e-6
"""A decay in float32 is not further from what it stands for."""
FIXED = ("now", "learning", "next", "open", "open_facts", "settings", "store_drawn", "evidence", *Weights._fields)
"""Arrays whose shape is always the same, or follows from the number of classes there is room for."""


def state(c: Classifier) -> State:
    """Return copies of all that a classifier remembers."""
    settings = [one for one in c._waiting if isinstance(one, Setting)]
    own = {
        **c._state(),
        **c._engine.state(),
        **c._store.state(),
        **c._notes.state(),
        **packed("past", [sample for _, sample in c._past], c.axons),
        "past": np.array([(window.start, window.stop) for window, _ in c._past], np.int64).reshape(-1, 2),
        "labels": np.array(c._labels, np.str_),
        "seen": np.array(c._seen, np.int64),
        "settings": np.array([float(value) for key, value in c.settings.items() if key != ENABLED]),
        "waiting_keys": np.array([one.key for one in settings], np.str_),
        "waiting_values": np.array([float(one.value) for one in settings], np.float64),
        "next": np.array(c._next, np.int64),
        "open": np.array([c._first, c._begun], np.int64),
        "held_t": c._held.t.copy(),
        "held_axon": c._held.axon.copy(),
    }
    memories = [c._notes.memory, *(sample.memory for _, sample in c._past)]
    for name, like in c._engine.memory._asdict().items():
        rows = [np.zeros_like(like) if one is None else getattr(one, name) for one in memories]
        own[f"kept_{name}"] = np.array(rows)
    return own


def restore(c: Classifier, saved: Mapping[str, Array]) -> None:
    """Give a classifier what `state` returned; raises `ModelError`, and changes nothing, where it does not fit."""
    own = {**state(c), **c._engine.template(_places(c, saved))}
    taken = take_over(own, saved, tuple(key for key in own if key not in FIXED and not key.startswith("memory_")))
    if wrong := _absurd(c, taken):
        raise ModelError(f"the saved state contradicts itself or this classifier: {wrong}")
    c._restore(taken)
    order = iter(zip(taken["waiting_keys"].tolist(), taken["waiting_values"].tolist(), strict=True))
    c._waiting = [_valued(one, *next(order)) if isinstance(one, Setting) else one for one in c._waiting]
    for setting in _settings(c, taken):
        c._set(setting)
    c._engine.restore(taken, len(taken["labels"]))
    c._store.restore(taken)
    c._labels, c._seen = taken["labels"].tolist(), taken["seen"].tolist()
    c._next, (c._first, begun) = int(taken["next"]), taken["open"].tolist()
    c._begun = bool(begun)
    memories = _memories(c, taken)
    c._notes.restore(taken, memories[0] if begun else None)
    windows = [Window(int(start), int(stop)) for start, stop in taken["past"]]
    samples = unpacked("past", taken)
    c._past = [(w, replace(one, memory=m)) for w, one, m in zip(windows, samples, memories[1:], strict=True)]
    c._held = Spikes(0, 0, taken["held_t"], taken["held_axon"])
    # What it held and what it holds now was handed to it before, or never: the account goes on as it stood.
    c.account.taken += c.account.held - len(c._held)
    c.account.held = len(c._held)


def _places(c: Classifier, saved: Mapping[str, Array]) -> int:
    places = saved["b"].shape[0] if "b" in saved and getattr(saved["b"], "ndim", 0) == 1 else c._engine.places
    if not 1 <= places <= MOST_CLASSES:
        raise ModelError(f"the saved state has room for {places} classes, not for 1 to {MOST_CLASSES:,}")
    return places


def _memories(c: Classifier, taken: State) -> list[Memory | None]:
    """Return the memory of the window under way and of each one kept."""
    if c.reset:
        return [None] * len(taken["kept_v"])
    columns = [taken[f"kept_{name}"] for name in Memory._fields]
    return [Memory(*(row.copy() for row in rows)) for rows in zip(*columns, strict=True)]


def _settings(c: Classifier, taken: State) -> list[Setting]:
    keys = [key for key in c.settings if key != ENABLED]
    return [Setting(0, key, value) for key, value in zip(keys, taken["settings"].tolist(), strict=True)]


def _valued(setting: Setting, key: str, value: float) -> Setting:
    return replace(setting, key=key, value=bool(value) if key == ENABLED else value)


def _absurd(c: Classifier, taken: State) -> str:
    """Return what in a state of the right shapes can never have been here, "" where all is well."""
    most = (c._engine.most_ticks, c.most_spikes)
    return (
        _absurd_counts(c, taken)
        or _absurd_numbers(taken)
        or _absurd_times(c, taken)
        or _absurd_settings(c, taken)
        or _absurd_neurons(c, taken)
        or absurd("past", taken, c.axons, (c.kept, *most))
        or c._store.absurd(taken, len(taken["labels"]), most)
        or c._notes.absurd(taken)
    )


def _absurd_counts(c: Classifier, taken: State) -> str:
    labels = taken["labels"].tolist()
    if len(labels) > len(taken["b"]) or len(set(labels)) != len(labels) or len(labels) != len(taken["seen"]):
        return "classes without a place, or two of one name"
    if not waiting_agrees(taken) or {len(taken["waiting_keys"]), len(taken["waiting_values"])} != {
        len(taken["waiting_settings"])
    }:
        return "of what waits some is missing"
    kept = {len(taken[f"kept_{name}"]) for name in Memory._fields}
    if kept != {1 + len(taken["past"])} or len(taken["past"]) != len(taken["past_ticks"]):
        return "of the windows kept some is missing"
    return "fewer samples than none" if np.any(taken["seen"] < 0) else ""


def _absurd_numbers(taken: State) -> str:
    if any(value.dtype.kind == "f" and not np.isfinite(value).all() for value in taken.values()):
        return "numbers that are not finite"
    if taken["steps"][0] < 0 or np.any((taken["decay_m"] < 0) | (taken["decay_m"] > 1)) or np.any(taken["beta"] < 0):
        return "neurons that cannot be"
    squares = any(np.any(taken[f"{name}_square"] < 0) for name in ("w", "r", "v", "b"))
    return "a square below 0" if squares else ""


def _absurd_neurons(c: Classifier, taken: State) -> str:
    # What a neuron drew is saved as what it does in a tick: an option that says otherwise would go unheeded.
    params, decay = c._engine.params, taken["decay_m"]
    low, high = (np.exp(-c.tick_us / 1000 / tau_ms) for tau_ms in params.tau_m_ms)
    if np.any((decay < low - ROUNDING) | (decay > high + ROUNDING)):
        return "time constants that are not within tau_m_ms, or are of another tick_us"
    if np.any(np.sort(taken["beta"]) != np.sort(c._engine.weights.beta)):
        return "thresholds that adapt otherwise, by beta and adaptive"
    return ""


def _absurd_times(c: Classifier, taken: State) -> str:
    axon, time, tick = taken["held_axon"], taken["held_t"], c.tick_us
    first, begun = taken["open"].tolist()
    marks = taken["marks"]
    for one in (int(taken["next"]), first):
        if one != NO_TICK and not -(LATEST // tick) <= one <= LATEST // tick:
            return "a time no stream reaches"
    if len(axon) != len(time) or np.any((axon < 0) | (axon >= c.axons)):
        return "waiting spikes on no axon"
    if len(time) and (np.any(time // tick != taken["next"]) or np.any(np.diff(time) < 0)):
        return "waiting spikes out of their tick"
    if begun not in (0, 1) or (first == NO_TICK and begun) or (begun and first > taken["next"]):
        return "a window under way that has not begun"
    if np.any(marks[:, 0] >= marks[:, 1]) or np.any(marks[1:, 0] < marks[:-1, 1]):
        return "marks out of order"
    return ""


def _absurd_settings(c: Classifier, taken: State) -> str:
    if len(taken["settings"]) != len(c.settings) - 1:
        return "settings it does not have"
    times = taken["waiting_settings"][:, 0].tolist()
    rows = zip(times, taken["waiting_keys"].tolist(), taken["waiting_values"].tolist(), strict=True)
    waiting = [Setting(t, key, value) for t, key, value in rows]
    if any(one.key not in c.settings for one in waiting):
        return "settings it does not know"
    try:
        c.check(*waiting, *_settings(c, taken))
    except ConfigError as error:
        return str(error)
    return ""
