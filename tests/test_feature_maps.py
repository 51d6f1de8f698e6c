"""Feature maps that spikes teach: against their twin, frozen and saved, what they find, and what they refuse."""

from __future__ import annotations

import naive_features as naive
import numpy as np
import pytest
from test_features import busy, rows

import spikestream as ss
from spikestream import checkpoint
from spikestream.batch import Setting, Spikes, concat, cut
from spikestream.errors import ConfigError, ModelError
from spikestream.kernels import pooling
from spikestream.stages.features import make_features
from spikestream.stages.ticked import GAP_TICKS

PLAIN = {
    "maps": 4,
    "size": 3,
    "step": 1,
    "share": True,
    "tau_ms": 20.0,
    "gain": 1.4,
    "floor": -1.4,
    "balance": 1.0,
    "tau_plus_ms": 20.0,
    "lesson_ms": 5.0,
    "rate_start": 0.5,
    "rate_end": 0.005,
    "lessons_half": 1.0,
    "theta_plus": 0.1,
    "theta_half": 10.0,
    "pool": 2,
    "stride": 2,
    "rest_ms": 5.0,
    "tick_us": 1_000,
}
LOCAL = {"share": False, "lesson_ms": 0.0, "balance": 0.0, "floor": 0.0, "gain": 2.0, "theta_half": 2.0}
BEYOND = {"size": 4, "step": 3, "maps": 3, "tick_us": 700, "tau_plus_ms": 1.0, "pool": 1, "stride": 1, "rest_ms": 0.0}
CASES = [((1, 7, 6), {}), ((2, 5, 6), LOCAL), ((2, 9, 6), {**BEYOND, "lesson_ms": 2.1, "gain": 3.0})]


def layer(shape, **options):
    return ss.FeatureMaps(shape, **{**PLAIN, **options})


def pattern(shape, lit, start, rng, span_us=20_000, spikes=8):
    """Return each pixel of ``lit`` (plane, y, x) firing so often over ``span_us``."""
    _, height, width = shape
    axons = np.repeat([(p * height + y) * width + x for p, y, x in lit], spikes)
    t = start + rng.integers(0, span_us, len(axons))
    order = np.argsort(t, kind="stable")
    return Spikes(start, start + span_us, t[order], axons[order].astype(np.int32))


SINGLE = {"size": 1, "balance": 0.0, "gain": 0.35, "pool": 1, "stride": 1, "rest_ms": 0.0}
"""A pixel is a patch, and each spike of it adds 0.7."""


@pytest.mark.parametrize(("later_ms", "fires"), [(100, True), (200, True), (800, True), (1_000, False)])
def test_what_was_heard_long_ago_is_still_decaying(later_ms, fires):
    """0.7 (1 + exp(-later / 1 s)) is above 1 up to 847 ms, beyond the decays that are kept in a table."""
    stage = layer((1, 1, 1), **SINGLE, maps=1, tau_ms=1_000.0)
    t = np.array([0, later_ms * 1_000])
    assert len(stage(Spikes(0, 2_000_000, t, np.zeros(2, np.int32)))) == fires


def test_of_maps_that_match_alike_the_first_fires():
    stage = layer((1, 1, 1), **SINGLE, maps=3)
    stage.command(Setting(0, "learn.enabled", False))
    t = np.repeat(np.arange(5) * 40_000, 2)
    assert rows(stage(Spikes(0, 200_000, t, np.zeros(10, np.int32)))) == [(k * 40_000 + 999, 0) for k in range(5)]


