"""Limits of the classifier: until when a class is new, and which options, settings and states it refuses."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from spikestream import Classifier, Label, Network, Setting, Spikes
from spikestream.errors import ConfigError, ModelError
from spikestream.kernels import eprop
from spikestream.stages import base


@pytest.mark.parametrize(
    "options",
    [
        {"classes": 2.5},
        {"classes": ("a", "a")},
        {"classes": "ab"},
        {"classes": ("a", 1)},
        {"classes": ("a", "")},
        {"classes": np.array(["a", "b"])},
        {"evidence_min": "many"},
        {"confidence_min": None},
    ],
)
def test_an_option_that_cannot_be_is_refused_by_its_name(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        Classifier(4, **{"hidden": 3, **options})


@pytest.mark.parametrize(
    ("key", "value"),
    [("rate", float("nan")), ("rate", "fast"), ("rate", None), ("replays", 1.5), ("confidence_min", 2.0), ("kept", 3)],
)
def test_a_setting_that_cannot_be_is_refused_when_it_is_given(key: str, value: Any) -> None:
    classifier = Classifier(4, hidden=3)
    before = classifier.settings
    with pytest.raises(ConfigError, match=f"classifier.{key}"):
        classifier.command(Setting(0, f"classifier.{key}", value))
    classifier(Spikes(0, 200_000, np.zeros(0, np.int64), np.zeros(0, np.int32)))
    assert classifier.settings == before


@pytest.mark.parametrize(
    "options",
    [
        {"axons": 500, "hidden": 200},
        {"axons": 4, "hidden": (300, 300)},
        {"axons": 4, "hidden": 300, "recurrent": 0.1},
        {"axons": 5_000, "hidden": 0, "tau_out_ms": (20.0, 60.0)},
        {"axons": 4, "hidden": 100, "classes": 1_000},
    ],
)
def test_more_than_the_machine_has_is_refused_before_it_is_asked_for(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Classifier(**options)
    monkeypatch.setattr(base, "MACHINE_BYTES", 1_000_000)  # of a smaller machine: this one is not to be filled
    with pytest.raises(ConfigError, match="do not fit the memory of this machine"):
        Classifier(**options)
    Classifier(4, hidden=10)


def test_a_network_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MACHINE_BYTES", 1_000_000)
    with pytest.raises(ConfigError, match="do not fit the memory of this machine"):
        Network(1_000, neurons=251)
    Network(1_000, neurons=249)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"tick_us": 500}, "another tick_us"),
        ({"tau_m_ms": (2.0, 4.0)}, "tau_m_ms"),
        ({"tau_m_ms": (40.0, 80.0)}, "tau_m_ms"),
        ({"beta": 0.4}, "beta and adaptive"),
        ({"adaptive": 0.25}, "beta and adaptive"),
    ],
)
def test_neurons_of_other_options_are_not_taken_over(options: dict[str, Any], why: str) -> None:
    drawn: dict[str, Any] = {"hidden": 8, "tau_m_ms": (10.0, 30.0), "adaptive": 0.5}
    saved = Classifier(4, **drawn).state()
    Classifier(4, **drawn, seed=7).restore(saved)
    other = Classifier(4, **drawn | options)
    before = other.state()
    with pytest.raises(ModelError, match=re.escape(why)):
        other.restore(saved)
    assert all(np.array_equal(value, before[key]) for key, value in other.state().items())


@pytest.mark.parametrize(("often", "steps"), [(10, 2), (11, 3)])
def test_a_class_is_new_while_another_was_taught_more_than_ten_times_as_often(often: int, steps: int) -> None:
    classifier = Classifier(4, hidden=3, window_us=10_000, reset=True)
    silence = np.zeros(0, np.int64), np.zeros(0, np.int32)
    for k, name in enumerate([*["a", "c"] * often, "b"]):
        before = int(classifier.state()["steps"][0])
        start, stop = k * 10_000, (k + 1) * 10_000
        classifier(Spikes(start, stop, *silence))
        classifier.command(Label(stop, start, stop, name))
    assert int(classifier.state()["steps"][0]) - before == steps


def test_the_readout_hears_what_has_faded_to_a_hundredth() -> None:
    params = eprop.Params(hidden=0)
    weights, share = eprop.init(1, 2, params, 1_000), np.zeros(2, np.float32)
    memory = eprop.rest(weights)
    weights.v[0, 0] = 100, -100
    memory.o[0, 0] = 0.01
    eprop.read(eprop.design(params, 1_000), weights, memory, 0, 2, share)
    assert share[0] == pytest.approx(1 / (1 + np.exp(-2)), rel=1e-5)


def test_as_many_neurons_adapt_as_the_share_says() -> None:
    params = eprop.Params(hidden=100, adaptive=0.29)  # 0.29 * 100 is a little less than 29
    assert np.count_nonzero(eprop.init(1, 1, params, 1_000).beta) == 29


@pytest.mark.parametrize("hidden", [6, (4, 3)])
def test_no_neuron_begins_by_hearing_itself(hidden: int | tuple[int, ...]) -> None:
    params = eprop.Params(hidden=hidden, recurrent=0.5)
    r, own = eprop.init(2, 2, params, 1_000).r, [k for size in params.layers for k in range(size)]
    assert all(r[neuron, place] == 0 for neuron, place in enumerate(own))
    assert np.count_nonzero(r) > len(own)
