"""The filterbank against Slaney's own vectors, published bandwidths, its plain twin, and any way to cut the sound."""

from __future__ import annotations

import os
import subprocess
import sys

import naive_hear
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikestream.kernels import gammatone, slaney

RATE = 16_000


def noise(n, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def filtered(params, samples, cuts=(), dtype=np.float32):
    coeffs, state = gammatone.design(params, dtype), gammatone.init(dtype)
    out = np.empty((len(samples), params.bands), dtype)
    for begin, end in zip([0, *cuts], [*cuts, len(samples)], strict=True):
        gammatone.run(coeffs, state, samples[begin:end].astype(dtype), out[begin:end])
    return out, state.flat


def by_slaney(samples, centres, dtype=np.float64):
    coeffs, state = slaney.design(slaney.Params(RATE, tuple(centres)), dtype), slaney.init(len(centres), dtype)
    out = np.empty((len(samples), len(centres)), dtype)
    slaney.run(coeffs, state, samples.astype(dtype), out)
    return out


# Spacing and widths (T1).


def test_bands_are_equally_spaced_in_erb_rate_with_both_ends():
    centres = gammatone.Params().centres_hz
    published = [50.0, 64.78605230, 80.35618462, 6290.27329327, 6635.97076285, 7000.0]
    assert centres[[0, 1, 2, -3, -2, -1]] == pytest.approx(published, rel=1e-6)
    assert np.diff(gammatone.erb_rate(centres)) == pytest.approx(np.full(63, np.diff(gammatone.erb_rate(centres))[0]))


def test_the_width_of_a_band_is_glasbergs_and_moores():
    for centre, width in ((100, 35.49), (500, 78.67), (1000, 132.64), (4000, 456.46)):
        assert gammatone.erb_hz(centre) == pytest.approx(width, abs=0.01)


@pytest.mark.parametrize(("low", "high", "bands"), [(50, 8_000, 64), (100, 11_025, 100), (20, 4_000, 8)])
def test_slaneys_spacing_starts_below_the_top_and_ends_at_the_bottom(low, high, bands):
    centres = slaney.centres_hz(low, high, bands)
    assert centres[-1] == pytest.approx(low, abs=1e-8)
    assert np.all(np.diff(centres) < 0)
    assert centres[0] < high
    if (low, high, bands) == (50, 8_000, 64):
        published = [7576.10736606, 7174.05075275, 6792.70531913, 81.10974548, 65.14364103, 50.0]
        assert centres[[0, 1, 2, -3, -2, -1]] == pytest.approx(published, abs=1e-8)


@pytest.mark.realdata
def test_slaneys_spacing_is_slaneys(data):
    from scipy.io import loadmat

    vectors = loadmat(data / "audio" / "slaney" / "test_erbspace_data.mat")
    pairs = list(zip(vectors["erbspace_inputs"], vectors["erbspace_results"], strict=True))
    assert len(pairs) == 7
    for (low, high, bands), (wanted,) in pairs:
        ours = slaney.centres_hz(float(low.item()), float(high.item()), int(bands.item()))
        assert ours == pytest.approx(wanted.ravel(), abs=1e-8)


# Slaney's filters (T2).


def matlabs(rows, dtype=np.float64):
    """Return our coefficients from rows A0, A11 ... A14, A2, B0, B1, B2, gain of Slaney's Matlab program."""
    zeros, poles = rows[:, 1:5] / rows[:, :1], rows[:, 7:9]
    return slaney.Coeffs(zeros.T.astype(dtype), poles.T.astype(dtype), (rows[:, 0] ** 4 / rows[:, 9]).astype(dtype))


@pytest.mark.realdata
def test_slaneys_filters_are_designed_as_he_did(data):
    from scipy.io import loadmat

    vectors = loadmat(data / "audio" / "slaney" / "test_erb_filter_data.mat")
    pairs = list(zip(vectors["erb_filter_inputs"], vectors["erb_filter_results"], strict=True))
    assert len(pairs) == 10
    for (rate, centres), (rows,) in pairs:
        ours = slaney.design(slaney.Params(int(rate.item()), tuple(centres.ravel())))
        for mine, wanted in zip(ours, matlabs(rows), strict=True):
            assert np.abs(mine - wanted).max() <= 1e-12 * np.abs(wanted).max()


@pytest.mark.realdata
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 5e-4)])
def test_slaneys_filters_give_what_his_gave(dtype, tolerance, data):
    from scipy.io import loadmat

    vectors = loadmat(data / "audio" / "slaney" / "test_filterbank_data.mat")
    pairs = list(zip(vectors["erb_filterbank_inputs"], vectors["erb_filterbank_results"], strict=True))
    assert len(pairs) == 8
    for (rows, wave), (wanted,) in pairs:
        coeffs, state = matlabs(rows, dtype), slaney.init(len(rows), dtype)
        out = np.empty((wave.size, len(rows)), dtype)
        slaney.run(coeffs, state, wave.ravel().astype(dtype), out)
        assert np.abs(out.T - wanted).max() <= tolerance * np.abs(wanted).max()


def test_slaneys_filters_agree_with_an_independent_program():
    from gammatone.filters import erb_filterbank, make_erb_filters

    centres = slaney.centres_hz(50, 8_000, 64)
    wanted = erb_filterbank(noise(8_000).astype(np.float64), make_erb_filters(RATE, centres))
    assert np.abs(by_slaney(noise(8_000), centres).T - wanted).max() < 1e-12


# The shape of the response (T3), and the complex cascade beside Slaney's sections (T4).


