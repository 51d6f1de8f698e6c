"""What pictures show, looked up in what matplotlib was given to draw."""

from __future__ import annotations

import math
import re
import subprocess
import sys

import numpy as np
import pytest
from cli import LOOKS, PATIENCE_S, ROOT
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

import spikestream as ss
from spikestream import plots
from spikestream.batch import no_spikes
from spikestream.errors import ConfigError, SpikestreamError

HUGE = 1_700_000_000_000_000  # µs since 1970


def spikes_at(pairs, start=0, stop=10_000):
    t, axon = (np.array(column) for column in zip(*pairs, strict=True))
    return ss.Spikes(start, stop, t.astype(np.int64), axon.astype(np.int32))


def decided(labels, length_us=100_000, start=0):
    return [
        ss.Decision(start + k * length_us, start + (k + 1) * length_us, label, 1.0) for k, label in enumerate(labels)
    ]


# Axes.


def test_axes_are_those_given_or_those_of_a_new_figure_and_nothing_is_shown():
    spikes = spikes_at([(5, 1)])
    given_axes = Figure().add_subplot()
    assert plots.raster(spikes, given_axes) is given_axes
    first, second = plots.raster(spikes), plots.raster(spikes)
    assert first.figure is not second.figure
    first.figure.canvas.draw()


def test_drawing_needs_no_display_and_loads_no_pyplot():
    code = (
        "import sys, numpy as np\nimport spikestream as ss\nfrom spikestream import plots\n"
        "assert 'matplotlib' not in sys.modules and 'numba' not in sys.modules\n"
        "ax = plots.raster(ss.Spikes(0, 9, np.arange(9), np.arange(9, dtype=np.int32)))\n"
        "ax.figure.savefig(sys.argv[1])\nprint('matplotlib.pyplot' in sys.modules, 'numba' in sys.modules)"
    )
    environment = {"PATH": "", "MPLBACKEND": "agg", "HOME": "/nonexistent", "MPLCONFIGDIR": ""}
    done = subprocess.run(
        [sys.executable, "-c", code, "/dev/null"], capture_output=True, text=True, timeout=PATIENCE_S, env=environment
    )
    assert done.stdout == "False False\n", done.stderr


# Rasters.


def test_a_raster_has_a_dot_for_each_spike_in_seconds_from_the_start():
    ax = plots.raster(spikes_at([(HUGE + 1, 3), (HUGE + 500_000, 0)], HUGE, HUGE + 1_000_000), rows=8)
    (dots,) = ax.lines
    np.testing.assert_allclose(dots.get_xydata(), [[1e-6, 3], [0.5, 0]], rtol=0, atol=1e-12)
    assert ax.get_xlim() == (0, 1)
    assert ax.get_ylim() == (-0.5, 7.5)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("s", "neuron")


def test_a_raster_counts_from_another_moment_where_told():
    ax = plots.raster(spikes_at([(3_000_000, 2)], 2_000_000, 4_000_000), origin_us=1_000_000)
    assert ax.lines[0].get_xdata().tolist() == [2.0]
    assert ax.get_xlim() == (1, 3)
    assert ax.get_ylim() == (-0.5, 2.5)


@pytest.mark.filterwarnings("error")
def test_silence_of_any_length_can_be_drawn():
    for stop in (0, 1_000):
        ax = plots.raster(no_spikes(0, stop))
        ax.figure.canvas.draw()
        assert len(ax.lines[0].get_xdata()) == 0


def test_only_spikes_are_spikes():
    silent = ss.Sound(0, 0, np.zeros((0, 1), np.float32))
    for draw in (plots.raster, lambda batch: plots.cochleagram(batch, np.ones(3))):
        with pytest.raises(SpikestreamError, match="not Sound"):
            draw(silent)
    with pytest.raises(SpikestreamError, match="not Sound"):
        plots.record(ss.Network(1, 1), silent, [0])


# Voltages.


@pytest.fixture
def driven():
    """Return one neuron's network and a spike of weight 0.5 in the first of 20 ticks: below the threshold."""
    network = ss.Network(1, 1, tick_us=1_000, v_thresh=0.7, tau_m_ms=10.0, w_norm=0.5)
    return network, spikes_at([(200, 0)], 0, 20_000)


