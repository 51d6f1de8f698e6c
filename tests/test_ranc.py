"""RANC's law and files: its own recordings bit for bit, and every file written and read again."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import fields

import numpy as np
import pytest
import ranc_vectors
from crossbar_cases import random_chip

from spikestream.batch import Spikes, cut
from spikestream.errors import ModelError
from spikestream.files.placements import read_placement, write_placement
from spikestream.files.ranc import read_packets, write_ranc
from spikestream.files.ranc_mem import write_ranc_mem
from spikestream.model.crossbar import RANC, CrossbarPlacement
from spikestream.stages.chip import Chip


def same(a, b, but=()):
    """Return whether two placements hold the same."""
    names = [one.name for one in fields(CrossbarPlacement) if one.init and one.name not in but]
    return [name for name in names if not np.array_equal(getattr(a, name), getattr(b, name))] == []


def written(folder, tables, config):
    (folder / "input.json").write_text(json.dumps(tables))
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "input.json"


def vector(data, name, folder):
    """Return a recorded network from files as RANC reads them: what is recorded, the placement, its input."""
    d = ranc_vectors.load(data, name)
    path = written(folder, *ranc_vectors.tables(d))
    placement = read_placement(path)
    packets, ticks = read_packets(path, placement), int(d["num_ticks"])
    due = packets.t < ticks * 1000  # some are for later than the recording ends
    return d, placement, Spikes(0, ticks * 1000, packets.t[due], packets.axon[due])


def outputs(out, ticks):
    """Return RANC's (row, output): a row is the tick after; that of the last tick is never printed."""
    rows = [(int(t) // 1000 + 1, int(axon)) for t, axon in zip(out.t, out.axon, strict=True)]
    return sorted(row for row in rows if row[0] < ticks)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ranc_vectors.NAMES)
def test_every_potential_and_output_of_recorded_networks(data, tmp_path, name):
    d, placement, rest = vector(data, name, tmp_path)
    chip, found, ticks = Chip(placement), [], int(d["num_ticks"])
    for k in range(ticks):
        now, rest = cut(rest, (k + 1) * 1000)
        found += outputs(chip(now), ticks)
        assert np.array_equal(chip.v[d["present"]], d["potentials"][k][d["present"]]), k
    assert found == sorted(map(tuple, d["out_spikes"].tolist()))
    assert len(found) > 40


@pytest.mark.realdata
@pytest.mark.parametrize("name", ranc_vectors.DIGITS)
def test_digit_networks_answer_as_simulated_and_as_the_hardware_did(data, tmp_path, name):
    d, placement, spikes = vector(data, name, tmp_path)
    found = outputs(Chip(placement)(spikes), int(d["num_ticks"]))
    assert found == sorted(map(tuple, d["out_spikes"].tolist()))
    late, votes = int(d["rtl_latency"]), np.zeros((10, 10), int)
    answers = [(row - late, output) for row, output in found if 0 <= row - late < 10]
    assert answers == sorted(map(tuple, d["rtl_expected"].tolist()))
    for digit, output in answers:
        votes[digit, output % 10] += 1
    seven = [7, 2, 1, 0, 4, 1, 4, 4, 6, 4] if name == "tea_128" else [7, 2, 1, 0, 4, 1, 4, 9, 6, 9]
    assert votes.argmax(axis=1).tolist() == seven


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["rand2_3x2_a32_n32_rt0", "rand7_4x4_a128_n128_rt1", "tea_128"])
@pytest.mark.parametrize("kind", ["ranc", "ranc-mem", "npz"])
def test_recorded_networks_survive_every_file(data, tmp_path, name, kind):
    _, placement, _ = vector(data, name, tmp_path)
    path = tmp_path / "again" if kind != "ranc" else tmp_path / "again" / "input.json"
    (tmp_path / "again").mkdir(exist_ok=kind != "npz")
    path = tmp_path / "again.npz" if kind == "npz" else path
    write_placement(path, placement, format=kind)
    again = read_placement(path)
    # Only images do not keep the order of cores; the targets are numbered by it.
    order = [placement.core_xy.tolist().index(place) for place in again.core_xy.tolist()]
    assert sorted(order) == list(range(placement.cores))
    if order == sorted(order):
        assert same(again, placement, but=("target_axon",))
        there = placement.target_core != -1
        assert np.array_equal(again.target_axon[there], placement.target_axon[there])


