"""What a chip of crossbar cores counts, in numbers one can count oneself; random chips are held to a twin's count."""

from __future__ import annotations

import numpy as np
import pytest
from crossbar_cases import Chip, fired, many_networks, random_input, spikes

from spikestream.batch import no_spikes
from spikestream.errors import ModelError
from spikestream.model.crossbar import CrossbarPlacement
from spikestream.model.placement import NOWHERE, PIN


def counted(chip):
    """Return what is not nothing."""
    return {name: count for name, count in chip.counters.items() if count}


def row_of_three(**more):
    """Return a chip of three cores of two axons and three neurons; axon 0 drives all of them, axon 1 only the last."""
    crossbar = np.zeros((3, 2, 3), bool)
    crossbar[:, 0, :] = crossbar[:, 1, 2] = True
    given = {"weights": 1, "threshold": 1, "core_xy": np.array([[1, 5], [4, 1], [0, 0]]), "grid": (6, 6)}
    return Chip(CrossbarPlacement.of(3, 2, 3, crossbar=crossbar, **{**given, **more}))


def test_nothing_has_been_counted_before_the_first_tick():
    chip = row_of_three()
    chip.prepare()
    assert counted(chip) == {}
    names = ["synaptic_operations", "axon_events", "neuron_updates", "spikes", "hops_x", "hops_y", "dropped"]
    assert list(chip.counters) == names
    assert {type(count) for count in chip.counters.values()} == {int}


def test_operations_are_the_synapses_of_axons_and_an_axon_is_one_however_many_drive_it():
    chip = row_of_three(threshold=9)
    chip(spikes([(0, 0), (0, 0), (0, 3), (2, 1)], 5))  # core 0 axon 0 twice, core 1 axon 1, core 0 axon 1
    assert counted(chip) == {"synaptic_operations": 3 + 1 + 1, "axon_events": 3, "neuron_updates": 5 * 9}


def test_a_synapse_that_is_drawn_is_an_operation_whatever_comes_of_it():
    chip = row_of_three(threshold=9, random_weights=True)
    chip(spikes([(k, 0) for k in range(100)], 100))
    assert chip.v.sum() < 20
    assert counted(chip) == {"synaptic_operations": 300, "axon_events": 100, "neuron_updates": 900}


@pytest.mark.parametrize(("bus", "x", "y"), [((-1, -1), 0, 0), ((3, 0), 2, 5)])
def test_hops_go_to_the_core_of_the_target_and_to_where_the_outputs_sit(bus, x, y):
    # Core 0's neurons: to axon 1 of core 1, three columns and four rows off; to an output; to nowhere.
    target = np.full((3, 3), NOWHERE)
    target[0] = 1, PIN, NOWHERE
    axon = np.zeros((3, 3), int)
    axon[0, 0] = 1
    chip = row_of_three(target_core=target, target_axon=axon, outputs=1, bus_xy=bus)
    assert fired(chip, [(0, 0)], 4) == [(0, 0)]
    # Then the last neuron of core 1 spikes, which has no target either.
    expected = {"synaptic_operations": 3 + 1, "axon_events": 2, "neuron_updates": 4 * 9, "spikes": 4}
    expected |= {"hops_x": 3 + x, "hops_y": 4 + y, "dropped": 2}
    assert counted(chip) == expected


def test_a_spike_across_the_largest_mesh_and_a_reset_of_many_bits_do_not_get_in_each_other_s_way():
    far, reset = 4_095, -(2**18) + 1
    given = {"core_xy": np.array([[far, 0], [0, far]]), "grid": (far + 1, far + 1), "reset": reset, "floor": -reset}
    chip = Chip(CrossbarPlacement.of(2, 1, 1, target_core=[[1], [0]], delay=15, weights=1, synapses=1, **given))
    chip(spikes([(0, 0)], 20))
    assert chip.v.tolist() == [[reset], [reset]]
    assert (chip.counters["hops_x"], chip.counters["hops_y"], chip.counters["spikes"]) == (2 * far, 2 * far, 2)


def test_neurons_of_quiet_cores_and_of_jumped_ticks_are_updated_as_on_the_chip():
    chip = row_of_three(threshold=9)
    late = 10**12
    chip(spikes([(3, 0), (late, 0)], late + 10))
    assert counted(chip) == {"synaptic_operations": 6, "axon_events": 2, "neuron_updates": 9 * (late + 10)}


def test_a_chip_that_stands_still_counts_nothing(monkeypatch):
    monkeypatch.setattr("spikestream.stages.ticked.GAP_TICKS", 10)
    chip = row_of_three()
    chip(no_spikes(0, 5_000))
    chip.skip(5_000, 100_000)
    assert counted(chip) == {"neuron_updates": 15 * 9}


def test_counting_goes_on_from_a_saved_state():
    placement = many_networks(4, 9, 20, 24)[0]
    rows = random_input(1, placement.input_count, 60)
    whole, first, second = Chip(placement), Chip(placement), Chip(placement)
    fired(whole, rows, 60)
    fired(first, [row for row in rows if row[0] < 23], 23)
    half = first.counters
    saved = first.state()
    fired(first, [], 9, first=23)
    second.restore(saved)
    saved["counters"][...] = 7
    assert second.counters == half
    fired(second, [row for row in rows if row[0] >= 23], 37, first=23)
    assert second.counters == whole.counters
    assert min(whole.counters[name] - half[name] for name in half) > 10


@pytest.mark.parametrize("wrong", [np.full(7, -1), np.zeros(6, np.int64), np.zeros(7, np.int32)])
def test_counters_that_cannot_be_are_refused(wrong):
    chip = row_of_three()
    with pytest.raises(ModelError):
        chip.restore({**chip.state(), "counters": wrong})
    assert counted(chip) == {}
