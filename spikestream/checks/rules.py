"""The laws of a rule: a module with its names and hooks, that learns when it may, and within its bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from spikestream.batch import Array
from spikestream.checks import base
from spikestream.checks.base import Check, same_array
from spikestream.checks.composing import AXONS, FORM, LIFE, NEURONS, TICK_US, Trial, alive, batches, name_of, rewards
from spikestream.checks.running import run, taught
from spikestream.errors import ConfigError
from spikestream.model import Input, Model, Population, Projection, Rule
from spikestream.stages.network import Network

SYNAPSES, WEIGHTS = 20, "projections.see.weights"
FASTER = 1000.0
"""How many times the default rates are taken, for bounds to be met."""


def rule(module: ModuleType) -> Iterator[Check]:
    """Yield the checks of a rule, a module of docs/composing.md that is registered in `spikestream.rules`.

    It learns with the defaults of its parameters on synapses onto LIF neurons, which a teacher makes fire.
    """
    sizes = ((4 * AXONS, NEURONS, SYNAPSES), (12 * AXONS, 3 * NEURONS, 3 * SYNAPSES))
    yield from base.suite("rule", LAWS, Trial("rules", module, name_of("rules", module), sizes, _model, rewards()))


def _bounds(module: ModuleType) -> tuple[float, float]:
    params = module.Params()
    return getattr(params, "w_min", 0.0), getattr(params, "w_max", 1.0)


def _model(trial: Trial, tick_us: int = TICK_US, params: Mapping[str, Any] | None = None) -> Model:
    """Return a model of some synapses that learn, with delays from 0 to 3 ms, and a teacher for each neuron."""
    rng, all_of = np.random.default_rng(5), np.arange(NEURONS)
    pair = rng.permutation(AXONS * NEURONS)[:SYNAPSES]
    see = Projection(
        "see",
        "in",
        "out",
        connect="pairs",
        pre=pair // NEURONS,
        post=pair % NEURONS,
        weights=rng.uniform(*_bounds(trial.module), SYNAPSES),
        delay_ms=rng.integers(0, 4, SYNAPSES),
        rules=[Rule(trial.name, params or {})],
    )
    teach = Projection("teach", "teacher", "out", connect="pairs", pre=all_of, post=all_of, weights=100.0)
    return Model([Input("in", AXONS), Input("teacher", AXONS)], [Population("out", NEURONS)], [see, teach], tick_us)


def _weights(network: Any) -> Array:
    return np.asarray(network.state()[WEIGHTS])


def _idle(trial: Trial) -> str:
    network = trial.make()()
    before = _weights(network)
    run(network, batches())
    after = _weights(network)
    if not np.isfinite(after).all():
        return "weights are not finite"
    return "no weight changed, with rewards either" if same_array(before, after) else ""


def _learns_unasked(trial: Trial) -> str:
    network = taught(lambda: Network.from_model(_model(trial), learning=False), trial.commands)()
    before = _weights(network)
    run(network, batches())
    changed = np.flatnonzero(before != _weights(network))
    return f"{len(changed)} weights changed" if len(changed) else ""


def _out_of_bounds(trial: Trial) -> str:
    plain = trial.module.Params()
    if not (hasattr(plain, "w_min") and hasattr(plain, "w_max")):
        return ""
    low, high = map(np.float32, (plain.w_min, plain.w_max))
    for factor in (1.0, FASTER):
        rates = {name: getattr(plain, name) * factor for name in trial.module.RATES}
        try:
            network = trial.make(params=rates)()
        except ConfigError:  # such rates are not for this rule
            continue
        for batch in batches():
            run(network, [batch])
            found = _weights(network)
            if not np.all((low <= found) & (found <= high)):
                return f"weights from {found.min()} to {found.max()}, with rates {factor:g} times as high"
    return ""


LAWS = (
    *FORM,
    alive("learns", "spikes, rewards or time change weights, which stay finite", _idle),
    *LIFE,
    alive("learning off", "without learning, no weight changes", _learns_unasked),
    alive("bounds", "weights stay in [w_min, w_max], where Params has both, however high the rates", _out_of_bounds),
)
