"""The simulator as a stage: its laws, cut anywhere, skipped, saved, and what it refuses."""

from __future__ import annotations

import naive_circuit
import numpy as np
import pytest
from circuit_cases import random_circuit
from filter_cases import pieces, same
from hypothesis import given, settings
from hypothesis import strategies as st
from network_cases import SLOW_START

import spikestream as ss
from spikestream import checks
from spikestream.batch import Spikes, cut, no_events, no_spikes
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.model.circuit import Cells, Circuit, Link
from spikestream.stages import ticked
from spikestream.stages.simulator import Simulator

TICKS = 40


def spiking(seed):
    """Return the first random circuit from ``seed`` on whose outputs spike."""
    while True:
        circuit = random_circuit(seed, groups=3, size=6)
        if all(circuit.place(name).spiking for name in circuit.outputs):
            return circuit
        seed += 1


LIVELY = spiking(40)


def busy(circuit=LIVELY, seed=1, ticks=TICKS):
    """Return spikes all over the ticks, some of one input in one tick, at any µs."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, ticks * 1000, 4 * ticks))
    return Spikes(0, ticks * 1000, t, rng.integers(0, circuit.input_count, len(t)).astype(np.int32))


def rows(parts):
    return [(int(t), int(axon)) for part in parts for t, axon in zip(part.t, part.axon, strict=True)]


PARTS = list(pieces(busy(), [9_999, 10_000, 10_001, 23_456]))


@pytest.mark.parametrize(
    ("law", "holds"),
    list(checks.stage(lambda: Simulator(LIVELY), PARTS)),
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_it_obeys_the_laws_of_a_stage(law, holds):
    assert sum(len(Simulator(LIVELY)(part)) for part in PARTS[:1]) > 0  # a silent circuit obeys anything
    holds()


@given(cuts=st.lists(st.integers(0, TICKS * 1000), max_size=12), seed=st.integers(0, 300))
@settings(SLOW_START, max_examples=40)
def test_cut_anywhere_it_is_still_its_plain_law(cuts, seed):
    circuit = spiking(seed)
    whole = busy(circuit, seed)
    counts = np.zeros((TICKS, circuit.input_count))
    np.add.at(counts, (whole.t // 1000, whole.axon), 1)  # several of one input in a tick add up
    expected, twin = naive_circuit.run(circuit, counts)
    simulator = Simulator(circuit)
    out = rows([simulator(part) for part in pieces(whole, sorted(cuts))])
    assert out == [
        (1000 * k + 999, pin)
        for k in range(TICKS)
        for pin in np.repeat(np.arange(len(expected[k])), expected[k].astype(int))
    ]
    potentials = [v for one in circuit.cells for v in twin.v(one.name)]
    assert np.array_equal(simulator.v, potentials, equal_nan=True)


def relay(**own):
    cells = (Cells("a", (1,), **{"threshold": 0.5, **own}),)
    return Circuit((("in", 1),), cells, (Link.dense("in", "a", np.ones((1, 1))),), ("a",))


def pulse(at, stop):
    return Spikes(0, stop, np.array([at]), np.zeros(1, np.int32))


@pytest.mark.parametrize(
    ("step_us", "tick_us", "expected"), [(None, None, 1000), (100.0, None, 100), (100.0, 250, 250)]
)
def test_a_tick_is_a_step_of_the_circuit(step_us, tick_us, expected):
    one = relay()
    circuit = Circuit(one.inputs, one.cells, one.links, one.outputs, step_us)
    simulator = ss.Simulator(circuit, tick_us=tick_us)
    assert rows([simulator(pulse(7 * expected, 10 * expected))]) == [(8 * expected - 1, 0)]


def test_steps_of_no_whole_microseconds_need_a_tick():
    one = relay()
    with pytest.raises(ConfigError, match="tick_us"):
        Simulator(Circuit(one.inputs, one.cells, one.links, one.outputs, 0.25))


@pytest.mark.parametrize(("cells", "ticks"), [(1, 100), (100, 3)])  # too many together, and in one tick
def test_more_spikes_than_there_is_room_for_come_all(cells, ticks):
    group = Cells("a", (cells,), threshold=1.0, several=True)
    links = (Link.dense("in", "a", np.full((1, cells), 900.0)),)
    simulator = Simulator(Circuit((("in", 1),), (group,), links, ("a",)))
    out = simulator(Spikes(0, ticks * 1000, np.arange(ticks) * 1000, np.zeros(ticks, np.int32)))
    assert np.bincount(out.t // 1000).tolist() == [900 * cells] * ticks
    assert np.bincount(out.axon).tolist() == [900 * ticks] * cells
    assert simulator.account.given == 900 * cells * ticks


def test_a_gap_runs_its_ticks_on_silence_and_then_stands_still(monkeypatch):
    one, other = Simulator(LIVELY), Simulator(LIVELY)
    one(busy())
    other(busy())
    assert rows([one(no_spikes(40_000, 90_000))]) == rows([other.skip(40_000, 90_000)])
    assert same(one.state(), other.state())
    monkeypatch.setattr(ticked, "GAP_TICKS", 3)
    leaky = Simulator(relay(decay=0.5, threshold=9.0))
    leaky(pulse(0, 1_000))
    assert leaky.skip(1_000, 900_000).t.tolist() == []
    assert leaky.v.tolist() == [0.125]
    assert rows([leaky(no_spikes(900_000, 901_000))]) == []
    assert leaky.v.tolist() == [0.0625]


@given(at=st.integers(0, TICKS * 1000))
@settings(SLOW_START, max_examples=20)
def test_a_fresh_simulator_goes_on_from_a_saved_state_bit_for_bit(at):
    left, right = cut(busy(), at)
    first, second = Simulator(LIVELY), Simulator(LIVELY)
    first(left)
    second.restore(first.state())
    assert rows([second(right)]) == rows([first(right)])
    assert same(first.state(), second.state())


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing():
    simulator = Simulator(LIVELY)
    simulator(busy())
    saved = simulator.state()
    wrong = {
        "step": np.array([-1]),
        "left": saved["left"] + 2**20,
        "owed": saved["owed"] - 1,
        "counts": saved["counts"] + 2**20,
        "ids": saved["ids"] + 2**20,
        "values": np.full_like(saved["values"], 1e300),
        "v": saved["v"].astype(np.float32),
        "circuit": saved["circuit"][::-1],
        "held_axon": np.array([99], np.int32),
    }
    for name, array in wrong.items():
        with pytest.raises(ModelError):
            simulator.restore({**saved, name: array})
    assert same(simulator.state(), saved)


def test_what_does_not_spike_is_no_output_of_a_stream():
    simulator = Simulator(relay(spiking=False))
    with pytest.raises(ModelError, match="run"):
        simulator(pulse(0, 1_000))
    assert simulator.run([[2.0]]).outputs.tolist() == [[2.0]]


def test_it_takes_spikes_of_its_inputs_only():
    with pytest.raises(SpikestreamError, match="takes spikes, not Events"):
        Simulator(LIVELY)(no_events(0, 1_000))
    with pytest.raises(ModelError, match="do not fit"):
        Simulator(relay())(Spikes(0, 1_000, np.array([5]), np.ones(1, np.int32)))
