"""Compiling a circuit: what a chip holds, by the name of the kind of chip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from spikestream.errors import ConfigError, nearest
from spikestream.model.circuit import Circuit
from spikestream.model.compile.loihi import loihi
from spikestream.model.compile.net import Array
from spikestream.model.compile.options import Progress
from spikestream.model.compile.truenorth import truenorth
from spikestream.model.placement import Placement


class Computes(Protocol):
    """An integer reference: what a placement computes, without cores and ways between them."""

    latency: Array  # (outputs,), ticks: so much later than here each output spikes on the chip

    def run(self, spikes: Array, steps: int) -> Array:
        """Return the spikes of the outputs (m, 2), step and number, from rest; ``spikes`` (k, 2) are the inputs'."""
        ...


Target = Callable[[Circuit, Mapping[str, Any], Progress], tuple[Placement, Computes]]
TARGETS: dict[str, Target] = {"truenorth": truenorth, "loihi": loihi}
"""Each takes a circuit, options and whom to tell of progress."""


def compile_circuit(
    circuit: Circuit, target: str, options: Mapping[str, Any], progress: Progress | None = None
) -> tuple[Placement, Computes]:
    """Return the placement of a circuit on a kind of chip, and its integer reference.

    ``progress`` is told the name of a step and how much of it is done. Raises `ModelError` for what does not fit,
    `ConfigError` for options.
    """
    if not isinstance(target, str) or target not in TARGETS:
        text, near = f"there is no chip '{target}' to compile for", nearest(str(target), TARGETS)
        raise ConfigError(text, key="target", value=target, allowed=", ".join(TARGETS), nearest=near)
    return TARGETS[target](circuit, options, progress or _nobody)


def _nobody(step: str, part: float) -> None:
    """Is told, and does nothing."""
