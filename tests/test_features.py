"""Features: patterns, pooling, edges and surfaces against their twins, what they mean, and what they refuse."""

from __future__ import annotations

import naive_features as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spikestream as ss
from spikestream.batch import Spikes, no_events
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.kernels import oriented
from spikestream.stages.features import make_features
from spikestream.stages.ticked import GAP_TICKS

MADE = [
    oriented.Params("both", 5, 8, 5.0, 1.5, 0.7),
    oriented.Params("edges", 3, 4, 3.0, 0.9, 1.0),
    oriented.Params("bars", 7, 16, 6.0, 2.0, 0.5),
]


def busy(shape, seed=1, count=400, span_us=40_000, start=0, step_us=1):
    """Return spikes all over the planes, dense enough that patterns fire, ``step_us`` or more apart."""
    rng = np.random.default_rng(seed)
    t = start + np.sort(rng.integers(0, span_us // step_us, count)) * step_us
    return Spikes(start, start + span_us, t, rng.integers(0, np.prod(shape), count).astype(np.int32))


def rows(spikes):
    return list(zip(spikes.t.tolist(), spikes.axon.tolist(), strict=True))


def at(shape, places, t=0):
    """Return spikes of these (plane, y, x), all at ``t``, over 2 ms."""
    _, height, width = shape
    axons = [(p * height + y) * width + x for p, y, x in places]
    return Spikes(t, t + 2_000, np.full(len(axons), t), np.array(axons, np.int32))


@pytest.mark.parametrize("params", MADE, ids=lambda p: p.patterns)
def test_patterns_equal_their_twins_and_say_nothing_of_even_light(params):
    w = oriented.design(params)
    tables = naive.patterns(
        *(getattr(params, name) for name in ("patterns", "size", "directions", "wavelength")),
        params.sigma,
        params.aspect,
    )
    half = params.size // 2
    assert w.shape[2] == oriented.count(params) == len(tables)
    for m, table in enumerate(tables):
        got = {(dy, dx): w[dy + half, dx + half, m] for dy, dx in table}
        assert got == pytest.approx(table, abs=1e-6)
    assert w.sum(axis=(0, 1)) == pytest.approx(0, abs=1e-5)
    assert np.maximum(w, 0).sum(axis=(0, 1)) == pytest.approx(1, abs=1e-5)


@settings(max_examples=100, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 7), st.integers(1, 7)),
    pool=st.integers(1, 5),
    stride=st.integers(1, 5),
    rest_us=st.sampled_from([0, 1, 500, 3_000]),
    seed=st.integers(0, 5),
    start=st.sampled_from([0, -(2**62), 2**62 - 40_000, 1_600_000_000_000_000]),
)
def test_pooling_equals_its_twin(shape, pool, stride, rest_us, seed, start):
    stride, spikes = min(stride, pool), busy(shape, seed, 60, start=start, step_us=500)
    stage = ss.Pool(shape, pool=pool, stride=stride, rest_ms=rest_us / 1000)
    assert rows(stage(spikes)) == naive.pool(rows(spikes), shape, pool, stride, rest_us)
    assert stage.shape == naive.sides(shape, pool, stride)


