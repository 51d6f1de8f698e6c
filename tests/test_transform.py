"""Stages as transforms of tonic: beside tonic's own, in its Compose, its data sets and its frames."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from cli import ROOT
from dataset_cases import nmnist_bytes, recorded
from naive_features import Pooling
from test_tonic import nmnist_folder

import spikestream as ss
from spikestream.batch import EVENT

tonic = pytest.importorskip("tonic", reason="tonic is not installed: pip install 'spikestream[datasets]'")
SIZE = (34, 34)
XYTP = np.dtype([("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "?")])


def scene(n=3_000, kind=XYTP, seed=5):
    rng, made = np.random.default_rng(seed), np.zeros(n, kind)
    made["x"] = rng.integers(0, 34, n)
    if "y" in kind.names:
        made["y"] = rng.integers(0, 34, n)
    made["t"] = np.sort(rng.integers(7_777, 300_000, n))
    made["p"] = rng.integers(0, 2, n)
    return made


def filtered(*rows):
    return ss.Transform(ss.Filters(rows, size=SIZE))


@pytest.mark.parametrize(
    ("row", "theirs"),
    [
        ({"kind": "crop", "x": 7, "y": 7, "width": 20, "height": 20}, "CenterCrop(sensor_size=(34, 34, 2), size=20)"),
        ({"kind": "downsample", "factor": 2}, "Downsample(spatial_factor=0.5)"),
        ({"kind": "flip", "horizontal": True}, "RandomFlipLR(sensor_size=(34, 34, 2), p=1.0)"),
        ({"kind": "flip", "vertical": True}, "RandomFlipUD(sensor_size=(34, 34, 2), p=1.0)"),
        ({"kind": "polarity", "keep": "merge"}, "MergePolarities()"),
    ],
)
def test_what_tonic_has_too_is_the_same(row, theirs):
    wanted = eval(f"transforms.{theirs}", {"transforms": tonic.transforms})(scene())
    if row["kind"] == "polarity":  # merged ones are 0 there, and ON here
        wanted["p"] = True
    got = filtered(row)(scene())
    assert got.dtype == XYTP
    assert np.array_equal(got, wanted)


def test_a_refractory_pixel_rests_after_what_it_passed():
    wanted, last = [], {}
    for event in scene().tolist():
        if event[2] - last.get(event[:2], -1_000_000) >= 5_000:
            last[event[:2]] = event[2]
            wanted.append(event)
    assert filtered({"kind": "refractory", "period_ms": 5.0})(scene()).tolist() == wanted
    assert 1_000 < len(wanted) < 3_000


def test_pooled_spikes_are_events_of_a_smaller_sensor():
    transform = ss.Transform(ss.Address(SIZE), ss.Pool((2, 34, 34), pool=3, rest_ms=4.0))
    naive = Pooling((2, 34, 34), 3, 3, 4_000)
    wanted = [
        (unit % 12, unit // 12 % 12, time, unit // 144)
        for x, y, t, p in scene().tolist()
        for time, unit in naive.passed(t, int(p), y, x)
    ]
    got = transform(scene())
    assert got[["x", "y", "t", "p"]].tolist() == wanted
    assert transform.sensor_size == (12, 12, 2)
    frames = tonic.transforms.ToFrame(sensor_size=transform.sensor_size, n_time_bins=5)(got)
    assert frames.shape == (5, 2, 12, 12)
    assert 0 < frames.sum() <= len(got)


def test_addresses_are_pixels_again_or_channels():
    events = scene()
    back = ss.Transform(ss.Address(SIZE))
    assert back(events)[list(XYTP.names)].tolist() == events.tolist()
    assert back.sensor_size == (34, 34, 2)
    flat = ss.Transform(ss.Address(SIZE), flat=True)
    axons = (events["p"] * 34 + events["y"]) * 34 + events["x"]
    assert flat(events).tolist() == [(t, axon, 1) for t, axon in zip(events["t"].tolist(), axons.tolist(), strict=True)]
    assert flat.sensor_size == (2 * 34 * 34, 1, 1)
    frames = tonic.transforms.ToFrame(sensor_size=flat.sensor_size, time_window=50_000)(flat(events))
    assert frames.shape[1:] == (1, 2 * 34 * 34)
    merged = ss.Transform(ss.Address(SIZE, polarity=False))
    assert merged.sensor_size == (34, 34, 1)
    assert set(merged(events)["p"].tolist()) == {0}


def network():
    return ss.Network(axons=2 * 34 * 34, neurons=20, seed=3)


def test_a_network_answers_every_sample_as_if_it_were_the_first():
    transform = ss.Transform(ss.Address(SIZE), network())
    first, other = transform(scene()), transform(scene(seed=6))
    assert transform(scene()).tolist() == first.tolist() != other.tolist()
    data = np.empty(3_000, EVENT)
    for name in "txyp":
        data[name] = scene()[name]
    stop = (int(data["t"][-1]) // 1_000 + 1) * 1_000
    alone = network()(ss.Address(SIZE)(ss.Events(7_000, stop, data, SIZE)))
    assert first["t"].tolist() == alone.t.tolist()
    assert first["x"].tolist() == alone.axon.tolist()
    assert len(first) > 10
    assert transform.sensor_size == (20, 1, 1)


def test_a_transform_goes_to_other_processes():
    transform = ss.Transform(ss.Filters([{"kind": "refractory", "period_ms": 5.0}], size=SIZE), ss.Address(SIZE))
    transform(scene(seed=9))
    sent = pickle.loads(pickle.dumps(transform))
    assert sent(scene()).tolist() == transform(scene()).tolist()


def test_it_stands_in_compose_and_in_a_data_set(tmp_path):
    files = []
    for k in range(10):
        files.append(tmp_path / f"{k}.bin")
        files[-1].write_bytes(nmnist_bytes(k))
    own = filtered({"kind": "refractory", "period_ms": 3.0}, {"kind": "downsample", "factor": 2})
    both = tonic.transforms.Compose(
        [tonic.transforms.Downsample(time_factor=2.0), own, tonic.transforms.ToFrame(own.sensor_size, n_time_bins=4)]
    )
    assert "Transform(Filters)" in repr(both)
    data = tonic.datasets.NMNIST(str(nmnist_folder(tmp_path, files)), train=True, transform=both)
    frames, label = data[3]  # the recordings of a class are alike
    assert (frames.shape, label) == ((4, 2, 17, 17), 0)
    plain = tonic.datasets.NMNIST(str(tmp_path), train=True, transform=own)[1_003][0]
    assert plain.dtype == tonic.datasets.NMNIST.dtype
    assert {(t, x, y, p) for x, y, t, p in plain.tolist()} <= {(t, x // 2, y // 2, p) for t, x, y, p in recorded(1)}


@pytest.mark.parametrize("kind", [np.dtype([("t", "f8"), ("x", "u2"), ("p", "i1")]), EVENT, np.dtype(XYTP.descr[:3])])
def test_fields_and_types_stay_what_they_were(kind):
    made = scene(kind=np.dtype([one for one in kind.descr if one[0] != "p"] + [("p", "i1")]))
    events = np.zeros(len(made), kind)
    for name in kind.names:
        events[name] = made[name]
    got = filtered({"kind": "crop", "width": 10, "height": 34})(events)
    assert np.array_equal(got, events[events["x"] < 10])
    assert got.dtype == kind


def test_unsorted_events_and_those_of_no_pixel():
    rows = [
        (1, 1, 50, 1),
        (-1, 2, 60, 0),
        (70_000, 2, 61, 0),
        (3, 65_536, 62, 1),
        (3, -1, 62, 1),
        (65_535, 65_535, 7, 0),
    ]
    events = np.array(rows, PLAIN)
    everything = ss.Transform(ss.Filters([], size=(65_536, 65_536)))
    assert everything(events).tolist() == [rows[5], rows[0]]
    assert events.tolist() == rows
    assert filtered()(events).tolist() == [rows[0]]


class Seen(ss.Filters):
    """Remembers which time it was given."""

    def __call__(self, batch):
        self.times = batch.start, batch.stop
        return super().__call__(batch)


@pytest.mark.parametrize(
    ("first", "last", "times"), [(0, 0, (0, 1_000)), (-1, 999, (-1_000, 1_000)), (7_999, 8_000, (7_000, 9_000))]
)
def test_time_runs_in_whole_milliseconds_so_that_ticks_end(first, last, times):
    seen = Seen([], size=SIZE)
    ss.Transform(seen)(np.array([(1, 1, first, 1), (1, 1, last, 1)], PLAIN))
    assert seen.times == times


PLAIN = np.dtype([("x", "<i8"), ("y", "<i8"), ("t", "<i8"), ("p", "<i8")])


def test_no_events_in_are_no_events_out_in_the_same_fields():
    none = np.empty(0, XYTP)
    assert filtered({"kind": "downsample", "factor": 2})(none).dtype == XYTP
    assert ss.Transform(ss.Address(SIZE))(none).dtype.names == ("x", "y", "t", "p")
    assert ss.Transform(ss.Address(SIZE), network())(none).dtype.names == ("t", "x", "p")


def test_what_cannot_be_is_said():
    with pytest.raises(ss.ConfigError, match="needs a stage"):
        ss.Transform()
    with pytest.raises(ss.ConfigError, match="how many axons"):
        ss.Transform(ss.Filters([], size=SIZE), flat=True)
    with pytest.raises(ss.RecordingError, match="no events"):
        ss.Transform(ss.Address(SIZE))(np.zeros((4, 4)))
    seconds = np.array([(1, 1, 0.25, 1)], [("x", "<i8"), ("y", "<i8"), ("t", "<f8"), ("p", "<i8")])
    with pytest.raises(ss.RecordingError, match=r"^t holds fractions(.|\n)*1e6"):
        ss.Transform(ss.Address(SIZE))(seconds)
    with pytest.raises(ss.RecordingError, match=r"^p is no polarity(.|\n)*found 1 to 2"):
        ss.Transform(ss.Address(SIZE))(np.array([(1, 1, 0, 1), (1, 1, 1, 2)], PLAIN))
    with pytest.raises(ss.ConfigError, match="addresses are made of events"):
        ss.Transform(ss.Address(SIZE), ss.Address(SIZE))(scene())
    with pytest.raises(ss.ConfigError, match="gives no decisions"):
        ss.Transform(ss.Address(SIZE), ss.Classifier(2 * 34 * 34, ["a", "b"], hidden=5))(scene())


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (5, r"^5 is no stage\n"),
        (None, r"^None is no stage\n"),
        (len, "is no stage"),
        ("address", "'address' is no stage: a name or a row makes none by itself"),
        ({"kind": "crop"}, "filters are rows of ss.Filters"),
        ([ss.Address(SIZE)], r"a list is no stage: .*one after the other, ss.Transform\(\*stages\)"),
        (SIZE, "one after the other"),
        (ss.Address, "the class Address is no stage: one has to be made of it"),
        (ss.build({}, size=SIZE), r"a Pipeline is no stage: .*ss.Transform\(\*pipeline.stages.values\(\)\)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_stage_is_one_clear_error(stage, words):
    for stages, number in (((stage,), 1), ((ss.Address(SIZE), stage), 2)):
        with pytest.raises(ss.ConfigError, match=words) as error:
            ss.Transform(*stages)
        assert error.value.key == f"stage {number}"
        assert isinstance(eval(error.value.remedy, {"ss": ss}), ss.Transform)  # it is what it looks like


def test_other_slips_are_one_clear_error():
    with pytest.raises(ss.ConfigError, match="flat='yes' is neither true nor false"):
        ss.Transform(ss.Address(SIZE), flat="yes")
    events = ss.Events(0, 10, np.empty(0, EVENT), SIZE)
    with pytest.raises(ss.RecordingError, match=r"found a Events\n  try: the .data of the Events"):
        ss.Transform(ss.Address(SIZE))(events)
    with pytest.raises(ss.RecordingError, match="found an array of float64"):
        ss.Transform(ss.Address(SIZE))(np.zeros((4, 4)))
    seconds = np.array([(1, 1, 0.25, 1)], [("x", "<i8"), ("y", "<i8"), ("t", "<f8"), ("p", "<i8")])
    with pytest.raises(ss.RecordingError, match=r"^t holds fractions(.|\n)*1e6"):
        ss.Transform(ss.Address(SIZE))(seconds)
    with pytest.raises(ss.RecordingError, match=r"^p is no polarity(.|\n)*found 1 to 2"):
        ss.Transform(ss.Address(SIZE))(np.array([(1, 1, 0, 1), (1, 1, 1, 2)], PLAIN))
    for rows in ("crop", ["crop:x=1"], {"kind": "downsample", "factor": 2}, 5):
        with pytest.raises(ss.ConfigError, match="are no rows of filters"):
            ss.Filters(rows, size=SIZE)
    for size in (5, "34x34", (34,), (34, 34, 2), (3.4, 34)):
        for made in (ss.Address, lambda size: ss.Filters([], size=size)):
            with pytest.raises(ss.ConfigError, match="is no size of a sensor"):
                made(size)


def test_the_example_in_the_docs_runs(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "datasets.md").read_text().partition("## Stages as transforms of tonic")[2]
    example = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    (tmp_path / "a.bin").write_bytes(nmnist_bytes(20))
    monkeypatch.chdir(nmnist_folder(tmp_path, [tmp_path / "a.bin"]))
    names = {}
    exec(compile(example.replace("/data", str(tmp_path)), "datasets.md", "exec"), names)
    assert names["frames"].shape == (10, 2, 9, 9)
