"""One population of a neuron on all axons with one rule, as a model that the composed engine runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import ModuleType
from typing import Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ConfigError, nearest
from spikestream.model import Input, Model, Population, Projection, Rule
from spikestream.model.checks import MOST_SEED, number_of, whole_of
from spikestream.stages.network.base import MOST
from spikestream.stages.network.components import component
from spikestream.stages.network.composed import Composed
from spikestream.stages.network.kinds import kind_of

TWINS = {("lif", "stdp"): ("lif_wta", "centroid"), ("lif", "none"): ("lif_wta", "none")}
"""What the fused kernels of these names do, composed."""
OWN = ("stdp", "none")
"""Rules of a network of one population that are registered under other names, or are none."""
OUT, IN, RIVALS = "out", "in", "rivals"


def single(
    shape: tuple[int, int],
    names: tuple[str, str],
    options: Mapping[str, Any],
    tick_us: int,
    dtype: str,
    init_weights: Array | None,
) -> Composed:
    """Return the engine of such a network; raises `ConfigError`."""
    kind = kind_of(*names)
    neuron, rule = TWINS.get(names, names)
    if "threads" in options:
        text = "a second thread runs neuron 'lif' with rule 'pair' in its fused kernel only"
        raise ConfigError(text, key="threads", value=options["threads"])
    neurons = component("neurons", neuron, "neuron")
    if rule == "stdp":
        text, allowed = f"rule 'stdp' is for neuron 'lif', and this is '{neuron}'", "centroid, pair, none, and others"
        raise ConfigError(text, key="rule", value=rule, allowed=allowed, nearest="centroid")
    rules = None if rule == "none" else component("rules", rule, "rule", OWN)
    if dtype not in ("float32", "float64"):
        raise ConfigError(f"unknown dtype '{dtype}'", key="dtype", value=dtype, allowed="float32, float64")
    shared = {} if kind is None else {field.name: field.default for field in fields(kind.kernel.Params)}
    given = dict(options)
    seed = whole_of("seed", given.pop("seed"), 0, MOST_SEED)
    for key in ("inhibition", "w_max"):
        if key in given:
            given[key] = number_of(key, given[key], -MOST, MOST)
    parts = _split(neurons, rules, given)
    for part, module in zip(parts, (neurons, rules), strict=True):
        known = _known(module)
        part |= {key: value for key, value in shared.items() if key in known and key not in given}
    inhibition = given.get("inhibition", shared.get("inhibition", 0.0))
    rivals = "inhibition" not in _known(neurons) and inhibition
    w_max = parts[1].get("w_max", given.get("w_max", getattr(rules.Params(), "w_max", 1.0) if rules else 1.0))
    w_norm = given.get("w_norm", shared.get("w_norm")) if names in TWINS else None
    weights = _weights(shape, (seed, w_max, w_norm), dtype, init_weights)
    plain = Projection(IN, "axons", OUT, weights=weights, rules=[Rule(rule, parts[1])] if rules else ())
    lateral = [Projection(RIVALS, OUT, OUT, connect="lateral", weights=-inhibition)] if rivals else []
    population = Population(OUT, shape[1], neuron=neuron, params=parts[0])
    model = Model([Input("axons", shape[0])], [population], [plain, *lateral], tick_us=tick_us, dtype=dtype)
    return Composed(model, single=True)


def _known(module: ModuleType | None) -> set[str]:
    return set() if module is None else {field.name for field in fields(module.Params)}


def _split(
    neuron: ModuleType, rule: ModuleType | None, given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of the neuron and those of the rule; raises `ConfigError` for one of neither."""
    of_neuron, of_rule = _known(neuron), _known(rule)
    known = sorted(of_neuron | of_rule | {"inhibition", "w_max", "w_norm"})
    for key, value in given.items():
        if key not in known:
            text = f"unknown network option '{key}'"
            raise ConfigError(text, key=key, value=value, allowed=", ".join(known), nearest=nearest(key, known))
    mine = {key: value for key, value in given.items() if key in of_neuron}
    return mine, {key: value for key, value in given.items() if key in of_rule}


def _weights(
    shape: tuple[int, int], drawn: tuple[int, float, float | None], dtype: str, init_weights: Array | None
) -> Array:
    """Return weights as given, or ``drawn`` by (seed, w_max, length of a column or None) as the fused kernels do."""
    if init_weights is not None:
        try:
            return np.asarray(init_weights)
        except ValueError as error:  # rows of different lengths
            raise ConfigError("init_weights are no array", key="init_weights", allowed=f"{shape} numbers") from error
    seed, w_max, w_norm = drawn
    f = np.dtype(dtype).type
    weights = np.random.default_rng(seed).random(shape, dtype=f)
    if w_norm is None:
        return np.asarray(weights * f(w_max))
    weights *= f(w_norm) / np.sqrt((weights**2).sum(axis=0, dtype=np.float64)).astype(f)
    return weights
