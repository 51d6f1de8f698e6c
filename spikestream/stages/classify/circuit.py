"""The hidden neurons of a classifier as a circuit, which a simulator runs and a compiler takes, and what reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from spikestream.batch import Array
from spikestream.errors import ModelError
from spikestream.kernels.eprop import FLOOR
from spikestream.model.circuit import Cells, Circuit, Link
from spikestream.stages.classify.engine import Engine

if TYPE_CHECKING:
    from spikestream.stages.classify import Classifier

AXONS, HIDDEN = "axons", "hidden"
OWN = ("tick_us", "window_us", "windows", "kept", "reset", "anytime_us", "most_spikes", "learning")
PARAMS = ("tau_out_ms", "update_ms", "rate", "rate_end", "rate_half", "rate_out", "seed")
READ = ("labels", "seen", "steps", "v", "v_mean", "v_square", "b", "b_mean", "b_square")
"""Of options, of those of the kernel, and of a state, what belongs to the readout."""


def circuit_of(engine: Engine) -> Circuit:
    """Return the circuit; raises `ModelError` where neurons adapt, or where there are none."""
    weights, params = engine.weights, engine.params
    if not params.hidden:
        raise ModelError("a classifier without hidden neurons has nothing to compile", remedy="hidden = 200, say")
    if weights.beta.any():
        raise ModelError("neurons whose thresholds adapt have no circuit", remedy="adaptive = 0")
    cells = Cells(
        HIDDEN,
        (params.hidden,),
        decay=weights.decay_m.astype(np.float64),
        threshold=1.0,
        floor=FLOOR,
        reset=params.fire_reset,
    )
    links = [Link.dense(AXONS, HIDDEN, weights.w.astype(np.float64))]
    if len(weights.r):
        links.append(Link.dense(HIDDEN, HIDDEN, weights.r.astype(np.float64), delay=1))
    return Circuit(((AXONS, engine.axons),), (cells,), tuple(links), (HIDDEN,), step_us=float(engine.tick_us))


def readout_of(c: Classifier) -> Classifier:
    """Return a classifier without hidden neurons that hears those of another and knows what that one does."""
    options: dict[str, Any] = {name: getattr(c, name) for name in OWN}
    options |= c._options | {name: getattr(c._engine.params, name) for name in PARAMS}
    made = type(c)(
        c.hidden, c.names or c._engine.places, hidden=0, store=c._store.room, recent=c._store.recent, **options
    )
    mine = c.state()
    made.restore({**made.state(), **{name: mine[name] for name in READ}})
    return made


def readout_learned(c: Classifier, learned: Mapping[str, Array]) -> Mapping[str, Array]:
    """Return what another classifier has learned as ``c`` can take it over.

    One without hidden neurons takes the readout of one whose hidden neurons its axons are, and nothing else.
    """
    hidden = learned["w"].shape[-1] if learned["w"].ndim == 2 else 0
    if c.hidden or hidden != c.axons:
        return learned
    own = {**c.state(), "back": learned["back"][:0]}
    return {key: learned[key] if key in READ else own[key] for key in learned}
