"""`spikestream emulate` as its users call it: real files in, what the chip gave and took out."""

from __future__ import annotations

import json
import struct
from itertools import pairwise

import numpy as np
import pytest
import ranc_vectors
from chip_cases import mesh, relays, ticking
from cli import LOOKS, ROOT, spikestream
from inprocess import called
from small import events, noise

import spikestream as ss
from spikestream.batch import Spikes, no_spikes
from spikestream.cli.base import emulation, stimulus
from spikestream.cli.base.drawing import write_figure
from spikestream.files.nscs_spikes import read_nscs_spikes, write_nscs_spikes
from spikestream.files.placements import read_placement, write_placement
from spikestream.files.spikes import read_spikes, write_spikes
from spikestream.plots import chip_picture
from spikestream.stages.chip import Chip

KEYS = {
    "model", "target", "chip", "input", "ticks", "tick_us", "duration_us", "wall_s", "realtime_factor", "spikes_in",
    "spikes_out", "spikes_by_output", "output_sha256", "counters", "energy", "neurobench",
}  # fmt: skip


@pytest.fixture
def chip(tmp_path):
    """Write a placement and return its path."""

    def written(placement, name="chip.npz", **more):
        write_placement(tmp_path / name, placement, **more)
        return tmp_path / name

    return written


def told(*args):
    return json.loads(called("emulate", *args, "--json").stdout)


# What comes out.


