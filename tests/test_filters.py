"""The filter stage: every filter equals its naive twin, however the stream is cut, and no event vanishes uncounted."""

from __future__ import annotations

from dataclasses import fields

import naive_filters as naive
import numpy as np
import pytest
from filter_cases import ALL, SLOW_START, cases, events_of, passed, pieces, same, tuples
from hypothesis import given
from hypothesis import strategies as st

from spikestream import registry
from spikestream.batch import EVENT, Events, check, concat, cut, no_spikes
from spikestream.errors import ConfigError, ModelError
from spikestream.kernels import background, hotpixel, ratelimit, refractory
from spikestream.stages.filters import KINDS, Filters


def agree(rows, size, events):
    stage = Filters(rows, size)
    got = stage(events_of(events))
    want, out_size, removed = naive.row_of(rows, size, events)
    assert tuples(got.data) == want
    assert stage.size == got.size == out_size
    assert stage.account.filtered | stage.account.dropped == removed
    assert set(stage.account.dropped) == {kind for kind in removed if kind in naive.LOST}
    assert (stage.account.taken, stage.account.given) == (len(events), len(want))
    assert stage.account.imbalance() == 0


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@SLOW_START
def test_each_filter_equals_its_naive_twin(kind, data):
    agree(*data.draw(cases(kinds=(kind,), most=1)))


@given(case=cases())
@SLOW_START
def test_a_row_of_filters_equals_its_naive_twins_in_a_row(case):
    agree(*case)


@given(case=cases(), data=st.data())
@SLOW_START
def test_any_cut_gives_the_same_events_state_and_account(case, data):
    rows, size, events = case
    batch = events_of(events)
    whole, parts = Filters(rows, size), Filters(rows, size)
    cuts = data.draw(st.lists(st.integers(batch.start, batch.stop), max_size=8))
    stamps = sorted({t for t, *_ in events})
    cuts += data.draw(st.lists(st.sampled_from(stamps), max_size=8)) if stamps else []
    want = whole(batch)
    got = [parts(piece) for piece in pieces(batch, cuts)]
    for piece, result in zip(pieces(batch, cuts), got, strict=True):
        check(result)
        assert (result.start, result.stop) == (piece.start, piece.stop)
    assert np.array_equal(concat(got).data, want.data)
    assert same(whole.state(), parts.state())
    assert whole.account == parts.account


@given(case=cases(), data=st.data())
@SLOW_START
def test_a_fresh_stage_goes_on_from_a_saved_state_bit_for_bit(case, data):
    rows, size, events = case
    batch = events_of(events)
    left, right = cut(batch, data.draw(st.integers(batch.start, batch.stop)))
    first, second = Filters(rows, size), Filters(rows, size)
    first(left)
    saved = first.state()
    second.restore(saved)
    assert same(second.state(), saved)
    for array in saved.values():
        array[...] = 1  # neither stage may hold on to it
    assert np.array_equal(first(right).data, second(right).data)
    assert same(first.state(), second.state())


def test_state_names_the_place_the_filter_and_the_array():
    shapes = {name: (array.dtype.str, array.shape) for name, array in Filters(ALL, (3, 2)).state().items()}
    assert shapes == {
        "0.refractory.last": ("<i8", (2, 3)),
        "1.background.seen": ("<i8", (4, 5)),
        "2.hot_pixel.pixels": ("<i8", (2, 3, 3)),
        "3.rate_limit.tokens": ("<i8", ()),
        "3.rate_limit.last": ("<i8", ()),
    }


@pytest.mark.parametrize(
    ("rows", "size"),
    [(ALL[:2], (3, 2)), (ALL, (2, 3)), (ALL[::-1], (3, 2)), ([*ALL, {"kind": "refractory"}], (3, 2)), ([], (3, 2))],
)
def test_the_state_of_other_filters_is_refused_and_changes_nothing(rows, size):
    stage = Filters(ALL, (3, 2))
    stage(events_of([(0, 0, 0, True), (1, 1, 1, True)]))
    before = stage.state()
    with pytest.raises(ModelError):
        stage.restore(Filters(rows, size).state())
    wrong = stage.state() | {"3.rate_limit.tokens": np.array(0, np.int32)}
    with pytest.raises(ModelError, match=r"3\.rate_limit\.tokens"):
        stage.restore(wrong)
    assert same(stage.state(), before)


