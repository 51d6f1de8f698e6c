"""Each pattern against a plain enumeration, the order of what is listed, and what draws depend on."""

from __future__ import annotations

import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_model import conv, everything, local, synapses
from scipy.signal import correlate

from spikestream.errors import ConfigError
from spikestream.model import Input, Model, Population, Projection, initial_state, wire

SIDES = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))


def wired(source=4, target=3, back=False, seed=0, dtype="float32", **options):
    """Wire a projection from an input, or ``back`` from the population onto itself."""
    ends = [{"shape": part} if isinstance(part, tuple) else {"size": part} for part in (source, target)]
    made = Projection("p", "b" if back else "a", "b", **{"weights": 1.0, **options})
    model = Model([Input("a", **ends[0])], [Population("b", **ends[1])], [made], seed=seed, dtype=dtype)
    return wire(model, model.projections[0])


def ends(wires):
    return [(i, j) for i, j, _, _ in synapses(wires)]


# Patterns.


@given(st.integers(1, 6), st.integers(1, 6))
def test_all_is_a_matrix_of_every_pair(sources, targets):
    wires = wired(sources, targets, weights=(-1.0, 2.0))
    assert (wires.kind, wires.weights.shape, wires.weights.dtype) == ("dense", (sources, targets), np.float32)
    assert wires.weights.flags.c_contiguous
    assert ends(wires) == everything(sources, targets)
    assert wires.synapses == sources * targets
    assert wires.ptr.size == wires.post.size == wires.share.size == 0


def test_all_without_self_connections_leaves_out_the_diagonal_of_a_population_only():
    assert ends(wired(target=4, back=True, self_connections=False)) == everything(4, 4, alone=True)
    assert ends(wired(4, 4, self_connections=False)) == everything(4, 4)


@given(st.integers(1, 9))
def test_one_to_one_joins_equal_numbers(size):
    assert ends(wired(size, size, connect="one_to_one")) == [(i, i) for i in range(size)]


@given(st.integers(2, 9))
def test_lateral_is_everyone_but_oneself_with_one_weight(size):
    wires = wired(target=size, back=True, connect="lateral", weights=-2.5)
    assert (wires.kind, wires.weights.tolist()) == ("lateral", [-2.5])
    assert synapses(wires) == [(i, j, 1, -2.5) for i, j in everything(size, size, alone=True)]
    assert wires.synapses == size * (size - 1)


@given(SIDES, SIDES, st.integers(0, 20).map(lambda quarters: quarters / 4))
def test_local_fields_are_those_of_explicit_loops(source, target, radius):
    wires = wired(source, target, connect="local", radius=radius)
    assert ends(wires) == sorted(local(source, target, radius))


def test_a_pixel_on_the_rim_belongs_to_the_field_however_distances_are_rounded():
    source, target = (1, 1, 34), (1, 1, 10)  # the centre of target 3 lies at 11.4
    wires = wired(source, target, connect="local", radius=0.4)
    assert (11, 3) in ends(wires)


