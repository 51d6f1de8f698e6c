"""The ear for what stands out: the spikes its equations ask for, whatever the blocks, little of the voice's."""

from __future__ import annotations

import naive_contrast
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_hear import batches, heard, speechlike

import spikestream as ss
from spikestream import checks
from spikestream.batch import Sound
from spikestream.errors import ConfigError, ModelError
from spikestream.kernels import cochlea, contrast, gammatone
from spikestream.stages.contrast import BLOCK, Contrast

RATE = 8_000


def through_filters(samples, bands):
    params = gammatone.Params(RATE, bands)
    out = np.empty((len(samples), bands), np.float32)
    gammatone.run(gammatone.design(params), gammatone.init(), samples, out)
    return out


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"spread": 0.4, "gain": 400.0},
        {"frame_ms": 2.0, "memory_ms": 100.0, "even": 1.0},
        {"surround": 2.0, "even": 0.5, "change_ms": 3.0, "gain": 400.0, "change_gain": 800.0},
        {"active_db": 8.0, "fall_db": 200.0, "gain": 400.0, "change_gain": 800.0},
        {"quiet_db": 72.0, "range_db": 20.0},
    ],
)
def test_it_is_its_plain_twin(options):
    samples = speechlike(3 * BLOCK + 77, level_db=70)
    ear = Contrast(RATE, 8, **options)
    theirs = naive_contrast.spikes(through_filters(samples, 8).tolist(), ear.options)
    assert len(theirs) > 30
    assert len({axon for _, axon in theirs}) > 10
    assert heard(ear, batches(samples, rate=RATE)) == [(n * 125, axon) for n, axon in theirs]


@given(cuts=st.lists(st.integers(0, 4_000), max_size=4), seed=st.integers(0, 20))
@settings(deadline=None, max_examples=20)
def test_any_cut_gives_the_same_spikes_and_state(cuts, seed):
    samples = speechlike(4_000, seed)
    whole, parted, made = Contrast(RATE, 16), Contrast(RATE, 16), []
    expected = heard(whole, batches(samples, rate=RATE))
    for part in batches(samples, sorted(cuts), rate=RATE):
        made += heard(parted, [part])
        other = Contrast(RATE, 16)
        other.restore(parted.state())
        parted = other
    assert made == expected
    mine = parted.state()
    assert all(np.array_equal(value, mine[key]) for key, value in whole.state().items())


@pytest.mark.parametrize("law", [name for name, _ in checks.stage(Contrast, [])])
def test_it_keeps_the_laws_of_a_stage(law):
    parts = batches(speechlike(3_200, level_db=80), range(160, 3_200, 160), start=5_000_000, rate=RATE)
    assert law != "interval" or len(heard(Contrast(RATE, 16), parts)) > 20
    dict(checks.stage(lambda: Contrast(RATE, 16), parts))[law]()


def after(tilt, level_db=70.0):
    """Return how often each fibre fires in the fourth second of a sound that a microphone tilts."""
    samples = speechlike(4 * RATE, 3, level_db)
    colour = np.convolve(samples, tilt)[: len(samples)].astype(np.float32)
    colour *= np.float32(np.sqrt((samples**2).mean() / (colour**2).mean()))
    spikes = Contrast(RATE, 16, memory_ms=500.0, even=1.0)(Sound(0, 4_000_000, colour[:, np.newaxis]))
    return np.bincount(spikes.axon[spikes.t > 3_000_000], minlength=32)


def test_a_microphone_is_forgotten_and_a_level_does_not_count():
    plain = after([1.0])
    assert plain.sum() > 300
    for other in (after([1.0, -0.7]), after([1.0, 0.7]), after([1.0], 55.0), after([1.0], 80.0)):
        assert np.abs(other - plain).sum() < 0.2 * plain.sum()


