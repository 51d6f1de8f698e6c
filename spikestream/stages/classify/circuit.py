"""The hidden neurons of a classifier as a circuit, which a simulator runs and a compiler takes, and what reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
DIMENSIONS = {"w": 2, "back": 2, "v": 3, "v_mean": 3, "v_square": 3}


def circuit_of(engine: Engine) -> Circuit:
    """Return the circuit; raises `ModelError` where neurons adapt, or where there are none."""
    weights, params, layers = engine.weights, engine.params, engine.params.layers
    if not layers:
        raise ModelError("a classifier without hidden neurons has nothing to compile", remedy="hidden = 200, say")
    if weights.beta.any():
        raise ModelError("neurons whose thresholds adapt have no circuit", remedy="adaptive = 0")
    names = [HIDDEN] if len(layers) == 1 else [f"{HIDDEN}{k + 1}" for k in range(len(layers))]
    parts = np.split(weights.decay_m.astype(np.float64), np.cumsum(layers)[:-1])
    cells = tuple(
        Cells(name, (len(decay),), decay=decay, threshold=1.0, floor=FLOOR, reset=params.fire_reset)
        for name, decay in zip(names, parts, strict=True)
    )
    links = [Link.dense(AXONS, names[0], weights.w.astype(np.float64)), *_between(engine, names)]
    return Circuit(((AXONS, engine.axons),), cells, tuple(links), (names[-1],), step_us=float(engine.tick_us))


def _between(engine: Engine, names: Sequence[str]) -> Iterator[Link]:
    """Yield the links from layer to layer, and with recurrence from each to itself."""
    bounds, spans = np.cumsum((0, *engine.params.layers)), engine.coeffs.reach
    for k, to in ((low, high) for low in range(len(names)) for high in (low, low + 1) if high < len(names)):
        begin, end = bounds[k : k + 2]
        if begin < len(spans) and spans[begin, 0] <= bounds[to]:
            low, high = bounds[to : to + 2] - spans[begin, 0]
            yield Link.dense(names[k], names[to], engine.weights.r[begin:end, low:high].astype(np.float64), delay=1)


def readout_of(c: Classifier) -> Classifier:
    """Return a classifier without hidden neurons that hears the last layer of another, and knows what is read of it."""
    options: dict[str, Any] = {name: getattr(c, name) for name in OWN}
    options |= c._options | {name: getattr(c._engine.params, name) for name in PARAMS}
    heard, places, store = c.layers[-1] if c.layers else c.axons, c.names or c._engine.places, c._store
    made = type(c)(heard, places, hidden=0, store=store.room, recent=store.recent, **options)
    made.restore({**made.state(), **_read(c.state(), made.axons)})
    return made


def readout_learned(c: Classifier, learned: Mapping[str, Array]) -> Mapping[str, Array]:
    """Return what another classifier has learned as ``c`` can take it over.

    One without hidden neurons takes the readout of one whose last layer its axons are, and nothing else.
    """
    if c.hidden or any(learned[name].ndim != many for name, many in DIMENSIONS.items()):
        return learned
    first, hidden = learned["w"].shape[1], learned["v"].shape[1]
    if not (first == hidden == c.axons or 0 < first <= hidden - c.axons):
        return learned
    own = {**c.state(), "back": learned["back"][:0], **_read(learned, c.axons)}
    return {key: own[key] for key in learned}


def _read(learned: Mapping[str, Array], last: int) -> dict[str, Array]:
    """Return of what was learned that of the readout of the last layer, which has ``last`` neurons."""
    return {name: learned[name][:, -last:] if name.startswith("v") else learned[name] for name in READ}
