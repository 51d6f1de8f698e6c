"""CARFAC: equal to its naive twin, to the vectors and tables of the CARFAC programs, and to itself in any blocks.

The golden vectors are of version 1 and of two ears at 44.1 kHz: ``agc_test`` is without gain control and with one
capacitor, ``ihc_just_hwr_test`` with gain control, rectifying hair cells and the exact stage gain. Version 1 wrote the
membrane before its AC coupling; the test takes the coupling back. The tables are those of its tests at version 2.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import replace

import naive_carfac
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikestream.kernels import carfac, carfac_design
from spikestream.kernels.carfac import Params
from spikestream.kernels.carfac_design import GAINS, HAIRS, STRIDE

LINEAR = Params(velocity_scale=0, v_offset=0, closed=False)
SOME = settings(max_examples=30, deadline=None)  # the first example may compile the kernel


def hear(c, s, x):
    """Return membrane and neural activity, (n, ears, bands), of a block (n, ears)."""
    bm = np.empty((*x.shape, c.bands), c.table.dtype)
    nap = np.empty_like(bm)
    carfac.run(c, s, x.astype(c.table.dtype), bm, nap)
    return bm, nap


def fresh(params, rate, x, dtype=np.float32):
    c = carfac.design(params, rate, dtype)
    return hear(c, carfac.init(c, x.shape[1]), x)


def rows(s):
    """Return the state as (ears, rows, bands and what stands beside them)."""
    return s.rows.reshape(len(s.rows), -1, STRIDE)


def noise(seed, samples, ears=1, level=0.1):
    return np.random.default_rng(seed).uniform(-level, level, (samples, ears))


def apart(got, expected):
    """Return the largest difference, relative to the peak of what is expected."""
    return np.abs(got - expected).max() / np.abs(expected).max()


# The naive twin.


@SOME
@given(
    rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 48_000, 96_000]),
    ears=st.integers(1, 3),
    hair=st.sampled_from(HAIRS),
    gain=st.sampled_from(GAINS),
    closed=st.booleans(),
    step_erb=st.sampled_from([0.3, 0.5, 1.7]),
    level=st.sampled_from([0.001, 0.1, 1.0]),
    seed=st.integers(0, 99),
)
def test_it_equals_its_naive_twin(rate, ears, hair, gain, closed, step_erb, level, seed):
    x = noise(seed, 140, ears, level)
    expected = naive_carfac.Ears(rate, ears, hair, gain, closed, step_erb).run(x.tolist())
    params = Params(hair=hair, gain=gain, closed=closed, step_erb=step_erb)
    for got, wanted in zip(fresh(params, rate, x, np.float64), map(np.array, expected), strict=True):
        assert got.shape == wanted.shape
        assert apart(got, wanted) < 1e-11
    # Rounding grows with the gain of the bank, 100 dB at a step of 0.3; activity is a small difference, of 10 at most.
    for got, wanted in zip(fresh(params, rate, x), map(np.array, expected), strict=True):
        assert np.abs(got - wanted).max() < (1e-4 if step_erb == 0.5 else 1e-3) * np.abs(wanted).max() + 5e-5


def test_a_long_run_of_the_slowest_stages_equals_the_twin():
    x = noise(5, 1500, 2) * [1.0, 0.1]
    expected = naive_carfac.Ears(8_000, 2, step_erb=1.2).run(x.tolist())
    for got, wanted in zip(fresh(Params(step_erb=1.2), 8_000, x, np.float64), map(np.array, expected), strict=True):
        assert apart(got, wanted) < 1e-11


# The vectors and tables of the CARFAC programs.


def vectors(data, name):
    def load(part):
        with gzip.open(data / "audio" / "carfac" / f"{name}-{part}.txt.gz") as file:
            return np.loadtxt(file)

    return load("audio"), load("matlab-bm1"), load("matlab-nap1")


@pytest.mark.realdata
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 2e-7)])  # they have 9 digits
@pytest.mark.parametrize(
    ("name", "params"),
    [("agc_test", Params(hair="one_cap", closed=False)), ("ihc_just_hwr_test", Params(hair="rectify", gain="exact"))],
)
def test_it_equals_the_golden_vectors(data, name, params, dtype, tolerance):
    x, golden_bm, golden_nap = vectors(data, name)
    bm, nap = (got[:, 0, ::-1] for got in fresh(params, 44_100, x, dtype))  # theirs has the highest band first
    ac = 2 * np.pi * 20 / 44_100
    before = np.cumsum(bm, axis=0, dtype=np.float64) - bm
    assert bm.shape == golden_bm.shape == (2000, 83)
    assert apart(bm + ac * before, golden_bm) < tolerance
    assert apart(nap, golden_nap) < tolerance


def peak(at, height, down):
    """Return position and height of the parabola through the highest three points, and the width so far down."""
    k = int(height.argmax())
    left, top, right = height[k - 1 : k + 2]
    shift = (left - right) / (left - 2 * top + right) / 2
    top -= (left - right) * shift / 4
    level = height - top + down
    cross = np.flatnonzero(level[1:] * level[:-1] < 0)[:2]
    edges = [np.interp(0, *zip(*sorted([(level[i], at[i]), (level[i + 1], at[i + 1])]), strict=True)) for i in cross]
    return at[k] + shift * (at[k + 1] - at[k]), top, edges[1] - edges[0]


def test_the_frequency_response_is_the_published_one():
    """Bands by number from the highest, at 22,050 Hz: frequency, gain, bandwidth, quality."""
    published = {
        10: (5604, 39.34, 705.6, 7.9),
        20: (3245, 55.61, 429.8, 7.6),
        30: (1809, 60.46, 248.1, 7.3),
        40: (965, 59.18, 138.7, 7.0),
        50: (477, 52.81, 74.8, 6.4),
        60: (195, 38.98, 37.5, 5.2),
        70: (32, 7.95, 14.6, 2.2),
    }
    click = np.zeros((1 << 14, 1))
    click[0] = 1
    bm, _ = fresh(LINEAR, 22_050, click, np.float64)
    assert bm.shape[2] == 71
    decibel = 20 * np.log10(np.abs(np.fft.rfft(bm[:, 0], 1 << 15, axis=0)) + 1e-50)
    hz = np.fft.rfftfreq(1 << 15, 1 / 22_050)
    for number, (at, gain, width, quality) in published.items():
        found = peak(hz, decibel[:, 70 - number], 3)
        assert found == (pytest.approx(at, abs=0.5), pytest.approx(gain, abs=0.01), pytest.approx(width, abs=0.1))
        assert found[0] / found[2] == pytest.approx(quality, abs=0.051)


BLIPS = {
    ("one_cap", 300): "2.752913 721.001685 4.815015 969.505412 7.062418 1147.285676 9.138118 1239.521055 "
    "10.969522 1277.061337 12.516468 1285.880084",
    ("one_cap", 3000): "1.417657 234.098558 2.804747 316.717957 4.802444 376.787575 7.030791 408.011707 "
    "9.063014 420.602740 10.634581 423.674628",
    ("two_cap", 300): "2.026682 544.901381 3.533259 756.736631 5.108579 923.142282 6.423783 1017.472318 "
    "7.454677 1059.407644 8.231247 1071.902335",
    ("two_cap", 3000): "0.698303 93.388172 1.520033 131.832247 2.660770 163.287206 3.872406 182.022912 "
    "4.909175 191.225206 5.666469 194.912279",
}


@pytest.mark.parametrize(("hair", "hz"), BLIPS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 1e-6)])
def test_hair_cells_answer_tone_blips_as_published(hair, hz, dtype, tolerance):
    """Six tones of rising level on the hair cells alone, at 40 kHz: the highest activity and the carrier in it."""
    t = np.arange(11_200) / 40_000
    on = np.cos(2 * np.pi * 25 * t + 1e-6) < 0
    blip = on * np.floor(t / 0.04)
    sine, cosine = on * np.sin(2 * np.pi * hz * t), on * np.cos(2 * np.pi * hz * t)
    c = carfac.design(Params(hair=hair), 40_000, dtype)
    s = carfac.init(c)
    bm = np.repeat(sine * 0.09 * 2**blip, c.bands).astype(dtype).reshape(-1, 1, c.bands)
    nap = np.empty_like(bm)
    cells = carfac.hear_one_cap if hair == "one_cap" else carfac.hear_two_cap
    for k in range(len(bm)):
        cells(c.bands, c.hair, s.rows, bm, nap, k, 0)
    found = []
    for number in range(1, 7):
        heard = nap[:, 0, 0] * (blip == number)
        found += [heard.max(), np.hypot(heard @ sine, heard @ cosine)]
    assert found == pytest.approx([float(word) for word in BLIPS[hair, hz].split()], rel=tolerance)


def test_the_gain_control_settles_as_published():
    """A steady 100 in one band, at 22,050 Hz: the peak of each stage in bands from the highest, how high and wide."""
    published = [
        (39.033166, 8.359763, 9.598703),
        (39.201534, 4.083376, 9.019020),
        (39.374404, 1.878256, 8.219043),
        (39.565957, 0.712351, 6.994498),
    ]
    c = carfac.design(Params(), 22_050, np.float64)
    s = carfac.init(c)
    for update in range(1, 2049):
        rows(s)[0, carfac.ACC, 71 - 40] = 8 * 100
        carfac.adapt(c.bands, c.agc, s.rows, 0, 1 + sum(update % d == 0 for d in (2, 4, 8)))
    for stage, expected in enumerate(published):
        memory = rows(s)[0, carfac.AGC + stage, 70::-1]
        number = np.arange(1, 72)
        height = peak(number, memory, memory.max() / 2)[1]
        assert peak(number, memory, height / 2) == pytest.approx(expected, rel=1e-5)


ADAPTED = {
    "one_cap": {65: 0.264, 59: 0.986, 50: 7.309, 39: 31.644, 29: 27.214, 17: 13.823, 3: 3.565},
    "two_cap": {65: 0.258, 59: 0.963, 50: 7.224, 39: 31.373, 29: 26.244, 17: 12.726, 3: 3.212},
}
PEAKS_HZ = {65: 119.007, 59: 239.791, 50: 514.613, 39: 1099.436, 29: 2038.875, 17: 4058.882, 3: 8289.883}


@pytest.mark.parametrize("hair", ADAPTED)
def test_a_tone_turns_its_bands_down_as_published(hair):
    """Two seconds of 1 kHz at 22,050 Hz: how many dB the peaks of some bands fall, by number from the highest."""
    probe = carfac.design(replace(LINEAR, hair=hair), 22_050, np.float64)
    c = carfac.design(Params(hair=hair), 22_050, np.float64)
    s = carfac.init(c)
    click = np.zeros((11_025, 1))
    click[0] = 1e-4
    before, _ = hear(probe, s, click)
    hear(c, s, 0.1 * np.sin(2 * np.pi * 1000 * np.arange(44_100)[:, None] / 22_050))
    rows(s)[:, [carfac.DZB, carfac.DG]] = 0
    hear(probe, s, 0 * click)
    after, _ = hear(probe, s, click)
    hz = np.fft.rfftfreq(2048, 1 / 22_050)
    for number, fall in ADAPTED[hair].items():
        first, second = (
            peak(hz, 20 * np.log10(np.abs(np.fft.rfft(bm[:2048, 0, 71 - number]))), 3) for bm in (before, after)
        )
        assert first[0] == pytest.approx(PEAKS_HZ[number], rel=1e-4)
        assert first[1] - second[1] == pytest.approx(fall, abs=0.01)


# Blocks.


def in_blocks(c, x, cuts):
    s = carfac.init(c, x.shape[1])
    parts = [hear(c, s, x[a:b]) for a, b in zip([0, *cuts], [*cuts, len(x)], strict=True)]
    return *(np.concatenate(part) for part in zip(*parts, strict=True)), s.rows, s.phase


@SOME
@given(
    params=st.builds(
        Params,
        hair=st.sampled_from(HAIRS),
        gain=st.sampled_from(GAINS),
        closed=st.booleans(),
        step_erb=st.sampled_from([0.2, 0.5, 1.3]),
    ),
    rate=st.sampled_from([8_000, 16_000, 44_100]),
    ears=st.integers(1, 2),
    dtype=st.sampled_from([np.float32, np.float64]),
    lengths=st.lists(st.integers(1, 700), min_size=8, max_size=8),
)
def test_blocks_of_any_length_are_bit_equal(params, rate, ears, dtype, lengths):
    c = carfac.design(params, rate, dtype)
    x = noise(lengths[0], sum(lengths), ears)
    whole, cut = in_blocks(c, x, []), in_blocks(c, x, np.cumsum(lengths)[:-1].tolist())
    assert all(np.array_equal(a, b) for a, b in zip(whole, cut, strict=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_single_samples_are_bit_equal(dtype):
    c = carfac.design(Params(), 16_000, dtype)
    x = noise(2, 700, 2)
    whole, cut = in_blocks(c, x, []), in_blocks(c, x, list(range(1, 700)))
    assert all(np.array_equal(a, b) for a, b in zip(whole, cut, strict=True))
    s, out = carfac.init(c, 2), np.empty((2, 2, c.bands), dtype)
    for k, sample in enumerate(x.astype(dtype)):
        carfac.step(c, s, sample, out[0], out[1])
        assert np.array_equal(out[0], whole[0][k])
        assert np.array_equal(out[1], whole[1][k])
    assert np.array_equal(s.rows, whole[2])


def test_an_empty_block_changes_nothing():
    c = carfac.design(Params(), 16_000)
    s = carfac.init(c)
    hear(c, s, noise(0, 100))
    before = s.rows.copy()
    assert hear(c, s, np.zeros((0, 1)))[0].shape == (0, 1, 65)
    assert np.array_equal(s.rows, before)
    assert s.phase == 100 % 64


# Several ears.


def test_equal_ears_hear_what_one_ear_hears():
    x = noise(1, 4000)
    one, two = fresh(Params(), 16_000, x), fresh(Params(), 16_000, np.repeat(x, 2, axis=1))
    for alone, both in zip(one, two, strict=True):
        assert np.array_equal(both[:, [0]], alone)
        assert np.array_equal(both[:, [1]], alone)


def test_a_silent_ear_makes_its_neighbour_more_sensitive_and_without_the_mix_it_does_not():
    x = np.concatenate([noise(1, 8000), np.zeros((8000, 1))], axis=1)
    alone = fresh(Params(), 16_000, x[:, :1])[0][:, 0]
    coupled, apart_ = (fresh(Params(mix=mix), 16_000, x)[0][:, 0] for mix in (0.5, 0.0))
    assert np.array_equal(apart_, alone)
    assert (coupled[4000:] ** 2).sum() > 1.05 * (alone[4000:] ** 2).sum()


# Bands.


@pytest.mark.parametrize("hz", [150, 400, 1000, 3000, 5000])
def test_a_tone_moves_the_band_that_lies_near_it_and_band_0_is_the_lowest(hz):
    c = carfac.design(Params(), 16_000)
    bm, _ = hear(c, carfac.init(c), 1e-3 * np.sin(2 * np.pi * hz * np.arange(8000)[:, None] / 16_000))
    loudest = int((bm[4000:, 0] ** 2).mean(axis=0).argmax())
    assert (np.diff(c.pole_hz) > 0).all()
    assert 0.75 * hz < c.pole_hz[loudest] < hz  # the cascade of the bands above lifts the peak above the pole


def test_the_default_bands_are_the_published_ones():
    c = carfac.design(Params(), 16_000)
    assert c.bands == 65
    assert (c.pole_hz[0], c.pole_hz[-1]) == (pytest.approx(34.6, abs=0.05), 6800)
    assert carfac.design(Params(), 48_000).bands == 84


@given(rate=st.floats(8_000, 96_000), bands=st.integers(8, 256))
def test_any_number_of_bands_can_be_had_at_any_rate(rate, bands):
    params = Params(step_erb=carfac.erb_step(Params(), rate, bands))
    assert len(carfac_design.poles(params, rate)) == bands


@pytest.mark.parametrize(
    ("params", "rate", "words"),
    [
        (Params(hair="three_cap"), 16_000, "'three_cap' is none of rectify, one_cap, two_cap"),
        (Params(gain="cubic"), 16_000, "'cubic' is none of quadratic, exact"),
        (Params(), 7_999, "7999 Hz is not in 8,000 to 96,000 Hz"),
        (Params(), 96_001, "96001 Hz is not in"),
        (Params(), float("nan"), "nan Hz is not in"),
        (Params(step_erb=6.0), 16_000, "step_erb 6 at 16000 Hz gives 4 bands"),
        (Params(step_erb=0.01), 16_000, "step_erb 0.01 at 16000 Hz gives more than 256 bands"),
        (Params(step_erb=0.0), 16_000, "step_erb 0 at 16000 Hz gives"),
        (Params(step_erb=-1.0), 16_000, "step_erb -1 at 16000 Hz gives"),
        (Params(step_erb=float("nan")), 16_000, "step_erb nan at 16000 Hz gives"),
    ],
)
def test_a_design_out_of_range_is_refused(params, rate, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        carfac.design(params, rate)


# Silence, and too much.


@pytest.mark.parametrize("hair", HAIRS)
def test_silence_at_rest_is_silent(hair):
    bm, nap = fresh(Params(hair=hair), 16_000, np.zeros((16_000, 1)))
    assert np.abs(bm).max() < 1e-15
    assert np.abs(nap).max() < 1e-4


@pytest.mark.parametrize("hair", HAIRS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_long_silence_leaves_no_subnormal_numbers(hair, dtype):
    c = carfac.design(Params(hair=hair), 8_000, dtype)
    s = carfac.init(c, 2)
    hear(c, s, noise(3, 4000, 2, 0.5))
    for _ in range(200):
        hear(c, s, np.zeros((4000, 2)))
    held = np.abs(s.rows[s.rows != 0])
    assert np.isfinite(held).all()
    assert held.min() > np.finfo(dtype).tiny


@pytest.mark.parametrize("rate", [8_000, 16_000, 96_000])
@pytest.mark.parametrize("bands", [8, 64, 256])
@pytest.mark.parametrize("hair", HAIRS)
def test_clipped_sound_stays_finite_and_is_forgotten(rate, bands, hair):
    params = Params(hair=hair, step_erb=carfac.erb_step(Params(), rate, bands))
    c = carfac.design(params, rate)
    s = carfac.init(c)
    _, nap = hear(c, s, np.sign(noise(4, rate // 4)))
    assert np.isfinite(nap).all()
    assert np.abs(nap).max() < 50
    hear(c, s, np.zeros((2 * rate, 1)))
    assert np.isfinite(s.rows).all()
    rest = rows(carfac.init(c))[0]
    for row, slack in ((carfac.Z1, 1e-3), (carfac.AGC, 1e-3), (carfac.V1, 1e-3), (carfac.V2, 1e-3)):
        assert np.abs(rows(s)[0, row] - rest[row]).max() < slack


def test_ears_share_nothing_with_coefficients_or_with_each_other():
    c = carfac.design(Params(), 16_000)
    first, second = carfac.init(c), carfac.init(c)
    kept = [np.array(value) for value in c], second.rows.copy()
    hear(c, first, noise(0, 500))
    assert all(np.array_equal(a, b) for a, b in zip(kept[0], c, strict=True))
    assert np.array_equal(second.rows, kept[1])
    assert not np.array_equal(first.rows, kept[1])
    assert not any(
        np.shares_memory(a, b) for a in first for b in (*second, *(v for v in c if isinstance(v, np.ndarray)))
    )


# How it is compiled.

IN_CHILD = """
import hashlib, json, sys
import numpy as np
from spikestream.kernels import carfac
c = carfac.design(carfac.Params(), 16_000)
s = carfac.init(c)
x = np.random.default_rng(0).uniform(-0.1, 0.1, (3000, 1)).astype(np.float32)
bm, nap = np.empty((2, 3000, 1, c.bands), np.float32)
carfac.run(c, s, x, bm, nap)
parts = ("resonate", "displace", "hear_two_cap", "hear_one_cap", "rectify", "smooth", "adapt", "close")
asm = {name: "".join(getattr(carfac, name).inspect_asm().values()) for name in parts} if sys.argv[1:] else {}
print(json.dumps([hashlib.sha256(bm.tobytes() + nap.tobytes() + s.rows.tobytes()).hexdigest(), asm]))
"""


def child(*options, arguments=(), **env):
    environment = {**os.environ, **env}
    environment.pop("NUMBA_DISABLE_JIT", None)
    command = [sys.executable, *options, "-c", IN_CHILD, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_loops_over_bands_are_packed(tmp_path):
    """A cached kernel shows no assembly: hence a cache of its own."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("the names of the packed instructions are those of x86-64")
    _, asm = child(arguments=["asm"], SPIKESTREAM_CACHE=str(tmp_path))
    wide = r"\s[^\n]*%[yz]mm"  # eight or sixteen bands at once
    for name, words in {
        "resonate": (r"vdivps", r"v(mul|fmadd\w+)ps", r"v(sub|fnmadd\w+)ps"),
        "displace": (r"v(sub|fmadd\w+)ps", r"vaddps"),
        "hear_two_cap": (r"vdivps", r"v(mul|fmadd\w+)ps", r"vmaxps|vcmp\w*ps|vandps"),
        "hear_one_cap": (r"vdivps", r"v(mul|fmadd\w+)ps"),
        "rectify": (r"vaddps",),
        "smooth": (r"v(mul|fmadd\w+)ps",),
        "adapt": (r"v(mul|fmadd\w+)ps",),
        "close": (r"vdivps", r"v(mul|fmadd\w+)ps"),
    }.items():
        assert asm[name], name
        for word in words:
            assert re.search(f"(?:{word}){wide}", asm[name]), (name, word)


def test_python_without_asserts_hears_the_same():
    assert child("-O")[0] == child()[0]
