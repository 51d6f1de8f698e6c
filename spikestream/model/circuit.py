"""A network in discrete steps: cells of the leaky kind joined by weights, whatever description it came from.

Every NIR graph and every network of LIF cells folds into this form; a simulator runs it as it stands, and a compiler
turns it into what a chip holds. Order inside step n, cells in the order of `Circuit.cells`:

    input     x = bias + sum over links of weight · s(n - delay), s what the source gave in that step
    current   i' = current_decay i + current_gain x;  y = i', or the old i with ``old_current``;  y = x without
    membrane  v = decay v + gain y + drift, at least ``floor``; reset_to for ``refractory`` steps after a spike
    fire      v > threshold (or v >= threshold, with ``at_threshold``): a spike; with ``several``, floor(v / threshold)
              of them, at most `MOST_SPIKES`; with ``late_spikes`` they are given in the next step instead
    reset     "value": v = reset_to;  "subtract": v less (threshold - reset_to) for each spike
              with ``late_reset`` that happens in the next step instead, after its membrane line
              "crossing": v as if it had been reset at the moment it crossed the threshold, y held for the step

Cells that do not spike give v. A link with delay 0 is heard in the same step, so its source comes before its target.
At first v = v0, i = 0, and nothing is under way.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from spikestream.errors import ModelError

Array: TypeAlias = NDArray[Any]

_PARTS = {"cells": "Cells", "links": "Link", "outputs": "names of cells", "inputs": "names and sizes"}
RESETS = ("value", "subtract", "crossing")
MOST_SPIKES = 1024
"""Of a cell in a step."""
MOST_CELLS = 2**24
MOST_DELAY = 2**16
_PER_CELL = {  # name: default; None: there is no current
    "decay": 0.0,
    "gain": 1.0,
    "drift": 0.0,
    "bias": 0.0,
    "threshold": np.inf,
    "reset_to": 0.0,
    "floor": -np.inf,
    "v0": 0.0,
    "refractory": 0,
    "current_decay": None,
    "current_gain": None,
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Cells:
    """``size`` cells of one kind; numbers stand for arrays (size,), which are float64 but for ``refractory``, int32."""

    name: str
    shape: tuple[int, ...]  # of the addresses, row by row
    decay: Any = 0.0
    gain: Any = 1.0
    drift: Any = 0.0
    bias: Any = 0.0
    threshold: Any = np.inf
    reset_to: Any = 0.0
    floor: Any = -np.inf
    v0: Any = 0.0
    refractory: Any = 0
    current_decay: Any = None
    current_gain: Any = None
    reset: str = "value"
    late_reset: bool = False
    late_spikes: bool = False
    old_current: bool = False
    at_threshold: bool = False
    several: bool = False
    spiking: bool = True

    @property
    def size(self) -> int:
        """Return how many cells there are."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def has_current(self) -> bool:
        """Return whether input passes through a current that decays."""
        return self.current_decay is not None

    def __repr__(self) -> str:
        return f"Cells({self.name}, {' x '.join(map(str, self.shape))})"

    def __post_init__(self) -> None:
        shape = _numbers(f"shape of cells '{self.name}'", self.shape, np.int64)
        object.__setattr__(self, "shape", tuple(shape.reshape(-1).tolist()))
        if not self.shape or not 1 <= self.size <= MOST_CELLS or min(self.shape) < 1:
            raise ModelError(f"cells '{self.name}' of shape {self.shape} cannot be: 1 to {MOST_CELLS:,} of them")
        if self.reset not in RESETS:
            raise ModelError(f"cells '{self.name}': reset '{self.reset}' is not known", details=[", ".join(RESETS)])
        if (self.current_decay is None) != (self.current_gain is None):
            raise ModelError(f"cells '{self.name}' have a current's decay or its gain, and not both")
        for name, default in _PER_CELL.items():
            if default is not None or getattr(self, name) is not None:
                object.__setattr__(self, name, _filled(f"{name} of cells '{self.name}'", getattr(self, name), self))
        if self.several and self.spiking and np.any(self.threshold <= 0):
            raise ModelError(f"cells '{self.name}' spike floor(v / threshold) times, but not all thresholds are > 0")
        if self.reset == "crossing" and (
            self.several or self.late_reset or np.any((self.decay < 0) | (self.decay > 1))
        ):
            text = f"cells '{self.name}' cannot be reset at the moment of crossing"
            raise ModelError(text, details=["that takes a decay of 0 to 1, one spike a step, and no late reset"])


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Link:
    """Weights from an input or cells onto cells, row by row of the source (CSR), after ``delay`` steps."""

    source: str
    target: str
    first: Array  # (source + 1,) int64: row i is post[first[i]:first[i + 1]]
    post: Array  # (k,) int32, ascending in a row, each once
    weights: Array  # (k,) float64
    delay: int = 0

    def __repr__(self) -> str:
        return f"Link({self.source} -> {self.target}, {len(self.post):,} weights, delay {self.delay})"

    @classmethod
    def dense(cls, source: str, target: str, matrix: Array, delay: int = 0) -> Link:
        """Return the link of a matrix (source, target); zeros are no weights."""
        given = _numbers(f"weights of the link {source} -> {target}", matrix, np.float64)
        if given.ndim != 2:
            raise ModelError(f"weights of the link {source} -> {target} have {given.ndim} dimensions, not 2")
        rows, columns = np.nonzero(given)
        first = np.searchsorted(rows, np.arange(len(given) + 1))
        return cls(source, target, first, columns, given[rows, columns], delay)

    def matrix(self, targets: int) -> Array:
        """Return the weights as a matrix (source, targets) float64."""
        made = np.zeros((len(self.first) - 1, targets))
        made[np.repeat(np.arange(len(made)), np.diff(self.first)), self.post] = self.weights
        return made

    def __post_init__(self) -> None:
        for name, kind in (("first", np.int64), ("post", np.int32), ("weights", np.float64)):
            what = f"{name} of the link {self.source} -> {self.target}"
            object.__setattr__(self, name, _frozen(_numbers(what, getattr(self, name), kind).copy(order="C")))
        if not isinstance(self.delay, int | np.integer) or not 0 <= self.delay <= MOST_DELAY:
            text = f"a delay of {self.delay!r:.40} of the link {self.source} -> {self.target} cannot be"
            raise ModelError(f"{text}: 0 to {MOST_DELAY:,} steps")
        object.__setattr__(self, "delay", int(self.delay))
        _check_rows(self)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Circuit:
    """Inputs (name and size, numbered one after the other), cells, links; ``outputs`` are cells, numbered likewise."""

    inputs: tuple[tuple[str, int], ...]
    cells: tuple[Cells, ...]
    links: tuple[Link, ...]
    outputs: tuple[str, ...]
    step_us: float | None = None  # how long a step is, where that is known

    def __repr__(self) -> str:
        return f"Circuit({self.input_count:,} inputs, {list(self.cells)}, {len(self.links)} links)"

    @property
    def input_count(self) -> int:
        """Return how many inputs there are, all together."""
        return sum(size for _, size in self.inputs)

    @property
    def output_count(self) -> int:
        """Return how many outputs there are, all together."""
        return sum(self.place(name).size for name in self.outputs)

    @property
    def digest(self) -> Array:
        """Return the SHA-256 (32,) uint8 of all there is: circuits of one digest do the same."""
        total = hashlib.sha256(repr((self.inputs, self.outputs, self.step_us)).encode())
        parts: tuple[Cells | Link, ...] = (*self.cells, *self.links)
        for part in parts:
            for one in fields(part):
                value = getattr(part, one.name)
                array = isinstance(value, np.ndarray)
                total.update(f"{one.name}{value.shape if array else value!r}".encode())
                total.update(value.tobytes() if array else b"")
        return np.frombuffer(total.digest(), np.uint8)

    def place(self, name: str) -> Cells:
        """Return the cells of a name; raises `ModelError`."""
        for one in self.cells:
            if one.name == name:
                return one
        raise ModelError(f"there are no cells '{name}' in this circuit")

    def __post_init__(self) -> None:
        _check_parts(self)
        if not self.cells or not self.outputs:
            raise ModelError("a circuit needs cells, and some of them as outputs")
        if self.step_us is not None and not (isinstance(self.step_us, int | float) and 0 < self.step_us < np.inf):
            raise ModelError(f"a step of {self.step_us!r:.40} µs cannot be")
        sizes = dict(self.inputs) | {one.name: one.size for one in self.cells}
        if len(sizes) < len(self.inputs) + len(self.cells):
            raise ModelError("two parts of a circuit have one name")
        for name in self.outputs:
            self.place(name)
        for link in self.links:
            _check_link(self, link, sizes)