def test_noise_far_below_what_was_heard_of_late_makes_no_spike_and_is_not_remembered():
    ear, loud = Contrast(RATE, 16), speechlike(RATE, level_db=75)
    hiss = speechlike(RATE // 2, 1, level_db=42)
    heard(ear, batches(loud, rate=RATE))
    before = ear.state()["mean"]
    rows = heard(ear, batches(hiss, start=1_000_000, rate=RATE))
    assert not [t for t, _ in rows if t > 1_020_000]  # the filters ring a little
    assert np.abs(ear.state()["mean"] - before).max() < 0.1
    assert len(heard(Contrast(RATE, 16), batches(hiss, rate=RATE))) > 100  # alone it is heard


def tones(**options):
    """Return how often each fibre (4, bands) fires early and late in the second of two tones, and their bands."""
    n = np.arange(RATE)
    low, high = (cochlea.amplitude(70) * np.sin(2 * np.pi * f * n / RATE) for f in (400, 2_000))
    ear = Contrast(RATE, 32, **options)
    heard(ear, batches(low.astype(np.float32), rate=RATE))
    rows = heard(ear, batches(high.astype(np.float32), start=1_000_000, rate=RATE))
    early, late = (
        np.bincount([axon for t, axon in rows if (t > 1_300_000) is side], minlength=128) for side in (False, True)
    )
    return early.reshape(4, 32), late.reshape(4, 32), [int(np.abs(ear.centres_hz - f).argmin()) for f in (400, 2_000)]


def test_a_tone_that_comes_fires_its_band_its_neighbours_fall_silent_and_only_a_change_is_a_change():
    early, late, (low, high) = tones()
    assert late[0, high] > 20
    assert late[1, high - 5] > 20  # beside it there is less than all around
    assert late[0, low] == late[1, high] == 0
    assert early[2, high] > 5
    assert early[3, low] > 2
    assert late[2:].sum() < 3


def test_what_was_there_of_late_is_missed_where_the_mean_is_taken_away():
    _, late, (low, high) = tones(even=1.0)
    assert late[0, high] > 5
    assert late[1, low] > 5
    assert late[0, low] == late[1, high] == 0


def test_silence_is_silent_and_a_pipeline_has_this_ear():
    pipeline = ss.build({"hear": {"stage": "contrast", "bands": 16}}, samplerate_hz=RATE)
    ear = pipeline.stages["hear"]
    assert type(ear) is Contrast
    assert ear.axons == 64
    assert len(ear(Sound(0, 1_000_000, np.zeros((RATE, 1), np.float32)))) == 0
    assert len(ear.skip(1_000_000, 10**10)) == 0


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"bands": 7}, "bands"),
        ({"gain": 0.0}, "gain"),
        ({"spread": float("nan")}, "spread"),
        ({"memory_ms": True}, "memory_ms"),
        ({"even": 1.5}, "even"),
        ({"surround": -1.0}, "surround"),
        ({"high_hz": 4_000.0}, "high_hz"),
        ({"low_hz": 10.0}, "high_hz"),
        ({"off": True}, "off"),
    ],
)
def test_what_cannot_be_is_refused(options, key):
    with pytest.raises(ConfigError) as caught:
        Contrast(**{"samplerate_hz": RATE, "bands": 16, **options})
    assert caught.value.key == key


@pytest.mark.parametrize(("name", "value"), [("held", 8), ("counts", 40), ("peak", -1.0), ("v", 1.5), ("mean", np.nan)])
def test_a_saved_state_that_cannot_be_is_refused(name, value):
    ear = Contrast(RATE, 8)
    odd = ear.state()
    odd[name].flat[0] = value
    with pytest.raises(ModelError, match="contradicts itself"):
        ear.restore(odd)


def test_frames_longer_than_a_block_and_shorter_than_a_sample_are_heard():
    for frame_ms in (0.5, 300.0):
        rows = heard(Contrast(RATE, 8, frame_ms=frame_ms), batches(speechlike(2 * RATE), rate=RATE))
        assert len(rows) > 10
        assert contrast.design(Contrast(RATE, 8, frame_ms=frame_ms).options).frame == 8 * frame_ms
