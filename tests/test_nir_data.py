"""Recorded activity in NIR's files: equal to what the nir package writes and reads."""

from __future__ import annotations

import h5py
import nir
import numpy as np
import pytest

from spikestream.errors import ModelError
from spikestream.files.careful_hdf5 import read_here
from spikestream.files.nir import read_nir
from spikestream.files.nir_data import activity_from, read_nir_data, write_nir_data
from spikestream.model.nir.data import Activity, Gridded, Happened

RNG = np.random.default_rng(5)
SPIKES = RNG.random((2, 30, 4)) < 0.2
POTENTIALS = RNG.normal(size=(2, 30, 4)).astype(np.float32)
IDX = np.array([[0, 3, -1], [1, -1, -1]])
TIME_S = np.array([[0.001, 0.0205, np.inf], [0.002, np.inf, np.inf]])
VALUE = np.array([[1.0, 2.5, 0.0], [-1.0, 0.0, 0.0]])


def theirs():
    observables = {
        "spikes": nir.TimeGriddedData(SPIKES, 1e-3),
        "v": nir.TimeGriddedData(POTENTIALS, 1e-3),
        "events": nir.EventData(IDX, TIME_S, 4, 0.03),
        "valued": nir.ValuedEventData(IDX, TIME_S, 4, 0.03, VALUE),
    }
    return nir.NIRGraphData({"lif.1": nir.NIRNodeData(observables), "empty": nir.NIRNodeData({})})


def check(activity):
    """Hold what was read to the arrays above."""
    assert set(activity.nodes) == {"lif.1", "empty"}
    found = activity.nodes["lif.1"]
    assert set(found) == {"spikes", "v", "events", "valued"}
    assert found["spikes"].data.dtype == bool
    assert np.array_equal(found["spikes"].data, SPIKES)
    assert np.array_equal(found["v"].data, POTENTIALS)
    assert (found["v"].data.dtype, found["v"].step_s) == (np.float32, 1e-3)
    for name in ("events", "valued"):
        one = found[name]
        assert (one.neurons, one.duration_s) == (4, 0.03)
        assert np.array_equal(one.idx, IDX)
        assert np.array_equal(one.time_s, TIME_S)
    assert found["events"].value is None
    assert np.array_equal(found["valued"].value, VALUE)


def test_what_nir_writes_is_read_equal(tmp_path):
    nir.serialization.write_data(tmp_path / "x.nir", theirs())
    check(read_nir_data(tmp_path / "x.nir"))


def test_what_is_written_is_read_equal_by_nir(tmp_path):
    nir.serialization.write_data(tmp_path / "x.nir", theirs())
    write_nir_data(tmp_path / "y.nir", read_nir_data(tmp_path / "x.nir"))
    found = nir.serialization.read_data(tmp_path / "y.nir")
    observables = found.nodes["lif.1"].observables
    assert np.array_equal(observables["v"].data, POTENTIALS)
    assert observables["spikes"].dt == 1e-3
    assert type(observables["events"]) is nir.EventData
    assert np.array_equal(observables["valued"].value, VALUE)
    assert (observables["valued"].n_neurons, observables["valued"].t_max) == (4, 0.03)


def test_graphs_within_graphs_which_nir_itself_cannot_write(tmp_path):
    inner = Activity({"a": {"v": Gridded(POTENTIALS, 1e-3)}})
    write_nir_data(tmp_path / "x.nir", Activity({"sub": inner}))
    found = nir.serialization.read_data(tmp_path / "x.nir")
    assert np.array_equal(found.nodes["sub"].nodes["a"].observables["v"].data, POTENTIALS)
    again = activity_from(read_here(str(tmp_path / "x.nir")), "x.nir")
    assert np.array_equal(again.nodes["sub"].nodes["a"]["v"].data, POTENTIALS)


def test_a_file_of_activity_is_no_graph_and_the_other_way_round(tmp_path):
    nir.serialization.write_data(tmp_path / "x.nir", theirs())
    with pytest.raises(ModelError, match="read_nir_data"):
        read_nir(tmp_path / "x.nir")
    nir.write(tmp_path / "y.nir", nir.NIRGraph({"s": nir.Scale(np.ones(2))}, [], type_check=False))
    with pytest.raises(ModelError, match="NIRGraphData is expected, found None"):
        read_nir_data(tmp_path / "y.nir")


LIES = {
    "lif.1/observables/v@dt": ("text", "step_s is a number"),
    "lif.1/observables/v@__type__": ("Video", "found 'Video'"),
    "lif.1@__type__": (3, "NIRNodeData is expected"),
    "lif.1/observables/events@n_neurons": (2, "one of 2 neurons"),
    "lif.1/observables/events@t_max": (-1.0, "from 0 on"),
    "lif.1/observables/events/time": (np.zeros(3), "2 axes"),
    "lif.1/observables/valued/value": (np.zeros((2, 2)), "one shape with idx"),
    "lif.1/observables/valued/idx": (None, "2 axes"),
    "lif.1/observables": (None, "'observables' of groups is missing"),
}


@pytest.mark.parametrize("where", LIES)
def test_a_file_that_lies_is_one_error(tmp_path, where):
    value, why = LIES[where]
    nir.serialization.write_data(tmp_path / "x.nir", theirs())
    with h5py.File(tmp_path / "x.nir", "a") as file:
        place, _, attribute = f"nodes/{where}".partition("@")
        if attribute:
            file[place].attrs[attribute] = value
        else:
            del file[place]
            if value is not None:
                file[place] = value
    with pytest.raises(ModelError, match=why):
        activity_from(read_here(str(tmp_path / "x.nir")), "x.nir")


def test_what_cannot_be_recorded():
    for make in (
        lambda: Gridded(np.zeros(3), 1e-3),
        lambda: Gridded(np.zeros((1, 2, 3)), np.inf),
        lambda: Happened(IDX.astype(float), TIME_S, 4, 1.0),
        lambda: Activity({"a": {"v": POTENTIALS}}),
    ):
        with pytest.raises(ModelError):
            make()