@pytest.mark.parametrize("start", [0, -7_300, 1_600_000_000_000_000])
@pytest.mark.parametrize(
    ("shape", "tick_us", "options"),
    [
        ((1, 9, 8), 1_000, {"rest_ms": 0.0}),
        (
            (2, 5, 6),
            700,
            {
                "patterns": "both",
                "size": 3,
                "tau_ms": 2.0,
                "gain": 2.0,
                "floor": -0.3,
                "pool": 3,
                "stride": 2,
                "rest_ms": 2.1,
            },
        ),
        ((1, 3, 2), 5_000, {"patterns": "bars", "size": 7, "gain": 5.0, "pool": 1, "rest_ms": 10.0}),
    ],
    ids=["plain", "pooled", "small"],
)
def test_edges_equal_their_twin(shape, tick_us, options, start):
    full = {"patterns": "edges", "size": 5, "tau_ms": 20.0, "gain": 1.4, "floor": -1.4, "pool": 2, **options}
    w = oriented.design(oriented.Params(full["patterns"], full["size"])) * np.float32(full["gain"])
    spikes, pool = busy(shape, start=start), full["pool"]
    want = naive.edges(
        rows(spikes), shape, w, tick_us, full["tau_ms"], full["floor"], pool, full.get("stride", pool), full["rest_ms"]
    )
    end = spikes.stop // tick_us * tick_us
    stage = ss.Edges(shape, tick_us=tick_us, **options)
    got = rows(stage(spikes))
    assert len(got) > 20
    assert got == [row for row in want if row[0] < end]
    assert stage.axons == np.prod(stage.shape) > max(axon for _, axon in got)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 9, 8), {"rest_ms": 0.0}),
        ((2, 5, 6), {"patterns": "both", "size": 3, "tau_ms": 1.0, "least": 0.5, "pool": 3, "stride": 2}),
        ((1, 3, 2), {"patterns": "bars", "size": 7, "tau_ms": 0.3, "least": -1.0, "pool": 1}),
    ],
    ids=["plain", "pooled", "small"],
)
def test_surfaces_equal_their_twin(shape, options):
    full = {"patterns": "edges", "size": 5, "tau_ms": 20.0, "least": 0.3, "pool": 2, "rest_ms": 5.0, **options}
    w = oriented.design(oriented.Params(full["patterns"], full["size"]))
    w = w / np.sqrt(np.sum(w * w, axis=(0, 1), dtype=np.float32))
    spikes, pool = busy(shape, start=-7_300), full["pool"]
    want = naive.surface(
        rows(spikes),
        shape,
        w,
        full["tau_ms"],
        full["least"],
        pool,
        full.get("stride", pool),
        round(full["rest_ms"] * 1000),
    )
    got = rows(ss.Surface(shape, **options)(spikes))
    assert len(got) > 10
    assert got == want


