"""Features of what a sensor sees, between its addresses and what reads them: pooling, edges, surfaces, learned maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from spikestream.errors import ConfigError, nearest
from spikestream.stages.features.direct import Pool, Surface
from spikestream.stages.features.edges import Edges
from spikestream.stages.features.maps import FeatureMaps
from spikestream.stages.features.options import LearnedOptions, Shape

Features: TypeAlias = Pool | Edges | Surface | FeatureMaps

KINDS: dict[str, type[Features]] = {"pool": Pool, "edges": Edges, "surface": Surface, "stdp": FeatureMaps}

__all__ = ["KINDS", "Edges", "FeatureMaps", "Features", "LearnedOptions", "Pool", "Shape", "Surface", "make_features"]


def make_features(kind: str, shape: Shape, options: Mapping[str, Any]) -> Features:
    """Return features of one of `KINDS`; ``options`` at their default are left out. Raises `ConfigError`.

    ``shape`` is (planes, height, width) of what comes in.
    """
    if kind not in KINDS:
        text, near = f"unknown features '{kind}'", nearest(kind, KINDS)
        raise ConfigError(text, key="kind", value=kind, allowed=", ".join(("none", *KINDS)), nearest=near)
    plain = LearnedOptions()
    changed = {key: value for key, value in options.items() if value != getattr(plain, key)}
    try:
        return KINDS[kind](shape, **changed)
    except MemoryError as error:
        text, remedy = "the features do not fit the memory of this machine", "a coarser downsample filter"
        raise ConfigError(text, key="kind", value=kind, remedy=remedy) from error
