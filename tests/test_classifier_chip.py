"""A classifier on a chip: its hidden neurons as a circuit and as cores, its readout beside them."""

from __future__ import annotations

import numpy as np
import pytest

import spikestream as ss
from spikestream import checkpoint
from spikestream.batch import EVENT
from spikestream.errors import ConfigError, ModelError

SIZE, LOOK_US, LOOKS = (4, 2), 40_000, 60
TABLES = {
    "filter": [],
    "address": {"polarity": "ignore"},
    "sensor": {"size": "4x2"},
    "readout": {"kind": "classifier", "windows": "grid", "window_us": LOOK_US},
    "classifier": {"hidden": 12, "w_init": 0.3, "fire_reset": "value", "rate": 0.02, "rate_end": 0.005, "store": 0},
}


def looks(seed, count=LOOKS):
    """Return events of looks at three things, and which each is: bars that spike more than what is around them."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 3, count)
    parts = []
    for k, kind in enumerate(kinds):
        rate = np.full(8, 2.0)
        rate[[kind, kind + 4]] = 14.0
        pixels = np.repeat(np.arange(8), rng.poisson(rate))
        part = np.zeros(len(pixels), EVENT)
        part["t"] = np.sort(rng.integers(k * LOOK_US, (k + 1) * LOOK_US, len(pixels)))
        pixels = rng.permutation(pixels)
        part["x"], part["y"], part["p"] = pixels % 4, pixels // 4, True
        parts.append(part)
    return ss.Events(0, count * LOOK_US, np.concatenate(parts), SIZE), [f"bar {kind}" for kind in kinds]


def taught(tables=TABLES):
    pipeline = ss.build(tables)
    events, names = looks(0)
    labels = [ss.Label((k + 1) * LOOK_US, k * LOOK_US, (k + 1) * LOOK_US, name) for k, name in enumerate(names)]
    pipeline(events, labels)
    return pipeline


def share(pipeline, seed=1):
    events, names = looks(seed)
    rows = pipeline(events)["readout"].rows
    return np.mean([row.label == name for row, name in zip(rows, names, strict=True)])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("chip") / "bars.npz"
    ss.save(path, taught())
    return path


def frozen(model, tables=TABLES, placement=None):
    pipeline = ss.build({**tables, "learn": {"enabled": False}}, placement=placement)
    checkpoint.transfer(model, pipeline)
    return pipeline


def test_the_circuit_spikes_as_the_hidden_neurons_do(model):
    pipeline = frozen(model)
    events, _ = looks(2)
    outputs = pipeline(events)
    circuit = pipeline.stages["readout"].circuit()
    out = ss.Simulator(circuit)(outputs["address"])
    assert len(out) == pipeline.stages["readout"].spikes > 200


@pytest.mark.parametrize("target", ["truenorth", "loihi"])
def test_on_a_chip_the_readout_it_was_taught_with_decides_nearly_as_well(model, target):
    placement = ss.compile(model, target)
    plain, on_chip = frozen(model), frozen(model, placement=placement)
    assert list(on_chip.stages) == ["filter", "address", "chip", "readout"]
    assert share(plain) > 0.9
    assert share(on_chip) > 0.8


def test_the_readout_of_a_chip_goes_on_learning(model):
    pipeline = ss.build(TABLES, placement=ss.compile(model, "truenorth"))
    events, names = looks(3)
    labels = [ss.Label((k + 1) * LOOK_US, k * LOOK_US, (k + 1) * LOOK_US, name) for k, name in enumerate(names)]
    pipeline(events, labels)
    assert set(pipeline.stages["readout"].labels) == {"bar 0", "bar 1", "bar 2"}
    assert share_from(pipeline, 4) > 0.85


def share_from(pipeline, seed):
    events, names = looks(seed)
    start = pipeline.now
    moved = events.data.copy()
    moved["t"] += start
    rows = pipeline(ss.Events(start, start + events.stop, moved, SIZE))["readout"].rows
    return np.mean([row.label == name for row, name in zip(rows, names, strict=True)])


def test_neurons_whose_thresholds_adapt_and_none_at_all_have_no_circuit():
    for options, text in (({"adaptive": 0.5}, "adapt"), ({"hidden": 0}, "without hidden neurons")):
        with pytest.raises(ModelError, match=text):
            ss.Classifier(8, 3, **options).circuit()


def test_a_reset_that_no_chip_has_is_refused(model):
    with pytest.raises(ConfigError, match="fire_reset"):
        ss.Classifier(8, 3, fire_reset="half")
