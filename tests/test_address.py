"""The address stage: events become spikes by one formula, both ways, and nothing is lost on the way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikestream import registry
from spikestream.batch import EVENT, Events, check, concat, cut, no_spikes
from spikestream.errors import ConfigError, ModelError
from spikestream.stages.address import Address

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def events_of(rows):
    return Events(0, 1000, np.array(rows, EVENT) if rows else np.empty(0, EVENT))


@st.composite
def streams(draw, size):
    """Draw sorted events, some of them outside the size."""
    place = st.tuples(st.integers(0, 999), st.integers(0, size[0]), st.integers(0, size[1]), st.booleans())
    return sorted(draw(st.lists(place, max_size=40)), key=lambda event: event[0])


@given(size=SIZES, polarity=st.booleans(), data=st.data())
def test_addresses_equal_the_formula_and_lead_back_to_the_pixel(size, polarity, data):
    events = data.draw(streams(size))
    stage = Address(size, polarity)
    spikes = stage(events_of(events))
    inside = [(t, x, y, p) for t, x, y, p in events if x < size[0] and y < size[1]]
    w, h = size
    assert spikes.t.tolist() == [t for t, *_ in inside]
    assert spikes.axon.tolist() == [((p if polarity else 0) * h + y) * w + x for _, x, y, p in inside]
    assert [stage.pixel(int(a)) for a in spikes.axon] == [(x, y, p or not polarity) for _, x, y, p in inside]
    assert stage.axons == w * h * (2 if polarity else 1)
    assert (stage.account.taken, stage.account.given) == (len(events), len(inside))
    assert stage.account.dropped == {"outside": len(events) - len(inside)}
    assert stage.account.imbalance() == 0


@given(data=st.data())
def test_any_cut_gives_the_same_spikes_and_account(data):
    rest = events_of(data.draw(streams((5, 4))))
    whole, parts = Address((5, 4)), Address((5, 4))
    want, got = whole(rest), []
    for at in sorted(data.draw(st.lists(st.integers(0, 1000), max_size=10))):
        left, rest = cut(rest, at)
        got.append(parts(left))
    got.append(parts(rest))
    joined = concat(got)
    check(joined)
    assert (joined.start, joined.stop) == (0, 1000)
    assert np.array_equal(joined.t, want.t)
    assert np.array_equal(joined.axon, want.axon)
    assert whole.account == parts.account


def test_spikes_own_contiguous_memory_whatever_the_batch_is_made_of():
    raw = events_of([(1, 2, 3, True), (2, 0, 0, False)]).data.tobytes()
    data = np.frombuffer(b"\0" + raw, EVENT, offset=1)  # read-only and at an odd address
    for batch in (Events(0, 9, data), Events(0, 9, data[:1]), Events(0, 9, data[:0])):
        spikes = Address((4, 4))(batch)
        assert (spikes.t.dtype, spikes.axon.dtype) == (np.int64, np.int32)
        for array in (spikes.t, spikes.axon):
            assert array.flags.owndata
            assert array.flags.c_contiguous
            assert array.flags.writeable
            assert not np.shares_memory(array, data)


def test_the_last_pixel_of_the_largest_sensor_has_the_last_axon():
    size = (65_536, 16_383)
    stage = Address(size)
    spikes = stage(events_of([(0, 65_535, 16_382, True), (1, 65_535, 65_535, True)]))
    assert spikes.axon.tolist() == [stage.axons - 1] == [2 * 65_536 * 16_383 - 1]
    assert stage.pixel(stage.axons - 1) == (65_535, 16_382, True)


@pytest.mark.parametrize(
    ("size", "polarity"), [((65_536, 16_384), True), ((65_536, 32_768), False), ((0, 5), True), ((5, 65_537), True)]
)
def test_a_size_that_an_int32_cannot_number_is_refused(size, polarity):
    with pytest.raises(ConfigError) as caught:
        Address(size, polarity)
    error = caught.value
    assert (error.key, error.value) == ("sensor.size", size)
    assert "2,147,483,647 axons" in error.allowed


def test_without_a_size_there_are_no_addresses():
    with pytest.raises(ConfigError) as caught:
        Address(None)
    assert caught.value.remedy == "--size WxH"


@pytest.mark.parametrize("axon", [-1, 24])
def test_an_axon_beyond_the_last_has_no_pixel(axon):
    with pytest.raises(ConfigError, match=f"no axon {axon}"):
        Address((4, 3)).pixel(axon)


def test_a_gap_is_silence_and_there_is_nothing_to_remember():
    stage = Address((2, 2))
    gap = stage.skip(5, 9)
    assert (gap.start, gap.stop, len(gap)) == (5, 9, 0)
    assert stage.state() == {}
    stage.restore({})
    with pytest.raises(ModelError, match="last"):
        stage.restore({"last": np.zeros(1)})


def test_the_stage_is_registered_and_takes_events_only():
    assert registry.load("stages", "address") is Address
    with pytest.raises(ConfigError, match="not spikes"):
        Address((2, 2))(no_spikes(0, 1))
