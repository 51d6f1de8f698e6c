"""The laws of every stage, that the cells are Jeffress's, and that a sound is where its delay says."""

import re
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spikestream_stereo import Stereo

import spikestream as ss
from spikestream import checks
from spikestream.batch import Sound, Spikes, concat, no_events
from spikestream.errors import ConfigError, ModelError, SpikestreamError
from spikestream.registry import load

RATE = 16_000
ROOT = Path(__file__).resolve().parents[1]


def late(wave, us, rate=RATE):
    """Return (left, right) where the right one is `us` µs late, by whole fractions of a sample in the spectrum."""
    turn = np.exp(-2j * np.pi * np.fft.rfftfreq(len(wave), 1 / rate) * us / 1e6)
    return np.stack([wave, np.fft.irfft(np.fft.rfft(wave) * turn, len(wave))], axis=1).astype(np.float32)


def burst(seed, us, rate=RATE, seconds=0.2):
    """Return a burst of noise of 0.1 rms, and of another noise at each ear, a fifth of it."""
    rng, n = np.random.default_rng(seed), int(seconds * rate)
    sound = late(0.1 * rng.standard_normal(n), us, rate)
    return sound + (0.02 * rng.standard_normal((n, 2))).astype(np.float32)


def tone(hz, us, rate=RATE, seconds=0.2):
    """Return a tone that starts at once, out of a faint noise."""
    t = np.arange(int(seconds * rate)) / rate
    sound = np.stack(
        [0.1 * np.sin(2 * np.pi * hz * (t - at)) * (t >= at) for at in (max(0, -us / 1e6), max(0, us / 1e6))]
    )
    return (sound.T + 0.001 * np.random.default_rng(hz).standard_normal((len(t), 2))).astype(np.float32)


def batches(samples, cuts=(), start=0, rate=RATE):
    """Return sound cut before some samples."""
    edges = [0, *cuts, len(samples)]
    return [
        Sound(start + a * 1_000_000 // rate, start + b * 1_000_000 // rate, samples[a:b]) for a, b in pairwise(edges)
    ]


def most_active(sound, rate=RATE, **options):
    ears = Stereo(rate, **options)
    spikes = ears(batches(sound, rate=rate)[0])
    return ears.delays_us[ears.activity(spikes).sum(axis=0).argmax()]


def rows(spikes):
    return list(zip(spikes.t.tolist(), spikes.axon.tolist(), strict=True))


@pytest.mark.parametrize("options", [{}, {"off": True, "gain_control": False, "low_hz": 300.0, "high_hz": 2_000.0}])
@pytest.mark.parametrize("law", [name for name, _ in checks.stage(Stereo, [])])
def test_it_keeps_the_laws_of_a_stage(law, options):
    parts = batches(burst(1, 200), range(160, 3_200, 160), start=5_000_000)
    dict(checks.stage(lambda: Stereo(RATE, 12, **options), parts))[law]()


def test_it_is_found_by_its_name():
    assert load("stages", "stereo") is Stereo
    ears = load("stages", "stereo")(22_050, bands=32, low_hz=100.0, high_hz=5_000.0)
    assert (ears.bands, ears.samplerate_hz) == (32, 22_050)
    assert ears.centres_hz[0] == pytest.approx(100)
    assert ears.centres_hz[0] < ears.centres_hz[-1] <= 1_500


def test_a_pipeline_hears_with_it():
    hear = {"stage": "stereo", "bands": 16, "low_hz": 100.0, "high_hz": 3_000.0, "off": True}
    pipeline = ss.build({"hear": hear, "network": {"neurons": 8}}, samplerate_hz=RATE)
    alone = Stereo(RATE, **{key: value for key, value in hear.items() if key != "stage"})
    (sound,) = batches(burst(1, 250))
    answer = pipeline(sound)["hear"]
    assert isinstance(answer, Spikes)
    assert rows(answer) == rows(alone(sound))
    assert [hop.missing() for hop in pipeline.hops()] == [0] * len(pipeline.hops())


# Where a sound is.


@pytest.mark.parametrize("us", range(-500, 501, 125))
@pytest.mark.parametrize("seed", range(3))
def test_a_burst_of_noise_is_where_its_delay_says(us, seed):
    assert abs(most_active(burst(seed, us)) - us) <= 62.5


@pytest.mark.parametrize("us", [-500, -330, -90, 0, 40, 210, 470])
@pytest.mark.parametrize("hz", [200, 450, 700])
def test_a_tone_is_where_its_delay_says(us, hz):
    assert abs(most_active(tone(hz, us)) - us) <= 62.5


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("us", [-430, 0, 275])
def test_at_any_sample_rate(rate, us):
    assert abs(most_active(burst(7, us, rate), rate) - us) <= 70


@pytest.mark.parametrize("us", [-400, 0, 300])
def test_a_difference_in_level_does_not_move_it(us):
    assert abs(most_active(burst(4, us) * np.float32([1, 0.25])) - us) <= 62.5


def test_sides_swapped_is_delays_mirrored():
    sound = burst(5, 313)
    ears, swapped = Stereo(RATE), Stereo(RATE)
    here = ears.activity(ears(batches(sound)[0]))
    there = swapped.activity(swapped(batches(np.ascontiguousarray(sound[:, ::-1]))[0]))
    assert here.sum() > 1_000
    assert np.array_equal(here, there[:, ::-1])


# The spikes.


def coincidences(ears, left, right, rate):
    """Return (t, axon) of every coincidence, from the definition: each spike of one ear with each of the other."""
    samples = [[(round(t * rate / 1e6), t, axon % ears.bands) for t, axon in rows(ear)] for ear in (left, right)]
    width = round(rate / 16_000) or 1  # samples in a step
    side = len(ears.delays_us) // 2
    found = set()
    for (n, t, band), (m, u, other) in product(*samples):
        if band == other < len(ears.centres_hz):
            step = np.floor((m - n + width // 2) / width)
            if abs(step) <= side:
                found.add((max(t, u), ears.first_cell + band * (2 * side + 1) + side + int(step)))
    return found


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 48_000])
def test_the_cells_fire_where_both_ears_did(rate):
    sound = burst(3, -190, rate, seconds=0.06)
    ears, left, right = (
        Stereo(rate, 24),
        *(ss.Cochlea(rate, 24, tau_ms=0.3, drive=15.0, locking_hz=3_000.0) for _ in "LR"),
    )
    alone = tuple(ear(batches(sound[:, k : k + 1].copy(), rate=rate)[0]) for k, ear in enumerate((left, right)))
    spikes = ears(batches(sound, rate=rate)[0])
    expected = set(rows(alone[0])) | {(t, axon + left.axons) for t, axon in rows(alone[1])}
    cells = coincidences(ears, *alone, rate)
    assert len(cells) > 100
    assert rows(spikes) == sorted(expected | cells)
    assert spikes.axon.max() < ears.axons
    assert ears.activity(spikes).sum() == len(cells)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 799), max_size=12).map(sorted))