@pytest.mark.realdata
@pytest.mark.parametrize("name", ranc_vectors.DIGITS)
def test_recorded_digit_networks_answer_exactly(data, tmp_path, name):
    d = ranc_vectors.load(data, name)
    for file, tables in zip(("input.json", "config.json"), ranc_vectors.tables(d), strict=True):
        (tmp_path / file).write_text(json.dumps(tables))
    ticks = int(d["num_ticks"])
    out = tmp_path / "out.npz"
    facts = told(tmp_path / "input.json", "--ticks", ticks, "--output", out)
    spikes = read_spikes(out)
    rows = [(int(t) // 1000 + 1, int(axon)) for t, axon in zip(spikes.t, spikes.axon, strict=True)]
    assert sorted(row for row in rows if row[0] < ticks) == sorted(map(tuple, d["out_spikes"].tolist()))
    assert facts["spikes_by_output"] == np.bincount(spikes.axon, minlength=int(d["num_outputs"])).tolist()
    assert facts["spikes_in"] == len(d["packets"])
    assert facts["chip"]["law"] == "ranc/1"


def test_neurons_that_leak_keep_their_periods(chip, tmp_path):
    facts = told(chip(ticking([10, 7, 3])), "--ticks", 210, "--output", tmp_path / "o.npz")
    assert set(facts) == KEYS
    assert facts["spikes_by_output"] == [21, 30, 70]
    assert facts["input"] == "silence"
    spikes = read_spikes(tmp_path / "o.npz")
    assert spikes.t[spikes.axon == 0].tolist() == [10_000 * k + 9_999 for k in range(21)]
    assert (facts["ticks"], facts["duration_us"], facts["spikes_in"]) == (210, 210_000, 0)
    assert facts["counters"]["neuron_updates"] == 3 * 210


def test_without_an_end_it_runs_a_second_and_ticks_may_be_longer(chip):
    path = chip(ticking([10]))
    assert told(path)["ticks"] == 1_000
    assert told(path, "--tick", "5ms")["ticks"] == 200
    assert told(path, "--for", "2.5s", "--tick", "2ms")["spikes_by_output"] == [125]
    assert told(path, "--for", "1500us")["ticks"] == 2


def test_noise_has_its_rate_its_seed_and_reaches_every_input(chip):
    path = chip(relays(20))
    one, again, other = (told(path, "--poisson", 50, "--for", "20s", "--seed", seed) for seed in (1, 1, 2))
    mean = 20 * 50 * 20
    assert abs(one["spikes_in"] - mean) < 5 * mean**0.5
    assert one["output_sha256"] == again["output_sha256"] != other["output_sha256"]
    assert min(one["spikes_by_output"]) > 800
    assert one["spikes_out"] > 0.9 * one["spikes_in"]  # two in one tick are one


def test_a_recording_goes_through_the_address_path(chip, tmp_path):
    whole = noise(0, 400_000)
    ss.write(tmp_path / "a.aedat4", whole, size=whole.size)
    facts = told(chip(relays(32)), "--input", tmp_path / "a.aedat4")
    spikes = ss.Address(whole.size)(whole)
    once = np.unique(np.stack([spikes.t // 1000, spikes.axon]), axis=1)[1]
    assert facts["spikes_by_output"] == np.bincount(once, minlength=32).tolist()
    assert facts["spikes_in"] == len(spikes)
    assert facts["duration_us"] in (399_000, 400_000)
    half = told(chip(relays(32)), "--input", tmp_path / "a.aedat4", "--for", "100ms")
    assert half["spikes_in"] == np.count_nonzero(spikes.t < spikes.t[0] // 1000 * 1000 + 100_000)


def test_filters_of_the_input_can_be_set(chip, tmp_path):
    whole = noise(0, 100_000)
    ss.write(tmp_path / "a.aedat4", whole, size=whole.size)
    kept = 'filter=[{kind="polarity", keep="on"}]'
    facts = told(chip(relays(32)), "--input", tmp_path / "a.aedat4", "--set", kept)
    assert facts["spikes_in"] == np.count_nonzero(whole.data["p"])


def test_spikes_of_a_chip_are_input_for_another(chip, tmp_path):
    first = told(chip(ticking([10, 4, 2])), "--ticks", 100, "--output", tmp_path / "o.npz")
    second = told(chip(relays(3, threshold=2), "b.npz"), "--input", tmp_path / "o.npz")
    assert first["spikes_by_output"] == [10, 25, 50]
    assert second["spikes_by_output"] == [5, 12, 25]
    assert second["ticks"] == 100


def test_packets_and_spike_files_beside_a_model_are_its_input(tmp_path):
    placement = relays(4)
    write_placement(tmp_path / "n.json", plain_nscs(placement), format="nscs")
    write_nscs_spikes(tmp_path / "n.sfri", np.array([[0, 0, 1], [3, 0, 1], [3, 0, 2]]))
    facts = told(tmp_path / "n.json", "--ticks", 10, "--output", tmp_path / "o.sfri")
    assert facts["input"] == "n.sfri"
    assert facts["spikes_by_output"][1:3] == [2, 1]
    assert read_nscs_spikes(tmp_path / "o.sfri").tolist() == [[1, -32, 1], [4, -32, 1], [4, -32, 2]]
    assert told(tmp_path / "n.json", "--poisson", 0, "--ticks", 3)["spikes_in"] == 0


def plain_nscs(placement):
    """Return the placement as NSCS has it: inputs are axons with a delay of a tick."""
    from dataclasses import fields

    from spikestream.model.crossbar import CrossbarPlacement
    from spikestream.model.placement import identity

    own = {one.name: getattr(placement, one.name) for one in fields(placement) if one.init}
    count = placement.cores * placement.axons
    return CrossbarPlacement(**{**own, "inputs": identity(placement.cores, placement.axons, 1), "input_count": count})


def test_it_is_the_same_run_with_two_threads_and_after_it_was_saved(chip, tmp_path):
    args = ["--ticks", 400]
    path = chip(mesh(3, columns=8, rows=8))
    one, two = told(path, *args), told(path, *args, "--threads", 2, "--save", tmp_path / "again.npz")
    again = told(tmp_path / "again.npz", *args)
    assert one["counters"] == two["counters"] == again["counters"]
    assert one["output_sha256"] == two["output_sha256"] == again["output_sha256"]
    assert one["spikes_out"] > 100


def test_info_of_a_placement_names_what_runs_it(chip):
    path = chip(relays(3))
    said = called("info", path, code=3).stderr
    assert "this holds a network placed on a chip" in said
    called(*said.partition("try: spikestream ")[2].split(), "--ticks", 1)


def test_a_placement_is_saved_in_the_format_asked_for(chip, tmp_path):
    path = chip(relays(3))
    called(
        "emulate", path, "--ticks", 1, "--save", tmp_path / "m.json", "--as", "nscs", code=6
    )  # its inputs have no delay
    write_placement(tmp_path / "p.npz", plain_nscs(relays(3)))
    called("emulate", tmp_path / "p.npz", "--ticks", 1, "--save", tmp_path / "m.json", "--as", "nscs")
    assert read_placement(tmp_path / "m.json").outputs == 3


# Time.


def blocks(parts, ticks, tick_us=1000):
    return list(stimulus.timed(stimulus.Stimulus("x", iter(parts)), ticks, tick_us))


@pytest.mark.parametrize("ticks", [1, 7, 20, 31, 60, None])
@pytest.mark.parametrize("block", [1, 4, 1_000])
def test_a_stimulus_is_cut_and_followed_by_silence(ticks, block, monkeypatch):
    monkeypatch.setattr(stimulus, "BLOCK_TICKS", block)
    rng = np.random.default_rng(4)
    t = np.sort(rng.integers(2_500, 31_200, 90))
    axon = rng.integers(0, 9, 90).astype(np.int32)
    edges = [2_500, 2_500, 8_000, 20_000, 31_200]  # a gap follows 8,000 where it is left out
    parts = [
        Spikes(a, b, t[(t >= a) & (t < b)], axon[(t >= a) & (t < b)])
        for a, b in pairwise(edges)
        if (a, b) != (8_000, 20_000)
    ]
    made = blocks(parts, ticks)
    stop = 2_000 + 1_000 * ticks if ticks else 32_000
    heard = (t < stop) & ((t < 8_000) | (t >= 20_000))
    assert np.concatenate([part.t for part in made]).tolist() == t[heard].tolist()
    assert np.concatenate([part.axon for part in made]).tolist() == axon[heard].tolist()
    assert (made[0].start, made[-1].stop) == (2_500, stop)
    assert all(b.start in (a.stop, 20_000) for a, b in pairwise(made))
    assert all(part.stop - part.start <= 1_000 * block for part in made)


def test_noise_does_not_depend_on_how_long_it_lasts():
    one, two = (blocks([next(stimulus.poisson(5, 100, 3, 1000).batches)], ticks) for ticks in (200, 500))
    short, long_ = (np.concatenate([part.t for part in parts]) for parts in (one, two))
    assert short.tolist() == long_[long_ < 200_000].tolist()


def test_in_a_long_gap_of_the_stimulus_the_chip_stands_still():
    parts = [Spikes(0, 1_000, np.array([5]), np.zeros(1, np.int32)), no_spikes(70_001_000, 70_011_000)]
    ran = emulation.Emulation(Chip(ticking([10])), stimulus.Stimulus("x", iter(parts)), None)
    assert sum(map(len, ran.batches())) == (1 + 60_000 + 10) // 10
    assert ran.ticks == 70_011


# What is told.


def test_people_are_told_what_it_takes_and_that_energy_is_an_estimate(chip):
    text = called("emulate", chip(mesh(1)), "--ticks", 50).stdout
    for word in ("law truenorth/1, 10 cores on a mesh of 4 x 3", "synaptic operations", "hops x", "x real time"):
        assert word in text
    assert "energy (estimate, truenorth)" in text
    assert "Merolla et al." in text


def test_energy_is_counted_events_times_coefficients(chip, tmp_path):
    table = {"static": "W", "synaptic_operation": "J", "neuron_update": "J", "spike": "J", "hop_x": "J", "hop_y": "J"}
    values = [0.5, 3, 5, 7, 11, 13]
    rows = [
        f'{key} = {{ value = {value}, unit = "{unit}", source = "here" }}'
        for value, (key, unit) in zip(values, table.items(), strict=True)
    ]
    (tmp_path / "e.toml").write_text("\n".join(["[truenorth]", *rows]))
    facts = told(chip(mesh(1)), "--ticks", 50, "--energy", tmp_path / "e.toml")
    names = ("synaptic_operations", "neuron_updates", "spikes", "hops_x", "hops_y")
    counted = [facts["counters"][name] for name in names]
    expected = 0.5 * 10 * 0.05 + sum(a * b for a, b in zip(values[1:], counted, strict=True))
    assert facts["energy"]["energy_j"] == pytest.approx(expected)
    assert facts["energy"]["label"] == "estimate"
    assert min(counted) > 0


def test_the_picture_is_a_png_of_a_sane_size(chip, tmp_path):
    done = called("emulate", chip(mesh(1)), "--ticks", 50, "--plot", tmp_path / "a.png")
    assert "drawn into" in done.stderr
    data = (tmp_path / "a.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    wide, high = struct.unpack(">II", data[16:24])
    assert 800 < wide < 2000
    assert 500 < high < 2000
    twin = Chip(mesh(1))
    twin.watch()
    twin(no_spikes(0, 50_000))
    figure = chip_picture(mesh(1), twin.fires, np.zeros(0, int), ticks=50)
    figure.suptitle("chip.npz: 50 ms")
    write_figure(str(tmp_path / "twin.png"), figure)
    assert (tmp_path / "twin.png").read_bytes() == data
    plain = told(chip(mesh(1)), "--ticks", 50)
    assert told(chip(mesh(1)), "--ticks", 50, "--plot", tmp_path / "b.png")["counters"] == plain["counters"]


def test_a_process_prints_data_on_stdout_alone(chip):
    done = spikestream("emulate", chip(relays(2)), "--poisson", 100, "--json", "-q")
    assert done.stderr == ""
    assert json.loads(done.stdout)["ticks"] == 1_000


# What is wrong.


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--ticks", 0], "1 tick or more"),
        (["--ticks", 5, "--for", "1s"], "contradict"),
        (["--input", LOOKS, "--poisson", 5], "contradict"),
        (["--for", "5"], "not a duration"),
        (["--for", "0s"], "1 tick or more"),
        (["--tick", "0s"], "1 µs to one hour"),
        (["--tick", "2h"], "1 µs to one hour"),
        (["--poisson", -1], "out of range"),
        (["--poisson", "1e30"], "out of range"),
        (["--poisson", "nan"], "out of range"),
        (["--poisson", 5, "--seed", -1], "seed"),
        (["--threads", 3], "threads"),
        (["--output", "x.csv"], "no spikes are written"),
        (["--plot", "x.txt"], "no picture"),
        (["--save", "same.npz", "--output", "same.npz"], "nothing is written over"),
        (["--save", "chip.npz"], "nothing is written over"),
        (["--input", LOOKS], "3 inputs, and what feeds it has 578 axons"),
        (["--save", "x", "--as", "xyz"], "unknown format"),
        (["--set", "hear.bands"], "no setting"),
        (["--energy", "none.toml"], "coefficients"),
    ],
    ids=str,
)
def test_what_contradicts_itself_or_the_chip_is_said_and_nothing_is_written(chip, tmp_path, args, words):
    chip(relays(3))
    before = (tmp_path / "chip.npz").read_bytes()
    done = called("emulate", "chip.npz", *args, code=2, cwd=tmp_path)
    assert words in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["chip.npz"]
    assert (tmp_path / "chip.npz").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.npz", None, "cannot read"),
        ("a.npz", b"PK\x03\x04 and no more", "is no placement, or is damaged"),
        ("a.json", b"{}", "is no placement that is known"),
        ("a.csv", b"1,2,3", "is nothing that a chip could hold"),
        ("a.toml", b"x = ", "is not TOML"),
    ],
)
def test_what_is_no_model_is_said_in_one_error(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = called("emulate", tmp_path / name, code=2 if name == "a.toml" else 6)
    assert words in done.stderr
    assert done.stderr.count("error:") == 1


def test_spikes_of_another_chip_are_refused(chip, tmp_path):
    write_spikes(tmp_path / "s.npz", [Spikes(0, 10, np.array([3]), np.array([7], np.int32))], {})
    done = called("emulate", chip(relays(3)), "--input", tmp_path / "s.npz", code=6)
    assert "do not fit a chip of 3 inputs" in done.stderr


@pytest.mark.parametrize(
    "arrays",
    [
        {"t": [5, 3], "axon": [0, 0], "start": 0, "stop": 10},
        {"t": [5, 9, 3, 9], "axon": [0, 0, 0, 0], "start": 0, "stop": 10},
        {"t": [5], "axon": [0, 0], "start": 0, "stop": 10},
        {"t": [5], "axon": [0], "start": 0, "stop": 5},
        {"t": [0.5], "axon": [0], "start": 0, "stop": 10},
        {"t": [5], "axon": [2**40], "start": 0, "stop": 10},
        {"t": [5], "axon": [0], "start": 9, "stop": 0},
        {"axon": [0], "start": 0, "stop": 10},
    ],
    ids=str,
)
def test_a_wrong_file_of_spikes_is_refused(chip, tmp_path, arrays):
    np.savez(tmp_path / "s.npz", **{key: np.array(value) for key, value in arrays.items()})
    done = called("emulate", chip(relays(3)), "--input", tmp_path / "s.npz", code=3)
    assert "s.npz" in done.stderr


def test_spikes_made_with_numpy_are_read_whatever_whole_numbers_they_are(chip, tmp_path):
    np.savez(tmp_path / "s.npz", t=np.array([5, 1_700], np.uint16), axon=np.array([0, 2]), start=0, stop=3_000)
    assert told(chip(relays(3)), "--input", tmp_path / "s.npz")["spikes_by_output"] == [1, 0, 1]


def test_a_recording_without_events_is_said(chip, tmp_path):
    ss.write(tmp_path / "a.aedat4", events(0, 10), size=(4, 4))
    assert "no event" in called("emulate", chip(relays(32)), "--input", tmp_path / "a.aedat4", code=3).stderr


def test_every_key_of_the_json_object_is_documented():
    section = (ROOT / "docs" / "cli.md").read_text().partition("## What `emulate --json` prints")[2]
    assert not [key for key in KEYS if f"`{key}`" not in section]
