"""Neurons and rules by name: built-ins and plugins, what they must have, and what their parameters may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ConfigError, PluginError, nearest
from spikestream.registry import found, load
from spikestream.stages.base import State
from spikestream.stages.network.base import MOST, Value

NEEDED = {
    "neurons": ("RECEPTORS", "Params", "Coeffs", "State", "design", "init", "decay", "fire"),
    "rules": ("RATES", "Params", "Coeffs", "State", "design", "init", "step"),
}
HOOKS = ("on_all", "on_pre", "pre", "on_post", "post", "after_post")


def component(group: str, name: str, key: str, more: tuple[str, ...] = ()) -> ModuleType:
    """Return the module registered as a neuron or a rule; an error names ``more`` beside those there are.

    Raises `ConfigError` where there is none, and `PluginError` where it lacks what such a module must have.
    """
    try:
        module: ModuleType = load(group, name)
    except PluginError:
        known = [one.name for one in found(group)]
        if name in known:
            raise
        text, known = f"unknown {group.removesuffix('s')} '{name}'", [*more, *known]
        raise ConfigError(text, key=key, value=name, allowed=", ".join(known), nearest=nearest(name, known)) from None
    if lacks := _lacks(group, module):
        text = f"{group.removesuffix('s')} '{name}' is not complete: it lacks {lacks}"
        raise PluginError(text, remedy="docs/composing.md tells what such a module has")
    return module


def _lacks(group: str, module: Any) -> str:
    """Return what a neuron or a rule needs and this has not, "" where it has all."""
    missing = [one for one in NEEDED[group] if not hasattr(module, one)]
    if missing or not isinstance(module, ModuleType):
        return ", ".join(missing) or "a module"
    if not is_dataclass(module.Params) or any(_is_needed(field) for field in fields(module.Params)):
        return "a dataclass Params with a default for each field"
    names = {field.name for field in fields(module.Params)}
    if wrong := [rate for rate in getattr(module, "RATES", ()) if rate not in names]:
        return f"the parameter '{wrong[0]}' of RATES"
    if wrong := [one for one in getattr(module, "RECEPTORS", ()) if one not in getattr(module.State, "_fields", ())]:
        return f"the state '{wrong[0]}' of RECEPTORS"
    return ""


def _is_needed(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


class Component:
    """A neuron or a rule in use: its module, parameters, coefficients and arrays."""

    def __init__(
        self, module: ModuleType, given: Mapping[str, Any], key: str, tick_us: int, dtype: str, size: tuple[int, ...]
    ) -> None:
        self.module, self.key = module, key
        self._tick_us, self._f, self._factor = tick_us, np.dtype(dtype).type, 1.0
        self.params = _params(module, given, key)
        self.coeffs = self._design(self.params)
        self.arrays = module.init(*size, self.params, self._f)

    @property
    def rates(self) -> tuple[str, ...]:
        """Return the names of parameters that are learning rates."""
        return getattr(self.module, "RATES", ())

    @property
    def settings(self) -> Mapping[str, Value]:
        """Return the parameters that may change between two ticks: all but what only sets the state up."""
        return {field.name: getattr(self.params, field.name) for field in fields(self.params) if field.name != "seed"}

    def set(self, changes: Mapping[str, Value], check: bool) -> None:
        """Change parameters, or only see whether they can be changed; raises `ConfigError`."""
        params = _params(self.module, changes, self.key, self.params)
        coeffs = self._design(params)
        if not check:
            self.params, self.coeffs = params, coeffs

    def scale(self, factor: float) -> None:
        """Multiply the learning rates."""
        if factor != self._factor and self.rates:
            self._factor = factor
            self.coeffs = self._design(self.params)

    def rest(self, ticks: int, adapting: int) -> None:
        """Let silent ticks pass at once, where the module can tell what they come to."""
        if hasattr(self.module, "rest"):
            self.module.rest(self.params, self.arrays, ticks, adapting, self._tick_us)

    def absurd(self, arrays: Mapping[str, Array]) -> str:
        """Return what in arrays of the state can never have been, "" where all is well."""
        if any(array.dtype.kind == "f" and not np.isfinite(array).all() for array in arrays.values()):
            return "numbers that are not finite"
        if hasattr(self.module, "absurd"):
            return str(self.module.absurd(self.module.State(**arrays)))
        return ""

    def state(self) -> State:
        """Return the arrays by name."""
        return dict(self.arrays._asdict())

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take over arrays of the same names, types and shapes."""
        self.arrays = self.module.State(**arrays)

    def _design(self, params: Any) -> Any:
        scaled = replace(params, **{name: getattr(params, name) * self._factor for name in self.rates})
        try:
            return self.module.design(scaled, self._tick_us, self._f)
        except ValueError as error:
            raise ConfigError(f"{self.key}: {error}", key=self.key) from error


def _params(module: ModuleType, given: Mapping[str, Any], key: str, base: Any = None) -> Any:
    """Return the module's ``Params`` with what is given; raises `ConfigError` where that is unknown or out of range."""
    params = module.Params() if base is None else base
    known = {field.name: getattr(params, field.name) for field in fields(params)}
    for name, value in given.items():
        path = f"{key}.{name}"
        if name not in known:
            text = f"unknown parameter '{path}'"
            raise ConfigError(text, key=path, value=value, allowed=", ".join(known), nearest=nearest(name, known))
        _check(path, name, value, known[name])
    numbers = {name: float(value) for name, value in given.items() if type(known[name]) is float}
    return replace(params, **{**given, **numbers})


def _check(path: str, name: str, value: Any, now: Any) -> None:
    if type(now) in (bool, str, int):
        if type(value) is not type(now):
            raise ConfigError(f"{path} cannot be {value!r}", key=path, value=value, allowed=type(now).__name__)
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > MOST:
        raise ConfigError(f"{path} = {value!r} is not a number", key=path, value=value, allowed=f"up to {MOST:g}")
    if name.startswith("tau_") and name.endswith("_ms"):
        least = 0.0 if name == "tau_refrac_ms" else np.finfo(np.float32).tiny
        if value < least:
            allowed = "numbers from 0 on" if least == 0 else "numbers above 0"
            raise ConfigError(f"{path} = {value} is out of range", key=path, value=value, allowed=allowed)