def test_any_cut_gives_the_same_spikes(cuts):
    sound = burst(8, 440, seconds=0.05)
    whole, cut = Stereo(RATE, 16), Stereo(RATE, 16)
    expected = whole(batches(sound)[0])
    assert rows(concat([cut(part) for part in batches(sound, cuts)])) == rows(expected)
    assert all(np.array_equal(value, cut.state()[key]) for key, value in whole.state().items())


def test_silence_has_no_spikes():
    assert rows(Stereo(RATE)(batches(np.zeros((RATE, 2), np.float32))[0])) == []


def test_a_wave_on_its_way_through_a_gap_still_meets_the_other_ear():
    sound = burst(2, 0, seconds=0.05)
    ears, silent = Stereo(RATE, 16), Stereo(RATE, 16)
    for one in (ears, silent):
        one(batches(sound)[0])
    heard = silent(Sound(50_000, 150_000, np.zeros((1_600, 2), np.float32)))
    assert ears.first_cell in set(np.minimum(heard.axon, ears.first_cell).tolist())
    assert rows(ears.skip(50_000, 150_000)) == rows(heard)


def test_a_long_gap_leaves_the_ears_at_rest():
    ears, fresh = Stereo(RATE, 16), Stereo(RATE, 16)
    ears(batches(burst(2, 0))[0])
    far = 1_700_000_000_000_000
    ears.skip(200_000, far)
    again = batches(burst(3, 100), start=far)[0]
    assert rows(ears(again)) == rows(fresh(again))


# Errors.


def test_one_channel_is_told_apart_from_two():
    ears = Stereo(RATE)
    for channels in (1, 3):
        with pytest.raises(SpikestreamError, match=f"two channels, left and right; the sound has {channels}"):
            ears(batches(np.zeros((160, channels), np.float32))[0])
    assert ears.account.taken == 0


@pytest.mark.parametrize(
    "batch",
    [
        no_events(0, 10_000),
        Spikes(0, 10_000, np.empty(0, np.int64), np.empty(0, np.int32)),
        Sound(0, 10_000, np.zeros(160, np.float32)),
        Sound(0, 10_000, np.zeros((160, 2), np.float64)),
        Sound(0, 10_000, np.zeros((800, 2), np.float32)),
    ],
)
def test_what_is_no_stereo_sound_is_refused(batch):
    with pytest.raises(SpikestreamError):
        Stereo(RATE)(batch)


def test_after_a_refusal_the_ears_are_where_they_were():
    ears, untouched = Stereo(RATE, 16), Stereo(RATE, 16)
    broken = burst(1, 0)
    broken[100, 1] = np.nan
    with pytest.raises(SpikestreamError, match="not finite"):
        ears(batches(broken)[0])
    assert rows(ears(batches(burst(1, 0))[0])) == rows(untouched(batches(burst(1, 0))[0]))


@pytest.mark.parametrize(
    "options",
    [
        {"samplerate_hz": 1_000},
        {"bands": 4},
        {"low_hz": 1_600.0},
        {"low_hz": 5_000.0, "high_hz": 4_000.0},
        {"high_hz": 9_000.0},
        {"delays": 3},
        {"drive": -1.0},
    ],
)
def test_odd_options_are_a_config_error(options):
    with pytest.raises(ConfigError):
        Stereo(**options)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("right.flat", np.nan),
        ("left.heard", 2**60),
        ("left.recent.band", 63),
        ("right.recent.band", -1),
        ("left.recent.t", 10**15),
    ],
)
def test_a_state_that_contradicts_itself_is_a_model_error_and_changes_nothing(key, value):
    ears, same, sound = Stereo(RATE), Stereo(RATE), burst(6, 0)
    for one in (ears, same):
        one(batches(sound)[0])
    wrong = Stereo(RATE)
    wrong(batches(burst(7, 0))[0])
    saved = wrong.state()
    saved[key][(...,) if not saved[key].ndim else 0] = value
    with pytest.raises(ModelError):
        ears.restore(saved)
    later = batches(sound, start=200_000)[0]
    assert rows(ears(later)) == rows(same(later))


def test_the_example_of_the_readme_prints_what_it_says(capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out.strip()
    assert f"prints `{printed}`" in text