@pytest.mark.parametrize(
    ("centre", "erb", "narrow", "peak_ms"),
    [(100, 35.45, 30, 13.00), (500, 78.70, 68, 5.81), (1000, 132.72, 116, 3.44), (4000, 457.60, 404, 0.88)],
)
def test_the_response_of_a_band_has_the_published_shape(centre, erb, narrow, peak_ms):
    click = np.zeros(RATE)
    click[0] = 1
    (response,) = by_slaney(click, [centre]).T
    gain = np.abs(np.fft.rfft(response))
    assert gain.argmax() == centre
    assert gain[centre] == pytest.approx(1, abs=1e-3)
    assert (gain**2).sum() / gain.max() ** 2 == pytest.approx(erb, rel=5e-3)
    assert abs((gain >= gain.max() / np.sqrt(2)).sum() - narrow) <= 1
    analytic = np.fft.ifft(np.concatenate([2 * np.fft.rfft(response), np.zeros(RATE // 2 - 1)]))
    assert abs(np.abs(analytic).argmax() - peak_ms * RATE / 1000) <= 1


def test_the_cascade_is_slaneys_bank_where_the_image_of_the_pole_is_far():
    centres = gammatone.Params().centres_hz
    fast, reference = filtered(gammatone.Params(), noise(RATE))[0].astype(np.float64), by_slaney(noise(RATE), centres)
    error = np.sqrt(((fast - reference) ** 2).mean(axis=0) / (reference**2).mean(axis=0))
    assert error[(centres > 200) & (centres < 3_000)].max() < 2e-4
    assert error[0] == pytest.approx(2.2e-3, rel=0.05)
    assert error.max() < 0.03  # near the Nyquist frequency


def test_a_tone_at_the_centre_keeps_its_amplitude():
    params = gammatone.Params()
    for band in (10, 30, 50):
        tone = np.sin(2 * np.pi * params.centres_hz[band] * np.arange(RATE) / RATE).astype(np.float32)
        assert np.abs(filtered(params, tone)[0][RATE // 2 :, band]).max() == pytest.approx(1, abs=5e-3)


def test_it_is_its_plain_twin():
    params = gammatone.Params(bands=9)
    twin = np.array(naive_hear.gammatone(noise(600).tolist(), params.centres_hz.tolist(), RATE))
    assert filtered(params, noise(600))[0] == pytest.approx(twin, abs=1e-5)
    assert filtered(params, noise(600), dtype=np.float64)[0] == pytest.approx(twin, abs=1e-12)


# Any cut (T5).


@given(cuts=st.lists(st.integers(0, 3_000), max_size=40), bands=st.sampled_from([8, 37, 64, 256]))
@settings(deadline=None, max_examples=40)
def test_blocks_of_any_length_give_the_same_bits(cuts, bands):
    params = gammatone.Params(bands=bands)
    whole, pieces = filtered(params, noise(3_000)), filtered(params, noise(3_000), sorted(cuts))
    assert all(np.array_equal(a, b) for a, b in zip(whole, pieces, strict=True))


def test_blocks_of_one_sample_give_the_same_bits():
    for dtype in (np.float32, np.float64):
        whole = filtered(gammatone.Params(), noise(2_000), dtype=dtype)
        single = filtered(gammatone.Params(), noise(2_000), range(1, 2_000), dtype=dtype)
        assert all(np.array_equal(a, b) for a, b in zip(whole, single, strict=True))


def test_silence_does_not_sink_into_denormal_numbers():
    params = gammatone.Params()
    _, state = filtered(params, np.concatenate([noise(2_000), np.zeros(400_000, np.float32)]))
    least = np.abs(state[state != 0]).min()
    assert least > np.finfo(np.float32).tiny


@pytest.fixture(scope="module")
def machine_code(tmp_path_factory):
    """The counts of packed instructions, of square roots and of comparisons among them, in both kernels."""
    code = (
        "import re, numpy as np\nfrom spikestream.kernels import cochlea, gammatone\n"
        "g, c, x = gammatone.Params(), cochlea.Params(), np.zeros(9, np.float32)\n"
        "gammatone.run(gammatone.design(g), gammatone.init(), x, np.empty((9, 64), np.float32))\n"
        "o = np.empty(9999, np.int32)\ncochlea.run(cochlea.design(c), cochlea.init(c), x, (o.astype(int), o), 0, 0)\n"
        "for kernel in gammatone.run, cochlea.run:\n"
        "    text = ''.join(kernel.inspect_asm().values())\n"
        "    names = r'v(?:fmadd|mul|sqrt|add)\\d*ps', 'vsqrtps', r'vcmp\\w*ps'\n"
        "    print(*(len(re.findall(rf'{name}[^\\n]*[yz]mm', text)) for name in names))"
    )
    # What comes from a cache shows no code.
    fresh = {**os.environ, "SPIKESTREAM_CACHE": str(tmp_path_factory.mktemp("cache"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=fresh, timeout=120)
    rows = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    return dict(zip(("gammatone.run", "cochlea.run"), rows, strict=True))


@pytest.mark.parametrize("kernel", ["gammatone.run", "cochlea.run"])
def test_the_loop_over_bands_works_on_many_bands_at_once(kernel, machine_code):
    packed, roots, comparisons = machine_code[kernel]
    assert packed >= 16
    assert roots >= 8 or kernel == "gammatone.run"  # hair cells: one for each sample of a group
    assert comparisons >= 48 or kernel == "gammatone.run"  # fibres: rest and threshold, three fibres, eight samples
