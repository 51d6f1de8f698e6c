"""The simulator: a circuit in floating point, as a stage tick by tick, or on arrays of values step by step.

A tick is a step of the circuit. As a stage it takes `Spikes` of the inputs, each a 1, and several of one input in a
tick add up; it gives `Spikes` of the outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spikestream.batch import Array, Batch, Spikes
from spikestream.errors import ConfigError, ModelError
from spikestream.kernels import circuit as kernel
from spikestream.kernels import circuit_design as bits
from spikestream.model.circuit import MOST_SPIKES, Cells, Circuit
from spikestream.stages.base import State
from spikestream.stages.ticked import Ticked

TICK_US = 1000
"""How long a tick is where neither the circuit nor anyone else says."""
MOST_WAITING = 1 << 26
"""Values in all rings together: cells times the steps of their longest delay."""
ROOM = 1 << 16
"""Output spikes there is room for at first."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a circuit did: ``outputs`` (steps, outputs), spikes or potentials; of recorded cells (steps, cells) each.

    ``v`` are potentials after each step, ``spikes`` how many spikes a cell gave, or its potential where it has none.
    """

    outputs: Array
    v: dict[str, Array]
    spikes: dict[str, Array]


class Simulator(Ticked):
    """Runs ``circuit`` in floating point of ``dtype``, "float64" or "float32"; a tick of ``tick_us`` µs is one step.

    Without ``tick_us`` the circuit says how long its steps are; where it does not, they are 1,000 µs. Raises
    `ConfigError`, and `ModelError` for a circuit that is too large.
    """

    def __init__(self, circuit: Circuit, *, tick_us: int | None = None, dtype: str = "float64") -> None:
        given: object = circuit
        if not isinstance(given, Circuit):
            text = f"a simulator runs a circuit, not {type(given).__name__}"
            raise ConfigError(text, key="circuit", allowed="a Circuit, or what fold returns")
        if dtype not in ("float64", "float32"):
            text = f"dtype '{dtype}' is not known"
            raise ConfigError(text, key="dtype", value=dtype, allowed="float64, float32")
        self.circuit, self.dtype = circuit, dtype
        self._params = _params(circuit, dtype)
        engine = _Engine(circuit, self._params)
        super().__init__(engine, "circuit", circuit.input_count, circuit.digest, _tick_us(circuit, tick_us))

    def __call__(self, batch: Batch) -> Spikes:
        """Run all ticks that end by ``batch.stop`` and return the spikes of the outputs; raises `ModelError`."""
        silent = [name for name in self.circuit.outputs if not self.circuit.place(name).spiking]
        if silent:
            text = f"the outputs {', '.join(silent)} of this circuit do not spike, so they give no spikes to a stream"
            raise ModelError(text, remedy="run(values), which returns their potentials")
        return super().__call__(batch)

    def run(self, values: Array, *, record: Sequence[str] = ()) -> Run:
        """Run a step on each row of ``values`` (steps, inputs), numbers or bools, from the beginning on.

        ``record`` names cells whose potentials and spikes are wanted. What the stage itself remembers is not touched.
        Raises `ModelError` where the values do not fit.
        """
        cells = [self.circuit.place(name) for name in record]
        given = _values(values, self.circuit.input_count, self.dtype)
        total = sum(one.size for one in cells)
        out = np.zeros((len(given), self.circuit.output_count), self.dtype)
        v, spikes = (np.zeros((len(given), total), self.dtype) for _ in range(2))
        numbers = {one.name: number for number, one in enumerate(self.circuit.cells)}
        groups = np.array([numbers[name] for name in record], np.int64)
        p = self._params
        kernel.run_values(kernel.design(p), kernel.init(p), kernel.scratch(p), given, out, groups, v, spikes)
        ends = np.cumsum([one.size for one in cells], dtype=np.int64)[:-1]
        named = [dict(zip(record, np.split(whole, ends, axis=1), strict=False)) for whole in (v, spikes)]
        return Run(out, *named)


class _Engine:
    """Steps of a circuit, one a tick."""

    def __init__(self, circuit: Circuit, params: kernel.Params) -> None:
        self._circuit = circuit
        self._coeffs, self._state = kernel.design(params), kernel.init(params)
        self._scratch = kernel.scratch(params)
        self._out = _room(ROOM)

    def run(self, ticks: tuple[int, int, int], t: Array, axon: Array) -> tuple[int, Array, Array, int]:
        """Run ticks until ``stop``; see `Engine`."""
        now, stop, tick_us = ticks
        heard, parts, owed, busy = 0, [], 0, True
        while busy:
            if owed > len(self._out[0]):
                self._out = _room(owed)
            c, s, b = self._coeffs, self._state, self._scratch
            left = t[heard:], axon[heard:]
            now, made, more, owed = kernel.run(c, s, b, (now, stop, tick_us), *left, *self._out, owed)
            heard += more
            parts.append([one[:made].copy() for one in self._out])
            busy = now < stop or owed > 0
        tick, pin = (np.concatenate(column) for column in zip(*parts, strict=True))
        return now, tick, pin, heard

    def stand_still(self, ticks: int) -> None:
        """Do nothing: what is under way is named by the steps that were run."""

    @property
    def v(self) -> Array:
        """Return a copy of the potentials, (cells,), in the order of `Circuit.cells`."""
        return self._state.v.copy()

    def state(self) -> State:
        """Return all that is remembered."""
        return self._state._asdict()

    def absurd(self, taken: State) -> str:
        """Return what no circuit can have come to, "" where all is well."""
        c, sources = self._coeffs, range(len(self._coeffs.size))
        if taken["step"][0] < 0 or np.any((taken["left"] < 0) | (taken["left"] > c.refractory)):
            return "steps that cannot be"
        if not np.all((taken["owed"] >= 0) & (taken["owed"] <= c.most)):
            return "spikes that cannot be"
        for source in sources:
            slots = slice(c.slot[source], c.slot[source] + c.depth[source])
            ring = slice(c.place[source], c.place[source] + c.depth[source] * c.size[source])
            if np.any((taken["counts"][slots] < 0) | (taken["counts"][slots] > c.size[source])):
                return "more under way than there are sources"
            if np.any((taken["ids"][ring] < 0) | (taken["ids"][ring] >= c.size[source])):
                return "something under way from cells that do not exist"
            group = source - (len(c.size) - len(c.flags))
            spiking, values = group >= 0 and c.flags[group] & bits.SPIKING, taken["values"][ring]
            if spiking and not np.all((values >= 0) & (values <= c.most)):
                return "more spikes under way than a cell can give"
        return ""

    def restore(self, taken: Mapping[str, Array]) -> None:
        """Take over what `state` returned."""
        for name, array in self._state._asdict().items():
            array[...] = taken[name]


def _room(spikes: int) -> tuple[Array, Array]:
    return np.empty(spikes, np.int64), np.empty(spikes, np.int32)


def _tick_us(circuit: Circuit, tick_us: int | None) -> int:
    """Return how long a tick is, µs; raises `ConfigError` where the circuit's steps are no whole microseconds."""
    if tick_us is not None:
        return tick_us
    step = TICK_US if circuit.step_us is None else circuit.step_us
    if step < 1 or abs(step - round(step)) > 1e-6 * step:
        text = f"a step of this circuit is {step:g} µs, and a tick is a whole number of them"
        raise ConfigError(text, key="tick_us", value=step, remedy="say how long a tick is, for example tick_us=1000")
    return round(step)