def _frozen(array: Array) -> Array:
    array.flags.writeable = False
    return array


def _numbers(what: str, value: Any, kind: type[np.generic]) -> Array:
    """Return an array of numbers of a kind; raises `ModelError` where they are none, or no whole ones."""
    try:
        given = np.asarray(value)
        if given.dtype.kind in "biuf" or not given.size:
            made = given.astype(kind)
            if np.issubdtype(kind, np.floating) or np.array_equal(made, given):
                return made
    except (TypeError, ValueError):
        pass
    whole = "" if np.issubdtype(kind, np.floating) else "whole "
    raise ModelError(f"{what} are no {whole}numbers: {value!r:.60}")


def _check_parts(circuit: Circuit) -> None:
    """Put tuples of the right parts in place of whatever was given; raises `ModelError`."""
    for name, kind in (("cells", Cells), ("links", Link), ("outputs", str), ("inputs", tuple)):
        given = getattr(circuit, name)
        parts = tuple(given) if isinstance(given, list | tuple) else ()
        parts = tuple(tuple(one) for one in parts if isinstance(one, list | tuple)) if kind is tuple else parts
        if (
            not isinstance(given, list | tuple)
            or len(parts) != len(given)
            or not all(isinstance(p, kind) for p in parts)
        ):
            raise ModelError(f"{name} of a circuit are no list of {_PARTS[name]}: {given!r:.60}")
        object.__setattr__(circuit, name, parts)
    for one in circuit.inputs:
        if len(one) != 2 or not isinstance(one[0], str) or not isinstance(one[1], int | np.integer) or one[1] < 1:
            raise ModelError(f"an input of a circuit is its name and its size, not {one!r:.60}")


