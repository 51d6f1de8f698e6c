"""The evening stage: equal to its naive twin, the same however its input is cut, and what it does to tilted shares."""

from __future__ import annotations

import math

import numpy as np
import pytest
from filter_cases import same
from hypothesis import given, settings
from hypothesis import strategies as st

import spikestream as ss
from spikestream.batch import Spikes, cut
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.kernels import evening
from spikestream.stages.evening import Evening

AXONS = 4


def drawn(seed, count, weights=(1, 1, 1, 1)):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 1_000, count))
    return Spikes(0, 1_000, t, rng.choice(AXONS, count, p=np.array(weights) / sum(weights)).astype(np.int32))


def naive(axons, even, memory):
    """Return the axons passed on, every share of every axon brought forward at every spike."""
    shares, credit, passed = [1 / AXONS] * AXONS, [0.0] * AXONS, []
    for axon in axons:
        shares = [share * math.exp(-1 / memory) for share in shares]
        shares[axon] += 1 / memory
        credit[axon] += min(2.0, (1 / (AXONS * shares[axon])) ** even)
        passed += [axon] * int(credit[axon])
        credit[axon] %= 1
    return passed


@given(seed=st.integers(0, 100), even=st.sampled_from([0.3, 0.5, 1.0]), memory=st.sampled_from([5.0, 50.0]))
@settings(max_examples=30, deadline=None)
def test_the_kernel_equals_its_naive_twin(seed, even, memory):
    spikes = drawn(seed, 200, (8, 4, 2, 1))
    params = evening.Params(AXONS, even, memory)
    t, axon = np.empty(600, np.int64), np.empty(600, np.int32)
    count = evening.run(evening.design(params), evening.init(params), spikes.t, spikes.axon, t, axon)
    expected = naive(spikes.axon.tolist(), even, memory)
    np.testing.assert_allclose(
        np.bincount(axon[:count], minlength=AXONS), np.bincount(expected, minlength=AXONS), atol=1
    )
    assert (np.diff(t[:count]) >= 0).all()


@given(seed=st.integers(0, 100), cuts=st.lists(st.integers(0, 1_000), max_size=5))
@settings(max_examples=30, deadline=None)
def test_any_cut_gives_the_same_spikes_and_state(seed, cuts):
    whole, parted, rest = Evening(AXONS), Evening(AXONS), drawn(seed, 100, (9, 3, 1, 1))
    expected, made = whole(rest), []
    for at in sorted(cuts):
        piece, rest = cut(rest, at)
        made.append(parted(piece))
        other = Evening(AXONS)
        other.restore(parted.state())
        parted = other
    made.append(parted(rest))
    np.testing.assert_array_equal(np.concatenate([one.t for one in made]), expected.t)
    np.testing.assert_array_equal(np.concatenate([one.axon for one in made]), expected.axon)
    assert same(parted.state(), whole.state())


@pytest.mark.parametrize(("even", "expected"), [(0.5, 2**0.5), (1.0, 1.0)])
def test_shares_come_nearer_to_each_other(even, expected):
    passed = Evening(AXONS, even)(drawn(1, 60_000, (4, 4, 2, 2)))
    counts = np.bincount(passed.axon[len(passed) // 2 :], minlength=AXONS)
    assert counts[:2].sum() / counts[2:].sum() == pytest.approx(expected, rel=0.05)


def test_silence_changes_nothing():
    stage = Evening(AXONS)
    stage(drawn(0, 50))
    before = stage.state()
    assert len(stage.skip(1_000, 10**9)) == 0
    assert same(stage.state(), before)


def test_a_pipeline_has_the_stage_where_it_is_asked_for():
    plain = ss.build({}, samplerate_hz=8_000)
    evened = ss.build({"hear": {"even": 0.5, "bands": 16}}, samplerate_hz=8_000)
    assert list(plain.stages) == ["hear", "network", "readout"]
    assert list(evened.stages) == ["hear", "even", "network", "readout"]
    with pytest.raises(ConfigError, match="out of range") as caught:
        ss.build({"hear": {"even": 1.5}}, samplerate_hz=8_000)
    assert caught.value.key == "hear.even"


def test_what_cannot_be_is_refused():
    stage = Evening(AXONS)
    with pytest.raises(SpikestreamError, match="takes spikes"):
        stage(ss.Sound(0, 0, np.zeros((0, 1), np.float32)))
    with pytest.raises(ModelError, match="do not fit 4"):
        stage(Spikes(0, 1, np.zeros(1, np.int64), np.full(1, 4, np.int32)))
    for name, value in {"share": 0.0, "credit": 1.0, "last": 5, "total": -1}.items():
        odd = stage.state()
        odd[name][0] = value
        with pytest.raises(ModelError, match="contradicts itself"):
            stage.restore(odd)