def _values(values: Array, inputs: int, dtype: str) -> Array:
    """Return values as rows (steps, inputs) of ``dtype``; raises `ModelError`."""
    given = np.asarray(values)
    if given.dtype.kind not in "biuf" or given.ndim < 2 or np.prod(given.shape[1:]) != inputs:
        text = f"values of type {given.dtype} and shape {given.shape} do not fit a circuit of {inputs} inputs"
        raise ModelError(text, details=[f"expected numbers of shape (steps, {inputs})"])
    rows = np.ascontiguousarray(given.reshape(len(given), inputs), dtype)
    if not np.isfinite(rows).all():
        raise ModelError(f"some values are not finite in {dtype}")
    return rows


def _flags(cells: Cells) -> int:
    """Return what cells do, as bits."""
    own = {
        bits.CURRENT: cells.has_current,
        bits.OLD: cells.old_current,
        bits.AT: cells.at_threshold,
        bits.SEVERAL: cells.several,
        bits.SPIKING: cells.spiking,
        bits.SUBTRACT: cells.reset == "subtract",
        bits.CROSSING: cells.reset == "crossing",
        bits.LATE_RESET: cells.late_reset,
        bits.LATE_SPIKES: cells.late_spikes,
        bits.REFRACTORY: bool(cells.refractory.any()),
    }
    return sum(bit for bit, is_so in own.items() if is_so)


def _numbers(circuit: Circuit, name: str, dtype: str) -> Array:
    """Return one parameter of all cells, 0 where they have none; raises `ModelError`."""
    parts = (getattr(one, name) for one in circuit.cells)
    whole = np.concatenate([np.zeros(c.size) if p is None else p for c, p in zip(circuit.cells, parts, strict=True)])
    _fits(f"{name} of cells", whole[np.isfinite(whole)], dtype)
    return whole


def _fits(what: str, numbers: Array, dtype: str) -> None:
    if numbers.size and np.abs(numbers).max() > np.finfo(dtype).max:
        raise ModelError(f"some {what} are beyond what {dtype} holds", remedy='dtype="float64"')


def _params(circuit: Circuit, dtype: str) -> kernel.Params:
    """Return what the kernel is told of a circuit; raises `ModelError`."""
    sources = [name for name, _ in circuit.inputs] + [one.name for one in circuit.cells]
    numbers = {one.name: number for number, one in enumerate(circuit.cells)}
    links = sorted(circuit.links, key=lambda link: numbers[link.target])  # stable: links of one target stay in order
    for link in links:
        _fits(f"weights of {link!r}", link.weights, dtype)
    params = kernel.Params(
        flags=np.array([_flags(one) for one in circuit.cells], np.int64),
        input_sizes=np.array([size for _, size in circuit.inputs], np.int64),
        cell_sizes=np.array([one.size for one in circuit.cells], np.int64),
        **{name: _numbers(circuit, name, dtype) for name in bits.NUMBERS},
        refractory=np.concatenate([one.refractory for one in circuit.cells]),
        link_source=np.array([sources.index(link.source) for link in links], np.int64),
        link_target=np.array([numbers[link.target] for link in links], np.int64),
        link_delay=np.array([link.delay for link in links], np.int64),
        link_first=tuple(link.first for link in links),
        post=tuple(link.post for link in links),
        weights=tuple(link.weights for link in links),
        outputs=np.array([numbers[name] for name in circuit.outputs], np.int64),
        most=MOST_SPIKES,
        dtype=np.dtype(dtype),
    )
    if (waiting := kernel.waiting(params)) > MOST_WAITING:
        text = f"{waiting:,} values would be under way in this circuit, at most {MOST_WAITING:,} can be"
        raise ModelError(text, remedy="shorter delays")
    return params