@pytest.mark.parametrize("seed", range(12))
def test_random_chips_and_their_packets_survive_a_file(tmp_path, seed):
    one = random_chip(seed, law=RANC)
    own = {f.name: getattr(one, f.name) for f in fields(one) if f.init and f.name not in ("inputs", "input_count")}
    placement = CrossbarPlacement.of(one.cores, one.axons, one.neurons, **own)
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 30_000, 50))
    spikes = Spikes(0, 30_000, t, rng.integers(0, placement.input_count, 50).astype(np.int32))
    write_ranc(tmp_path / "input.json", placement, spikes)
    again = read_placement(tmp_path / "input.json")
    packets = read_packets(tmp_path / "input.json", again)
    assert packets.t.tolist() == (np.sort(t) // 1000 * 1000).tolist()
    chips = [Chip(placement)(spikes), Chip(again)(packets)]
    assert chips[0].t.tolist() == chips[1].t.tolist()
    assert chips[0].axon.tolist() == chips[1].axon.tolist()


# A line of a memory image from RANC's own hardware tests has 239 bits for 128 axons: 128, 81, 1, 18, 7, 4.


def tiny(**given):
    """Return a chip of one core, 4 axons and 3 neurons beside its outputs."""
    plain = {"grid": (2, 1), "core_xy": [[0, 0]], "bus_xy": (1, 0), "outputs": 4, "threshold": 1, "law": RANC}
    return CrossbarPlacement.of(1, 4, 3, **{**plain, **given})


def test_a_memory_image_holds_its_bits_where_the_hardware_looks(tmp_path):
    crossbar = np.zeros((1, 4, 3), bool)
    crossbar[0, 0, 0] = crossbar[0, 3, 0] = crossbar[0, 1, 2] = True
    own = {"v0": [[-1, 0, 0]], "reset": [[5, 0, 0]], "leak": [[-2, 0, 0]], "threshold": [[9, 1, 1]]}
    own |= {"weights": [[[1, -1, 2, -256], [0] * 4, [0] * 4]], "floor": [[7, 0, 0]], "reset_mode": [[1, 0, 0]]}
    own |= {"target_core": [[-2, 0, 0]], "target_axon": [[2, 3, 0]], "delay": [[15, 1, 1]]}
    given = {name: np.array(value) for name, value in own.items()}
    write_ranc_mem(tmp_path, tiny(crossbar=crossbar, axon_type=np.array([[0, 1, 2, 3]]), **given))
    first = (tmp_path / "csram_000.mem").read_text().split()[0]
    numbers = ["1" * 9, "000000101", "000000001", "1" * 9, "000000010", "100000000", "1" * 8 + "0", "000001001"]
    assert first == "1001" + "".join(numbers) + "111111001" + "1" + "000000001" + "0" * 9 + "10" + "1110"
    assert (tmp_path / "tc_000.mem").read_text().split() == ["00", "01", "10", "11"]
    again = read_placement(tmp_path)
    assert again.v0.tolist() == [[-1, 0, 0]]
    assert again.weights[0, 0].tolist() == [1, -1, 2, -256]
    assert again.target_core.tolist() == [[-2, 0, 0]]
    assert again.delay.tolist() == [[15, 1, 1]]
    assert np.array_equal(again.synapses, tiny(crossbar=crossbar).synapses)


@pytest.mark.parametrize(
    "given",
    [{"threshold": 256}, {"v0": -257}, {"weights": 256}, {"outputs": 9, "target_core": -2, "target_axon": 8}],
)
def test_what_does_not_fit_its_bits_is_not_written(tmp_path, given):
    with pytest.raises(ModelError, match="does not fit"):
        write_ranc_mem(tmp_path, tiny(**given))


def test_only_ranc_s_law_and_plain_inputs_are_written(tmp_path):
    with pytest.raises(ModelError, match="law"):
        write_ranc(tmp_path / "input.json", tiny(law="truenorth/1"))
    with pytest.raises(ModelError, match="law"):
        write_ranc_mem(tmp_path, tiny(law="truenorth/1"))
    with pytest.raises(ModelError, match="inputs"):
        write_ranc(tmp_path / "input.json", tiny(inputs=np.array([[0, 0, 0, 2]])))


# What is wrong in a file.

GOOD = {
    "packets": [[{"destination_core": [0, 0], "destination_axon": 1, "destination_tick": 2}], []],
    "output_bus": {"coordinates": [1, 0], "num_outputs": 2},
    "cores": [
        {
            "axons": [0, 3],
            "connections": [[1, 0], [0, 1]],
            "coordinates": [0, 0],
            "neurons": [
                {
                    "reset_potential": 0,
                    "weights": [1, 2],
                    "leak": 0,
                    "positive_threshold": 1,
                    "negative_threshold": -3,
                    "destination_core_offset": [1, 0],
                    "destination_axon": 1,
                    "destination_tick": 0,
                    "current_potential": 0,
                    "reset_mode": 0,
                }
            ],
        }
    ],
}
CONFIG = {"num_axons": 2, "num_neurons": 2, "num_cores_x": 2, "num_cores_y": 1, "num_weights": 4, "max_tick_offset": 16}
NEURON = ("cores", 0, "neurons", 0)
GONE = object()


def changed(where, value):
    made = json.loads(json.dumps(GOOD))
    inner = made
    for key in where[:-1]:
        inner = inner[key]
    if value is GONE:
        del inner[where[-1]]
    else:
        inner[where[-1]] = value
    return made


def test_a_small_file_is_read_as_it_says(tmp_path):
    path = written(tmp_path, GOOD, CONFIG)
    p = read_placement(path)
    assert (p.law, p.axons, p.neurons, p.outputs, p.grid, p.bus_xy) == (RANC, 2, 2, 2, (2, 1), (1, 0))
    assert p.floor[0].tolist() == [3, 0]
    assert p.threshold[0].tolist() == [1, 1]  # the second is not in the file
    assert p.axon_type.tolist() == [[0, 3]]
    packets = read_packets(path, p)
    assert (packets.stop, packets.t.tolist(), packets.axon.tolist()) == (3_000, [2_000], [1])


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("cores",), []),
        (("cores",), 7),
        (("cores", 0), []),
        (("output_bus", "coordinates"), [0, 0]),
        (("output_bus", "num_outputs"), -1),
        (("output_bus", "num_outputs"), 10**9),
        (("cores", 0, "coordinates"), [5, 5]),
        (("cores", 0, "coordinates"), [0]),
        (("cores", 0, "axons"), [4, 0]),
        (("cores", 0, "axons"), [0, 0, 0]),
        (("cores", 0, "connections", 0), [2, 0]),
        (("cores", 0, "connections", 0), [1, 0, 0]),
        (("cores", 0, "connections"), [[1], [1], [1]]),
        ((*NEURON, "destination_core_offset"), GONE),
        ((*NEURON, "destination_core_offset"), [-1, 0]),
        ((*NEURON, "destination_core_offset"), [2, 0]),
        ((*NEURON, "destination_axon"), 2),
        ((*NEURON, "destination_tick"), 15),
        ((*NEURON, "reset_mode"), 2),
        ((*NEURON, "leak"), 0.5),
        ((*NEURON, "leak"), "1"),
        ((*NEURON, "leak"), 10**400),
        ((*NEURON, "leak"), 40_000),
        ((*NEURON, "weights"), [1, 2, 3, 4, 5]),
        ((*NEURON, "positive_threshold"), 2**31),
        ((*NEURON, "negative_threshold"), -(2**31)),
        ((*NEURON, "current_potential"), None),
    ],
)
def test_a_wrong_value_is_named(tmp_path, where, value):
    with pytest.raises(ModelError):
        read_placement(written(tmp_path, changed(where, value), CONFIG))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("packets", 0, 0, "destination_core"), [1, 0]),  # straight to the output bus
        (("packets", 0, 0, "destination_axon"), 2),
        (("packets", 0, 0, "destination_tick"), 15),
        (("packets", 0), 3),
        (("packets", 0, 0), 3),
        (("packets",), GONE),
    ],
)
def test_a_wrong_packet_is_named(tmp_path, where, value):
    placement = read_placement(written(tmp_path, GOOD, CONFIG))
    with pytest.raises(ModelError):
        read_packets(written(tmp_path, changed(where, value), CONFIG), placement)