def test_a_voltage_decays_as_the_equation_says(driven):
    kept = plots.record(*driven, [0])
    assert kept.t.tolist() == [(k + 1) * 1_000 - 1 for k in range(20)]
    assert kept.v.shape == (20, 1)
    np.testing.assert_allclose(kept.v[:, 0], [0.5 * math.exp(-k / 10) for k in range(20)], rtol=1e-5)
    assert len(kept.spikes) == 0


@settings(max_examples=25, deadline=None)
@example(seed=0, stop=3_001, start=0)
@example(seed=0, stop=3_000, start=999)
@given(seed=st.integers(0, 2**32), stop=st.integers(1, 30_000), start=st.integers(0, 2_500))
def test_recording_leaves_the_network_as_running_would(seed, stop, start):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(start, start + stop, 100))
    spikes = ss.Spikes(start, start + stop, t, rng.integers(0, 6, 100).astype(np.int32))
    watched, alone = (ss.Network(6, 4, seed=1, v_thresh=0.3) for _ in range(2))
    kept = plots.record(watched, spikes, [2, 0])
    made = alone(spikes)
    np.testing.assert_array_equal(kept.spikes.t, made.t)
    np.testing.assert_array_equal(kept.spikes.axon, made.axon)
    left, right = watched.state(), alone.state()
    for key in right:
        np.testing.assert_array_equal(left[key], right[key], err_msg=key)
    assert len(kept.t) == (start + stop) // 1_000 - start // 1_000
    if len(kept.t):
        np.testing.assert_array_equal(kept.v[-1], alone.state()["v"][[2, 0]])


def test_voltages_are_lines_with_strokes_where_their_neuron_fired():
    spikes = spikes_at([(1_999, 7), (2_999, 4), (3_999, 4)])
    v = np.array([[0, 1], [0, 2], [3, 1]], np.float32)
    ax = plots.membrane(plots.Membrane(np.array([999, 1_999, 2_999]), v, (4, 5), spikes))
    four, strokes, five, none = ax.lines
    assert (four.get_label(), five.get_label()) == ("neuron 4", "neuron 5")
    np.testing.assert_allclose(four.get_xydata(), [[999e-6, 0], [1_999e-6, 0], [2_999e-6, 3]])
    np.testing.assert_allclose(strokes.get_xdata(), [2_999e-6, 3_999e-6])
    assert min(strokes.get_ydata()) > 3
    assert strokes.get_color() == four.get_color() != five.get_color()
    assert len(none.get_xdata()) == 0
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["neuron 4", "neuron 5"]


@pytest.mark.parametrize("neurons", [[1], [-1], [0, 7]])
def test_there_is_no_voltage_of_a_neuron_that_is_not_there(neurons, driven):
    network, spikes = driven
    with pytest.raises(ConfigError, match=r"there is no neuron"):
        plots.record(network, spikes, neurons)
    assert network.state()["v"].tolist() == [0.0]


def test_no_voltage_is_no_picture(driven):
    network, _ = driven
    with pytest.raises(ConfigError, match="no voltage"):
        plots.membrane(plots.record(network, no_spikes(0, 10), [0]))


# Sound.


