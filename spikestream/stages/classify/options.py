"""The options of the classifier: what each may be, and which may change while it runs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from spikestream.batch import Setting
from spikestream.errors import ConfigError, nearest
from spikestream.kernels.eprop import Params

MOST = 1e6
"""No number of an option is larger."""
MOST_CLASSES = 1_000
MOST_LAYERS = 16
NEW = 10
"""A class is new while another one has been taught more than so many times as often."""
MOST_REPLAYS = 32
"""No more are replayed beside a sample of a new class."""
FEEDBACK = ("symmetric", "random")
RESETS = ("subtract", "value")
RATES = ("rate", "rate_end", "rate_out")
"""Options of the kernel that may change while it runs."""
CHANGES = (*RATES, "evidence_min", "confidence_min", "replays", "few")
"""All that may."""
SHARES = ("rate", "rate_end", "confidence_min")
WHOLES = {
    "axons": (1, 2**31),
    "classes": (1, MOST_CLASSES),
    "tick_us": (1, 3_600_000_000),
    "window_us": (1, 2**62),
    "kept": (1, 100_000),
    "anytime_us": (0, 2**62),
    "store": (0, 1_000_000),
    "recent": (0, 1_000_000),
    "replays": (0, 1_000),
    "few": (0, 1_000_000),
    "most_spikes": (1, 2**31),
}
"""Whole numbers among the options, and their ranges."""


def check_setting(setting: Setting) -> None:
    """Raise `ConfigError` unless a setting, if it is one of the classifier, may change and can have its value."""
    section, _, name = setting.key.partition(".")
    if section != "classifier":
        return
    if name not in CHANGES:
        text, known = f"'{setting.key}' cannot be changed while running", [f"classifier.{key}" for key in CHANGES]
        raise ConfigError(text, key=setting.key, allowed=", ".join(known), nearest=nearest(setting.key, known))
    most = 1 if name in SHARES else WHOLES[name][1] if name in WHOLES else MOST
    number = float(setting.value) if isinstance(setting.value, int | float | np.number) else math.nan
    if not 0 <= number <= most or (name in WHOLES and not number.is_integer()):
        text, allowed = f"{setting.key} = {setting.value} is out of range", f"0 to {most:,}"
        raise ConfigError(text, key=setting.key, value=setting.value, allowed=allowed)


def typed(name: str, given: Any) -> float:
    """Return what is given for an option that may change, whole where it has to be."""
    return int(given) if name in WHOLES else float(given)


def check_wholes(**options: Any) -> None:
    """Raise `ConfigError` unless all these options are whole numbers in their ranges."""
    for key, value in options.items():
        low, high = WHOLES[key]
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not low <= value <= high:
            allowed = f"whole numbers from {low:,} to {high:,}"
            raise ConfigError(f"{key} = {value!r} is out of range", key=key, value=value, allowed=allowed)


def params_of(options: Mapping[str, Any]) -> Params:
    """Return the options of the kernel; raises `ConfigError`."""
    known = [field.name for field in dataclasses.fields(Params)]
    for key in options:
        if key not in known:
            raise ConfigError(f"unknown option '{key}'", key=key, value=options[key], nearest=nearest(key, known))
    made: dict[str, Any] = dict(options)
    for key in ("tau_m_ms", "tau_out_ms"):
        if key in made:
            made[key] = _times(key, made[key])
    if isinstance(made.get("hidden"), list | tuple):  # a layer alone is written as its number, as ever
        made["hidden"] = made["hidden"][0] if len(made["hidden"]) == 1 else tuple(made["hidden"])
    params = Params(**made)
    for key, fits, allowed in _laws(params):
        value = getattr(params, key)
        if not fits(value):
            raise ConfigError(f"{key} = {value!r} is out of range", key=key, value=value, allowed=allowed)
    return params


def _times(key: str, value: Any) -> tuple[float, ...]:
    rows = tuple(value) if isinstance(value, list | tuple) else (value,)
    if key == "tau_m_ms" and len(rows) == 1:
        rows *= 2
    fits = 0 < len(rows) <= 16 and all(_number(one, 1e-3) for one in rows) and (key != "tau_m_ms" or len(rows) == 2)
    if not fits or (key == "tau_m_ms" and rows[0] > rows[1]):
        allowed = "one time, or the shortest and the longest" if key == "tau_m_ms" else "1 to 16 times above 0"
        raise ConfigError(f"{key} = {value!r} is out of range", key=key, value=value, allowed=allowed)
    return tuple(float(one) for one in rows)


def _laws(params: Params) -> list[tuple[str, Any, str]]:
    """Return (option, what says whether a value of it can be, the same in words)."""
    above, share, any_number = lambda v: _number(v, 1e-3), lambda v: _number(v, 0, 1), lambda v: _number(v, 0)
    words, most = "numbers above 0", "0 or more"
    return [
        ("hidden", _layers, f"0 or more, or 1 or more for each of up to {MOST_LAYERS} layers"),
        ("seed", lambda v: _whole(v, 0), "0 or more"),
        *((key, above, words) for key in ("tau_a_ms", "tau_trace_ms", "update_ms", "rate_half")),
        *((key, share, "0 to 1") for key in ("adaptive", "rate", "rate_end")),
        *((key, any_number, most) for key in ("recurrent", "beta", "w_init", "rate_out")),
        ("feedback", lambda v: v in FEEDBACK, ", ".join(FEEDBACK)),
        ("fire_reset", lambda v: v in RESETS, ", ".join(RESETS)),
    ]


def _number(value: Any, low: float, high: float = MOST) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and bool(low <= value <= high)


def _layers(value: Any) -> bool:
    if not isinstance(value, tuple):
        return _whole(value, 0)
    return 1 < len(value) <= MOST_LAYERS and all(_whole(one, 1) for one in value) and _whole(sum(value), 1)


def _whole(value: Any, low: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(low <= value < 2**62)
