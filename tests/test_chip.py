"""The chip stage: its laws, cut anywhere, skipped, saved, and what it refuses."""

from __future__ import annotations

import naive_crossbar
import numpy as np
import pytest
from crossbar_cases import random_chip, random_input
from filter_cases import pieces, same
from hypothesis import given, settings
from hypothesis import strategies as st
from network_cases import SLOW_START

from spikestream import checks
from spikestream.batch import Spikes, cut, no_events, no_spikes
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.files.placements import read_placement, write_placement
from spikestream.model.crossbar import RANC, CrossbarPlacement
from spikestream.model.placement import PIN
from spikestream.stages import ticked
from spikestream.stages.chip import Chip

TICKS = 40
LIVELY = random_chip(11, cores=3, axons=20, neurons=30, drawn=True)


def busy(seed=1, ticks=TICKS, start=0, tick_us=1000):
    """Return spikes all over the ticks of a lively chip, at any µs."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(start, start + ticks * tick_us, 6 * ticks))
    return Spikes(start, start + ticks * tick_us, t, rng.integers(0, LIVELY.input_count, len(t)).astype(np.int32))


def rows(out):
    return [(int(t), int(axon)) for part in out for t, axon in zip(part.t, part.axon, strict=True)]


def relay(**given):
    """Return a chip that repeats its one input in the same tick."""
    plain = {"synapses": 1, "weights": 1, "target_core": PIN, "outputs": 1}
    return Chip(CrossbarPlacement.of(1, 1, 1, **{**plain, **given}))


PARTS = list(pieces(busy(), [9_999, 10_000, 10_001, 23_456]))


@pytest.mark.parametrize(
    ("law", "holds"), list(checks.stage(lambda: Chip(LIVELY), PARTS)), ids=lambda x: x if isinstance(x, str) else ""
)
def test_it_obeys_the_laws_of_a_stage(law, holds):
    assert sum(len(Chip(LIVELY)(part)) for part in PARTS[:1]) > 0  # a silent chip obeys anything
    holds()


@given(
    cuts=st.lists(st.integers(0, TICKS * 1000), max_size=12), seed=st.integers(0, 500), law=st.sampled_from(["", RANC])
)
@settings(SLOW_START, max_examples=60)
def test_cut_anywhere_it_is_still_its_plain_law(cuts, seed, law):
    placement = random_chip(seed, law=law) if law else random_chip(seed)
    table = random_input(seed, placement.input_count, TICKS)
    whole = Spikes(0, TICKS * 1000, np.array([k * 1000 for k, _ in table]), np.array([i for _, i in table], np.int32))
    chip, twin = Chip(placement), naive_crossbar.Chip(placement)
    expected = [(k * 1000 + 999, pin) for k in range(TICKS) for pin in twin.tick(k, [i for t, i in table if t == k])]
    assert rows([chip(part) for part in pieces(whole, sorted(cuts))]) == expected
    assert chip.v.tolist() == twin.v


@pytest.mark.parametrize(("tick_us", "delay"), [(1000, 0), (1000, 3), (250, 15), (1, 1)])
def test_an_input_is_heard_in_its_own_tick_and_its_delay_later(tick_us, delay):
    chip = Chip(relay(inputs=np.array([[0, 0, 0, delay]])).placement, tick_us=tick_us)
    t = np.array([7 * tick_us, 8 * tick_us + tick_us - 1])
    out = chip(Spikes(0, 40 * tick_us, t, np.zeros(2, np.int32)))
    assert out.t.tolist() == [(8 + delay) * tick_us - 1, (9 + delay) * tick_us - 1]


def test_one_input_may_have_many_targets_and_one_none():
    given = {"target_core": PIN, "target_axon": [[0], [1]], "outputs": 2, "input_count": 3}
    given["inputs"] = np.array([[0, 0, 0, 0], [0, 1, 0, 2], [2, 0, 0, 0]])
    chip = Chip(CrossbarPlacement.of(2, 1, 1, synapses=1, weights=1, **given))
    out = chip(Spikes(0, 20_000, np.array([0, 5_000, 9_000]), np.array([0, 1, 2], np.int32)))
    assert rows([out]) == [(999, 0), (2_999, 1), (9_999, 0)]
    assert chip.account.taken == 3


def test_an_output_spikes_once_in_a_tick_however_many_neurons_drive_it():
    chip = Chip(CrossbarPlacement.of(1, 1, 9, threshold=0, target_core=PIN, outputs=1))
    assert rows([chip(no_spikes(0, 3_000))]) == [(999, 0), (1_999, 0), (2_999, 0)]


def test_a_first_batch_at_an_epoch_s_time_is_no_gap():
    chip, start = relay(), 1_700_000_000_000_000
    assert rows([chip(Spikes(start, start + 1_000, np.array([start]), np.zeros(1, np.int32)))]) == [(start + 999, 0)]


# Gaps.


def test_a_gap_runs_its_ticks_on_silence():
    one, other = Chip(LIVELY), Chip(LIVELY)
    one(busy())
    other(busy())
    silence, gap = one(no_spikes(40_000, 90_000)), other.skip(40_000, 90_000)
    assert rows([silence]) == rows([gap])
    assert len(gap) > 0
    assert same(one.state(), other.state())


def test_a_gap_finishes_the_tick_under_way():
    chip = relay()
    chip(Spikes(0, 500, np.array([100]), np.zeros(1, np.int32)))
    assert rows([chip.skip(500, 700)]) == []
    assert rows([chip.skip(700, 5_000)]) == [(999, 0)]
    assert chip.account.taken == 1


@pytest.mark.parametrize("still", [1, 7, 16, 12_345])
def test_after_a_very_long_gap_the_chip_has_stood_still(monkeypatch, still):
    monkeypatch.setattr(ticked, "GAP_TICKS", 3)
    # A neuron that counts, and a spike on its way to another for 15 ticks.
    given = {"leak": [[1], [0]], "threshold": [[2**18 - 1], [1]], "synapses": [[[0]], [[1]]], "weights": 1}
    inputs = np.array([[0, 1, 0, 15]])
    chip = Chip(CrossbarPlacement.of(2, 1, 1, target_core=[[-1], [PIN]], outputs=1, inputs=inputs, **given))
    chip(Spikes(0, 1_000, np.array([0]), np.zeros(1, np.int32)))
    assert len(chip.skip(1_000, (4 + still) * 1000)) == 0
    assert chip.v.tolist() == [[4], [0]]
    stop = (4 + still) * 1000
    assert rows([chip(no_spikes(stop, stop + 30_000))]) == [(stop + 11_999, 0)]


def test_a_gap_before_the_first_batch_begins_at_its_start():
    chip = relay()
    assert len(chip.skip(5_000, 9_000)) == 0
    assert chip.state()["next"] == 9


# State.


@given(at=st.integers(0, TICKS * 1000))
@settings(SLOW_START, max_examples=30)
def test_a_fresh_chip_goes_on_from_a_saved_state_bit_for_bit(at):
    left, right = cut(busy(), at)
    first, second = Chip(LIVELY), Chip(LIVELY)
    first(left)
    saved = first.state()
    second.restore(saved)
    answer = first(right)
    for array in saved.values():
        array[...] = 1
    assert rows([second(right)]) == rows([answer])
    assert same(first.state(), second.state())


WAITING = Spikes(0, 10_001, np.array([9_999, 10_000]), np.array([0, 3], np.int32))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("v", np.zeros((3, 31), np.int32)),
        ("v", np.zeros((3, 30), np.int64)),
        ("v", np.full((3, 30), 2**19, np.int32)),
        ("v", np.full((3, 30), -(2**19) - 1, np.int32)),
        ("ring", np.full((3, 16, 1), 1 << 20, np.uint64)),
        ("ring", np.zeros((3, 15, 1), np.uint64)),
        ("next", np.int64(9)),
        ("next", np.int64(2**62)),
        ("next", np.zeros(1, np.int64)),
        ("held_t", np.array([10_000, 10_001], np.int64)),
        ("held_t", np.array([11_000], np.int64)),
        ("held_axon", np.array([-1], np.int32)),
        ("held_axon", np.array([40], np.int32)),
        ("chip", np.zeros(32, np.uint8)),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(name, wrong):
    chip = Chip(LIVELY)
    chip(WAITING)
    saved = chip.state()
    assert saved["held_axon"].tolist() == [3]
    with pytest.raises(ModelError):
        chip.restore({**saved, name: wrong})
    assert same(chip.state(), saved)


def test_a_quiet_chip_that_takes_a_lively_state_is_quiet_no_more():
    chip, above = relay(reset_mode=2), relay(reset_mode=2)
    chip(no_spikes(0, 5_000))
    above(Spikes(0, 5_000, np.array([0]), np.zeros(1, np.int32)))
    chip.restore(above.state())
    assert rows([chip(no_spikes(5_000, 7_000))]) == [(5_999, 0), (6_999, 0)]


def test_a_state_of_another_chip_of_the_same_size_is_refused():
    one, other = relay(), relay(weights=2)
    with pytest.raises(ModelError, match="another chip"):
        other.restore(one.state())


def test_what_waits_for_the_end_of_a_tick_is_a_copy():
    chip, batch = Chip(LIVELY), Spikes(0, 700, np.array([500]), np.array([2], np.int32))
    chip(batch)
    batch.t[...], batch.axon[...] = 0, 5
    assert (chip.state()["held_t"].tolist(), chip.state()["held_axon"].tolist()) == ([500], [2])


# What it refuses.


@pytest.mark.parametrize("axon", [-1, 40, 2**31 - 1])
def test_an_input_out_of_range_is_refused(axon):
    with pytest.raises(ModelError, match="do not fit a chip of 40 inputs"):
        Chip(LIVELY)(Spikes(0, 1_000, np.array([5, 6]), np.array([0, axon], np.int32)))


def test_it_takes_spikes_and_a_placement_only():
    with pytest.raises(SpikestreamError, match="the chip takes spikes, not Events"):
        Chip(LIVELY)(no_events(0, 1_000))
    with pytest.raises(ConfigError):
        Chip("chip.npz")
    with pytest.raises(ConfigError):
        Chip(LIVELY, tick_us=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"weights": 256},
        {"weights": -256},
        {"leak": 256},
        {"threshold": -1},
        {"threshold": 2**18},
        {"floor": 2**18},
        {"reset_mode": 3},
        {"reset": 2**19},
        {"v0": 2**19},
        {"delay": 0},
        {"delay": 16},
        {"threshold_bits": 19},
        {"axon_type": 4},
        {"target_core": 1},
        {"target_core": -3},
        {"target_core": 0, "target_axon": 2},
        {"target_core": PIN, "target_axon": 0},
        {"outputs": -1},
        {"outputs": 2**40},
        {"inputs": [[0, 0, 2, 0]]},
        {"inputs": [[0, 0, 0, 16]]},
        {"inputs": [[1, 0, 0, 0], [0, 0, 0, 0]]},
        {"inputs": [[0, 0, 0]]},
        {"input_count": 0},
        {"synapses": np.full((1, 2, 1), 8)},
        {"weights": 0.5},
        {"weights": np.zeros((1, 3, 3), int)},
        {"law": "truenorth/2"},
        {"floor_included": True},
        {"core_xy": [[1, 0]]},
        {"bus_xy": (0, 0)},
        {"bus_xy": (1, 0)},
        {"grid": (0, 1)},
        {"axon": 3},
        {"law": RANC, "leak_reversal": True},
        {"law": RANC, "reset_mode": 2},
    ],
    ids=str,
)
def test_what_no_chip_can_hold_is_refused(wrong):
    CrossbarPlacement.of(1, 2, 3)
    with pytest.raises(ModelError):
        CrossbarPlacement.of(1, 2, 3, **wrong)


@pytest.mark.parametrize("size", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (10**9, 1, 1), (1, 10**9, 1), (1, 1, 10**9)])
def test_sizes_that_cannot_be_are_refused_before_they_take_memory(size):
    with pytest.raises(ModelError):
        CrossbarPlacement.of(*size)


def test_a_placement_belongs_to_itself():
    weights = np.ones((1, 1, 4), int)
    placement = CrossbarPlacement.of(1, 1, 1, weights=weights)
    weights[...] = 7
    assert placement.weights.max() == 1
    with pytest.raises(ValueError, match="read-only"):
        placement.weights[...] = 7


def test_a_placement_says_in_a_line_what_it_is():
    assert repr(LIVELY).startswith("CrossbarPlacement(truenorth/1, 3 cores of 20 axons and 30 neurons, 40 inputs, ")


def test_a_placement_survives_its_own_file(tmp_path):
    write_placement(tmp_path / "a.npz", LIVELY)
    assert read_placement(tmp_path / "a.npz").digest.tolist() == LIVELY.digest.tolist()
    with pytest.raises(ConfigError):
        write_placement(tmp_path / "a.xyz", LIVELY, format="xyz")


@pytest.mark.parametrize("tick_us", ["1ms", None, 1.5, 0, [1]])
def test_a_tick_is_whole_microseconds(tick_us):
    with pytest.raises(ConfigError, match="tick_us"):
        Chip(LIVELY, tick_us=tick_us)


@pytest.mark.parametrize("wrong", [{"weights": [[1], [2, 3]]}, {"cores": None}, {"axons": 1.5}, {"weights": "a"}])
def test_what_is_no_number_is_no_part_of_a_placement(wrong):
    with pytest.raises(ModelError):
        CrossbarPlacement.of(**{"cores": 1, "axons": 1, "neurons": 1, **wrong})