@pytest.mark.parametrize("start", [0, -7_300, 1_600_000_000_000_000])
@pytest.mark.parametrize(("shape", "options"), CASES, ids=["shared", "local", "beyond the border"])
def test_maps_equal_their_twin(shape, options, start):
    """One half taught, one half frozen: spikes, kernels, thresholds and counts of lessons are those of the twin."""
    full = {**PLAIN, **options}
    stage, spikes = layer(shape, **options), busy(shape, count=600, start=start)
    twin = naive.Maps(shape, stage.weights, full)
    frozen = -(-(start + 20_000) // full["tick_us"])
    left, right = cut(spikes, start + 20_000)
    got = rows(stage(left))
    stage.command(Setting(start + 20_000, "learn.enabled", False))
    got += rows(stage(right))
    end = spikes.stop // full["tick_us"] * full["tick_us"]
    due = [(t, axon) for t, axon in rows(spikes) if t < end]
    assert got == twin.run(due, lambda tick: tick < frozen)
    assert len(got) > 20
    state = stage.state()
    assert state["lessons"].tolist() == twin.lessons
    assert state["lessons"].sum() > 3
    assert state["theta"] == pytest.approx(np.array(twin.theta), abs=1e-6)
    want = [np.array([list(kernel.values()) for kernel in kernels]).T for kernels in twin.w]
    assert stage.weights == pytest.approx(np.array(want), abs=1e-6)


def test_shared_kernels_find_the_two_bars_they_are_shown_wherever_those_lie():
    """Upright and level bars through the middle of any of nine patches: one map has learned each."""
    shape, rng = (1, 9, 9), np.random.default_rng(5)
    stage = layer(shape, maps=2, step=3, pool=1, stride=1, lesson_ms=5.0, rate_end=0.05)
    for k in range(60):
        y, x = 3 * rng.integers(0, 3, 2) + 1
        lit = [(0, y + d, x) if k % 2 else (0, y, x + d) for d in (-1, 0, 1)]
        stage(pattern(shape, lit, 60_000 * k, rng))
        stage.skip(60_000 * k + 20_000, 60_000 * (k + 1))
    bright = [set(np.flatnonzero(kernel > 0.2).tolist()) for kernel in stage.weights[0].T]
    assert sorted(bright, key=min) == [{1, 4, 7}, {3, 4, 5}]


def test_local_kernels_find_what_their_own_place_is_shown():
    """On the left only upright bars, on the right only level ones: each place has learned its own."""
    shape, rng = (1, 3, 6), np.random.default_rng(3)
    stage = layer(shape, maps=1, step=3, share=False, pool=1, stride=1, lesson_ms=0.0, rate_end=0.05)
    for k in range(40):
        lit = [(0, d, 1) for d in range(3)] + [(0, 1, 3 + d) for d in range(3)]
        stage(pattern(shape, lit, 20_000 * k, rng))
    left, right = stage.weights[..., 0].reshape(2, 3, 3)
    assert (left[:, 1] > 0.4).all()
    assert (right[1] > 0.4).all()
    assert (np.delete(left, 1, 1) < 0).all()
    assert (np.delete(right, 1, 0) < 0).all()


def test_every_map_gets_its_share_of_the_lessons_and_without_a_conscience_two_get_all():
    """Shown nothing but one bar."""
    shares, lit = {}, [(0, 0, 1), (0, 1, 1), (0, 2, 1)]
    for theta_plus in (0.3, 0.0):
        stage, rng = (
            layer((1, 3, 3), gain=3.0, lesson_ms=0.0, theta_plus=theta_plus, theta_half=1e6),
            np.random.default_rng(2),
        )
        for k in range(50):
            stage(pattern((1, 3, 3), lit, 20_000 * k, rng))
        lessons = stage.state()["lessons"][0]
        shares[theta_plus] = lessons.max() / lessons.sum()
    assert shares[0.3] < 0.3
    assert shares[0.0] > 0.45


def test_even_light_says_nothing_to_a_balanced_map():
    """All pixels of all patches at once, many times: whatever was learned, weights add up to nothing."""
    shape = (1, 6, 6)
    stage = layer(shape, step=3, gain=3.0)
    stage(busy(shape, count=600))
    assert stage.weights.sum(axis=1) == pytest.approx(0, abs=1e-5)
    stage.skip(40_000, 40_000 + 10 * GAP_TICKS)
    t = np.repeat(np.arange(1_000_000, 1_040_000, 1_000), 36)
    even = Spikes(1_000_000, 1_040_000, t, np.tile(np.arange(36, dtype=np.int32), 40))
    stage.skip(stage.state()["next"].item() * 1_000, 1_000_000)
    assert len(stage(even)) == 0
    assert len(layer(shape, step=3, gain=3.0, balance=0.0)(even)) > 0


def test_nothing_is_learned_while_learning_is_off():
    shape = (1, 7, 6)
    stage = layer(shape, learning=False)
    before = stage.state()
    assert len(stage(busy(shape))) > 10
    after = stage.state()
    assert all((before[key] == after[key]).all() for key in ("weights", "theta", "lessons"))


@pytest.mark.parametrize("how", ["whole", "cut", "saved"])
def test_a_switch_counts_from_the_first_whole_tick_at_or_after_its_time(how):
    """At 20,300 µs: the tick that holds that moment still learns, the next one does not."""
    shape, spikes = (1, 7, 6), busy((1, 7, 6), count=900)
    until, _ = cut(spikes, 21_000)
    early = layer(shape, lesson_ms=0.0)
    early(until)
    stage = layer(shape, lesson_ms=0.0)
    parts = [spikes] if how == "whole" else [*cut(spikes, 20_400)]
    stage.command(Setting(20_300, "learn.enabled", False))
    for part in parts:
        if how == "saved":
            saved, stage = stage.state(), layer(shape, lesson_ms=0.0)
            stage.restore(saved)
        stage(part)
    assert stage.learning is False
    assert stage.state()["lessons"].tolist() == early.state()["lessons"].tolist()
    assert stage.state()["lessons"].sum() > 20


def test_a_long_gap_stands_still_and_a_switch_in_it_is_taken():
    shape, end = (1, 6, 6), 40_000 + 2 * GAP_TICKS * 1_000
    stage = layer(shape, lesson_ms=1.5 * GAP_TICKS)
    stage(busy(shape))
    taught = stage.state()["lessons"]
    assert taught.sum() > 0
    stage.command(Setting(end - 1, "learn.enabled", False))
    stage.skip(40_000, end)
    assert stage.learning is False
    stage.command(Setting(end, "learn.enabled", True))
    stage(busy(shape, seed=2, start=end))
    later = stage.state()["lessons"]
    assert (later[taught > 0] == taught[taught > 0]).all()  # the pause between lessons lasts on while all stands still


def test_a_state_that_cannot_have_been_is_refused():
    stage = layer((1, 6, 6))
    stage(busy((1, 6, 6)))
    stage.command(Setting(90_000, "learn.enabled", False))
    saved = stage.state()
    ahead, long, odd = saved["heard"].copy(), saved["weights"].copy(), saved["theta"].copy()
    ahead[7], long[0, 2, 1], odd[0, 1] = saved["next"], 1.5, np.nan
    few = saved["lessons"] - saved["lessons"].max() - 1
    past, both = np.array([[3, 0]]), np.array([[90, 2]])
    wrongs = (
        {"heard": ahead},
        {"weights": long},
        {"theta": odd},
        {"lessons": few},
        {"switches": past},
        {"switches": both},
    )
    for wrong in wrongs:
        with pytest.raises(ModelError, match="contradicts"):
            layer((1, 6, 6)).restore({**saved, **wrong})
    with pytest.raises(ModelError, match="another learned feature layer"):
        layer((1, 6, 6), gain=1.5).restore(saved)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"maps": 0}, "maps"),
        ({"maps": 2_000}, "maps"),
        ({"size": 0}, "size"),
        ({"step": 4}, "step"),
        ({"share": "no"}, "share"),
        ({"balance": 1.5}, "balance"),
        ({"rate_start": -0.1}, "rate_start"),
        ({"lesson_ms": float("inf")}, "lesson_ms"),
        ({"seed": -1}, "seed"),
        ({"tau_plus_ms": 1e6, "tick_us": 999}, "tau_plus_ms"),
        ({"directions": 4}, "directions"),
        ({"least": 0.1}, "least"),
    ],
)
def test_options_out_of_range_are_refused(options, key):
    with pytest.raises(ConfigError) as raised:
        make_features("stdp", (1, 9, 9), {"size": 3, **options})
    assert raised.value.key == key


