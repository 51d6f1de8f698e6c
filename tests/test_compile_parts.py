"""The steps of the compiler one by one, and what it refuses: against numbers worked out by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import spikestream as ss
from spikestream.compiling import compile_with_reference
from spikestream.model.circuit import Cells, Circuit, Link
from spikestream.model.compile import emit
from spikestream.model.compile.codes import Rows, exact_types, fit, nearest, sums
from spikestream.model.compile.membrane import membrane
from spikestream.model.compile.place import hops, place


def rows_of(matrix):
    """Return the rows of J neurons (J, m), all of whose weights are there."""
    values = np.array(matrix, float)
    return Rows(values, np.ones(values.shape, bool))


@pytest.mark.parametrize(
    ("weights", "types"),
    [
        ([3, 3, 3], 1),
        ([3, -2, 3], 2),
        ([1, 2, 3], 2),  # 1, 2 and their sum
        ([1, 2, 4], 3),
        ([1, -1, 0.5, -0.5], 3),  # 0.5, 1 and -2 add up to all of them
        ([1, 1.7, -1.1, -0.6], 4),
        (range(16), 4),  # four bits
        (range(-8, 8), 4),  # four bits, the last with a sign
        (np.sqrt(np.arange(1, 40)), 5),
    ],
)
def test_few_levels_are_found_to_need_few_types(weights, types):
    assert exact_types(rows_of([list(weights)])) == types


def test_more_types_miss_less_and_16_levels_reach_a_ramp():
    ramp = rows_of(np.linspace(-1, 1, 101)[None])
    missed = [fit(ramp, n)[1][0] / (ramp.values**2).sum() for n in (1, 2, 3, 4)]
    assert missed == sorted(missed, reverse=True)
    # Of 2^n even levels over a range of 2 each misses a uniform step / sqrt(12): the square of that over 1/3.
    assert missed[3] < 1.35 * (2 / 16) ** 2 / 12 * 3
    assert missed[1] < 1.6 * (2 / 4) ** 2 / 12 * 3


def test_the_nearest_sum_is_the_nearest_of_all_sets():
    rng = np.random.default_rng(0)
    values, numbers = rng.normal(0, 2, (6, 30)), rng.integers(-4, 5, (6, 4)).astype(float)
    found = nearest(values, numbers)
    for j in range(6):
        every = [sum(s for s, on in zip(numbers[j], bits, strict=True) if on) for bits in product((0, 1), repeat=4)]
        least = np.abs(values[j, :, None] - np.array(every)).min(axis=1)
        assert np.allclose(np.abs(values[j] - sums(numbers)[j, found[j]]), least)


def test_of_equal_sums_the_one_with_fewest_axons_is_taken():
    assert nearest(np.array([[0.0, 1.0]]), np.array([[1.0, -1.0, 2.0, -2.0]])).tolist() == [[0, 1]]


def test_exponential_decay_becomes_the_leak_it_has_at_the_threshold():
    cells = Cells("a", (1,), decay=0.95, drift=0.5, threshold=30.0, floor=-np.inf)
    made = membrane(cells, leak_at=1.0)
    assert made.threshold[0] == pytest.approx(20.0)  # counted from rest, 0.5 / 0.05
    assert made.leak[0] == pytest.approx(-1.0)
    assert made.reversal[0]
    told = made.mismatch
    assert told["steps_to_1_e"] == pytest.approx(19.5, abs=0.05)
    assert told["steps_to_1_e_here"] == pytest.approx((1 - np.exp(-1)) / 0.05)
    assert membrane(cells, leak_at=0.5).leak[0] == pytest.approx(-0.5)


def run_one(cells, weight, steps):
    """Return the steps in which one neuron spikes on one input that comes in every step."""
    circuit = Circuit((("in", 1),), (cells,), (Link.dense("in", "a", np.array([[weight]])),), ("a",))
    _, reference = compile_with_reference(circuit)
    return reference.run(np.stack([np.arange(steps), np.zeros(steps, int)], axis=1), steps)[:, 0].tolist()


def test_above_and_at_the_threshold_differ_by_a_step():
    above, at = (Cells("a", (1,), decay=1.0, threshold=3.0, at_threshold=at) for at in (False, True))
    assert run_one(above, 1.0, 12) == [3, 7, 11]
    assert run_one(at, 1.0, 12) == [2, 5, 8, 11]


def test_a_reset_that_subtracts_keeps_what_is_left_above_the_threshold_too():
    # 2 a step, 3 taken away, strictly above: V = 2, 4 -> 1, 3, 5 -> 2, 4 -> 1 ..
    assert run_one(Cells("a", (1,), decay=1.0, threshold=3.0, reset="subtract"), 2.0, 8) == [1, 3, 4, 6, 7]


def test_a_cell_without_memory_forgets_at_once():
    assert run_one(Cells("a", (1,), threshold=3.0), 2.0, 50) == []
    assert run_one(Cells("a", (1,), threshold=3.0, bias=2.0), 2.0, 4) == [0, 1, 2, 3]


def test_a_neuron_that_rests_above_its_threshold_fires_by_itself():
    decay = np.exp(-1 / 20)
    cells = Cells("a", (1,), decay=decay, drift=(1 - decay) * 2, threshold=1.0)
    # Exactly, from 0 towards 2: above 1 after 20 ln 2 = 13.9 steps. At half way it rises by 0.0732 a step: 13.7.
    assert np.diff(run_one(cells, 0.0, 100)).tolist() == pytest.approx([14] * 6, abs=0.5)


def test_annealing_finds_a_line_of_cores_that_was_mixed_up():
    order = np.random.default_rng(1).permutation(16)
    ways = np.stack([order[:-1], order[1:], np.full(15, 7)], axis=1)
    xy, grid, before = place(ways, 16, 20_000, 0, lambda step, part: None)
    assert grid == (4, 4)
    assert before > 200
    assert hops(ways, xy) <= 7 * 18  # 15 ways of one hop are the least there can be
    assert len({tuple(pair) for pair in xy.tolist()}) == 16


def circuit(cells, inputs=300, scale=1.0):
    every = (Link.dense("in", cells.name, np.full((inputs, cells.size), scale)),)
    return Circuit((("in", inputs),), (cells,), every, (cells.name,))


REFUSED = {
    "a current": (Cells("a", (2,), current_decay=0.9, current_gain=1.0, threshold=1.0), {}, "current that decays"),
    "potentials": (Cells("a", (2,), spiking=False), {}, "give potentials"),
    "no threshold": (Cells("a", (2,), decay=1.0), {}, "never fire"),
    "infinity": (Cells("a", (2,), drift=np.inf, threshold=1.0), {}, "infinite drift"),
    "growth": (Cells("a", (2,), decay=1.5, threshold=1.0), {}, "do not decay"),
    "huge weights": (Cells("a", (2,), decay=1.0, threshold=1.0), {"scale": 1e200}, "Link.in -> a.* beyond 1e\\+100"),
    "one axon": (Cells("a", (2,), decay=1.0, threshold=1.0), {"axons": 1}, "needs .* axons or more"),
    "fan-in": (Cells("a", (2,), decay=1.0, threshold=1.0), {"fan_in": "refuse"}, "needs 300 axons or more"),
    "too few cores": (Cells("a", (600,), decay=1.0, threshold=1.0), {"fan_in": "prune", "cores": 2}, "more than the 2"),
    "not exact": (Cells("a", (2,), decay=0.9, threshold=1.0), {"exact": True, "axons": 512}, "do not fit exactly"),
    "RANC": (Cells("a", (2,), decay=0.9, threshold=1.0), {"law": "ranc/1", "axons": 512}, "neurons of RANC"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_with_what_to_do(name):
    cells, options, text = REFUSED[name]
    options = dict(options)
    with pytest.raises(ss.ModelError, match=text) as caught:
        ss.compile(circuit(cells, scale=options.pop("scale", 1.0)), **options)
    assert caught.value.remedy
    assert "'a'" in str(caught.value) or name in ("RANC", "huge weights")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"axon": 4}, "no option 'axon'"),
        ({"axons": 0}, "axons = 0 is out of range"),
        ({"axons": True}, "axons = True"),
        ({"axons_per_input": 5}, "axons_per_input = 5"),
        ({"axons_per_input": {"a": 9}}, r"axons_per_input\.a = 9"),
        ({"fan_in": "spilt"}, "did you mean 'split'"),
        ({"tolerance": float("nan")}, "tolerance = nan"),
        ({"target": "trunorth"}, "did you mean 'truenorth'"),
        ({"target": ["loihi"]}, "no chip"),
        ({"samples": ss.Spikes(0, 1000, np.zeros(0, np.int64), np.zeros(0, np.int32)), "window_us": 1500}, "multiple"),
    ],
)
def test_options_that_cannot_be_are_refused(options, text):
    with pytest.raises(ss.ConfigError, match=text):
        ss.compile(circuit(Cells("a", (2,), decay=1.0, threshold=1.0), inputs=3), **options)


def test_a_network_is_the_same_whichever_way_it_comes(tmp_path):
    tables = {
        "inputs": {"in": {"size": 6}},
        "populations": {"out": {"size": 4, "v_thresh": 3.0}},
        "projections": {"on": {"source": "in", "target": "out", "weights": [0.0, 2.0]}},
    }
    model = ss.Model.from_tables(tables)
    (tmp_path / "model.toml").write_text(
        "[inputs.in]\nsize = 6\n[populations.out]\nsize = 4\nv_thresh = 3.0\n"
        '[projections.on]\nsource = "in"\ntarget = "out"\nweights = [0.0, 2.0]\n'
    )
    wanted = ss.compile(model).digest.tobytes()
    assert ss.compile(ss.Network.from_model(model)).digest.tobytes() == wanted
    assert ss.compile(tmp_path / "model.toml").digest.tobytes() == wanted
    pipeline = ss.build({"network": {"neurons": 5}}, size=(4, 4))
    ss.save(tmp_path / "saved.npz", pipeline)
    saved = ss.compile(tmp_path / "saved.npz")
    assert (
        saved.digest.tobytes()
        == ss.compile(pipeline).digest.tobytes()
        == ss.compile(pipeline.stages["network"]).digest.tobytes()
    )
    assert saved.outputs == 5


def test_what_is_no_network_is_refused(tmp_path):
    with pytest.raises(ss.ConfigError, match="int is no network"):
        ss.compile(3)
    with pytest.raises(ss.ConfigError, match="cannot read"):
        ss.compile(tmp_path / "missing.toml")
    (tmp_path / "plain.toml").write_text("[network]\nneurons = 10\n")
    with pytest.raises(ss.ConfigError, match="has learned nothing"):
        ss.compile(tmp_path / "plain.toml")


def test_what_would_take_more_memory_than_there_is_is_refused(monkeypatch):
    # A link of one row onto many cells, and of many rows onto one of them: padded, that would be 10^12 weights.
    size = 1_000_000
    cells = Cells("a", (size,), decay=1.0, threshold=1.0)
    one = Link("in", "a", np.arange(size + 1), np.zeros(size), np.ones(size))
    with pytest.raises(ss.ModelError, match="one of which has 1,000,000 synapses"):
        ss.compile(Circuit((("in", size),), (cells,), (one,), ("a",)))
    monkeypatch.setattr(emit, "MOST_BITS", 256 * 256 - 1)
    with pytest.raises(ss.ModelError, match="1 cores of 256 x 256 are too large a chip"):
        ss.compile(circuit(Cells("a", (2,), decay=1.0, threshold=1.0), inputs=3))
