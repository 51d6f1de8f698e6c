"""The chip stage with Loihi cores: its laws, cut anywhere, skipped, saved, and what it refuses."""

from __future__ import annotations

import naive_loihi
import numpy as np
import pytest
from crossbar_cases import random_input
from filter_cases import pieces, same
from hypothesis import given, settings
from hypothesis import strategies as st
from loihi_cases import random_chip
from network_cases import SLOW_START

from spikestream import checks
from spikestream.batch import Spikes, cut, no_spikes
from spikestream.errors import ModelError
from spikestream.model.loihi import LoihiPlacement
from spikestream.model.placement import PIN
from spikestream.stages import ticked
from spikestream.stages.chip import Chip

TICKS = 80
LIVELY = random_chip(55, plastic=True)


def busy(seed=1, ticks=TICKS, start=0):
    """Return spikes all over the ticks of a lively chip, at any µs."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(start, start + ticks * 1000, 5 * ticks))
    return Spikes(start, start + ticks * 1000, t, rng.integers(0, LIVELY.input_count, len(t)).astype(np.int32))


def rows(out):
    return [(int(t), int(axon)) for part in out for t, axon in zip(part.t, part.axon, strict=True)]


PARTS = list(pieces(busy(), [9_999, 10_000, 10_001, 33_456]))


def test_the_lively_chip_fires_learns_and_has_delays():
    chip = Chip(LIVELY)
    assert sum(len(chip(part)) for part in PARTS) > 50
    state = chip.state()
    assert (chip.weights != LIVELY.weight).any()
    assert LIVELY.delay.max() > 16
    assert all(state[name].any() for name in ("u", "v", "waits", "coming", "x1", "y1", "tx", "ty"))


@pytest.mark.parametrize(
    ("law", "holds"), list(checks.stage(lambda: Chip(LIVELY), PARTS)), ids=lambda x: x if isinstance(x, str) else ""
)
def test_it_obeys_the_laws_of_a_stage(law, holds):
    holds()


@given(cuts=st.lists(st.integers(0, TICKS * 1000), max_size=12), seed=st.integers(0, 500))
@settings(SLOW_START, max_examples=30)
def test_cut_anywhere_it_is_still_its_plain_law(cuts, seed):
    placement = random_chip(seed, most=6)
    table = random_input(seed, placement.input_count, TICKS, 2.0)
    whole = Spikes(0, TICKS * 1000, np.array([k * 1000 for k, _ in table]), np.array([i for _, i in table], np.int32))
    chip, twin = Chip(placement), naive_loihi.Chip(placement)
    expected = [(k * 1000 + 999, pin) for k in range(TICKS) for pin in twin.tick(k, [i for t, i in table if t == k])]
    assert rows([chip(part) for part in pieces(whole, sorted(cuts))]) == expected
    assert (chip.v.tolist(), chip.weights.tolist()) == (twin.v, twin.weights)


# Gaps.


def test_a_gap_runs_its_ticks_on_silence():
    one, other = Chip(LIVELY), Chip(LIVELY)
    one(busy())
    other(busy())
    silence, gap = one(no_spikes(80_000, 190_000)), other.skip(80_000, 190_000)
    assert rows([silence]) == rows([gap])
    assert len(gap) > 0
    assert same(one.state(), other.state())


@pytest.mark.parametrize("still", [1, 7, 64, 12_345])
def test_after_a_very_long_gap_the_chip_has_stood_still(monkeypatch, still):
    monkeypatch.setattr(ticked, "GAP_TICKS", 3)
    # A neuron that counts on a core of its own; a spike on its way for 20 ticks, one whose input waits for 50; a trace.
    synapses = [(1, 0, 0, 1, 20), (1, 1, 1, 1, 0)]
    given = {"bias": [1, 0, 0], "threshold": [2**17 - 1, 0, 0], "dv": [0, 4095, 4095], "outputs": 3}
    given |= {"inputs": [(0, 1, 0, 0), (0, 1, 1, 50)], "input_count": 1, "plastic": [True, False], "a_minus": 0}
    targets = [(0, 0, PIN, 0), (1, 0, PIN, 1), (1, 1, PIN, 2)]
    chip = Chip(LoihiPlacement.of([1, 2], [0, 2], synapses=synapses, targets=targets, a_plus=0, x1_decay=0, **given))
    chip(Spikes(0, 1_000, np.array([0]), np.zeros(1, np.int32)))
    stop = (4 + still) * 1000
    assert len(chip.skip(1_000, stop)) == 0
    assert chip.v.tolist() == [4, 0, 0]
    assert chip.state()["x1"].tolist() == [16, 0]
    assert rows([chip(no_spikes(stop, stop + 90_000))]) == [(stop + 16_999, 1), (stop + 46_999, 2)]


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
    assert second.weights.tolist() == first.weights.tolist()


def test_a_state_keeps_whether_it_learns():
    one, other = Chip(LIVELY), Chip(LIVELY)
    one.learning = False
    other.restore(one.state())
    assert other.learning is False
    one(busy())
    assert one.weights.tolist() == LIVELY.weight.tolist()


@pytest.mark.parametrize(
    ("given", "fires"),
    # A spike on its way in a synapse; a current that lifts v past 320 with 64 + 63 + 62 + 61 + 60 + 59.
    [
        ({"synapses": [(0, 0, 0, 1, 9)], "threshold": 0, "dv": 4095}, 9),
        ({"synapses": [(0, 0, 0, 1)], "du": 0, "threshold": 5}, 5),
    ],
)
def test_a_quiet_chip_that_takes_a_lively_state_is_quiet_no_more(given, fires):
    chip, other = (Chip(LoihiPlacement.of(1, 1, targets=[(0, 0, PIN, 0)], outputs=1, **given)) for _ in range(2))
    chip(no_spikes(0, 5_000))
    other(Spikes(0, 5_000, np.array([0]), np.zeros(1, np.int32)))
    chip.restore(other.state())
    assert rows([chip(no_spikes(5_000, 1_000 * (fires + 1)))]) == [(1_000 * fires + 999, 0)]


def test_traces_of_a_restored_state_go_on():
    given = {"synapses": [(0, 0, 0, 1)], "plastic": True, "x1_decay": 1024, "x1_impulse": 100}
    chip, other = (Chip(LoihiPlacement.of(1, 1, **given)) for _ in range(2))
    chip(Spikes(0, 2_000, np.array([0]), np.zeros(1, np.int32)))
    other.restore(chip.state())
    chip(no_spikes(2_000, 12_000))
    other(no_spikes(2_000, 12_000))
    assert 0 < other.state()["x1"][0] < 20
    assert same(chip.state(), other.state())


def wrong_values():
    """Yield a name of the state and a change of its array that no chip can have made."""
    yield "u", lambda a: np.full_like(a, 2**23 + 1)
    yield "u", lambda a: np.full_like(a, -(2**23))
    yield "u", lambda a: a[1:]
    yield "v", lambda a: np.full_like(a, 2**23)
    yield "v", lambda a: a.astype(np.int64)
    yield "waits", lambda a: np.full_like(a, 64)
    yield "ring", lambda a: a[1:]
    yield "coming", lambda a: a[1:]
    yield "counters", lambda a: a - 10**12
    yield "x1", lambda a: np.full_like(a, 128)
    yield "x1", lambda a: np.where(LIVELY.plastic, a, 1).astype(np.uint8)
    yield "tx", lambda a: np.full_like(a, 64)
    yield "ty", lambda a: np.full_like(a, 64)
    yield "weights", lambda a: np.full_like(a, 256)
    yield "weights", lambda a: np.full_like(a, -257)
    yield "weights", lambda a: a | 1
    yield "weights", lambda a: a[1:]
    yield "next", lambda a: np.int64(2**62)
    yield "chip", lambda a: np.zeros_like(a)


@pytest.mark.parametrize(("name", "change"), list(wrong_values()))
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(name, change):
    chip = Chip(LIVELY)
    chip(busy())
    saved, weights = chip.state(), chip.weights
    with pytest.raises(ModelError):
        chip.restore({**saved, name: change(saved[name])})
    assert same(chip.state(), saved)
    assert chip.weights.tolist() == weights.tolist()


def test_a_chip_that_cannot_learn_has_no_traces_to_keep():
    chip = Chip(random_chip(55, plastic=False))
    assert chip.learning is False
    assert not {"x1", "weights", "learning"} & chip.state().keys()
