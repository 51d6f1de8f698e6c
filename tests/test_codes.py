"""Codes: stamps by hand, values there and back, jitter that must not matter, and naive readings of any spikes."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_cases import EAGER

from spikestream.batch import Spikes, check, concat
from spikestream.errors import ConfigError, SpikestreamError
from spikestream.stages.codes import (
    CodeReadout,
    FirstSpikeCode,
    IntervalCode,
    PhaseCode,
    PoissonCode,
    RateCode,
    SlotCode,
)
from spikestream.stages.network import Network

NAN = math.nan
MANY = settings(max_examples=40, deadline=None)
EXACT = [
    RateCode(100, 1),
    RateCode(97, 7),
    RateCode(6, 6),
    FirstSpikeCode(100, 10),
    FirstSpikeCode(96, 3, silence=False),
    FirstSpikeCode(2, 1),
    IntervalCode(100, 10),
    IntervalCode(3, 1),
    IntervalCode(99, 9),
    PhaseCode(100, 10),
    PhaseCode(120, 5, period_us=30),
    PhaseCode(6, 1, period_us=3),
    SlotCode(100, 10),
    SlotCode(109, 7, guard_us=4),  # and 6 µs over
    SlotCode(1, 1),
]
ALL = [*EXACT, PoissonCode(100, 5, seed=3)]
STARTS = st.sampled_from([0, 1, -3, 10**13])


def name(code):
    return repr(code).replace(" ", "")


def drawn(data, code, most=6):
    """Draw values for a code, (k, axons, ...), k from 0 on."""
    shape = (data.draw(st.integers(0, most)), data.draw(st.integers(1, 3)), *code.shape)
    seed = data.draw(st.integers(0, 2**32))
    rng = np.random.default_rng(seed)
    values = rng.random(shape)
    return values.round() if code.shape else np.where(rng.random(shape) < 0.3, values.round(), values)


def read(code, spikes, axons):
    return CodeReadout(code, axons)(spikes).rows


def distance(code, a, b):
    d = np.abs(a - b)
    return np.minimum(d, 1 - d) if isinstance(code, PhaseCode) else d


def moved(spikes, by):
    """Return the spikes, each at another time, sorted again."""
    t = spikes.t + by
    order = np.lexsort((spikes.axon, t))
    return replace(spikes, t=t[order], axon=spikes.axon[order])


BY_HAND = [
    (RateCode(100, 4), [0, 0.25, 0.6, 1], [150, 225, 275, 312, 337, 362, 387], [0, 0.25, 0.5, 1]),
    (FirstSpikeCode(100, 10), [0, 1, 0.1, 0.52], [105, 295, 355], [0, 1, 0.1, 0.5]),
    (FirstSpikeCode(100, 25, silence=False), [0, 1, 0.34], [87, 112, 262], [0, 1, 1 / 3]),
    (IntervalCode(100, 20), [1, 0, 0.34], [10, 30, 110, 190, 210, 270], [1, 0, 1 / 3]),
    (PhaseCode(100, 25), [0, 0.25, 0.8, 0.9, 1], [12, 137, 287, 312, 412], [0, 0.25, 0.75, 0, 0]),
    (PhaseCode(100, 25, period_us=50), [0.5, 0], [37, 87, 112, 162], [0.5, 0]),
]


@pytest.mark.parametrize(("code", "values", "stamps", "read_back"), BY_HAND, ids=lambda x: name(x)[:40])
def test_stamps_and_values_worked_out_by_hand(code, values, stamps, read_back):
    spikes = code.encode(np.array(values)[:, None])
    assert spikes.t.tolist() == stamps
    assert (spikes.start, spikes.stop) == (0, 100 * len(values))
    assert read(code, spikes, 1)[:, 0].tolist() == read_back


def test_bits_stand_in_their_slots_and_bytes_are_their_bits_first_one_first():
    code = SlotCode(100, 20, guard_us=4)
    assert code.slots == 4
    spikes = code.encode(np.array([[[1, 0, 0, 1], [0, 1, 1, 0]]]))
    assert list(zip(spikes.t.tolist(), spikes.axon.tolist(), strict=True)) == [(14, 0), (38, 1), (62, 1), (86, 0)]
    rows = code.bits_of(b"\x96\xf0", axons=2)
    assert rows.tolist() == [[[1, 0, 0, 1], [0, 1, 1, 0]], [[1, 1, 1, 1], [0, 0, 0, 0]]]
    assert code.bytes_of(read(code, code.encode(rows), 2), 2) == b"\x96\xf0"


@pytest.mark.parametrize("code", EXACT, ids=name)
@given(data=st.data())
@MANY
def test_there_and_back_is_exact_but_for_half_a_level(code, data):
    values, start = drawn(data, code), data.draw(STARTS) * code.interval_us
    spikes = code.encode(values, start)
    check(spikes)
    assert (spikes.t.dtype, spikes.axon.dtype) == (np.int64, np.int32)
    assert (spikes.start, spikes.stop) == (start, start + len(values) * code.interval_us)
    rows = read(code, spikes, values.shape[1])
    assert rows.shape == values.shape
    assert np.all(distance(code, rows, values) <= code.error + 1e-12)
    again = code.encode(rows, start)
    assert np.array_equal(again.t, spikes.t)  # what was read is a level, and says itself
    assert np.array_equal(again.axon, spikes.axon)


@pytest.mark.parametrize("code", EXACT, ids=name)
@given(data=st.data())
@MANY
def test_jitter_up_to_the_stated_changes_nothing(code, data):
    values = drawn(data, code)
    spikes = code.encode(values, 5 * code.interval_us)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    extreme = data.draw(st.booleans())
    by = rng.choice([-1, 1], len(spikes)) if extreme else rng.integers(-1, 2, len(spikes))
    jittered = moved(spikes, by * code.jitter_us)
    check(jittered)  # none has left the stream
    axons = values.shape[1]
    assert read(code, jittered, axons).tobytes() == read(code, spikes, axons).tobytes()


@pytest.mark.parametrize("code", [code for code in EXACT if code.interval_us > 10], ids=name)
def test_the_stated_jitter_is_the_most_there_is(code):
    rng = np.random.default_rng(1)
    values = np.round(rng.random((60, 1, *code.shape)) * 40) / 40
    values = values.round() if code.shape else values
    spikes = code.encode(np.concatenate([values, values * 0, values * 0 + 1]))
    rows = read(code, spikes, 1)
    signs = [np.full(len(spikes), 1), np.full(len(spikes), -1)] + [rng.choice([-1, 1], len(spikes)) for _ in range(40)]
    inside = [replace(moved(spikes, by * (code.jitter_us + 1)), start=-code.interval_us) for by in signs]
    shown = [read(code, replace(one, stop=one.stop + code.interval_us), 1)[1:-1] for one in inside]
    assert any(not np.array_equal(one, rows, equal_nan=True) for one in shown)


@pytest.mark.parametrize("code", ALL, ids=name)
@given(data=st.data())
@MANY
def test_rows_may_be_encoded_in_pieces(code, data):
    values, start = drawn(data, code), data.draw(STARTS) * code.interval_us
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=4))), len(values)]
    parts = [code.encode(values[a:b], start + a * code.interval_us) for a, b in pairwise(edges)]
    got, want = concat(parts), code.encode(values, start)
    assert (got.start, got.stop, got.t.tolist(), got.axon.tolist()) == (
        want.start,
        want.stop,
        want.t.tolist(),
        want.axon.tolist(),
    )


# Naive readings of one interval of one axon: ``at`` are its spikes in µs after its start, sorted.


def naive_rate(code, at):
    return min(1.0, len(at) / code.most)


def naive_poisson(code, at):
    return len(at) / code.most


def naive_first(code, at):
    n = code.interval_us // code.slot_us
    if not at:
        return 0.0 if code.silence else NAN
    return (n - at[0] // code.slot_us) / n if code.silence else (n - 1 - at[0] // code.slot_us) / (n - 1)


def naive_interval(code, at):
    n = code.interval_us // code.slot_us
    if len(at) != 2:
        return NAN
    apart = max(i for i in range(n + 2) if i * code.slot_us - code.slot_us // 2 <= at[1] - at[0])
    return (n - 1 - apart) / (n - 2) if 1 <= apart <= n - 1 else NAN


def naive_phase(code, at):
    if not at:
        return NAN
    period = code.period_us or code.interval_us
    low = -(period // 2)
    away = []
    for one in at:
        d = one - at[0]
        while d >= low + period:
            d -= period
        away.append(d)
    mean = math.floor(at[0] + sum(away) / len(away) + 0.5)
    return mean % period // code.slot_us / (period // code.slot_us)


def naive_slots(code, at):
    n, pitch = code.slots, code.slot_us + code.guard_us
    begins = [code.guard_us + i * pitch for i in range(n)]
    hits = {i for i in range(n) for one in at if begins[i] <= one < begins[i] + code.slot_us}
    unknown = set()
    for one in at:
        if not any(begin <= one < begin + code.slot_us for begin in begins):
            before = [i for i in range(n) if begins[i] <= one]
            after = [i for i in range(n) if begins[i] > one]
            unknown |= set(before[-1:] + after[:1])
    return [1.0 if i in hits else NAN if i in unknown else 0.0 for i in range(n)]


NAIVE = {
    RateCode: naive_rate,
    PoissonCode: naive_poisson,
    FirstSpikeCode: naive_first,
    IntervalCode: naive_interval,
    PhaseCode: naive_phase,
    SlotCode: naive_slots,
}


@pytest.mark.parametrize("code", ALL, ids=name)
@given(data=st.data())
@MANY
def test_any_spikes_are_read_as_the_naive_reading_does(code, data):
    axons, count = 2, 4
    spike = st.tuples(st.integers(0, count * code.interval_us - 1), st.integers(0, axons - 1))
    rows = sorted(data.draw(st.lists(spike, max_size=25)))
    t, axon = zip(*rows, strict=True) if rows else ((), ())
    first = 7 * code.interval_us
    stream = Spikes(first, first + count * code.interval_us, np.array(t, np.int64) + first, np.array(axon, np.int32))
    want = [
        [
            NAIVE[type(code)](code, [a % code.interval_us for a, x in rows if a // code.interval_us == k and x == j])
            for j in range(axons)
        ]
        for k in range(count)
    ]
    np.testing.assert_array_equal(read(code, stream, axons), np.array(want).reshape(count, axons, *code.shape))


# Rules of single codes.


def at(*stamps):
    return Spikes(0, 100, np.array(stamps, np.int64), np.zeros(len(stamps), np.int32))


def test_only_the_first_spike_counts_and_axons_in_one_slot_tie():
    code = FirstSpikeCode(100, 10)
    assert read(code, at(25, 31, 99), 1).tolist() == read(code, at(29), 1).tolist() == [[0.8]]
    both = code.encode(np.array([[0.71, 0.69]]))
    assert both.t.tolist() == [35, 35]
    assert read(code, both, 2).tolist() == [[0.7, 0.7]]


def test_what_is_no_codeword_is_nan_and_never_a_guess():
    for stamps in [(), (5,), (5, 25, 45), (5, 6)]:
        assert np.isnan(read(IntervalCode(100, 20), at(*stamps), 1)).all(), stamps
    assert np.isnan(read(FirstSpikeCode(100, 10, silence=False), at(), 1)).all()
    assert np.isnan(read(PhaseCode(100, 10), at(), 1)).all()


def test_two_spikes_that_come_late_together_are_the_same_interval():
    code = IntervalCode(100, 10)
    spikes = code.encode(np.array([[0.5]]))
    for late in range(0, 100 - int(spikes.t[-1])):
        assert read(code, moved(spikes, late), 1).tolist() == [[0.5]]


def test_phases_around_zero_have_their_mean_around_zero():
    code = PhaseCode(300, 1, period_us=100)
    assert read(code, replace(at(2, 98, 299), stop=300), 1).tolist() == [[0.0]]
    assert read(code, replace(at(97, 101, 197), stop=300), 1).tolist() == [[0.98]]


@given(data=st.data(), slot=st.integers(1, 12), guard=st.integers(0, 12), over=st.integers(0, 9))
@MANY
def test_jitter_into_a_guard_makes_bits_unknown_but_never_wrong(data, slot, guard, over):
    code = SlotCode(5 * (slot + guard) + guard + over % (slot + guard), slot, guard)
    assert code.slots == 5
    values = drawn(data, code)
    spikes = code.encode(values)
    most = (slot - 1) // 2 + guard
    by = np.random.default_rng(data.draw(st.integers(0, 2**32))).integers(-most, most + 1, len(spikes))
    rows = read(code, moved(spikes, by), values.shape[1])
    assert np.all(np.isnan(rows) | (rows == values))
    assert np.all(np.isnan(rows).sum() <= 2 * np.count_nonzero(np.abs(by) > (slot - 1) // 2))


@given(st.binary(max_size=40), st.sampled_from([SlotCode(100, 10), SlotCode(70, 9, 1)]), st.integers(1, 4))
@MANY
def test_bytes_there_and_back(data, code, axons):
    rows = code.bits_of(data, axons)
    assert code.bytes_of(read(code, code.encode(rows, -700), axons), len(data)) == data


def test_bytes_that_are_not_known_are_refused():
    code = SlotCode(100, 10, 1)
    rows = read(code, code.encode(code.bits_of(b"ab")), 1)
    with pytest.raises(SpikestreamError, match="3 bytes need 24 bits, there are 18"):
        code.bytes_of(rows, 3)
    rows[1, 0, 3] = NAN
    with pytest.raises(SpikestreamError, match="1 bits are not known, the first of them in byte 1"):
        code.bytes_of(rows, 2)
    assert code.bytes_of(rows, 1) == b"a"
    with pytest.raises(ConfigError):
        code.bytes_of(rows, -1)


def test_the_longest_intervals_and_the_latest_stamps_there_are():
    day = 86_400_000_000
    codes = [
        RateCode(day, 65_536),
        FirstSpikeCode(day, 1),
        IntervalCode(day, 1),
        PhaseCode(day, 1, period_us=day // 40_000),
    ]
    for code in codes:
        values = np.array([[0.123456], [0.5]])
        for start in (-(2**62) // day * day + day, 2**62 // day * day - 2 * day):
            spikes = code.encode(values, start)
            check(spikes)
            assert np.all(distance(code, read(code, spikes, 1), values) <= code.error + 1e-15)


# The Poisson code.


@pytest.mark.parametrize("value", [0.0, 0.07, 0.5, 1.0])
def test_poisson_counts_have_the_poisson_distribution(value):
    code, rows, axons = PoissonCode(10_000, 6, seed=11), 4_000, 5
    counts = read(code, code.encode(np.full((rows, axons), value)), axons) * code.most
    mean, n = value * code.most, rows * axons
    chances = np.array([math.exp(-mean) * mean**k / math.factorial(k) for k in range(40)])
    expected = n * chances
    seen = np.bincount(counts.round().astype(int).ravel(), minlength=40)
    big = expected >= 5
    chi2 = ((seen - expected)[big] ** 2 / expected[big]).sum()
    assert chi2 < big.sum() + 4 * math.sqrt(2 * big.sum())
    assert counts.max() < 40


def test_poisson_spikes_are_spread_evenly_and_axons_and_intervals_are_strangers():
    code = PoissonCode(1_000, 20, seed=1)
    spikes = code.encode(np.full((2_000, 4), 0.4))  # thinned: what is kept must be as even as what was there
    bins = np.bincount(spikes.t % 1_000 // 100, minlength=10)
    assert ((bins - bins.mean()) ** 2 / bins.mean()).sum() < 9 + 4 * math.sqrt(18)
    counts = read(code, spikes, 4)
    assert np.abs(np.corrcoef(counts.T) - np.eye(4)).max() < 0.1
    assert abs(np.corrcoef(counts[1:, 0], counts[:-1, 0])[0, 1]) < 0.1


def test_poisson_spikes_depend_on_the_seed_and_more_value_only_adds_some():
    values = np.full((50, 2), 0.3)
    first, again, other = (PoissonCode(1_000, 9, seed=seed).encode(values) for seed in (5, 5, 6))
    assert first.t.tolist() == again.t.tolist() != other.t.tolist()
    more = PoissonCode(1_000, 9, seed=5).encode(values * 2)
    assert set(zip(first.t, first.axon, strict=True)) < set(zip(more.t, more.axon, strict=True))


# Ticks of a network.

TICKED = [
    (RateCode(24_000, 8), 3_000),
    (FirstSpikeCode(24_000, 2_000), 1_000),
    (FirstSpikeCode(24_000, 1_000), 1_000),
    (IntervalCode(24_000, 3_000), 1_000),
    (PhaseCode(24_000, 2_000, period_us=8_000), 2_000),
    (SlotCode(24_000, 2_000, guard_us=1_000), 1_000),
]


def ticked(spikes, tick_us):
    """Return what a network passes on that repeats what it heard: one spike a tick and axon, stamped at its end."""
    rows = {
        (t // tick_us * tick_us + tick_us - 1, a) for t, a in zip(spikes.t.tolist(), spikes.axon.tolist(), strict=True)
    }
    t, axon = zip(*sorted(rows), strict=True) if rows else ((), ())
    return replace(spikes, t=np.array(t, np.int64), axon=np.array(axon, np.int32))


@pytest.mark.parametrize(("code", "tick_us"), TICKED, ids=lambda x: name(x)[:30])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_slots_of_whole_ticks_pass_a_network_unharmed(code, tick_us, data):
    values = drawn(data, code)[:, :1]
    spikes = code.encode(values, 48_000)
    relay = Network(1, 1, rule="none", learning=False, tick_us=tick_us, **EAGER)
    heard = relay(spikes)
    assert heard.t.tolist() == ticked(spikes, tick_us).t.tolist()
    assert read(code, heard, 1).tobytes() == read(code, spikes, 1).tobytes()


@pytest.mark.parametrize("slot_us", [300, 400, 1_000])
@pytest.mark.parametrize("tick_us", [200, 300, 400, 1_000, 1_200])
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_other_slots_lose_no_more_levels_than_the_docs_say(slot_us, tick_us, data):
    for code in (FirstSpikeCode(12_000, slot_us), IntervalCode(12_000, slot_us), PhaseCode(12_000, slot_us)):
        if tick_us > slot_us and isinstance(code, IntervalCode):
            continue  # two spikes may become one
        values = drawn(data, code)
        spikes = code.encode(values)
        rows, sent = (read(code, one, values.shape[1]) for one in (ticked(spikes, tick_us), spikes))
        steps = code.levels if isinstance(code, PhaseCode) else code.levels - 1
        bound = (slot_us // 2 + tick_us - 1) // slot_us
        assert np.all(distance(code, rows, sent) * steps <= bound + 1e-9)


# What is refused.


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (RateCode, (0,)),
        (RateCode, (100, 0)),
        (RateCode, (100, 101)),
        (RateCode, (100.0, 3)),
        (RateCode, (True, 1)),
        (RateCode, (10**11, 1)),
        (PoissonCode, (100, 501)),
        (PoissonCode, (100, 5, -1)),
        (FirstSpikeCode, (100, 0)),
        (FirstSpikeCode, (100, 30)),
        (FirstSpikeCode, (100, 100)),
        (IntervalCode, (100, 50)),
        (IntervalCode, (2, 1)),
        (PhaseCode, (100, 10, 30)),
        (PhaseCode, (100, 10, -50)),
        (PhaseCode, (100, 10, 200)),
        (PhaseCode, (100, 20, 50)),
        (PhaseCode, (1, 10**9, 2)),
        (PhaseCode, (10**9, 1, 2)),
        (SlotCode, (100, 101)),
        (SlotCode, (100, 10, 46)),
        (SlotCode, (100, 10, -1)),
        (SlotCode, (10**9, 1)),
    ],
)
def test_options_out_of_range_are_refused(kind, options):
    with pytest.raises(ConfigError) as error:
        kind(*options)
    assert error.value.key
    assert error.value.allowed


@pytest.mark.parametrize(
    "values",
    [
        [0.5],
        [[]],
        [["0.5"]],
        [[1.01]],
        [[-0.01]],
        [[NAN]],
        [[math.inf]],
        [[[0.5]]],
        [[0.5 + 0j]],
        0.5,
        [[None]],
        [[0.5], [0.5, 0.5]],
    ],
)
def test_values_out_of_range_are_refused(values):
    with pytest.raises(SpikestreamError):
        RateCode(100, 5).encode(values)


def test_bits_of_another_number_are_refused():
    with pytest.raises(SpikestreamError, match=r"rows, axons, 10"):
        SlotCode(100, 10).encode(np.zeros((1, 1, 9)))


@pytest.mark.parametrize("start", [50, -1, 2**62, -(2**63), 0.0])
def test_values_start_on_the_grid(start):
    with pytest.raises(ConfigError):
        RateCode(100, 5).encode([[0.5]], start)
