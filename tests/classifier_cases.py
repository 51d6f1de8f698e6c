"""What the tests of the classifier share: small ones that live in microseconds, and their naive twins."""

from __future__ import annotations

import naive_eprop as naive

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
SHAPES = [{}, LOOPING, {"hidden": 0}, {"fire_reset": "value", "adaptive": 0.5}]
"""Options that change what a network is."""


def classifier(window_us=10, tick_us=1, **options):
    """Return a classifier; ``window_us`` None: it decides the windows that are marked."""
    windows = {"windows": "marked"} if window_us is None else {"window_us": window_us}
    return Classifier(AXONS, 3, tick_us=tick_us, **windows, **{**QUICK, "kept": 3, "store": 3, **options})


def twin_of(stage):
    """Return the naive twin of a classifier that has heard nothing."""
    state = {name: value.tolist() for name, value in stage.state().items()}
    params, c = stage._engine.params, design(stage._engine.params, stage.tick_us)
    parts = {name: state[name] for name in ("w", "r", "v", "b", "decay_m", "beta", "back")}
    rates = {name: getattr(params, name) for name in ("rate", "rate_end", "rate_half", "rate_out")}
    decays = {"decay_a": float(c.decay_a), "decay_x": float(c.decay_x), "decay_out": c.decay_out.tolist()}
    net = naive.Net(**parts, **rates, **decays, update=c.update, soft=c.soft)
    own = {name: stage.settings[f"classifier.{name}"] for name in ("evidence_min", "confidence_min", "replays")}
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
