"""The network of the classifier: its kernel with all it works on, room for classes that grows, and its options."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from spikestream.batch import Array, is_label
from spikestream.errors import ConfigError
from spikestream.kernels.eprop import Memory, Params, Scratch, Weights, design, init, rest, run, scratch, weigh
from spikestream.kernels.eprop_learning import learn
from spikestream.stages.base import State, affords
from spikestream.stages.classify.options import MOST_CLASSES, check_wholes, params_of
from spikestream.stages.classify.samples import Sample

MOST_UPDATES = 256
"""So many updates of a window are learned: a longer one is learned by its beginning. It bounds the traces."""
LEARNED = tuple(Weights._fields)


class Engine:
    """``hidden`` neurons on ``axons``, with room for ``places`` classes; of those the first ``live`` take part.

    Raises `ConfigError` for an option that cannot be, or does not fit the memory of this machine.
    """

    def __init__(self, axons: int, places: int, options: Mapping[str, Any], tick_us: int) -> None:
        self.params = params_of(options)
        self.axons, self.tick_us, self.live = axons, tick_us, 0
        try:
            affords(bytes_of(axons, places, self.params))
            self.weights = init(axons, places, self.params, tick_us)
            self.memory = rest(self.weights)
        except (MemoryError, ValueError) as error:  # numpy: more than it can count
            text = f"{sum(self.params.layers):,} neurons on {axons:,} axons do not fit the memory of this machine"
            raise ConfigError(text, key="hidden", value=self.params.hidden) from error
        self._design()
        self._room()

    @property
    def places(self) -> int:
        """Return how many classes there is room for."""
        return len(self.weights.b)

    @property
    def most_ticks(self) -> int:
        """Return how many ticks of a window are learned at most."""
        return MOST_UPDATES * self.coeffs.update

    def set(self, **values: Any) -> None:
        """Change options that may change while it runs."""
        self.params = dataclasses.replace(self.params, **values)
        self._design()

    def begin(self) -> None:
        """Forget the evidence for classes: a window begins."""
        self.evidence[:] = 0

    def listen(self) -> None:
        """Let the readout begin at rest: what was before the window is no evidence in it."""
        self.memory.o[:] = 0

    def rest(self) -> None:
        """Bring the network to rest."""
        for array in self.memory:
            array[:] = 0

    def decay(self, ticks: int) -> None:
        """Let ``ticks`` ticks of silence pass in closed form; nothing fires in them."""
        m, w, c = self.memory, self.weights, self.coeffs
        if ticks > 0:
            m.v[:] *= w.decay_m ** np.float32(ticks)
            m.a[:] *= c.decay_a ** np.float32(ticks)
            m.o[:] *= (c.decay_out ** np.float32(ticks))[:, None]
            m.fired[:] = 0

    def snapshot(self) -> Memory:
        """Return a copy of the memory."""
        return Memory(*(array.copy() for array in self.memory))

    def run(self, first: int, stop: int, t: Array, axon: Array, age: int) -> tuple[int, int]:
        """Run ticks ``[first, stop)``; returns (spikes heard, spikes of hidden neurons)."""
        span = (first, stop, self.tick_us)
        heard, spikes = run(
            self.coeffs, self.weights, self.memory, span, t, axon, age, self.live, self._s, self.evidence
        )
        return int(heard), int(spikes)

    def shares(self, age: int) -> Array:
        """Return the share (live,) of each class in the evidence of ``age`` ticks of a window, none where unread."""
        evidence = self.evidence.copy()
        if self.live and age % self.coeffs.update:  # the window ends between two updates
            weigh(self.coeffs, self.weights, self.memory, age, self.live, self._s, evidence)
        return evidence[: self.live] / evidence[-1] if evidence[-1] > 0 else evidence[:0]

    def learn(self, sample: Sample, number: int) -> float:
        """Take one step by a sample of class ``number``; returns how wrong it was, 0..1."""
        if not sample.ticks:
            return 0.0
        updates = -(-sample.ticks // self.coeffs.update)
        if updates > len(self._scratch.signal):
            self._scratch: Scratch = scratch(
                self.weights, min(2 * updates, MOST_UPDATES) * self.coeffs.update, self.coeffs
            )
        memory = rest(self.weights) if sample.memory is None else Memory(*(array.copy() for array in sample.memory))
        axon = sample.axon.astype(np.int32)
        c, w, room = self.coeffs, self.weights, self._scratch
        return float(learn(c, w, memory, room, sample.ticks, sample.tick, axon, number, self.live))

    def grow(self, places: int) -> None:
        """Make room for so many classes."""
        self.weights = grown(self.weights, places, self.params.seed)
        self._room()

    def state(self) -> State:
        """Return copies of weights, memory and evidence."""
        memory = {f"memory_{name}": array for name, array in self.memory._asdict().items()}
        own = {**self.weights._asdict(), **memory, "evidence": self.evidence}
        return {name: array.copy() for name, array in own.items()}

    def template(self, places: int) -> State:
        """Return what `state` would with so many places."""
        own = self.state()
        own |= grown(self.weights, places, self.params.seed)._asdict() if places > self.places else {}
        if places < self.places:
            own |= {name: own[name][..., :places] for name in ("v", "v_mean", "v_square", "b", "b_mean", "b_square")}
            own["back"] = own["back"][:, :places]
        return {**own, "evidence": np.zeros(places + 1, np.float32)}

    def restore(self, taken: Mapping[str, Array], live: int) -> None:
        """Take over what `state` returned."""
        self.weights = Weights(**{name: taken[name] for name in Weights._fields})
        self.memory = Memory(**{name: taken[f"memory_{name}"] for name in Memory._fields})
        self.live = live
        self._room()
        self.evidence = taken["evidence"]

    def _design(self) -> None:
        self.coeffs = design(self.params, self.tick_us)

    def _room(self) -> None:
        self._s = np.zeros(self.places, np.float32)
        self.evidence = np.zeros(self.places + 1, np.float32)
        self._scratch = scratch(self.weights, 8 * self.coeffs.update, self.coeffs)  # of longer windows when they come


def room_of(classes: Any) -> tuple[int, tuple[str, ...]]:
    """Return for how many classes there is room, and their names where no other is learned; raises `ConfigError`."""
    if isinstance(classes, int | np.integer):
        check_wholes(classes=classes)
        return int(classes), ()
    names = tuple(classes) if isinstance(classes, Sequence) and not isinstance(classes, str) else ()
    labels = all(isinstance(name, str) and is_label(name) for name in names)
    if not 1 <= len(set(names)) == len(names) <= MOST_CLASSES or not labels:
        allowed = f"a whole number from 1 to {MOST_CLASSES:,}, or so many names, no two the same"
        raise ConfigError(f"classes = {classes!r} is out of range", key="classes", value=classes, allowed=allowed)
    return len(names), names


def bytes_of(axons: int, places: int, params: Params) -> int:
    """Return how many bytes the weights and the two moments of each take."""
    layers = params.layers
    inward = axons * sum(layers[:1]) + sum(below * above for below, above in pairwise(layers))
    beside = sum(size * size for size in layers) if params.recurrent > 0 else 0
    return 12 * (inward + beside + len(params.tau_out_ms) * (sum(layers) or axons) * places)


def grown(weights: Weights, places: int, seed: int) -> Weights:
    """Return weights with room for more classes, whose readout begins at zero as that of the first ones did."""
    more = places - len(weights.b)
    padded = {}
    for name in ("v", "v_mean", "v_square", "b", "b_mean", "b_square"):
        array = getattr(weights, name)
        padded[name] = np.concatenate([array, np.zeros((*array.shape[:-1], more), np.float32)], axis=-1)
    rng = np.random.default_rng([seed, places])
    new = rng.standard_normal((len(weights.back), more)).astype(np.float32)
    return weights._replace(**padded, back=np.concatenate([weights.back, new], axis=1))
