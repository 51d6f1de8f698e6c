"""CARFAC as an ear: the spikes its two kernels make, whatever the blocks, at every level it states."""

from __future__ import annotations

import itertools
from collections import Counter

import naive_carfac
import naive_fibres
import numpy as np
import pytest
import soundfile
from cli import replay_json
from hypothesis import given, settings
from hypothesis import strategies as st
from test_hear import batches, heard, speechlike

import spikestream as ss
from spikestream import checks
from spikestream.batch import Label, Sound, Spikes, check
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.kernels import cochlea, fibres
from spikestream.stages.carfac import BLOCK, Carfac

RATE = 16_000
SLOW_START = settings(deadline=None, max_examples=20)
CARFAC = {"hear": {"stage": "carfac"}, "network": {"neurons": 9}}


def tone(frequency_hz, level_db=70.0, n=RATE):
    samples = cochlea.amplitude(level_db) * np.sin(2 * np.pi * frequency_hz * np.arange(n) / RATE)
    return samples.astype(np.float32)


def same_state(one, other):
    return all(np.array_equal(value, other.state()[key]) for key, value in one.state().items())


# What comes out.


@pytest.mark.parametrize("options", [{}, {"hair": "one_cap"}, {"gain_control": False}, {"refrac_ms": 1.0}])
def test_it_is_its_plain_twins_one_after_the_other_but_for_rounding(options):
    ear = Carfac(8_000, 16, **options)
    step = ear_step(ear)
    twin = naive_carfac.Ears(
        8_000, step_erb=step, hair=options.get("hair", "two_cap"), closed=options.get("gain_control", True)
    )
    for band in twin.bands[0]:  # a resonator adds as much as its share of an octave: CARFAC's own at half an ERB
        band.h = band.c0 * 2 * step
        band.g = band.exact_gain(1.0)
    assert len(twin.bands[0]) == 16
    samples = speechlike(2_000, level_db=90)
    _, nap = twin.run([[float(x)] for x in samples])
    options = ear.options
    nerve = fibres.Params(8_000, 16, options.tau_ms, options.drive, options.thresholds, options.refrac_ms)
    rows = naive_fibres.spikes([row[0] for row in nap], nerve, naive_fibres.at_rest(nerve))
    theirs = [(n * 125, axon) for n, axon in rows]
    ours = heard(ear, batches(samples, rate=8_000))
    assert len(theirs) > 100
    assert sum((Counter(ours) & Counter(theirs)).values()) > 0.97 * len(theirs)
    assert abs(len(ours) - len(theirs)) <= 3


def ear_step(ear):
    """Return the distance of the poles in ERB, from the poles themselves."""
    last, first = ear.centres_hz[-1], ear.centres_hz[-2]
    return (last - first) / ((165.3 + last) * 24.7 * 4.37 / 1000)


def test_spikes_come_in_order_of_sample_and_axon():
    rows = heard(Carfac(RATE, 64), batches(speechlike(RATE, level_db=90)))
    assert rows == sorted(rows)
    assert max(axon for _, axon in rows) >= 64