def test_what_would_not_fit_is_refused_before_it_is_made():
    with pytest.raises(ConfigError) as raised:
        make_features("stdp", (2, 4_000, 4_000), {"share": False})
    assert raised.value.key == "shape"
    with pytest.raises(ConfigError, match="no option"):
        make_features("edges", (1, 9, 9), {"maps": 4})


@pytest.mark.parametrize("reader", ["network", "classifier"])
def test_a_pipeline_saves_its_kernels_hands_them_on_and_freezes_with_them(tmp_path, reader):
    """What is saved is loaded, what is learned is handed on, and learn.enabled = false leaves it as it was."""
    tables = {
        "filter": [],
        "features": {"kind": "stdp", "size": 3, "maps": 4, "gain": 2.0, "lesson_ms": 2.0},
        "readout": {"kind": "classifier" if reader == "classifier" else "votes"},
    }
    pipeline, rng = ss.build(tables, (9, 8)), np.random.default_rng(1)
    events = np.zeros(2_000, ss.batch.EVENT)
    events["t"], events["x"] = np.sort(rng.integers(0, 100_000, 2_000)), rng.integers(0, 9, 2_000)
    events["y"], events["p"] = rng.integers(0, 8, 2_000), rng.integers(0, 2, 2_000) > 0
    batch = ss.Events(0, 100_000, events, (9, 8))
    pipeline(batch)
    taught = pipeline.stages["features"]
    assert taught.state()["lessons"].sum() > 10
    assert "learn.enabled" in pipeline.settings
    path = tmp_path / "model.npz"
    ss.save(path, pipeline)
    assert checkpoint.state_sha256(ss.load(path)) == checkpoint.state_sha256(pipeline)
    frozen = ss.build({**tables, "learn": {"enabled": False}}, (9, 8))
    checkpoint.transfer(path, frozen)
    assert (
        frozen.stages["features"].state()["taught"].max() == pooling.NEVER
    )  # of its moment in time nothing came along
    frozen(batch)
    for key in ("weights", "theta", "lessons"):
        assert (frozen.stages["features"].state()[key] == taught.state()[key]).all()


def test_the_same_seed_gives_the_same_kernels_and_another_one_others():
    spikes, made = busy((1, 7, 6)), []
    for seed in (0, 0, 1):
        stage = layer((1, 7, 6), seed=seed)
        parts = [stage(part) for part in cut(spikes, 12_345)]
        made.append((rows(concat(parts)), stage.weights.tolist()))
    assert made[0] == made[1] != made[2]