@st.composite
def convolutions(draw):
    source, kernel = draw(SIDES), (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    stride, padding = ((draw(st.integers(low, low + 2)), draw(st.integers(low, low + 2))) for low in (1, 0))
    made = [(source[1 + k] + 2 * padding[k] - kernel[k]) // stride[k] + 1 for k in (0, 1)]
    sizes = [source[1 + k] + 2 * padding[k] - kernel[k] for k in (0, 1)]
    if min(sizes) < 0:
        return draw(convolutions())
    return source, (draw(st.integers(1, 3)), *made), {"kernel": kernel, "stride": stride, "padding": padding}


@given(convolutions(), st.integers(0, 5))
@settings(deadline=None)
def test_convolutions_are_those_of_explicit_loops(case, seed):
    source, target, options = case
    wires = wired(source, target, connect="conv", weights=(-1, 1), seed=seed, **options)
    shape = (target[0], source[0], *options["kernel"])
    kernels = wires.weights.reshape(shape)
    assert synapses(wires) == sorted((i, j, 0, float(kernels[at])) for i, j, at in conv(source, target, **options))


def test_synapses_of_a_convolution_keep_their_weights_whatever_their_delays():
    options = {"connect": "conv", "kernel": 3, "weights": (0, 1)}
    plain, delayed = (wired((2, 5, 5), (3, 3, 3), **options, **more) for more in ({}, {"delay_ms": (0, 4)}))
    assert len(delayed.delays) == 5
    assert sorted((i, j, w) for i, j, _, w in synapses(delayed)) == [(i, j, w) for i, j, _, w in synapses(plain)]


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 2), (2, 1), ((2, 3), (0, 1))])
def test_a_convolution_gives_what_scipy_s_correlation_does(stride, padding):
    rng = np.random.default_rng(1)
    image, kernels = rng.normal(size=(2, 9, 8)), rng.normal(size=(3, 2, 3, 4))
    (down, across), (top, left) = (pair if isinstance(pair, tuple) else (pair, pair) for pair in (stride, padding))
    padded = np.pad(image, ((0, 0), (top, top), (left, left)))
    expected = np.array(
        [sum(correlate(padded[c], kernels[o, c], "valid") for c in range(2))[::down, ::across] for o in range(3)]
    )
    wires = wired(
        image.shape, expected.shape, connect="conv", weights=kernels, kernel=(3, 4), stride=stride, padding=padding
    )
    out = np.zeros(expected.size)
    for i, j, _, weight in synapses(wires):
        out[j] += image.ravel()[i] * weight
    np.testing.assert_allclose(out, expected.ravel(), atol=1e-12)
    np.testing.assert_array_equal(wires.weights, kernels.ravel())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12), st.data())
def test_pairs_keep_their_order_where_they_join_the_same_two(pairs, data):
    weights = np.arange(len(pairs)) + 0.5
    delays = data.draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs)))
    pre, post = [i for i, _ in pairs], [j for _, j in pairs]
    wires = wired(connect="pairs", pre=pre, post=post, weights=weights, delay_ms=np.array(delays, float))
    listed = [(i, j, d, w) for (i, j), d, w in zip(pairs, delays, weights.tolist(), strict=True)]
    assert synapses(wires) == sorted(listed, key=lambda row: (row[0], row[2], row[1]))


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_random_joins_each_pair_with_the_same_probability(share):
    wires = wired(200, 300, connect="random", probability=share)
    expected = 60_000 * share
    assert abs(wires.synapses - expected) <= 5 * (expected * (1 - share)) ** 0.5
    if share == 0.1:
        fan_in = np.bincount(wires.post, minlength=300)
        assert 4 < fan_in.std() < 7  # binomial: 4.24
        assert np.diff(wires.ptr).std() < 8


def test_random_draws_the_same_in_blocks_as_at_once(monkeypatch):
    once = wired(50, 70, connect="random", probability=0.3)
    monkeypatch.setattr("spikestream.model.patterns.DRAWN_AT_ONCE", 200)
    blocks = wired(50, 70, connect="random", probability=0.3)
    assert ends(once) == ends(blocks)


def test_random_without_self_connections_is_random_without_the_diagonal():
    full = wired(target=60, back=True, connect="random", probability=0.5)
    less = wired(target=60, back=True, connect="random", probability=0.5, self_connections=False)
    assert ends(less) == [(i, j) for i, j in ends(full) if i != j]
    assert len(ends(less)) < len(ends(full))
    other = {"connect": "random", "probability": 0.5}
    assert ends(wired(9, 9, self_connections=False, **other)) == ends(wired(9, 9, **other))


# What is listed.


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 9))
def test_groups_are_sources_times_delays_and_ascend_in_their_targets(sources, targets, seed):
    wires = wired(sources, targets, connect="random", probability=0.7, delay_ms=(1.0, 4.0), seed=seed)
    assert wires.ptr.dtype == np.int64
    assert wires.post.dtype == np.int32
    assert len(wires.ptr) == sources * len(wires.delays) + 1
    assert wires.ptr[0] == 0
    assert wires.ptr[-1] == len(wires.post) == len(wires.weights)
    assert np.all(np.diff(wires.delays) > 0)
    for begin, end in zip(wires.ptr, wires.ptr[1:], strict=False):
        assert np.all(np.diff(wires.post[begin:end]) > 0)


