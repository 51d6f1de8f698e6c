"""The circuit kernel against its plain-Python law, bit for bit, and each part of the law in closed form."""

from __future__ import annotations

from collections import Counter

import naive_circuit
import numpy as np
import pytest
from circuit_cases import random_circuit, random_values

from spikestream.errors import ConfigError, ModelError
from spikestream.model.circuit import Cells, Circuit, Link
from spikestream.stages.simulator import Simulator

# Everything that must have happened in the random circuits below.
EVERYTHING = (
    *(("delay", d) for d in range(4)),
    *(("spike", reset) for reset in ("value", "subtract", "crossing")),
    *(("late", reset) for reset in ("value", "subtract")),
    *(("current", old) for old in (False, True)),
    *("floor", "analog", "late spikes", "refractory", "at", "several", "crossed a line", "crossed at once"),
)


def same(a, b):
    """Return whether two arrays are equal bit for bit, but for the sign of a zero."""
    return bool(np.all((a == b) | (np.isnan(a) & np.isnan(b))))


@pytest.mark.parametrize(("dtype", "number", "circuits"), [("float64", float, 400), ("float32", np.float32, 120)])
def test_random_circuits_equal_the_law_and_do_everything(dtype, number, circuits):
    seen, lively = Counter(), 0
    for seed in range(circuits):
        circuit = random_circuit(seed)
        values = random_values(seed, circuit, 12)
        with np.errstate(all="ignore"):
            expected, twin = naive_circuit.run(circuit, values, number)
        names = [one.name for one in circuit.cells]
        got = Simulator(circuit, dtype=dtype).run(values, record=names)
        assert got.outputs.dtype == dtype
        assert same(got.outputs, expected.astype(dtype)), seed
        assert all(same(got.v[name][-1], np.array(twin.v(name), dtype)) for name in names), seed
        assert all(same(got.spikes[name][-1], np.array(twin.past[name, 11], dtype)) for name in names), seed
        seen.update(twin.seen)
        lively += bool(expected.any())
    assert lively >= 0.9 * circuits
    assert {what: seen[what] for what in EVERYTHING if seen[what] < circuits // 10} == {}


def one_cell(steps, drive=1.0, **given):
    """Return v and spikes of one cell that is given ``drive`` in each step."""
    circuit = Circuit((("in", 1),), (Cells("a", (1,), **given),), (Link.dense("in", "a", np.ones((1, 1))),), ("a",))
    run = Simulator(circuit).run(np.full((steps, 1), drive), record=["a"])
    return run.v["a"][:, 0], run.outputs[:, 0]


def test_a_leaky_cell_follows_its_closed_form():
    v, spikes = one_cell(50, decay=0.9, gain=0.1, drift=0.05)
    assert v == pytest.approx(1.5 * (1 - 0.9 ** np.arange(1, 51)), abs=1e-12)
    assert not spikes.any()


@pytest.mark.parametrize("steps", [1, 7])
def test_a_current_is_felt_at_once_or_a_step_later(steps):
    n = np.arange(1, steps + 1)
    now, _ = one_cell(steps, decay=1.0, current_decay=0.5, current_gain=1.0)
    late, _ = one_cell(steps, decay=1.0, current_decay=0.5, current_gain=1.0, old_current=True)
    assert now == pytest.approx(2 * n - 2 * (1 - 0.5**n), abs=1e-12)
    assert late == pytest.approx(np.concatenate([[0.0], now[:-1]]), abs=1e-12)


def test_resets_differ_in_what_they_keep():
    value, _ = one_cell(6, drive=0.75, decay=1.0, threshold=1.0, reset_to=0.25)
    subtract, _ = one_cell(6, drive=0.75, decay=1.0, threshold=1.0, reset_to=0.25, reset="subtract")
    late, spikes = one_cell(6, drive=0.75, decay=1.0, threshold=1.0, reset="subtract", late_reset=True)
    assert value.tolist() == [0.75, 0.25, 1.0, 0.25, 1.0, 0.25]
    assert subtract.tolist() == [0.75, 0.75, 0.75, 0.75, 0.75, 0.75]
    # It fires at 1.5 and 1.25; each is lowered by 1 a step later.
    assert late.tolist() == [0.75, 1.5, 1.25, 1.0, 1.75, 1.5]
    assert spikes.tolist() == [0, 1, 1, 0, 1, 1]


@pytest.mark.parametrize("drive", [1.5, 2.0, 7.0])
def test_a_reset_at_the_moment_of_crossing_is_the_membrane_equation_solved(drive):
    # tau v' = drive - v from 0, threshold 1, steps of tau / 4: a spike each tau ln(drive / (drive - 1)).
    decay = np.exp(-0.25)
    period = 4 * np.log(drive / (drive - 1))
    v, spikes = one_cell(200, drive, decay=decay, gain=1 - decay, threshold=1.0, reset="crossing")
    due = np.arange(period, 200, period)
    fires = np.flatnonzero(spikes) + 1
    if period > 1:
        assert fires.tolist() == np.ceil(due).astype(int).tolist()
        since = np.arange(1, 201) - period * np.floor(np.arange(1, 201) / period)
        assert v == pytest.approx(drive * (1 - np.exp(-since / 4)), abs=1e-9)
    else:
        assert len(fires) == 200  # one a step is all there is


def test_several_spikes_in_a_step_are_counted_and_bounded():
    v, spikes = one_cell(3, drive=3.25, decay=1.0, threshold=1.0, reset="subtract", several=True)
    assert (v.tolist(), spikes.tolist()) == ([0.25, 0.5, 0.75], [3, 3, 3])
    v, spikes = one_cell(2, drive=1e9, decay=0.0, threshold=1.0, several=True)
    assert spikes.tolist() == [1024, 1024]


def test_refractory_cells_wait_and_count_only_afterwards():
    v, spikes = one_cell(9, decay=1.0, threshold=1.5, refractory=2, reset_to=-0.5)
    assert spikes.tolist() == [0, 1, 0, 0, 0, 0, 1, 0, 0]
    assert v.tolist() == [1, -0.5, -0.5, -0.5, 0.5, 1.5, -0.5, -0.5, -0.5]


def chain(delay):
    cells = (Cells("a", (1,), threshold=0.5), Cells("b", (1,), threshold=0.5))
    one = np.ones((1, 1))
    links = (Link.dense("in", "a", one), Link.dense("a", "b", one, delay))
    return Circuit((("in", 1),), cells, links, ("a", "b"))


@pytest.mark.parametrize("delay", [0, 1, 5, 300])
def test_a_link_is_heard_its_delay_later(delay):
    values = np.zeros((400, 1))
    values[[3, 50, 51]] = 1
    run = Simulator(chain(delay)).run(values)
    assert np.flatnonzero(run.outputs[:, 0]).tolist() == [3, 50, 51]
    assert np.flatnonzero(run.outputs[:, 1]).tolist() == [3 + delay, 50 + delay, 51 + delay]


def test_cells_begin_at_v0_with_nothing_under_way():
    v, _ = one_cell(2, drive=0.0, decay=0.5, v0=3.0)
    assert v.tolist() == [1.5, 0.75]


def test_a_run_begins_anew_and_leaves_the_stage_alone():
    simulator = Simulator(random_circuit(5))
    before = {name: array.tobytes() for name, array in simulator.state().items()}
    values = random_values(5, simulator.circuit, 30)
    first, second = simulator.run(values), simulator.run(values)
    assert first.outputs.tolist() == second.outputs.tolist()
    assert {name: array.tobytes() for name, array in simulator.state().items()} == before


def test_values_may_have_the_shape_of_the_inputs():
    circuit = Circuit((("in", 6),), (Cells("a", (1,)),), (Link.dense("in", "a", np.arange(6.0)[:, None]),), ("a",))
    grid = np.random.default_rng(1).random((4, 2, 3)) < 0.5
    assert Simulator(circuit).run(grid, record=["a"]).v["a"][:, 0].tolist() == (grid.reshape(4, 6) @ range(6)).tolist()


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros(4),
        np.zeros((4, 2)),
        np.zeros((0, 2)),
        np.full((1, 1), np.nan),
        np.array([["a"]]),
        np.zeros((1, 1), complex),
    ],
    ids=str,
)
def test_values_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ModelError):
        Simulator(chain(0)).run(wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"dtype": "float16"}, {"tick_us": 0}, {"tick_us": 0.5}, {"circuit": "a.nir"}],
    ids=str,
)
def test_options_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError):
        Simulator(**{"circuit": chain(0), **wrong})