def test_a_cochleagram_counts_by_band_and_time():
    bands = np.array([100.0, 200.0, 400.0])
    spikes = spikes_at([(0, 0), (1, 3), (499, 6), (500, 1), (999, 2), (999, 5)], 0, 1_000)
    ax = plots.cochleagram(spikes, bands, columns=2)
    (image,) = ax.images
    np.testing.assert_allclose(np.asarray(image.get_array()) ** 2, [[3, 0], [0, 1], [0, 2]])
    assert image.origin == "lower"
    assert tuple(image.get_extent()) == (0, 1e-3, -0.5, 2.5)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["100", "200", "400"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("s", "Hz")


def test_a_tone_is_brightest_at_its_band():
    rate = 16_000
    tone = 0.1 * np.sin(2 * np.pi * 1_000 * np.arange(rate // 2) / rate)
    ear = ss.Cochlea(rate)
    heard = ear(ss.Sound(0, 500_000, tone.astype(np.float32)[:, np.newaxis]))
    (image,) = plots.cochleagram(heard, ear.centres_hz, columns=10).images
    loudest = int(np.asarray(image.get_array())[:, 2:].sum(axis=1).argmax())
    assert abs(ear.centres_hz[loudest] - 1_000) < 100


@pytest.mark.parametrize(("cells", "bands"), [(np.zeros((2, 3)), 3), (np.zeros(3), 3), (np.zeros((0, 3)), 0)])
def test_counts_that_are_not_of_these_bands_are_refused(cells, bands):
    with pytest.raises(ConfigError, match="are not of"):
        plots.band_counts(cells, np.ones(bands), (0, 9))
    with pytest.raises(ConfigError, match="make no picture"):
        plots.cochleagram(no_spikes(0, 9), np.ones(bands), columns=0)


def test_the_events_of_a_pixel_are_drawn_where_it_is():
    ax = plots.pixel_counts(np.array([[0, 4], [9, 0], [0, 0]]))
    np.testing.assert_allclose(ax.images[0].get_array(), [[0, 2], [3, 0], [0, 0]])
    assert not ax.axison
    with pytest.raises(ConfigError, match="make no picture"):
        plots.pixel_counts(np.zeros(3))


def test_the_rate_of_events_is_drawn_in_events_a_second_with_on_above_off():
    ax = plots.event_rate(np.array([[1, 2], [3, 0]]), (5_000_000, 7_000_000), origin_us=4_000_000)
    off, on = (patch.get_data() for patch in ax.patches)
    assert (off.values.tolist(), off.edges.tolist()) == ([1, 2], [1, 2, 3])
    assert (on.values.tolist(), on.baseline.tolist()) == ([4, 2], [1, 2])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["OFF", "ON"]
    with pytest.raises(ConfigError, match="two polarities"):
        plots.event_rate(np.zeros((3, 4)), (0, 1))


# Weights.


def test_a_weight_is_drawn_at_its_pixel_and_in_its_polarity_s_colour():
    size, weights = (4, 3), np.zeros((24, 2), np.float32)
    address = ss.Address(size)
    events = np.zeros(3, ss.read(LOOKS).data.dtype)
    for row, (x, y, p) in zip(events, [(3, 0, True), (0, 2, False), (1, 1, True)], strict=True):
        row["x"], row["y"], row["p"] = x, y, p
    on, off, both = address(ss.Events(0, 1, events, size)).axon
    weights[[on, off, both], 1] = 1.0
    weights[both - 12, 1] = 1.0
    ax = plots.weight_maps(weights, size=size, neurons=[1])
    image = np.asarray(ax.images[0].get_array())
    assert image.shape == (3, 4, 3)
    assert [text.get_text() for text in ax.texts] == ["1"]
    lit = {(x, y): image[y, x] for y, x in np.argwhere(image.any(axis=2))}
    assert lit.keys() == {(3, 0), (0, 2), (1, 1)}
    assert lit[3, 0][0] == 1 and lit[3, 0][2] == 0  # ON: red and some green, no blue  # noqa: PT018
    assert lit[0, 2][0] == 0 and lit[0, 2][2] == 1  # noqa: PT018
    np.testing.assert_allclose(lit[1, 1], [1, 1, 1])


def test_without_polarity_a_weight_is_its_own_brightness():
    weights = np.arange(12, dtype=np.float32).reshape(6, 2)
    ax = plots.weight_maps(weights, size=(3, 2))
    image = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert ax.images[0].get_clim() == (0, 11)
    maps = {0: weights[:, 0].reshape(2, 3), 1: weights[:, 1].reshape(2, 3)}
    for text in ax.texts:
        x, y = (int(place) for place in text.get_position())
        np.testing.assert_array_equal(image[y : y + 2, x : x + 3], maps.pop(int(text.get_text())))
    assert not maps
    assert np.isnan(image).sum() == image.size - 12


def test_weights_below_nothing_have_a_colour_of_their_own_and_nothing_is_white():
    weights = np.array([[-2.0], [0.0], [1.0]], np.float32)
    image = plots.weight_maps(weights, size=(3, 1)).images[0]
    assert image.get_clim() == (-2, 2)
    below, nothing, above = image.cmap(image.norm(weights[:, 0]))
    assert below[2] > below[0]
    assert above[0] > above[2]
    assert nothing[:3] == pytest.approx([1, 1, 1], abs=0.05)


def test_weights_of_an_ear_are_bands_by_fibres_with_high_ones_on_top():
    weights = np.zeros((6, 1), np.float32)
    weights[1 * 3 + 0, 0] = 1.0  # fibre 1, the lowest of 3 bands
    weights[0 * 3 + 2, 0] = 0.5
    ax = plots.weight_maps(weights, bands=3)
    assert np.asarray(ax.images[0].get_array()).tolist() == [[0.5, 0], [0, 0], [0, 1]]


@given(count=st.integers(1, 150), size=st.tuples(st.integers(1, 40), st.integers(1, 40)), planes=st.integers(1, 2))
@settings(max_examples=25, deadline=None)
def test_maps_do_not_overlap(count, size, planes):
    weights = np.ones((planes * size[0] * size[1], count), np.float32)
    ax = plots.weight_maps(weights, size=size)
    image = np.ma.filled(ax.images[0].get_array(), np.nan)
    shown = min(count, plots.MOST_MAPS)
    lit = (image == 1).all(axis=2) if planes == 2 else image == 1
    assert np.count_nonzero(lit) == shown * size[0] * size[1]
    assert [int(text.get_text()) for text in ax.texts] == list(range(shown))


@pytest.mark.parametrize(
    ("shape", "where", "words"),
    [
        ((24, 2), {"size": (5, 3)}, "24 axons are not those of (5, 3) pixels"),
        ((24, 2), {"bands": 7}, "24 axons are not those of 7 bands"),
        ((24, 2), {"bands": 0}, "no bands"),
        ((24, 2), {}, "no bands"),
        ((24, 2), {"bands": 3, "size": (4, 3)}, "either size"),
        ((24, 2), {"size": (4, 3), "neurons": [2]}, "no such neurons"),
        ((24, 2), {"size": (4, 3), "neurons": []}, "no such neurons"),
        ((24,), {"size": (4, 3)}, "make no maps"),
        ((24, 0), {"size": (4, 3)}, "make no maps"),
    ],
)
def test_weights_that_do_not_fit_are_refused(shape, where, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        plots.weight_maps(np.ones(shape, np.float32), **where)


def test_weights_that_are_not_finite_are_refused():
    with pytest.raises(ConfigError, match="finite"):
        plots.weight_maps(np.full((2, 1), np.nan), bands=2)


# A learning rule.


def expected_change(lag_ms, rate=0.05, tau_ms=30.0):
    """Return what trace-centroid STDP does to a weight of 1/2 beside one of sqrt(3)/2 that has just had its spike."""
    trace = math.exp(-lag_ms / tau_ms) if lag_ms >= 0 else 0.0
    moved = 0.5 + rate * (trace - 0.5)
    driver = math.sqrt(0.75) + rate * (1 - math.sqrt(0.75))
    return moved / math.hypot(moved, driver) / 0.5 - 1


@pytest.mark.parametrize("lag_ms", [-80, -1, 0, 1, 17, 100])
def test_a_pair_changes_its_weight_as_the_rule_s_equation_says(lag_ms):
    assert plots.pair_change(lag_ms) == pytest.approx(expected_change(lag_ms), abs=1e-5)
    other = plots.pair_change(lag_ms, rate_start=0.2, rate_end=0.2, tau_plus_ms=10.0)
    assert other == pytest.approx(expected_change(lag_ms, 0.2, 10.0), abs=1e-5)


@pytest.mark.parametrize("lag_ms", [-40, -1, 0, 1, 40])
def test_a_pair_of_another_rule_is_measured_the_same_way(lag_ms):
    measured = plots.pair_change(lag_ms, rule="pair", a_plus=0.01, a_minus=0.02, tau_plus_ms=20.0, tau_minus_ms=10.0)
    want = 0.01 * math.exp(-lag_ms / 20) if lag_ms >= 0 else -0.02 * math.exp(lag_ms / 10)
    assert measured == pytest.approx(want / 0.5, abs=1e-6)


def test_a_pair_that_makes_no_single_spike_is_refused():
    with pytest.raises(ConfigError, match="not one"):
        plots.pair_change(-5.0, v_reset=0.6)


def test_the_window_of_any_rule_is_drawn_and_jumps_at_0():
    ax = plots.stdp_window(lambda lag: 0.01 * lag + (lag >= 0), lags_ms=[10, -20, 0, -10])
    before, after = ax.lines[-2:]
    np.testing.assert_allclose(before.get_xydata(), [[-20, -20], [-10, -10]])
    np.testing.assert_allclose(after.get_xydata(), [[0, 100], [10, 110]])
    assert "%" in ax.get_ylabel()


def test_the_window_of_the_built_in_rule():
    ax = plots.stdp_window()
    lags, changes = np.vstack([line.get_xydata() for line in ax.lines[-2:]]).T
    assert lags.tolist() == list(plots.LAGS_MS)
    np.testing.assert_allclose(changes, [100 * expected_change(lag) for lag in lags], atol=1e-3)


# Answers.


def segments(lines):
    """Return (start, stop, row, colour) of every line of a collection."""
    colours = np.broadcast_to(lines.get_colors(), (len(lines.get_segments()), 4))
    return [
        (*(round(float(x), 9) for x in path[:, 0]), int(path[0, 1]), tuple(colour))
        for path, colour in zip(lines.get_segments(), colours, strict=True)
    ]


def test_a_timeline_has_a_row_for_each_label_and_tells_right_from_wrong():
    from matplotlib.colors import to_rgba

    rows = decided(["cat", None, "ant", "cat"], start=HUGE)
    ax = plots.timeline(rows, truth=["cat", None, "cat", "ant"])
    true, made = ax.collections
    assert [label.get_text() for label in ax.get_yticklabels()] == ["unknown", "ant", "cat"]
    assert [(start, row) for start, _, row, _ in segments(true)] == [(0, 2), (0.2, 2), (0.3, 1)]
    right, wrong, unjudged = to_rgba("tab:blue"), to_rgba("tab:red"), to_rgba("dimgray")
    assert segments(made) == [
        (0, 0.1, 2, right),
        (0.1, 0.2, 0, unjudged),
        (0.2, 0.3, 1, wrong),
        (0.3, 0.4, 2, wrong),
    ]


@pytest.mark.filterwarnings("error")
def test_no_decisions_are_an_empty_picture():
    for ax in (plots.timeline([]), plots.learning_curve([], [])):
        ax.figure.canvas.draw()


def test_many_labels_are_named_only_in_part():
    ax = plots.timeline(decided([f"{k:03}" for k in range(500)]))
    assert len(ax.get_yticklabels()) == 40
    assert ax.get_ylim() == (-0.5, 500.5)


@given(st.lists(st.sampled_from(["a", "b", None]), max_size=60), st.integers(1, 70))
@settings(max_examples=50, deadline=None)
def test_a_learning_curve_is_the_mean_of_the_last_ones(labels, over):
    right = [label == "a" for label in labels]
    (line,) = plots.learning_curve(decided(labels), ["a"] * len(labels), over=over).lines
    want = [np.mean(right[max(0, k + 1 - over) : k + 1]) for k in range(len(right))]
    np.testing.assert_allclose(line.get_ydata(), want)
    np.testing.assert_allclose(line.get_xdata(), [(k + 1) / 10 for k in range(len(labels))])


def test_chance_and_names_are_in_the_legend():
    ax = plots.learning_curve(decided(["a"]), ["a"], name="taught")
    assert plots.learning_curve(decided(["b"]), ["a"], ax, name="held out", chance=0.25) is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["taught", "held out", "chance"]
    assert list(ax.lines[-1].get_ydata()) == [0.25, 0.25]


def test_truths_are_as_many_as_decisions():
    for draw in (lambda rows, truth: plots.timeline(rows, truth=truth), plots.learning_curve):
        with pytest.raises(ConfigError, match="2 truths do not fit 1 decisions"):
            draw(decided(["a"]), ["a", "b"])
    with pytest.raises(ConfigError, match="over 0"):
        plots.learning_curve([], [], over=0)


# The docs.


def test_the_example_in_the_docs_draws(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "plots.md").read_text(), re.DOTALL)
    (tmp_path / "recordings").symlink_to(ROOT / "recordings")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "plots.md", "exec"), {})
    made = {path.name for path in tmp_path.glob("*.png")}
    assert made == set(re.findall(r'savefig\("(.*?)"\)', code))
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in made)


def test_the_docs_name_every_plot():
    text = (ROOT / "docs" / "plots.md").read_text()
    assert not [name for name in plots.__all__ if not name.isupper() and name not in text]