def test_all_with_several_delays_is_listed_with_the_weights_of_the_matrix():
    matrix = wired(5, 4, weights=(0, 1), dtype="float64")
    listed = wired(5, 4, weights=(0, 1), delay_ms=(0, 3))
    assert (matrix.kind, listed.kind) == ("dense", "sparse")
    assert {(i, j): w for i, j, _, w in synapses(listed)} == {(i, j): w for i, j, _, w in synapses(matrix)}
    assert set(listed.delays) <= {0, 1, 2, 3}
    assert len(listed.delays) > 1


def test_given_weights_and_delays_are_picked_by_source_and_target():
    weights, delays = np.arange(12.0).reshape(4, 3), np.arange(12).reshape(4, 3) % 3
    for options in ({"connect": "random", "probability": 0.5}, {"connect": "all"}):
        for i, j, delay, weight in synapses(wired(weights=weights, delay_ms=delays.astype(float), **options)):
            assert (delay, weight) == (delays[i, j], weights[i, j])
    same = wired(weights=weights, delay_ms=np.full((4, 3), 2.0))
    assert (same.kind, same.delays.tolist()) == ("dense", [2])


def test_local_fields_pick_given_weights_by_source_and_target():
    weights = np.arange(24.0).reshape(12, 2)
    for i, j, _, weight in synapses(wired((1, 3, 4), (1, 1, 2), connect="local", radius=1.5, weights=weights)):
        assert weight == weights[i, j]


def test_delays_are_ticks_and_by_default_the_shortest():
    assert wired().delays.tolist() == [0]
    assert wired(back=True).delays.tolist() == [1]
    for ticks in range(65):
        made = Projection("p", "a", "b", weights=1.0, delay_ms=ticks * 0.1)
        model = Model([Input("a", 1)], [Population("b", 1)], [made], tick_us=100)
        assert wire(model, made).delays.tolist() == [ticks]


def test_no_synapse_at_all_is_legal():
    wires = wired(connect="random", probability=0.0, delay_ms=(1, 2), weights=(0, 1))
    assert (wires.synapses, wires.ptr.tolist()) == (0, [0] * 5)
    assert wired(connect="pairs", pre=[], post=[], weights=np.zeros(0)).synapses == 0


# Draws.


def test_draws_are_uniform_within_their_range():
    weights = wired(300, 200, weights=(-2.0, 3.0)).weights
    assert weights.min() >= -2
    assert weights.max() <= 3
    assert abs(weights.mean() - 0.5) < 0.03
    assert abs(weights.std() - 5 / 12**0.5) < 0.03
    delays = wired(300, 200, delay_ms=(1, 4))
    shares = np.bincount([d for _, _, d, _ in synapses(delays)])[1:] / 60_000
    assert np.all(np.abs(shares - 0.25) < 0.01)


def test_float64_begins_with_the_weights_of_float32():
    single, double = (wired(9, 7, weights=(0, 0.3), dtype=dtype).weights for dtype in ("float32", "float64"))
    np.testing.assert_array_equal(double.astype(np.float32), single)


def model_of(*projections, seed=0):
    return Model([Input("a", 30)], [Population("b", 20, initial={"v": (0, 1), "u": (0, 1)})], projections, seed=seed)


GOLDEN = [2.959642641107536, 0.42120139098875997]
RANDOM = {"connect": "random", "probability": 0.4}


def test_draws_are_those_of_the_page_about_models():
    """Pinned: they may not change from version to version, or nobody could repeat an old run."""

    def draws(what, seed=5):
        sequence = np.random.SeedSequence(seed, spawn_key=(what, zlib.crc32(b"p"), 7))
        return np.random.Generator(np.random.PCG64(sequence))

    p = Projection("p", "a", "b", weights=(-1, 3), delay_ms=(0, 5), seed=7, **RANDOM)
    pre, post = np.nonzero(draws(0).random((30, 20)) < 0.4)
    weights, delays = -1 + 4 * draws(1).random(len(pre)), draws(2).integers(0, 5, len(pre), endpoint=True)
    expected = zip(pre.tolist(), post.tolist(), delays.tolist(), weights.tolist(), strict=True)
    assert synapses(wire(model_of(p, seed=5), p)) == sorted(expected, key=lambda row: (row[0], row[2], row[1]))
    assert [row[3] for row in synapses(wire(model_of(p, seed=5), p))][:2] == GOLDEN