def test_a_circuit_too_large_is_refused_before_it_takes_memory():
    cells = (Cells("a", (2**20,)),)
    links = (Link("a", "a", np.zeros(2**20 + 1), [], [], delay=2**16),)
    with pytest.raises(ModelError, match="under way"):
        Simulator(Circuit((("in", 1),), cells, links, ("a",)))
    with pytest.raises(ModelError, match="float32"):
        Simulator(Circuit((("in", 1),), (Cells("a", (1,), bias=1e300),), (), ("a",)), dtype="float32")


@pytest.mark.parametrize(
    "wrong",
    [
        {"reset": "zero"},
        {"shape": (0,)},
        {"shape": (2**40,)},
        {"decay": np.nan},
        {"decay": [1.0, 2.0]},
        {"refractory": 0.5},
        {"refractory": -1},
        {"current_decay": 0.5},
        {"several": True, "threshold": 0.0},
        {"reset": "crossing", "late_reset": True},
        {"reset": "crossing", "decay": 1.5},
        {"reset": "crossing", "several": True, "threshold": 1.0},
    ],
    ids=str,
)
def test_cells_that_cannot_be_are_refused(wrong):
    with pytest.raises(ModelError):
        Cells(**{"name": "a", "shape": (3,), **wrong})


def test_circuits_of_one_digest_are_one_circuit():
    assert chain(1).digest.tolist() == chain(1).digest.tolist()
    assert chain(1).digest.tolist() != chain(2).digest.tolist()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Cells("a", "x"),
        lambda: Cells("a", (2.5,)),
        lambda: Cells("a", (3,), decay="fast"),
        lambda: Cells("a", (3,), decay=[[1], [2, 3]]),
        lambda: Link.dense("a", "b", np.zeros(3)),
        lambda: Link.dense("a", "b", None),
        lambda: Link.dense("a", "b", [["1"]]),
        lambda: Link.dense("a", "b", np.ones((2, 2)), delay="x"),
        lambda: Link.dense("a", "b", np.ones((2, 2)), delay=1.5),
        lambda: Link("a", "b", [0, 0.5], [0], [1.0]),
        lambda: Circuit("in", (Cells("a", (2,)),), (), ("a",)),
        lambda: Circuit((("in", -2),), (Cells("a", (2,)),), (), ("a",)),
        lambda: Circuit((("in",),), (Cells("a", (2,)),), (), ("a",)),
        lambda: Circuit((), ("a",), (), ("a",)),
        lambda: Circuit((), (Cells("a", (2,)),), None, ("a",)),
        lambda: Circuit((), (Cells("a", (2,)),), (), ("a",), step_us=-1),
        lambda: Circuit((), (Cells("a", (2,)),), (), ("a",), step_us="1ms"),
    ],
)
def test_what_is_no_circuit_is_one_clear_error(make):
    with pytest.raises(ModelError):
        make()
