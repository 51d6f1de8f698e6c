"""Where the work of a chip is: counts of neurons, cores and links, against spikes that walk their way step by step."""

from __future__ import annotations

import struct
from collections import Counter

import loihi_cases
import naive_crossbar
import naive_loihi
import numpy as np
import pytest
from chip_cases import mesh, relays
from crossbar_cases import random_chip, random_input

from spikestream.batch import Spikes, no_spikes
from spikestream.errors import ConfigError
from spikestream.model.load import load_of
from spikestream.model.placement import PIN
from spikestream.plots import chip_picture
from spikestream.stages.chip import Chip

TICKS = 60


class Walking(naive_crossbar.Chip):
    """The plain chip, in which every spike walks over the mesh, along x first, and counts where it has been."""

    def __init__(self, placement):
        super().__init__(placement)
        self.fires, self.links, self.came = Counter(), Counter(), Counter()

    def neuron(self, core, j, key, active, own):
        fires = super().neuron(core, j, key, active, own)
        if fires:
            self.fires[core, j] += 1
            self.walk(self.xy[core], own[-3])
        return fires

    def walk(self, place, target):
        self.came[target] += target >= 0
        if target >= 0 or (target == PIN and -1 not in self.p.bus_xy):
            walk(self.links, place, self.p.bus_xy if target == PIN else self.xy[target])


def walk(links, place, goal):
    """Go along x, then along y, and count each link."""
    (x, y), (to_x, to_y) = place, goal
    while (x, y) != (to_x, to_y):
        on = (x + (1 if to_x > x else -1), y) if x != to_x else (x, y + (1 if to_y > y else -1))
        links[min((x, y), on), max((x, y), on)] += 1
        x, y = on


def by_link(load):
    """Return what went over each link that was used."""
    links = {((x, y), (x + 1, y)): int(load.across[y, x]) for y, x in np.argwhere(load.across).tolist()}
    return links | {((x, y), (x, y + 1)): int(load.down[y, x]) for y, x in np.argwhere(load.down).tolist()}


def ran(placement, seed=0):
    """Return a chip and its plain twin after some ticks of the same input, and the spikes of each input."""
    table = random_input(seed, placement.input_count, TICKS) if placement.input_count else []
    t, axon = (np.array([row[k] for row in table], np.int64) for k in (0, 1))
    chip, twin = Chip(placement), Walking(placement)
    chip.watch()
    chip(Spikes(0, TICKS * 1000, t * 1000, axon.astype(np.int32)))
    for k in range(TICKS):
        twin.tick(k, axon[t == k].tolist())
    return chip, twin, np.bincount(axon, minlength=placement.input_count)


@pytest.mark.parametrize("seed", range(20))
def test_every_spike_of_every_neuron_is_counted(seed):
    chip, twin, _ = ran(random_chip(seed, drawn=seed % 2 == 1), seed)
    expected = np.zeros(chip.fires.shape, int)
    for place, count in twin.fires.items():
        expected[place] = count
    assert np.array_equal(chip.fires, expected)
    assert chip.fires.sum() == chip.counters["spikes"]


def test_nobody_counts_unless_told_to_and_nothing_else_changes():
    placement = random_chip(11, cores=3, axons=20, neurons=30)
    plain, (watched, _, _) = Chip(placement), ran(placement, 1)
    table = random_input(1, placement.input_count, TICKS)
    t, axon = (np.array([row[k] for row in table], np.int64) for k in (0, 1))
    plain(Spikes(0, TICKS * 1000, t * 1000, axon.astype(np.int32)))
    assert watched.fires.any()
    assert not plain.fires.any()
    assert all(np.array_equal(value, plain.state()[key]) for key, value in watched.state().items())


@pytest.mark.parametrize("seed", range(8))
def test_links_carry_what_walked_over_them_and_cores_what_came(seed):
    placement = mesh(seed)
    chip, twin, heard = ran(placement)
    load = load_of(placement, chip.fires, heard)
    assert by_link(load) == twin.links
    assert load.spikes.tolist() == [twin.came[core] for core in range(placement.cores)]
    assert load.across.sum() == chip.counters["hops_x"] > 0
    assert load.down.sum() == chip.counters["hops_y"] > 0


@pytest.mark.parametrize("seed", range(4))
def test_operations_are_those_the_chip_counts_once_all_spikes_are_there(seed):
    placement = mesh(seed)
    # No leak, so it falls silent: what is under way at the end arrives, and no axon hears two spikes in a tick.
    quiet = type(placement)(**{**fields_of(placement), "leak": 0 * placement.leak, "v0": 0 * placement.v0 + 30})
    chip, _, heard = ran(quiet)
    chip(no_spikes(TICKS * 1000, 10 * TICKS * 1000))
    load = load_of(quiet, chip.fires, heard)
    under_way = int(chip.state()["ring"].any())
    assert not under_way
    assert load.operations.sum() == chip.counters["synaptic_operations"] > 100
    assert load.spikes.sum() == chip.counters["axon_events"]