def test_a_gap_is_silence_in_which_time_passes_and_pixels_remember():
    stage = Filters([{"kind": "refractory", "period_ms": 1}], (4, 4))
    stage(events_of([(0, 1, 1, True)]))
    before = stage.state()
    gap = stage.skip(1, 900)
    assert (gap.start, gap.stop, len(gap), gap.size) == (1, 900, 0, (4, 4))
    assert same(stage.state(), before)
    assert tuples(stage(events_of([(900, 1, 1, True), (1000, 1, 1, True)])).data) == [(1000, 1, 1, True)]


@pytest.mark.parametrize("t", [-(2**62), 2**62])
@pytest.mark.parametrize("row", [*ALL, {"kind": "rate_limit", "max_rate_hz": 1e9, "burst_ms": 1000}])
def test_the_longest_settings_hold_at_the_ends_of_time(row, t):
    longest = {"period_ms": 86_400_000, "window_ms": 86_400_000}
    fields_of = {f.name for f in fields(KINDS[row["kind"]].options)}
    row = {name: value for name, value in longest.items() if name in fields_of} | row
    ends = sorted([(t, 0, 0, True), (t, 1, 0, True), (0, 1, 0, True), (0, 0, 0, True)])
    agree([row], (2, 2), ends)
    agree([row], (2, 2), [(-(2**62), 0, 0, True), (2**62, 0, 0, True)])


@pytest.mark.parametrize("row", [{"kind": "polarity", "keep": "merge"}, {"kind": "flip", "vertical": True}, *ALL])
def test_the_batch_is_never_written_to_whatever_its_layout(row):
    events = [(0, 0, 0, False), (1, 1, 1, False), (2, 1, 0, True)]
    batch = events_of(events)
    want = Filters([row], (2, 2))(batch).data
    shifted = np.frombuffer(b"\0" + batch.data.tobytes(), EVENT, offset=1)  # read-only and at an odd address
    spread = np.zeros((3, 2), EVENT)
    spread[:, 0] = batch.data
    for data in (shifted, spread[:, 0]):
        before = data.tobytes()
        out = Filters([row], (2, 2))(Events(0, 3, data)).data
        assert out.tobytes() == want.tobytes()
        assert not np.shares_memory(out, data)
        assert data.tobytes() == before
    for i in range(3):
        Filters([row], (2, 2))(Events(0, 3, shifted[i : i + 1]))


@pytest.mark.parametrize("kernel", [refractory, background, hotpixel, ratelimit])
def test_a_kernel_is_compiled_once_whatever_the_layout(kernel):
    row = next(row for row in ALL if row["kind"].replace("_", "") in kernel.__name__)
    packed = events_of([(0, 0, 0, True), (1, 1, 1, True)]).data.tobytes()
    for data in (np.frombuffer(packed, EVENT), np.frombuffer(b"\0" + packed, EVENT, offset=1)[:1]):
        Filters([row], (2, 2))(Events(0, 2, data))
    assert len(getattr(kernel.run, "signatures", [0])) == 1  # no signatures where the JIT is off


def test_the_stage_is_registered_and_takes_events_only():
    assert registry.load("stages", "filter") is Filters
    with pytest.raises(ConfigError, match="filters take events, not spikes"):
        Filters([], (2, 2))(no_spikes(0, 1))


def test_no_two_kernels_look_alike_to_the_dispatch():
    # Numba's fast dispatch tells tuples apart by the names of class and fields, not by the class.
    kernels = (refractory, background, hotpixel, ratelimit)
    for tuple_of in ("Coeffs", "State"):
        names = [getattr(kernel, tuple_of)._fields for kernel in kernels]
        assert len(set(names)) == len(names)


def n_mnist(path):
    """Return an N-MNIST recording: x, y, then 1 bit polarity and 23 bits time, big-endian."""
    raw = path.read_bytes()
    words = [int.from_bytes(raw[i + 2 : i + 5], "big") for i in range(0, len(raw), 5)]
    return [(w & 0x7FFFFF, raw[5 * i], raw[5 * i + 1], bool(w >> 23)) for i, w in enumerate(words)]


@pytest.mark.realdata
@pytest.mark.parametrize(
    "row",
    [
        {"kind": "refractory", "period_ms": 5},
        {"kind": "background"},
        {"kind": "hot_pixel", "max_rate_hz": 50},
        {"kind": "downsample", "factor": 3},
        {"kind": "rate_limit", "max_rate_hz": 10_000},
    ],
)
def test_filters_equal_their_twins_on_a_real_recording(data, row):
    events = n_mnist(data / "events" / "bin" / "nmnist.bin")
    assert len(events) == 4_325
    agree([row], (34, 34), events)
    some = len(passed([row], (34, 34), events))
    assert some == 4_325 if row["kind"] == "downsample" else 0 < some < 4_325
