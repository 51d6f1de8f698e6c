"""Which engine runs a neuron with a rule: a kernel fused by hand where there is one, else the composed one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spikestream.batch import Array
from spikestream.errors import ConfigError, nearest
from spikestream.stages.network.base import Engine
from spikestream.stages.network.fused import Fused
from spikestream.stages.network.kinds import kind_of

ENGINES = ("auto", "fused", "composed")


def engine_of(
    shape: tuple[int, int],
    names: tuple[str, str],
    options: Mapping[str, Any],
    tick_us: int,
    dtype: str,
    init_weights: Array | None,
) -> Engine:
    """Return what runs ``shape`` = (axons, neurons) with ``names`` = (neuron, rule); raises `ConfigError`.

    Option ``engine`` "fused" or "composed" insists on one; "auto" takes the fused kernel where there is one that knows
    all options and runs in this dtype.
    """
    options = dict(options)
    engine = options.pop("engine", "auto")
    if engine not in ENGINES:
        near = nearest(str(engine), ENGINES)
        raise ConfigError(
            f"unknown engine '{engine}'", key="engine", value=engine, allowed=", ".join(ENGINES), nearest=near
        )
    kind = kind_of(*names)
    if engine == "fused" and kind is None:
        raise ConfigError(f"no fused kernel runs neuron '{names[0]}' with rule '{names[1]}'", key="engine")
    if kind is not None and engine != "composed" and (engine == "fused" or kind.runs(options, dtype)):
        return Fused(shape, kind, options, tick_us, dtype, init_weights)
    from spikestream.stages.network.single import single

    return single(shape, names, options, tick_us, dtype, init_weights)