def fields_of(placement):
    from dataclasses import fields

    return {one.name: getattr(placement, one.name) for one in fields(placement) if one.init}


def test_inputs_are_work_and_no_way_on_the_mesh():
    load = load_of(relays(3), np.zeros((1, 3), int), np.array([5, 0, 2]))
    assert (load.neurons.tolist(), load.axons.tolist()) == ([3], [3])
    assert (load.spikes.tolist(), load.operations.tolist()) == ([7], [7])
    assert load.across.size == load.down.size == 0


@pytest.mark.parametrize(("fires", "heard"), [((1, 2), 3), ((1, 3), 2)])
def test_counts_of_another_chip_are_refused(fires, heard):
    with pytest.raises(ConfigError, match="not those of this chip"):
        load_of(relays(3), np.zeros(fires, int), np.zeros(heard, int))


# Loihi cores.


class WalkingLoihi(naive_loihi.Chip):
    """The plain Loihi chip, in which spikes walk as well."""

    def __init__(self, placement):
        super().__init__(placement)
        self.links, self.came, self.fires = Counter(), Counter(), Counter()

    def hop(self, home, to):
        super().hop(home, to)
        self.came[to] += 1
        walk(self.links, self.p.core_xy[home].tolist(), self.p.core_xy[to].tolist())

    def compartment(self, core, j, own, arrives):
        fires = super().compartment(core, j, own, arrives)
        self.fires[int(self.p.first_compartment[core.number]) + j] += bool(fires)
        return fires


@pytest.mark.parametrize("seed", range(12))
def test_compartments_axons_and_links_of_loihi_cores_are_counted_alike(seed):
    placement = loihi_cases.random_chip(seed)
    table = random_input(seed, placement.input_count, TICKS, mean=4.0)
    t, axon = (np.array([row[k] for row in table], np.int64) for k in (0, 1))
    chip, twin = Chip(placement), WalkingLoihi(placement)
    chip.watch()
    chip(Spikes(0, TICKS * 1000, t * 1000, axon.astype(np.int32)))
    for k in range(TICKS):
        twin.tick(k, axon[t == k].tolist())
    assert chip.fires.tolist() == [twin.fires[j] for j in range(placement.neurons)]
    heard = np.bincount(axon, minlength=placement.input_count)
    load = load_of(placement, chip.fires, heard)
    assert by_link(load) == twin.links
    from_inputs = Counter()
    for number, core, _, _ in placement.inputs.tolist():
        from_inputs[core] += int(heard[number])
    assert load.spikes.tolist() == [twin.came[core] + from_inputs[core] for core in range(placement.cores)]
    operations = Counter()
    for j, count in twin.fires.items():
        home = int(np.searchsorted(placement.first_compartment, j, side="right")) - 1
        for to, one in twin.cores[home].targets[j - int(placement.first_compartment[home])]:
            operations[to] += count * len(twin.cores[to].synapses[one]) if to >= 0 else 0
    for number, core, one, _ in placement.inputs.tolist():
        operations[core] += int(heard[number]) * len(twin.cores[core].synapses[one])
    assert load.operations.tolist() == [operations[core] for core in range(placement.cores)]
    assert load.neurons.sum() == placement.neurons
    assert chip_picture(placement, chip.fires, heard, ticks=TICKS).axes


# The picture.


def panels(figure):
    return {ax.get_title(): ax for ax in figure.axes if ax.get_title()}


def test_the_picture_has_every_core_in_its_place_and_links_between():
    placement = mesh(1)
    chip, twin, heard = ran(placement)
    figure = chip_picture(placement, chip.fires, heard, ticks=TICKS)
    drawn = panels(figure)
    assert set(drawn) == {
        "neurons in use",
        "axons in use",
        "spikes a tick, into cores and over links",
        "synaptic operations a tick",
    }
    columns, rows = placement.grid
    cells = drawn["spikes a tick, into cores and over links"].collections[0].get_array()
    assert cells.shape == (2 * rows - 1, 2 * columns - 1)
    for core, (x, y) in enumerate(placement.core_xy.tolist()):
        assert cells[2 * y, 2 * x] == pytest.approx(twin.came[core] / TICKS)
    for ((x, y), (on_x, on_y)), count in twin.links.items():
        assert cells[y + on_y, x + on_x] == pytest.approx(count / TICKS)
    empty = drawn["neurons in use"].collections[0].get_array()
    assert int(empty.mask.sum()) == columns * rows - placement.cores


def test_a_large_chip_is_a_picture_of_a_sane_size(tmp_path):
    placement = mesh(2, columns=40, rows=10, side=2)
    figure = chip_picture(placement, np.zeros((placement.cores, 2), int), np.zeros(0, int), ticks=0)
    figure.savefig(tmp_path / "a.png", dpi=150)
    data = (tmp_path / "a.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    wide, high = struct.unpack(">II", data[16:24])
    assert 800 < wide < 2000
    assert 300 < high < 2000
