"""Nerve fibres: the spikes of their equation, whatever the blocks, and those of the cochlea that has them built in."""

from __future__ import annotations

import itertools
from collections import Counter
from fractions import Fraction

import naive_fibres
import naive_hear
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikestream.batch import Sound
from spikestream.kernels import cochlea, fibres
from spikestream.stages.hear import Cochlea


def played(params, x, cuts=(), room=1 << 16, state=None):
    """Return (sample, axon) of every spike of ``x`` (n, bands), taken in blocks that end at the cuts."""
    coeffs, state = fibres.design(params), state or fibres.init(params)
    out = np.empty(room, np.int32), np.empty(room, np.int32)
    rows, edges = [], [0, *cuts, len(x)]
    for begin, end in itertools.pairwise(edges):
        done = 0
        while done < end - begin:
            count, done = fibres.run(coeffs, state, x[begin:end], out, done)
            rows += [(begin + int(n), int(a)) for n, a in zip(out[0][:count], out[1][:count], strict=True)]
    return rows


def noise(n, bands, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).standard_normal((n, bands))).astype(np.float32)


# The equation.


@given(
    seed=st.integers(0, 10_000),
    bands=st.integers(1, 17),
    thresholds=st.lists(st.sampled_from([0.25, 0.5, 1.0, 1.75]), min_size=1, max_size=4),
    drive=st.sampled_from([0.5, 1.0, 4.0]),
    refrac_ms=st.sampled_from([0.0, 0.125, 0.375, 1.0]),
)
@settings(deadline=None, max_examples=60)
def test_spike_by_spike_it_is_its_plain_twin(seed, bands, thresholds, drive, refrac_ms):
    params = fibres.Params(8_000, bands, 0.25, drive, tuple(thresholds), refrac_ms)
    # Few digits: halving them twenty times leaves them exact.
    x = np.random.default_rng(seed).integers(-2, 5, (20, bands)).astype(np.float32) / 4
    cells, state = naive_fibres.at_rest(params), fibres.init(params)
    assert played(params, x, state=state) == naive_fibres.spikes(x.tolist(), params, cells, Fraction)
    assert state.v.tolist() == [[pytest.approx(float(v), abs=1e-15) for v, _ in row] for row in cells]
    assert state.k.tolist() == [[wait for _, wait in row] for row in cells]


def test_at_the_rate_of_an_ear_it_is_its_twin_but_for_rounding():
    params = fibres.Params(16_000, 5, drive=40.0)
    x = noise(1_000, 5)
    ours, twin = played(params, x), naive_fibres.spikes(x.tolist(), params, naive_fibres.at_rest(params))
    assert len(twin) > 200
    assert sum((Counter(ours) & Counter(twin)).values()) > 0.97 * len(twin)
    assert abs(len(ours) - len(twin)) <= 2


@pytest.mark.parametrize("thresholds", [(0.4, 0.8, 1.6), (0.2,)])
def test_they_are_the_fibres_of_the_cochlea_given_what_its_hair_cells_give(thresholds):
    params = cochlea.Params(bands=8, gain_control=False, thresholds=thresholds)
    sound = 0.02 * np.random.default_rng(3).standard_normal(4_000)
    heard = np.array(naive_hear.gammatone(sound.tolist(), params.bank.centres_hz.tolist(), 16_000))
    d, h, s, above = np.zeros(8), np.zeros(8), np.zeros(8), np.empty((4_000, 8), np.float32)
    lp, ad = 1 - np.exp(-2 * np.pi * params.locking_hz / 16_000), 1 - np.exp(-1 / (params.adapt_ms * 16))
    for n, y in enumerate(heard):
        d += lp * (np.sqrt(np.maximum(y, 0)) - d)
        h += lp * (d - h)
        s += ad * (h - s)
        above[n] = h - params.adapt * s
    nerve = fibres.Params(16_000, 8, params.tau_ms, params.drive, thresholds, params.refrac_ms)
    rows = [(n * 1_000_000 // 16_000, axon) for n, axon in played(nerve, above)]
    made = Cochlea(bands=8, gain_control=False, thresholds=thresholds)(
        Sound(0, 250_000, sound[:, np.newaxis].astype(np.float32))
    )
    theirs = list(zip(made.t.tolist(), made.axon.tolist(), strict=True))
    assert len(theirs) > 200
    assert sum((Counter(rows) & Counter(theirs)).values()) > 0.97 * len(theirs)
    assert abs(len(rows) - len(theirs)) <= 3


def test_a_constant_that_stays_below_a_threshold_makes_no_spike_and_just_above_it_does():
    params = fibres.Params(16_000, 2, drive=2.0, thresholds=(1.0,))
    x = np.tile(np.array([[0.49, 0.51]], np.float32), (8_000, 1))
    assert {axon for _, axon in played(params, x)} == {1}


def test_what_lies_below_zero_is_silence():
    params = fibres.Params(16_000, 3, drive=100.0)
    assert played(params, -(noise(2_000, 3) ** 2)) == []


def test_no_two_spikes_of_a_fibre_come_within_its_refractory_time():
    params = fibres.Params(16_000, 4, drive=1e4, thresholds=(0.1, 5.0), refrac_ms=2.0)
    rows = played(params, np.ones((2_000, 4), np.float32))
    for axon in range(8):
        times = [n for n, a in rows if a == axon]
        assert len(times) > 10
        assert min(np.diff(times)) == 33  # 32 samples of rest, then the next


# Order, blocks, room.


def test_spikes_come_in_order_of_sample_and_axon():
    rows = played(fibres.Params(bands=64, drive=200.0), noise(500, 64))
    assert rows == sorted(rows)
    assert len({axon for _, axon in rows}) == 64 * 3


@given(cuts=st.lists(st.integers(0, 600), max_size=12), bands=st.sampled_from([1, 7, 8, 33]), room=st.integers(99, 300))
@settings(deadline=None, max_examples=60)
def test_blocks_and_room_of_any_size_give_the_same_spikes_and_state(cuts, bands, room):
    params, x = fibres.Params(16_000, bands, drive=100.0), noise(600, bands)
    whole, pieces = fibres.init(params), fibres.init(params)
    assert played(params, x, state=whole) == played(params, x, sorted(cuts), room, pieces)
    assert np.array_equal(whole.v, pieces.v)
    assert np.array_equal(whole.k, pieces.k)


def test_in_silence_no_number_sinks_below_what_is_normal():
    params = fibres.Params(16_000, 3, tau_ms=0.1)
    state = fibres.init(params)
    played(params, np.abs(noise(100, 3)), state=state)
    played(params, np.zeros((5_000, 3), np.float32), state=state)
    assert (state.v >= np.finfo(np.float32).tiny).all()
    assert (state.k == 0).all()


def test_the_state_shares_nothing_with_another():
    params = fibres.Params(bands=4)
    one, other = fibres.init(params), fibres.init(params)
    played(params, np.full((100, 4), 9, np.float32), state=one)
    assert one.v.any()
    assert not other.v.any()
