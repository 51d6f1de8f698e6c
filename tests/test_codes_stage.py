"""The readout of a code as a stage: any cut, gaps told as lost, state, laws, and decisions made of values."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spikestream as ss
from spikestream import checks
from spikestream.batch import Decision, Decisions, Spikes, cut, no_events, no_spikes
from spikestream.errors import ModelError, SpikestreamError
from spikestream.pipeline import Pipeline
from spikestream.stages.codes import (
    CodeReadout,
    FirstSpikeCode,
    IntervalCode,
    PhaseCode,
    PoissonCode,
    RateCode,
    SlotCode,
)

NAN = math.nan
AXONS = 3
CODES = [
    RateCode(100, 9),
    PoissonCode(100, 9),
    FirstSpikeCode(100, 10),
    IntervalCode(100, 10),
    PhaseCode(100, 5, period_us=50),
    SlotCode(100, 14, 2),
]
EVERY = pytest.mark.parametrize("code", CODES, ids=lambda code: type(code).__name__)
MANY = settings(max_examples=40, deadline=None)


@st.composite
def streams(draw):
    start = draw(st.sampled_from([0, 100, 30, -270, 10**12 + 99]))
    stop = start + draw(st.integers(1, 700))
    spike = st.tuples(st.integers(start, stop - 1), st.integers(0, AXONS - 1))
    rows = sorted(draw(st.lists(spike, max_size=40)))
    t, axon = zip(*rows, strict=True) if rows else ((), ())
    return Spikes(start, stop, np.array(t, np.int64), np.array(axon, np.int32))


def pieces(batch, edges):
    parts, rest = [], batch
    for at in sorted(edges):
        part, rest = cut(rest, at)
        parts.append(part)
    return [*parts, rest]


def same_state(a, b):
    return a.keys() == b.keys() and all(a[key].tobytes() == b[key].tobytes() for key in a)


def joined(answers):
    return np.concatenate([answer.rows for answer in answers])


@EVERY
@given(data=st.data(), batch=streams())
@MANY
def test_any_cut_gives_the_same_rows_each_with_the_batch_that_ends_its_interval(code, data, batch):
    whole, parted = CodeReadout(code, AXONS), CodeReadout(code, AXONS)
    want = whole(batch)
    parts = pieces(batch, data.draw(st.lists(st.integers(batch.start, batch.stop), max_size=12)))
    got = [parted(part) for part in parts]
    assert joined(got).tobytes() == want.rows.tobytes()
    assert same_state(whole.state(), parted.state())
    assert whole.account == parted.account
    for part, answer in zip(parts, got, strict=True):
        assert (answer.start, answer.stop) == (part.start, part.stop)
        assert answer.first == part.start // 100 * 100
        assert len(answer) == part.stop // 100 - part.start // 100
    if batch.start % 100 and len(want):
        assert np.isnan(want.rows[0]).all()  # its beginning was not heard


@EVERY
@given(data=st.data(), batch=streams())
@MANY
def test_exactly_the_intervals_a_gap_touches_are_told_as_lost(code, data, batch):
    edges = sorted(data.draw(st.lists(st.integers(batch.start, batch.stop), min_size=1, max_size=7)))
    parts = pieces(batch, edges)
    lost = [data.draw(st.booleans()) for _ in parts]
    stage, heard = CodeReadout(code, AXONS), CodeReadout(code, AXONS)
    rows = joined([stage.skip(p.start, p.stop) if gone else stage(p) for p, gone in zip(parts, lost, strict=True)])
    want = heard(batch).rows.copy()
    first = batch.start // 100
    for part, gone in zip(parts, lost, strict=True):
        if gone and part.start < part.stop:
            want[part.start // 100 - first : -(-part.stop // 100) - first] = NAN
    np.testing.assert_array_equal(rows, want)
    assert stage.account.taken == sum(len(p) for p, gone in zip(parts, lost, strict=True) if not gone)
    assert stage.account.given == len(rows)


@EVERY
@given(data=st.data(), batch=streams())
@MANY
def test_a_fresh_readout_goes_on_from_a_saved_state(code, data, batch):
    left, right = cut(batch, data.draw(st.integers(batch.start, batch.stop)))
    one, other = CodeReadout(code, AXONS), CodeReadout(code, AXONS)
    one(left)
    saved = one.state()
    other.restore(saved)
    for array in saved.values():
        array[...] = 1  # neither of the two looks at it any more
    assert same_state(one.state(), other.state())
    assert one(right).rows.tobytes() == other(right).rows.tobytes()


class Said:
    """A readout whose rows are decisions, as a pipeline and the conformance suite want them."""

    def __init__(self, code):
        self.readout = CodeReadout(code, AXONS)
        self.account, self.state, self.restore = self.readout.account, self.readout.state, self.readout.restore

    def __call__(self, batch):
        return self.say(self.readout(batch))

    def skip(self, start, stop):
        return self.say(self.readout.skip(start, stop))

    def say(self, values):
        begins = [values.first + i * values.interval_us for i in range(len(values))]
        rows = [[None if v != v else v for v in row.ravel().tolist()] for row in values.rows]
        said = [Decision(b, b + 100, str(row), 0.0) for b, row in zip(begins, rows, strict=True)]
        return Decisions(values.start, values.stop, tuple(said))


def stream(code):
    rng = np.random.default_rng(2)
    values = rng.random((40, AXONS, *code.shape))
    spikes = code.encode(values.round() if code.shape else values, -1_000)
    return pieces(spikes, [-951, -555, 0, 12, 1_900])


LAWS = [
    pytest.param(law, id=f"{type(code).__name__}-{name}")
    for code in CODES
    for name, law in checks.stage(lambda code=code: Said(code), stream(code))
]


@pytest.mark.parametrize("law", LAWS)
def test_it_keeps_the_laws_of_a_stage(law):
    law()


def test_it_stands_in_a_pipeline_behind_a_network():
    code = FirstSpikeCode(20_000, 1_000)
    values = np.array([[1.0], [0.25], [0.0], [0.7]])
    network = ss.Network(1, 1, rule="none", learning=False, theta_plus=0.0, tau_refrac_ms=0.0, v_thresh=0.001)
    pipeline = Pipeline({"network": network, "names": Named(code, ["blue"])})
    spikes = code.encode(values)
    rows = [r for part in pieces(spikes, [5_500, 20_000, 61_000]) for r in pipeline(part)["names"].rows]
    assert [row.label for row in rows] == ["blue", "blue", None, "blue"]
    assert [dict(row.scores)["blue"] for row in rows] == values[:, 0].tolist()
    assert not [hop for hop in pipeline.hops() if hop.missing()]
    later = pipeline(no_spikes(125_000, 160_000))["names"].rows
    lost = [row for row in later if row.scores == ()]
    assert [(row.start, row.stop) for row in lost] == [(80_000, 100_000), (100_000, 120_000), (120_000, 140_000)]


class Named(Said):
    def __init__(self, code, names):
        self.readout = CodeReadout(code, len(names))
        self.account, self.state, self.restore = self.readout.account, self.readout.state, self.readout.restore
        self.say = lambda values: values.decisions(names)


def test_decisions_name_the_largest_value_and_none_where_nothing_is_known():
    rows = np.array([[0.2, 0.6, 0.2], [0.5, 0.5, NAN], [0, 0, 0], [NAN, NAN, NAN], [NAN, 0, 0.4]])
    answer = ss.Values(130, 600, 100, 100, rows).decisions(["a", "b", "c"])
    assert [(r.start, r.stop, r.label) for r in answer.rows] == [
        (100, 200, "b"),
        (200, 300, "a"),
        (300, 400, None),
        (400, 500, None),
        (500, 600, "c"),
    ]
    assert [r.confidence for r in answer.rows] == [pytest.approx(0.6), 0.5, 0.0, 0.0, 1.0]
    assert answer.rows[1].scores == (("a", 0.5), ("b", 0.5))
    assert (answer.start, answer.stop) == (130, 600)
    with pytest.raises(ModelError, match="2 names"):
        ss.Values(0, 100, 0, 100, rows).decisions(["a", "b"])


def test_a_gap_of_ages_takes_no_memory_and_one_beyond_all_numbers_is_refused():
    stage = CodeReadout(RateCode(1_000, 5), 1_000)
    stage(no_spikes(0, 500))
    year = 365 * 86_400 * 10**6
    answer = stage.skip(500, year)
    assert len(answer) == year // 1_000
    assert np.isnan(answer.rows[[0, -1]]).all()
    assert answer.rows.strides == (0, 0)
    with pytest.raises(SpikestreamError, match="too many for one answer"):
        stage.skip(year, 2**62)
    assert not np.isnan(stage(no_spikes(year, year + 1_000)).rows).any()  # the refusal changed nothing


def test_a_batch_of_too_many_rows_is_refused_and_changes_nothing():
    stage = CodeReadout(SlotCode(1_000, 10), 1_000)
    before = stage.state()
    with pytest.raises(SpikestreamError, match="cut it"):
        stage(no_spikes(0, 10**9))
    assert same_state(before, stage.state())
    assert stage(no_spikes(0, 2_000)).rows.shape == (2, 1_000, 100)


def test_time_left_out_or_heard_twice_is_refused():
    stage = CodeReadout(RateCode(100, 5), 2)
    stage(no_spikes(0, 250))
    for start in (249, 251):
        with pytest.raises(SpikestreamError, match=r"call skip"):
            stage(no_spikes(start, 300))
        with pytest.raises(SpikestreamError):
            stage.skip(start, 300)
    assert len(stage(no_spikes(250, 300))) == 1


def test_foreign_batches_and_axons_are_refused():
    stage = CodeReadout(RateCode(100, 5), 2)
    with pytest.raises(SpikestreamError, match="not Events"):
        stage(no_events(0, 10))
    for axon in (-1, 2):
        with pytest.raises(ModelError, match="do not fit"):
            stage(Spikes(0, 10, np.array([3]), np.array([axon], np.int32)))
    for axons in (0, -1, 2.0, True):
        with pytest.raises(SpikestreamError, match="axons"):
            CodeReadout(RateCode(100, 5), axons)


@pytest.mark.parametrize(
    "wrong",
    [
        {"t": np.array([149, 230]), "axon": np.array([0, 0], np.int32)},
        {"t": np.array([210, 250]), "axon": np.array([0, 0], np.int32)},
        {"t": np.array([230, 210]), "axon": np.array([0, 0], np.int32)},
        {"t": np.array([210, 230]), "axon": np.array([0, 2], np.int32)},
        {"t": np.array([210, 230]), "axon": np.array([0, -1], np.int32)},
        {"t": np.array([210]), "axon": np.array([0, 0], np.int32)},
        {"now": np.array(-(2**63))},
        {"now": np.array(2**62 + 1), "t": np.empty(0, np.int64), "axon": np.empty(0, np.int32)},
        {"lost": np.array(1.0)},
    ],
)
def test_a_state_that_cannot_be_is_refused(wrong):
    stage = CodeReadout(RateCode(100, 5), 2)
    stage(Spikes(0, 250, np.array([210, 230]), np.array([0, 1], np.int32)))
    fresh = CodeReadout(RateCode(100, 5), 2)
    fresh.restore(stage.state())
    with pytest.raises(ModelError):
        fresh.restore({**stage.state(), **wrong})
    assert same_state(fresh.state(), stage.state())


def test_the_public_names_are_the_codes():
    from spikestream.stages import codes

    for public in ("CodeReadout", "Values", *(type(code).__name__ for code in CODES)):
        assert getattr(ss, public) is getattr(codes, public)


def test_pieces_of_this_file_cover_a_batch():
    parts = pieces(no_spikes(0, 10), [3, 3, 10])
    assert [(a.stop, b.start) for a, b in pairwise(parts)] == [(3, 3), (3, 3), (10, 10)]