@pytest.mark.parametrize("key", ["num_axons", "num_neurons", "num_cores_x", "num_cores_y", "neuron_reset_type"])
@pytest.mark.parametrize("value", [0.5, -1, 10**12, "2", None])
def test_a_wrong_configuration_is_named(tmp_path, key, value):
    with pytest.raises(ModelError):
        read_placement(written(tmp_path, GOOD, {**CONFIG, key: value}))


def test_damaged_files_are_refused_and_nothing_else_happens(tmp_path):
    write_placement(tmp_path / "a.npz", tiny())
    write_placement(tmp_path, tiny(), format="ranc-mem")
    rng, line = np.random.default_rng(3), tmp_path / "csram_000.mem"
    for path, read in (
        (tmp_path / "a.npz", tmp_path / "a.npz"),
        (line, tmp_path),
        (tmp_path / "config.json", tmp_path),
    ):
        whole = path.read_bytes()
        for _ in range(60):
            data = bytearray(whole)
            for at in rng.integers(0, len(data), 2):
                data[at] = rng.integers(0, 256)
            path.write_bytes(bytes(data[: rng.integers(0, len(data))] if rng.random() < 0.3 else data))
            with suppress(ModelError):  # whatever else is raised is a failure
                read_placement(read)
        path.write_bytes(whole)
    assert same(read_placement(tmp_path / "a.npz"), tiny())


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "[" * 100_000, '{"cores": 1}', "\xff", "nan"])
def test_what_is_no_placement_is_refused(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError):
        read_placement(path)
    with pytest.raises(ModelError):
        read_placement(tmp_path / "none.json")
    with pytest.raises(ModelError):
        read_placement("/dev/zero")