def test_a_tone_is_heard_where_it_belongs_and_the_lowest_band_is_axon_0():
    for centre in (12, 24, 40, 56):
        ear = Carfac(RATE, 64)
        rows = heard(ear, batches(tone(ear.centres_hz[centre])))
        counts = np.bincount([axon % 64 for _, axon in rows], minlength=64)
        assert abs(int(counts.argmax()) - centre) <= 2
    assert np.all(np.diff(ear.centres_hz) > 0)
    assert len(ear.centres_hz) == ear.bands


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 96_000])
@pytest.mark.parametrize("bands", [8, 256])
def test_every_rate_and_number_of_bands_hears(rate, bands):
    parts = batches(speechlike(rate // 2, level_db=85), [rate // 5], rate=rate)
    assert len({axon for _, axon in heard(Carfac(rate, bands), parts)}) > bands // 4


@given(rate=st.integers(8_000, 96_000), bands=st.integers(8, 256), low=st.floats(0, 0.99), share=st.floats(0.001, 1))
@settings(deadline=None, max_examples=300)
def test_any_range_it_takes_has_so_many_bands(rate, bands, low, share):
    high_hz = 20 + share * (0.45 * rate - 20)
    low_hz = 20 + low * (high_hz - 20)
    centres = Carfac(rate, bands, low_hz=low_hz, high_hz=high_hz, drive=1).centres_hz
    assert len(centres) == bands
    assert low_hz < centres[0] < centres[-1] == pytest.approx(high_hz)


# Levels.


@pytest.mark.parametrize("bands", [32, 64, 128])
def test_from_30_to_90_db_a_tone_makes_more_spikes_the_louder_it_is(bands):
    totals = []
    for level in (30, 40, 50, 60, 70, 80, 90):
        ear = Carfac(RATE, bands)
        heard(ear, batches(tone(1_000, level)))
        totals.append(len(heard(ear, batches(tone(1_000, level), start=1_000_000))))
    assert all(quiet < loud for quiet, loud in itertools.pairwise(totals)), totals
    assert totals[0] > (0 if bands == 32 else bands)
    assert totals[-1] < 200 * bands


def test_speech_at_its_usual_level_makes_up_to_100_spikes_a_band_and_second():
    for level in (60, 70, 75):
        ear = Carfac(RATE, 64)
        heard(ear, batches(speechlike(RATE, 1, 60)))
        assert 10 * 64 < len(heard(ear, batches(speechlike(RATE, 2, level), start=1_000_000))) < 100 * 64


def test_as_many_bands_as_one_likes_hear_about_the_same():
    rates = [len(heard(Carfac(RATE, bands), batches(speechlike(RATE, 0, 80)))) / bands for bands in (48, 64, 96, 128)]
    assert max(rates) < 1.7 * min(rates), rates


def test_its_gain_control_takes_from_what_is_loud():
    samples = batches(speechlike(RATE, 0, 70))
    assert len(heard(Carfac(RATE, 64), samples)) < 0.8 * len(heard(Carfac(RATE, 64, gain_control=False), samples))


def test_far_below_that_range_there_is_silence():
    assert heard(Carfac(RATE, 64), batches(speechlike(RATE, 0, -10))) == []
    assert heard(Carfac(RATE, 64), batches(np.zeros(3 * RATE, np.float32))) == []


@pytest.mark.parametrize("gain_control", [True, False])
def test_no_sound_however_loud_unsettles_it(gain_control):
    n = RATE // 4
    square = np.sign(np.sin(2 * np.pi * 700 * np.arange(n) / RATE))
    for loud in (square, np.ones(n), 3e38 * square, np.random.default_rng(0).choice([-1, 1], n)):
        ear = Carfac(RATE, 128, gain_control=gain_control)
        made = heard(ear, batches(loud.astype(np.float32)))
        assert made
        assert all(np.isfinite(value).all() for value in ear.state().values())


def test_a_sample_beyond_full_scale_is_full_scale():
    samples = 4 * speechlike(4_000, level_db=95)
    once, clipped = Carfac(RATE, 16), Carfac(RATE, 16)
    assert heard(once, batches(samples)) == heard(clipped, batches(np.clip(samples, -1, 1)))


def test_it_looks_at_nothing_that_is_to_come():
    quiet, loud = speechlike(RATE, 0, 60), speechlike(RATE, 1, 90)
    alone, before = (heard(Carfac(RATE, 32), batches(np.concatenate(s))) for s in ([quiet], [quiet, loud]))
    assert alone
    assert [row for row in before if row[0] < 1_000_000] == alone


# Any block length.


@given(cuts=st.lists(st.integers(0, 5_000), max_size=30), bands=st.sampled_from([16, 37]))
@SLOW_START
def test_blocks_of_any_length_give_the_same_spikes_and_state(cuts, bands):
    samples = speechlike(5_000, level_db=90)
    whole, pieces = Carfac(RATE, bands), Carfac(RATE, bands)
    rows = heard(whole, batches(samples))
    assert len(rows) > 50
    assert rows == heard(pieces, batches(samples, sorted(cuts)))
    assert same_state(whole, pieces)


def test_blocks_of_one_sample_give_the_same_spikes_and_state():
    samples = speechlike(3_000, level_db=85)
    whole, single = Carfac(RATE, 64), Carfac(RATE, 64)
    assert heard(whole, batches(samples)) == heard(single, batches(samples, range(1, 3_000)))
    assert same_state(whole, single)


def test_a_long_batch_is_heard_in_blocks_and_every_spike_of_it_is_there():
    options = {"thresholds": (1e-5,) * 8, "refrac_ms": 0, "drive": 100}
    whole, pieces = Carfac(RATE, 64, **options), Carfac(RATE, 64, **options)
    samples = speechlike(3 * BLOCK)
    rows = heard(whole, batches(samples))
    assert len(rows) > 1 << 16
    assert rows == heard(pieces, batches(samples, range(50, len(samples), 50)))


@pytest.mark.parametrize("law", [name for name, _ in checks.stage(Carfac, [])])
def test_it_keeps_the_laws_of_a_stage(law):
    parts = batches(speechlike(3_200, level_db=90), range(160, 3_200, 160), start=5_000_000)
    assert law != "interval" or len(heard(Carfac(RATE, 16), parts)) > 20
    dict(checks.stage(lambda: Carfac(RATE, 16), parts))[law]()


# Gaps, saving.


def test_a_short_gap_is_heard_as_silence_and_a_long_one_ends_in_rest():
    # Fibres that a whisper moves and that forget slowly: the cascade is heard to ring on, and rest is more than quiet.
    options = {"thresholds": (1e-3, 1e3), "tau_ms": 5_000, "drive": 500}
    ear, silent = Carfac(RATE, 32, **options), Carfac(RATE, 32, **options)
    samples = tone(300, 90, 4_000)
    for one in (ear, silent):
        heard(one, batches(samples))
    rest = ear.skip(250_000, 750_000)
    check(rest)
    silence = batches(np.zeros(8_000, np.float32), start=250_000)
    assert len(rest) > 20
    assert [(int(t), int(a)) for t, a in zip(rest.t, rest.axon, strict=True)] == heard(silent, silence)
    assert all(np.array_equal(ear.state()[key], silent.state()[key]) for key in ("rows", "phase", "v", "k"))
    ear.skip(750_000, 5_000_000)
    fresh, again = Carfac(RATE, 32, **options), batches(samples, start=5_000_000)
    assert all(np.array_equal(ear.state()[key], fresh.state()[key]) for key in ("rows", "phase", "v", "k"))
    assert heard(ear, again) == heard(fresh, again)
    assert same_state(ear, fresh)


@pytest.mark.parametrize("cut", [1, 2_500, 2_503])
def test_it_goes_on_from_a_saved_state_bit_for_bit(cut):
    parts = batches(speechlike(6_000, level_db=90), [cut])
    ear, other = Carfac(RATE, 32), Carfac(RATE, 32)
    ear(parts[0])
    other.restore(ear.state())
    assert heard(ear, parts[1:]) == heard(other, parts[1:])
    assert same_state(ear, other)


@pytest.mark.parametrize(
    ("key", "value"), [("rows", np.nan), ("v", np.inf), ("k", np.nan), ("phase", 64), ("phase", -1), ("heard", 2**60)]
)
def test_a_state_that_contradicts_itself_is_refused_and_nothing_is_taken(key, value):
    ear = Carfac(RATE, 16)
    before = ear.state()
    with pytest.raises(ModelError, match="contradicts itself"):
        ear.restore({**before, key: np.full_like(before[key], value)})
    assert all(np.array_equal(now, before[name]) for name, now in ear.state().items())


@pytest.mark.parametrize("other", [{"bands": 17}, {"bands": 16, "thresholds": (1.0,)}])
def test_the_state_of_another_ear_is_refused(other):
    with pytest.raises(ModelError):
        Carfac(RATE, 16).restore(Carfac(RATE, **other).state())
    with pytest.raises(ModelError):
        Carfac(RATE, 16).restore(ss.Cochlea(RATE, 16).state())


# In a pipeline, and from the command line.


def test_batches_of_any_length_give_the_same_pipeline():
    made = []
    for cuts in (range(160, RATE, 160), (), (1, 777, 9_001)):
        pipeline = ss.build(CARFAC, samplerate_hz=RATE)
        labels = [Label(t, t - 100_000, t, "ab"[t // 100_000 % 2]) for t in (200_003, 400_031, 700_777)]
        outputs = [
            pipeline(part, [label for label in labels if part.start < label.t <= part.stop])
            for part in batches(speechlike(RATE, level_db=85), cuts)
        ]
        assert not [hop for hop in pipeline.hops() if hop.missing()]
        rows = [row for one in outputs for row in one["readout"].rows]
        made.append((rows, *([int(t) for one in outputs for t in one[name].t] for name in ("hear", "network"))))
    assert made[0] == made[1] == made[2]
    assert len(made[0][2]) > 10


def test_a_pipeline_saved_in_the_middle_goes_on_as_if_it_had_not_been(tmp_path):
    parts = batches(speechlike(RATE, level_db=85), range(1_000, RATE, 1_000))
    pipeline = ss.build(CARFAC, samplerate_hz=RATE)
    for part in parts[:7]:
        pipeline(part)
    ss.save(tmp_path / "model.npz", pipeline)
    other = ss.load(tmp_path / "model.npz")
    assert isinstance(other.stages["hear"], Carfac)
    for part in parts[7:]:
        one, two = pipeline(part), other(part)
        for name in ("hear", "network"):
            assert one[name].t.tolist() == two[name].t.tolist()
            assert one[name].axon.tolist() == two[name].axon.tolist()
        assert one["readout"] == two["readout"]


def test_a_sound_file_replays_through_carfac(tmp_path):
    soundfile.write(tmp_path / "speech.wav", speechlike(2 * RATE, level_db=80), RATE)
    model = tmp_path / "model.npz"
    run = (tmp_path / "speech.wav", "--speed", "max", "--set", "network.neurons=20")
    chosen = replay_json(*run, "--set", "hear.stage=carfac", "--save", model)
    again = replay_json(*run, "--set", "hear.stage=carfac", "--set", "batch.length_us=3000")
    plain = replay_json(*run)
    assert chosen["events_in"] == plain["events_in"] == 2 * RATE
    assert chosen["spikes_out"] > 0
    assert chosen["output_sha256"] == again["output_sha256"] != plain["output_sha256"]
    assert ss.load(model).config.hear.stage == "carfac"


# What it refuses.


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"samplerate_hz": 7_999}, "samplerate_hz"),
        ({"samplerate_hz": 16_000.5}, "samplerate_hz"),
        ({"bands": 7}, "bands"),
        ({"bands": 257}, "bands"),
        ({"bands": True}, "bands"),
        ({"band": 9}, "band"),
        ({"off": True}, "off"),
        ({"high_hz": 7_300.0}, "high_hz"),
        ({"high_hz": "7000"}, "high_hz"),
        ({"high_hz": float("nan")}, "high_hz"),
        ({"low_hz": 10.0}, "high_hz"),
        ({"low_hz": 7_000.0}, "high_hz"),
        ({"thresholds": ()}, "thresholds"),
        ({"thresholds": (1.0,) * 9}, "thresholds"),
        ({"thresholds": (0.0,)}, "thresholds"),
        ({"thresholds": ("1",)}, "thresholds"),
        ({"thresholds": 1.0}, "thresholds"),
        ({"tau_ms": 0}, "tau_ms"),
        ({"tau_ms": None}, "tau_ms"),
        ({"drive": float("nan")}, "drive"),
        ({"refrac_ms": -1}, "refrac_ms"),
        ({"hair": "long"}, "hair"),
        ({"hair": ["two_cap"]}, "hair"),
        ({"gain_control": 1}, "gain_control"),
    ],
)
def test_options_that_make_no_sense_are_named(options, key):
    with pytest.raises(ConfigError) as caught:
        Carfac(**options)
    assert caught.value.key == key


@pytest.mark.parametrize(
    "batch",
    [
        Spikes(0, 1_000, np.zeros(0, np.int64), np.zeros(0, np.int32)),
        Sound(0, 1_000_000, np.zeros((8_000, 1), np.float32)),
        Sound(0, 1_000, np.zeros(16, np.float32)),
        Sound(0, 1_000, np.zeros((16, 1))),
        Sound(0, 1_000, np.full((16, 1), np.nan, np.float32)),
        Sound(0, 1_000, np.full((16, 2), np.inf, np.float32)),
        Sound(0, 1_000, np.zeros((16, 0), np.float32)),
    ],
)
def test_what_is_no_sound_of_its_rate_is_refused_and_leaves_no_trace(batch):
    ear = Carfac(RATE, 8)
    before = ear.state()
    with pytest.raises(SpikestreamError):
        ear(batch)
    assert all(np.array_equal(now, before[name]) for name, now in ear.state().items())
    assert ear.account.taken == 0


def test_channels_are_averaged():
    left, right = speechlike(2_000, 0, 85), speechlike(2_000, 1, 85)
    both, mean = Carfac(RATE, 16), Carfac(RATE, 16)
    rows = heard(both, [Sound(0, 125_000, np.stack([left, right], axis=1))])
    assert rows
    assert rows == heard(mean, batches((left + right) / 2))
