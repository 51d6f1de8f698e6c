"""The cochlea: spikes that its equations ask for, whatever the blocks, at every level it states, and no others."""

from __future__ import annotations

import itertools
from collections import Counter

import naive_hear
import numpy as np
import pytest
from cli import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from spikestream import checks
from spikestream.batch import Sound, Spikes, check
from spikestream.building import build
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.kernels import cochlea
from spikestream.stages.hear import Cochlea

RATE = 16_000
SLOW_START = settings(deadline=None, max_examples=30)


def speechlike(n, seed=0, level_db=74.0):
    """Return syllables of noise, (n,) float32 at a level in dB."""
    rng = np.random.default_rng(seed)
    envelope = np.clip(np.sin(2 * np.pi * 4 * np.arange(n) / RATE), 0, 1) ** 2
    sound = rng.standard_normal(n) * envelope
    sound *= cochlea.amplitude(level_db) / np.sqrt(2) / np.sqrt((sound**2).mean())
    return np.clip(sound, -1, 1).astype(np.float32)


def batches(samples, cuts=(), start=0, rate=RATE):
    edges = [0, *cuts, len(samples)]
    stamps = [start + n * 1_000_000 // rate for n in edges]
    pairs = zip(edges, edges[1:], stamps, stamps[1:], strict=False)
    return [Sound(t0, t1, samples[begin:end, np.newaxis]) for begin, end, t0, t1 in pairs]


def heard(ear, parts):
    made = [ear(part) for part in parts]
    for one in made:
        check(one)
    return [(int(t), int(a)) for one in made for t, a in zip(one.t, one.axon, strict=True)]


# What comes out.


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"off": True},
        {"gain_control": False},
        {"thresholds": (0.2,), "refrac_ms": 3},
        {"thresholds": (0.05, 0.1, 0.2, 0.4), "off": True, "adapt": 1.0},
        {"thresholds": (0.05, 0.1), "refrac_ms": 0},
        {"thresholds": (0.05, 0.1), "refrac_ms": 0.25},
        {"thresholds": (0.05, 0.1), "refrac_ms": 7 / 16},
    ],
)
def test_it_is_its_plain_twin_but_for_rounding(options):
    ear = Cochlea(RATE, 8, **options)
    samples = speechlike(4_000)
    ours, twin = heard(ear, batches(samples)), naive_hear.spikes(samples.tolist(), ear.params)
    theirs = [(n * 1_000_000 // RATE, axon) for n, axon in twin]
    assert len(theirs) > 100
    assert ear.params.adapt < 1 or len({axon for _, axon in theirs if axon >= ear.axons // 2}) > ear.axons // 4
    # Rounding may move a spike by a sample: nearly all are the very same ones, and no axon has one more or less.
    assert sum((Counter(ours) & Counter(theirs)).values()) > 0.97 * len(theirs)
    counts = [Counter(axon for _, axon in rows) for rows in (ours, theirs)]
    assert max(abs(counts[0][axon] - counts[1][axon]) for axon in range(ear.axons)) <= 1


def test_spikes_come_in_order_of_sample_and_axon():
    rows = heard(Cochlea(RATE, 64), batches(speechlike(RATE)))
    assert rows == sorted(rows)


def test_a_tone_is_heard_where_it_belongs_and_the_lowest_band_is_axon_0():
    for centre in (8, 24, 40, 56):
        ear = Cochlea(RATE, 64)
        tone = 0.05 * np.sin(2 * np.pi * ear.centres_hz[centre] * np.arange(RATE) / RATE)
        counts = np.bincount([axon % 64 for _, axon in heard(ear, batches(tone.astype(np.float32)))], minlength=64)
        assert abs(int(counts.argmax()) - centre) <= 1
    assert np.all(np.diff(ear.centres_hz) > 0)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("bands", [8, 256])
def test_every_rate_and_number_of_bands_hears(rate, bands):
    rows = heard(Cochlea(rate, bands), batches(speechlike(rate // 2), [rate // 5], rate=rate))
    assert len({axon for _, axon in rows}) > bands // 4


# The gain control.


def test_from_30_to_90_db_about_as_many_spikes_come():
    totals = []
    for level in (30, 40, 50, 60, 70, 80, 90):
        ear = Cochlea(RATE, 64)
        heard(ear, batches(speechlike(RATE, 1, 60)))
        totals.append(len(heard(ear, batches(speechlike(RATE, 2, level), start=1_000_000))))
    assert min(totals) > 0.5 * max(totals), totals


def test_far_below_that_range_there_is_silence():
    assert heard(Cochlea(RATE, 64), batches(speechlike(RATE, 0, -10))) == []
    assert heard(Cochlea(RATE, 64), batches(np.zeros(3 * RATE, np.float32))) == []


def test_without_gain_control_louder_is_more():
    totals = [
        len(heard(Cochlea(RATE, 64, gain_control=False), batches(speechlike(RATE, 0, level)))) for level in (54, 64, 74)
    ]
    assert totals[0] < totals[1] < totals[2]


def test_the_gain_looks_at_nothing_that_is_to_come():
    quiet, loud = speechlike(RATE, 0, 50), speechlike(RATE, 1, 90)
    alone, before = (heard(Cochlea(RATE, 16), batches(np.concatenate(s))) for s in ([quiet], [quiet, loud]))
    assert [row for row in before if row[0] < 1_000_000] == alone


@pytest.mark.realdata
def test_spikes_of_speech_carry_as_much_as_log_energies(data, monkeypatch, capsys):
    """Ten bins a spoken digit, one stream with a gain of up to ±10 dB a digit, a linear readout of either."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from audio import accuracy, digits

    recordings = digits(data)
    assert len(recordings) == 2_000
    found = accuracy(recordings[::4], 3)
    assert found["digits_log_energies"] > 0.85
    assert found["digits_spikes_minus_energies"] >= 0
    assert found["digits_100_over_spikes_per_band_hz"] >= 1


# Any block length.


@given(cuts=st.lists(st.integers(0, 5_000), max_size=30), off=st.booleans(), refrac_ms=st.sampled_from([1, 0.1, 0]))
@SLOW_START
def test_blocks_of_any_length_give_the_same_spikes_and_state(cuts, off, refrac_ms):
    samples = speechlike(5_000)
    whole, pieces = (Cochlea(RATE, 37, off=off, refrac_ms=refrac_ms) for _ in range(2))
    assert heard(whole, batches(samples)) == heard(pieces, batches(samples, sorted(cuts)))
    assert all(np.array_equal(value, pieces.state()[key]) for key, value in whole.state().items())


def test_blocks_of_one_sample_give_the_same_spikes_and_state():
    samples = speechlike(3_000)
    whole, single = Cochlea(RATE, 64), Cochlea(RATE, 64)
    assert heard(whole, batches(samples)) == heard(single, batches(samples, range(1, 3_000)))
    assert all(np.array_equal(value, single.state()[key]) for key, value in whole.state().items())


def test_more_spikes_than_fit_the_room_at_once_are_all_there():
    loud = Cochlea(RATE, 256, thresholds=(0.001,) * 4, refrac_ms=0)
    pieces = Cochlea(RATE, 256, thresholds=(0.001,) * 4, refrac_ms=0)
    samples = speechlike(2_000)
    rows = heard(loud, batches(samples))
    assert len(rows) > 1 << 16
    assert rows == heard(pieces, batches(samples, range(50, 2_000, 50)))


@pytest.mark.parametrize("law", [name for name, _ in checks.stage(Cochlea, [])])
def test_it_keeps_the_laws_of_a_stage(law):
    parts = batches(speechlike(3_200), range(160, 3_200, 160), start=5_000_000)
    dict(checks.stage(lambda: Cochlea(RATE, 16), parts))[law]()


# Gaps, saving, commands.


def test_a_short_gap_is_heard_as_silence_and_a_long_one_ends_in_rest():
    samples = speechlike(4_000)
    ear, silent = Cochlea(RATE, 16), Cochlea(RATE, 16)
    for one in (ear, silent):
        heard(one, batches(samples))
    rest = ear.skip(250_000, 750_000)
    check(rest)
    silence = batches(np.zeros(8_000, np.float32), start=250_000)
    assert [(int(t), int(a)) for t, a in zip(rest.t, rest.axon, strict=True)] == heard(silent, silence)
    assert np.array_equal(ear.state()["flat"], silent.state()["flat"])
    ear.skip(750_000, 5_000_000)
    fresh = Cochlea(RATE, 16)
    again = batches(samples, start=5_000_000)
    assert heard(ear, again) == heard(fresh, again)


def test_it_goes_on_from_a_saved_state_bit_for_bit():
    parts = batches(speechlike(6_000), [2_500])
    ear, other = Cochlea(RATE, 16), Cochlea(RATE, 16)
    ear(parts[0])
    other.restore(ear.state())
    assert heard(ear, parts[1:]) == heard(other, parts[1:])
    assert all(np.array_equal(value, other.state()[key]) for key, value in ear.state().items())
    with pytest.raises(ModelError):
        other.restore({**ear.state(), "flat": np.full_like(ear.state()["flat"], np.nan)})
    for held in (-1, 8, 32):
        with pytest.raises(ModelError):
            other.restore({**ear.state(), "held": np.array([held])})
    with pytest.raises(ModelError):
        Cochlea(RATE, 16, off=True).restore(ear.state())


def test_labels_in_the_middle_of_a_block_do_not_cut_the_sound():
    from spikestream.batch import Label

    parts = batches(speechlike(RATE), range(160, RATE, 160))
    made = []
    for cut_there in (parts, batches(speechlike(RATE))):
        pipeline = build({"network": {"neurons": 9}}, samplerate_hz=RATE)
        labels = [Label(t, t - 100_000, t, "ab"[t // 100_000 % 2]) for t in (200_003, 400_031, 700_777)]
        outputs = []
        for part in cut_there:
            due = [label for label in labels if part.start < label.t <= part.stop]
            outputs.append(pipeline(part, due))
        assert not [hop for hop in pipeline.hops() if hop.missing()]
        rows = [row for one in outputs for row in one["readout"].rows]
        made.append((rows, [int(t) for one in outputs for t in one["network"].t]))
    assert made[0] == made[1]
    assert len(made[0][1]) > 10


# What it refuses.


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"samplerate_hz": 7_999}, "samplerate_hz"),
        ({"samplerate_hz": 16_000.5}, "samplerate_hz"),
        ({"bands": 7}, "bands"),
        ({"bands": 257}, "bands"),
        ({"band": 9}, "band"),
        ({"high_hz": 7_300.0}, "high_hz"),
        ({"low_hz": 10.0}, "high_hz"),
        ({"low_hz": 7_000.0}, "high_hz"),
        ({"thresholds": ()}, "thresholds"),
        ({"thresholds": (1.0,) * 9}, "thresholds"),
        ({"thresholds": (0.0,)}, "thresholds"),
        ({"tau_ms": 0}, "tau_ms"),
        ({"adapt": 1.5}, "adapt"),
        ({"quiet_db": 90.0}, "adapt"),
    ],
)
def test_options_that_make_no_sense_are_named(options, key):
    with pytest.raises(ConfigError) as caught:
        Cochlea(**options)
    assert caught.value.key == key


@pytest.mark.parametrize(
    "batch",
    [
        Spikes(0, 1_000, np.zeros(0, np.int64), np.zeros(0, np.int32)),
        Sound(0, 1_000_000, np.zeros((8_000, 1), np.float32)),
        Sound(0, 1_000, np.zeros(16, np.float32)),
        Sound(0, 1_000, np.zeros((16, 1))),
        Sound(0, 1_000, np.full((16, 1), np.nan, np.float32)),
        Sound(0, 1_000, np.zeros((16, 0), np.float32)),
    ],
)
def test_what_is_no_sound_of_its_rate_is_refused(batch):
    with pytest.raises(SpikestreamError):
        Cochlea(RATE, 8)(batch)


def test_channels_are_averaged():
    samples = speechlike(2_000)
    both = np.stack([samples, samples], axis=1)
    once, twice = Cochlea(RATE, 8), Cochlea(RATE, 8)
    assert heard(once, batches(samples)) == heard(twice, [Sound(0, 125_000, both)])


@pytest.mark.parametrize("rate", [11_025, 16_000, 44_100])
@pytest.mark.parametrize("first", [1, 197, 54_321])
def test_stamps_do_not_depend_on_cuts_wherever_the_sound_begins(rate, first):
    samples = speechlike(rate // 2)[:, np.newaxis]

    def pieces(length):
        edges = [*range(0, len(samples), length), len(samples)]
        for a, b in itertools.pairwise(edges):
            yield Sound((first + a) * 1_000_000 // rate, (first + b) * 1_000_000 // rate, samples[a:b])

    whole, *others = (heard(Cochlea(rate, 16), pieces(length)) for length in (len(samples), 77, 160, 1_000))
    assert len(whole) > 100
    assert all(other == whole for other in others)