@pytest.mark.parametrize("direction", range(0, 8, 2))
def test_an_edge_is_seen_where_it_is_and_the_way_it_rises(direction):
    """Light on the right, below, on the left, above of the middle of 9x9 pixels: directions 0, 2, 4, 6 of 8."""
    dark = {0: lambda y, x: x <= 4, 2: lambda y, x: y <= 4, 4: lambda y, x: x >= 4, 6: lambda y, x: y >= 4}[direction]
    lit = [(0, y, x) for y in range(9) for x in range(9) if not dark(y, x)]
    stage = ss.Edges((1, 9, 9), pool=1, rest_ms=0.0)
    seen = {axon for _, axon in rows(stage(at((1, 9, 9), lit)))}
    middle = 4 * 9 + 4
    assert [axon // 81 for axon in seen if axon % 81 == middle] == [direction]


def test_a_surface_tells_which_way_a_line_moved():
    """A vertical line moves right: what lies behind, on the left, was active later than what lies ahead."""
    rightward = Spikes(
        0,
        60_000,
        np.repeat(np.arange(9) * 5_000, 9),
        np.array([y * 9 + x for x in range(9) for y in range(9)], np.int32),
    )
    leftward = Spikes(0, 60_000, rightward.t, np.array([y * 9 + 8 - x for x in range(9) for y in range(9)], np.int32))
    for spikes, direction in ((rightward, 4), (leftward, 0)):
        stage = ss.Surface((1, 9, 9), pool=1, tau_ms=10.0)
        seen = [axon // 81 for _, axon in rows(stage(spikes)) if axon % 81 == 4 * 9 + 4]
        assert seen == [direction]


def test_a_gap_is_silence_and_a_long_one_stands_still():
    shape = (1, 6, 6)
    first, ticked, skipped = busy(shape), ss.Edges(shape), ss.Edges(shape)
    later = busy(shape, seed=2, start=140_000)
    for stage in (ticked, skipped):
        stage(first)
    silence = ticked(Spikes(40_000, 140_000, np.empty(0, np.int64), np.empty(0, np.int32)))
    assert len(silence) == len(skipped.skip(40_000, 140_000)) == 0
    assert rows(ticked(later)) == rows(skipped(later))
    now = later.stop
    skipped.skip(now, now + 2 * GAP_TICKS * 1_000)
    end = now + 2 * GAP_TICKS * 1_000
    fresh = busy(shape, seed=3, start=end)
    assert rows(skipped(fresh)) == rows(ss.Edges(shape)(fresh))  # the gap was long: nothing is left of before


def test_what_rests_rests_on_while_all_stands_still():
    shape, end = (1, 6, 6), 40_000 + 2 * GAP_TICKS * 1_000
    stage = ss.Edges(shape, rest_ms=1.5 * GAP_TICKS)
    passed = {axon for _, axon in rows(stage(busy(shape)))}
    stage.skip(40_000, end)
    later = {axon for _, axon in rows(stage(busy(shape, count=2_000, start=end)))}
    assert passed
    assert later
    assert not passed & later


def test_a_state_that_cannot_have_been_is_refused():
    stage = ss.Edges((1, 6, 6))
    stage(busy((1, 6, 6)))
    saved = stage.state()
    too_high, ahead = saved["v"].copy(), saved["seen"].copy()
    too_high[3, 2] = 1.5
    ahead[7] = saved["next"]
    for wrong in ({"v": too_high}, {"seen": ahead}):
        with pytest.raises(ModelError, match="contradicts"):
            ss.Edges((1, 6, 6)).restore({**saved, **wrong})
    with pytest.raises(ModelError, match="another feature layer"):
        ss.Edges((1, 6, 6), gain=1.5).restore(saved)


@pytest.mark.parametrize("kind", ["pool", "edges", "surface", "stdp"])
def test_what_does_not_fit_is_refused(kind):
    stage = make_features(kind, (1, 4, 4), {})
    for axon in (-1, 16):
        with pytest.raises(ModelError, match="16"):
            stage(Spikes(0, 1_000, np.zeros(1, np.int64), np.array([axon], np.int32)))
    with pytest.raises(SpikestreamError, match="spikes"):
        stage(no_events(0, 1_000))


@pytest.mark.parametrize(
    ("kind", "shape", "options", "key"),
    [
        ("pool", (1, 4, 4), {"size": 3}, "size"),
        ("pool", (1, 4, 4), {"gain": 2.0}, "gain"),
        ("pool", (1, 4, 4), {"pool": 0}, "pool"),
        ("pool", (1, 4, 4), {"pool": True}, "pool"),
        ("pool", (1, 4, 4), {"stride": 3}, "stride"),
        ("pool", (1, 4, 4), {"rest_ms": float("nan")}, "rest_ms"),
        ("pool", (4, 4), {}, "shape"),
        ("pool", (1, 0, 4), {}, "shape"),
        ("pool", None, {}, "shape"),
        ("edges", (2, 65_536, 65_536), {}, "shape"),
        ("edges", (1, 4, 4), {"size": 4}, "size"),
        ("edges", (1, 4, 4), {"directions": 5}, "directions"),
        ("edges", (1, 4, 4), {"patterns": "dots"}, "patterns"),
        ("edges", (1, 4, 4), {"tau_ms": 0.0}, "tau_ms"),
        ("edges", (1, 4, 4), {"floor": 0.5}, "floor"),
        ("edges", (1, 4, 4), {"tick_us": 0.5}, "tick_us"),
        ("surface", (1, 4, 4), {"least": 1.5}, "least"),
        ("surface", (1, 4, 4), {"tick_us": 500}, "tick_us"),
        ("corners", (1, 4, 4), {}, "kind"),
    ],
)
def test_options_out_of_range_are_refused(kind, shape, options, key):
    with pytest.raises(ConfigError) as raised:
        make_features(kind, shape, options)
    assert raised.value.key == key


@pytest.mark.parametrize("reader", ["network", "classifier", "model"])
def test_a_pipeline_puts_features_between_addresses_and_what_follows(reader):
    tables = {
        "features": {"kind": "edges", "size": 3, "pool": 4},
        "readout": {"kind": "classifier" if reader == "classifier" else "votes"},
    }
    if reader == "model":
        tables["model"] = {
            "inputs": {"eye": {}},
            "populations": {"out": {"size": 3, "neuron": "lif"}},
            "projections": {"see": {"source": "eye", "target": "out", "weights": 0.1}},
            "outputs": ["out"],
        }
    pipeline = ss.build(tables, (28, 30))
    names = list(pipeline.stages)
    assert names[:3] == ["filter", "address", "features"]
    assert names[-1] == "readout"
    features = pipeline.stages["features"]
    assert features.shape == (2 * 8, 8, 7)
    assert pipeline.stages[names[3]].axons == features.axons == 2 * 8 * 8 * 7


def test_a_configuration_names_its_own_key_in_an_error():
    with pytest.raises(ConfigError) as raised:
        ss.build({"features": {"kind": "edges", "size": 4}}, (28, 28))
    assert raised.value.key == "features.size"
    with pytest.raises(ConfigError) as raised:
        ss.build({"features": {"kind": "pool"}, "sensor": {"samplerate_hz": 16_000}})
    assert raised.value.key == "features.kind"
    assert list(ss.build({}, (28, 28)).stages)[:3] == ["filter", "address", "network"]