def test_the_same_seed_gives_the_same_and_another_another():
    p = Projection("p", "a", "b", weights=(0, 1), delay_ms=(0, 5), **RANDOM)
    same, again, other = (wire(model_of(p, seed=seed), p) for seed in (1, 1, 2))
    assert synapses(same) == synapses(again)
    assert ends(same) != ends(other)


def test_a_projection_added_or_moved_changes_no_other():
    p, q = (Projection(name, "a", "b", weights=(0, 1), delay_ms=(0, 5), **RANDOM) for name in "pq")
    alone = synapses(wire(model_of(p), p))
    assert synapses(wire(model_of(q, p), p)) == alone
    assert ends(wire(model_of(p, q), q)) != [(i, j) for i, j, _, _ in alone]


def test_structure_weights_and_delays_are_drawn_apart():
    drawn = {"weights": (0, 1), "delay_ms": (0, 5)}
    first = synapses(wire(model_of(), Projection("p", "a", "b", **RANDOM, **drawn)))
    for changed in ({"weights": 1.0}, {"delay_ms": 1.0}):
        p = Projection("p", "a", "b", **RANDOM, **{**drawn, **changed})
        kept = [0, 1, 2] if "weights" in changed else [0, 1, 3]
        rows = synapses(wire(model_of(p), p))
        assert sorted([row[k] for k in kept] for row in rows) == sorted([row[k] for k in kept] for row in first)


def test_the_seed_of_a_projection_changes_it_alone():
    p, q = Projection("p", "a", "b", weights=(0, 1)), Projection("q", "a", "b", weights=(0, 1))
    other = Projection("p", "a", "b", weights=(0, 1), seed=1)
    assert not np.array_equal(wire(model_of(p, q), p).weights, wire(model_of(other, q), other).weights)
    assert np.array_equal(wire(model_of(p, q), q).weights, wire(model_of(other, q), q).weights)


def test_fields_of_state_begin_as_told_each_with_draws_of_its_own():
    given = {"v": (-60, -50), "u": (-60, -50), "theta": 0.5, "w": np.arange(4.0)}
    model = Model([], [Population("b", 4, initial=given), Population("c", 4, initial=given)], seed=3)
    b, c = (initial_state(model, one) for one in model.populations)
    assert all(made.shape == (4,) and made.dtype == np.float64 for made in b.values())
    assert np.all((b["v"] >= -60) & (b["v"] < -50))
    assert not np.array_equal(b["v"], b["u"])
    assert not np.array_equal(b["v"], c["v"])
    assert b["theta"].tolist() == [0.5] * 4
    assert b["w"].tolist() == [0, 1, 2, 3]
    b["w"][0] = 9
    assert initial_state(model, model.populations[0])["w"][0] == 0


# Size.


def test_a_large_matrix_takes_its_weights_and_little_besides():
    tracemalloc.start()
    try:
        wires = wired(32_768, 1_000, weights=(0.0, 1.0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert wires.weights.nbytes == 131_072_000
    assert peak < wires.weights.nbytes + 50_000_000


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (23_171, {}),  # squared, just above 2**29 and 2**25
        (5_793, {"delay_ms": (0, 1)}),
        (8_200, {"connect": "random", "probability": 0.5}),
    ],
)
def test_more_synapses_than_can_be_held_are_refused_before_they_are_made(size, options):
    made = Projection("p", "a", "b", weights=1.0, **options)
    with pytest.raises(ConfigError, match="synapses"):
        Model([Input("a", size)], [Population("b", size)], [made])


def test_more_synapses_of_fields_and_pairs_than_can_be_held_are_refused():
    for options in ({"connect": "local", "radius": 300}, {"connect": "conv", "kernel": 101, "padding": 50}):
        with pytest.raises(ConfigError, match="synapses"):
            wired((2, 300, 300), (8, 300, 300), **options)
    with pytest.raises(ConfigError, match="too many to draw"):
        wired(2**20, 2**20, connect="random", probability=1e-9)
    with pytest.raises(ConfigError, match="delays are too many"):
        wired(2**24, 1, connect="random", probability=1e-6, delay_ms=(0, 64))
