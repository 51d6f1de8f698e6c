"""The laws of a neuron: a module with its names and hooks that fires, whenever and in whatever pieces it runs."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import numpy as np

from spikestream.checks import base
from spikestream.checks.base import Check
from spikestream.checks.composing import (
    AXONS,
    FORM,
    LIFE,
    NEURONS,
    TICK_US,
    Trial,
    alive,
    ascending,
    batches,
    name_of,
    spikes,
)
from spikestream.checks.running import run
from spikestream.model import Input, Model, Population, Projection
from spikestream.stages.network import Network

ENOUGH = 20
"""Spikes of a run that is about something."""
GUARD = 64


def neuron(module: ModuleType) -> Iterator[Check]:
    """Yield the checks of a neuron, a module of docs/composing.md that is registered in `spikestream.neurons`.

    It runs with the defaults of its parameters, and is driven with weights that are enough to make it fire.
    """
    trial = Trial("neurons", module, name_of("neurons", module), ((NEURONS,), (3 * NEURONS,)), _driven)
    yield from base.suite("neuron", LAWS, trial)


def _model(trial: Trial, weight: float, tick_us: int) -> Model:
    first, *others = trial.module.RECEPTORS
    strong = Projection("drive", "in", "out", weights=(weight / 2, weight), receptor=first)
    weak = [Projection(f"to_{r}", "in", "out", weights=(weight / 64, weight / 32), receptor=r) for r in others]
    return Model(
        [Input("in", 2 * AXONS)],
        [Population("out", NEURONS, neuron=trial.name)],
        [strong, *weak],
        tick_us=tick_us,
    )


def _enough(trial: Trial, tick_us: int) -> float:
    """Return a weight that makes the neurons fire, 0 where there is none."""
    for power in range(-8, 21, 2):
        network = Network.from_model(_model(trial, 2.0**power, tick_us))
        if len(network(spikes())) >= ENOUGH:
            return float(2.0**power)
    return 0.0


def _driven(trial: Trial, tick_us: int = TICK_US) -> Model:
    return _model(trial, _enough(trial, tick_us), tick_us)


def _idle(trial: Trial) -> str:
    return (
        "" if _enough(trial, TICK_US) else f"{len(spikes())} spikes of up to 2^20 did not make it fire {ENOUGH} times"
    )


def _fires_oddly(trial: Trial) -> str:
    module, drive = trial.module, np.float32(_enough(trial, TICK_US))
    c, s = module.design(module.Params(), TICK_US, np.float32), module.init(NEURONS, module.Params(), np.float32)
    rng, out = np.random.default_rng(3), np.full(NEURONS + GUARD, -1, np.int32)
    for n in range(200):
        module.decay(c, s, n, True)
        getattr(s, module.RECEPTORS[0])[:] += drive * rng.integers(0, 3, NEURONS).astype(np.float32)
        before = out.copy()
        count = module.fire(c, s, n, True, out)
        fired = out[:count].tolist()
        if not 0 <= count <= NEURONS or not ascending([-1, *fired, NEURONS]):
            return f"of {NEURONS} neurons it fired {fired[: NEURONS + 1]}, {count} of them"
        if not np.array_equal(out[count:], before[count:]):
            return f"it fired {count} times and wrote farther into out"
    return ""


def _learns_unasked(trial: Trial) -> str:
    network = Network.from_model(_driven(trial), learning=False)
    before = trial.floats(network)
    run(network, batches())
    learned = getattr(trial.module, "LEARNED", ())
    changed = [name for name in learned if not base.same_array(before[name], trial.floats(network)[name])]
    return f"{', '.join(changed)} changed" if changed else ""


LAWS = (
    *FORM,
    alive("fires", "spikes of some weight on its first receptor make it fire", _idle),
    alive("who fired", "fire writes numbers of neurons, ascending, to out[:count], and nothing behind", _fires_oddly),
    *LIFE,
    alive("learning off", "without learning, what LEARNED names stays as it is", _learns_unasked),
)