def _filled(what: str, value: Any, cells: Cells) -> Array:
    """Return an array (size,) of a number or of as many numbers as there are cells."""
    kind = np.int32 if what.startswith("refractory") else np.float64
    given = _numbers(what, value, np.float64)
    if given.size not in (1, cells.size) or np.isnan(given).any():
        raise ModelError(f"{what} are {given.size} numbers, not {cells.size}, or some are no numbers")
    if kind is np.int32 and np.any((given < 0) | (given > MOST_DELAY) | (given % 1 != 0)):
        raise ModelError(f"{what} are not 0 to {MOST_DELAY:,} whole steps")
    return _frozen(np.array(np.broadcast_to(given.reshape(-1), (cells.size,)), kind))


def _check_rows(link: Link) -> None:
    first, post = link.first, link.post
    if first.ndim != 1 or len(first) < 2 or first[0] != 0 or first[-1] != len(post) or np.any(np.diff(first) < 0):
        raise ModelError(f"{link!r}: where its rows begin contradicts its {len(post):,} weights")
    if post.ndim != 1 or link.weights.shape != post.shape or not np.isfinite(link.weights).all():
        raise ModelError(f"{link!r}: its weights are not one finite number for each target")
    inner = np.ones(max(len(post) - 1, 0), bool)
    inner[first[1:-1][(first[1:-1] > 0) & (first[1:-1] < len(post))] - 1] = False  # a new row may begin anywhere
    if np.any(np.diff(post)[inner] <= 0):
        raise ModelError(f"{link!r}: the targets of a row are not in ascending order, each once")


def _check_link(circuit: Circuit, link: Link, sizes: dict[str, int]) -> None:
    for name in (link.source, link.target):
        if name not in sizes:
            raise ModelError(f"{link!r} joins '{name}', which the circuit does not have")
    target = circuit.place(link.target)
    if len(link.first) != sizes[link.source] + 1 or (
        len(link.post) and not 0 <= link.post.min() <= link.post.max() < target.size
    ):
        raise ModelError(f"{link!r} does not fit {sizes[link.source]:,} sources and {target.size:,} targets")
    names = [one.name for one in circuit.cells]
    if link.delay == 0 and link.source in names and names.index(link.source) >= names.index(link.target):
        raise ModelError(f"{link!r} is heard in its own step, but its source comes after its target")
