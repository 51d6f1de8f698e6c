"""What may be asked of the compiler for crossbar cores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from spikestream.errors import ConfigError, nearest
from spikestream.model.compile.net import TYPES
from spikestream.model.crossbar import RANC, TRUENORTH
from spikestream.model.placement import MOST_CORES

Progress = Callable[[str, float], None]
"""Told the name of a step and how much of it is done, 0 to 1."""
FAN_IN = ("split", "prune", "refuse")
INHIBITION = ("auto", "each", "any")


@dataclass(frozen=True, slots=True)
class Options:
    """Of target "truenorth": the size of a core and of the chip, and what may be given up to fit them."""

    axons: int = 256
    neurons: int = 256
    cores: int = 4096
    axons_per_input: Any = "auto"  # 1 to 4, or "auto", or a table by the names of cells
    tolerance: float = 0.02  # relative rms error of weights that is good enough, with "auto"
    fan_in: str = "split"  # too many inputs: parts, the strongest only, or an error
    inhibition: str = "auto"  # of all by all: by an axon for each neuron, or one that any of them makes active
    leak_at: float = 1.0  # where between rest and threshold the constant leak is what the exponential one is
    exact: bool = False  # whatever would be approximate is an error
    law: str = TRUENORTH
    anneal_steps: int = 20_000  # swaps tried while cores are placed on the mesh
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (("axons", 1, 4096), ("neurons", 1, 4096), ("cores", 1, MOST_CORES)):
            _whole(name, getattr(self, name), low, high)
        for name in ("anneal_steps", "seed"):
            _whole(name, getattr(self, name), 0, 2**31 - 1)
        table = self.axons_per_input if isinstance(self.axons_per_input, Mapping) else {"": self.axons_per_input}
        for name, count in table.items():
            if count != "auto":
                _whole(f"axons_per_input{'.' if name else ''}{name}", count, 1, TYPES)
        for name in ("tolerance", "leak_at"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ConfigError(f"{name} = {value!r} is out of range", key=name, value=value, allowed="0 to 1")
        for name, known in (("fan_in", FAN_IN), ("inhibition", INHIBITION), ("law", (TRUENORTH, RANC))):
            value = getattr(self, name)
            if value not in known:
                text, near = f"{name} = {value!r} is not known", nearest(str(value), known)
                raise ConfigError(text, key=name, value=value, allowed=", ".join(known), nearest=near)

    def types(self, name: str) -> int:
        """Return how many axons an input of some cells may take, 0 where that is left to the compiler."""
        given = self.axons_per_input
        count = given.get(name, "auto") if isinstance(given, Mapping) else given
        return 0 if count == "auto" else int(count)


def options_of(kind: type[Any], given: Mapping[str, Any]) -> Any:
    """Return the options of a target; raises `ConfigError` for one it does not have."""
    known = [one.name for one in fields(kind)]
    for name, value in given.items():
        if name not in known:
            text, near = f"the compiler has no option '{name}' for this target", nearest(name, known)
            raise ConfigError(text, key=name, value=value, allowed=", ".join(known), nearest=near)
    return kind(**given)


def _whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        text = f"{name} = {value!r} is out of range"
        raise ConfigError(text, key=name, value=value, allowed=f"{low} to {high:,}")
