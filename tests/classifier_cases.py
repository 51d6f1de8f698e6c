"""What the tests of the classifier share: small ones that live in microseconds, and their naive twins."""

from __future__ import annotations

import naive_eprop as naive
import numpy as np

from spikestream.kernels.eprop import design
from spikestream.stages.classify import Classifier

AXONS = 5
QUICK = {
    "hidden": 4,
    "w_init": 0.7,
    "tau_m_ms": (0.01, 0.03),
    "tau_out_ms": (0.01, 0.05),
    "tau_trace_ms": 0.01,
    "tau_a_ms": 0.05,
    "update_ms": 0.004,
    "rate": 0.05,
    "rate_end": 0.02,
    "rate_half": 3.0,
}
"""Of a network whose ticks are microseconds."""
LOOPING = {"recurrent": 0.5, "adaptive": 0.5, "feedback": "random"}
DEEP = {"hidden": [3, 2], "w_init": 1.5}
DEEP_LOOPING = {**LOOPING, "hidden": (2, 3, 2), "w_init": 1.5, "fire_reset": "value"}
SHAPES = [{}, LOOPING, {"hidden": 0}, {"fire_reset": "value", "adaptive": 0.5}, DEEP, DEEP_LOOPING]
"""Options that change what a network is."""


def classifier(window_us=10, tick_us=1, **options):
    """Return a classifier; ``window_us`` None: it decides the windows that are marked."""
    windows = {"windows": "marked"} if window_us is None else {"window_us": window_us}
    return Classifier(AXONS, 3, tick_us=tick_us, **windows, **{**QUICK, "kept": 3, "store": 3, **options})


def net_of(params, c, weights, **own):
    """Return the naive network of these weights by name, and coefficients ``c``."""
    parts = {name: weights[name].tolist() for name in ("w", "r", "v", "b", "decay_m", "beta", "back")}
    rates = {name: getattr(params, name) for name in ("rate", "rate_end", "rate_half", "rate_out")}
    decays = {"decay_a": float(c.decay_a), "decay_x": float(c.decay_x), "decay_out": c.decay_out.tolist()}
    shape = {"sizes": params.layers, "recurrent": params.recurrent > 0}
    net = naive.Net(**parts, **rates, **decays, **shape, update=c.update, soft=c.soft, **own)
    if len(weights["r"]):
        square = np.zeros((len(net.layer), len(net.layer)))
        for j, row in enumerate(weights["r"]):
            square[j, net.joined(j)] = row[: len(net.joined(j))]
        net.r = square.tolist()
        net.__post_init__()
    return net


def as_kept(net, square, shape):
    """Return a number for every two neurons as the classifier keeps it: of each, for those that hear it."""
    kept = np.zeros(shape)
    for j, row in enumerate(kept):
        heard = net.joined(j)
        row[: len(heard)] = np.array(square[j])[heard]
    return kept


def twin_of(stage):
    """Return the naive twin of a classifier that has heard nothing."""
    params = stage._engine.params
    net = net_of(params, design(params, stage.tick_us), stage.state())
    own = {name: stage.settings[f"classifier.{name}"] for name in ("evidence_min", "confidence_min", "replays", "few")}
    return naive.Classifier(
        AXONS,
        stage.window_us if stage.windows == "grid" else None,
        0.0,
        stage.kept,
        net=net,
        tick_us=stage.tick_us,
        reset=stage.reset,
        room=stage._store.room,
        recent=stage._store.recent,
        most_spikes=stage.most_spikes,
        seed=params.seed,
        **own,
    )
