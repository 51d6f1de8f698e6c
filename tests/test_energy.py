"""Energy is counted events times cited coefficients, worked by hand, and always called an estimate."""

from __future__ import annotations

import json
import os
import re
import tomllib

import pytest
from cli import ROOT
from hypothesis import given
from hypothesis import strategies as st

from spikestream.errors import ConfigError, ModelError
from spikestream.files.energy import read_coefficients, shipped
from spikestream.model.energy import UNITS, Coefficients, estimate, lines, table_of

COUNTERS = {"synaptic_operations": 1_000, "neuron_updates": 500, "spikes": 10, "hops_x": 7, "hops_y": 3}
NONE = dict.fromkeys(COUNTERS, 0)
MESH = 4_096
"""Cores of the published workload: 1,048,576 neurons at 20 Hz, 128 synapses an axon, for a second."""
PUBLISHED = {**NONE, "synaptic_operations": 2_684_354_560, "spikes": 20_971_520, "neuron_updates": 1_048_576_000}


def table(**changed):
    """Return a table of which every coefficient is a power of ten of its own; None leaves one out."""
    units = {key: "uW" if key == "static" else "pJ" for key in UNITS}
    rows = {key: {"value": 10.0**k, "unit": units[key], "source": f"page {k}"} for k, key in enumerate(UNITS)}
    return {key: row for key, row in {**rows, **changed}.items() if row is not None}


def row(value=1.0, unit="pJ", source="a paper"):
    return {"value": value, "unit": unit, "source": source}


def test_every_term_of_the_sum_is_there_once():
    found = estimate(COUNTERS, 20, 3, 500, Coefficients.from_tables("mine", table()))
    # 10 ms of 3 cores at 1 µW; 1,000 x 10, 500 x 100, 10 x 1,000, 7 x 10,000 + 3 x 100,000 pJ
    parts = {"static": 3e-8, "synapses": 1e-8, "updates": 5e-8, "spikes": 1e-8, "hops": 3.7e-7}
    assert found["parts_j"] == pytest.approx(parts, rel=1e-12)
    assert found["energy_j"] == pytest.approx(4.7e-7, rel=1e-12)
    assert found["power_w"] == pytest.approx(4.7e-5, rel=1e-12)
    assert found["energy_per_tick_j"] == pytest.approx(2.35e-8, rel=1e-12)


def test_loihi_by_hand():
    found = estimate(COUNTERS, 20, 2, 1_000, read_coefficients("loihi"))
    # 1,000 x 35.5 + 500 x (51.2 + 21.6) + 10 x (69.3 + 111) + 7 x 3.0 + 3 x 4.2 pJ
    assert found["energy_j"] == pytest.approx(73_736.6e-12, rel=1e-12)
    assert found["power_w"] == pytest.approx(3.68683e-6, rel=1e-12)


@pytest.mark.parametrize(("name", "power_w"), [("truenorth", 0.06979321856), ("truenorth_static", 0.0651264)])
def test_both_tables_give_the_power_that_was_published_for_a_working_truenorth(name, power_w):
    found = estimate(PUBLISHED, 1_000, MESH, 1_000, read_coefficients(name))
    assert found["power_w"] == pytest.approx(power_w, rel=1e-9)
    assert 0.065 < found["power_w"] < 0.072
    assert "as remembered" in "".join(found["sources"].values())


def test_the_shipped_coefficients_are_those_of_the_table_in_the_docs():
    expected = {
        "loihi": [0, 35.5e-12, 72.8e-12, 180.3e-12, 3.0e-12, 4.2e-12],
        "truenorth": [0, 26e-12, 0, 0, 0, 0],
        "truenorth_static": [15.9e-6, 0, 0, 0, 0, 0],
    }
    for name, values in expected.items():
        found = read_coefficients(name)
        assert found.values == pytest.approx(dict(zip(UNITS, values, strict=True)), rel=1e-12)
        assert all(len(source) > 20 for source in found.sources.values())


def test_it_is_called_an_estimate_wherever_it_goes():
    found = estimate(COUNTERS, 20, 2, 1_000, read_coefficients("loihi"))
    assert json.loads(json.dumps(found)) == found
    assert found["label"] == "estimate"
    head, shares, about, *sources = lines(found)
    assert head == "energy (estimate, loihi): 73.7 nJ, 3.69 µW, 3.69 nJ a tick"
    assert shares == "  of it synapses 48.1%, updates 49.4%, spikes 2.4%"
    assert "leakage" in about
    assert [line.split(":")[0] for line in sources] == ["  synaptic_operation", "  neuron_update", "  spike"]


def test_no_tick_has_no_power():
    found = estimate(NONE, 0, 1, 1_000, read_coefficients("truenorth_static"))
    assert (found["energy_j"], found["power_w"], found["energy_per_tick_j"]) == (0, None, None)
    assert lines(found)[0] == "energy (estimate, truenorth_static): 0 pJ"


def test_a_law_has_its_table():
    assert [table_of(law) for law in ("truenorth/1", "ranc/1", "loihi/1")] == ["truenorth", "truenorth", "loihi"]


@given(st.dictionaries(st.sampled_from(sorted(COUNTERS)), st.integers(0, 2**40)), st.integers(1, 10**9))
def test_two_halves_cost_what_the_whole_costs(more, ticks):
    own, mine = {**COUNTERS, **more}, Coefficients.from_tables("mine", table())
    whole = estimate({name: 2 * count for name, count in own.items()}, 2 * ticks, 5, 1_000, mine)
    half = estimate(own, ticks, 5, 1_000, mine)
    assert whole["energy_j"] == pytest.approx(2 * half["energy_j"], rel=1e-9)
    assert whole["power_w"] == pytest.approx(half["power_w"], rel=1e-9)


def test_a_counter_that_is_missing_is_named():
    with pytest.raises(ModelError, match="needs the counter 'hops_y'"):
        estimate({k: v for k, v in COUNTERS.items() if k != "hops_y"}, 1, 1, 1, read_coefficients("loihi"))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"counters": {**COUNTERS, "spikes": -1}}, "counters.spikes"),
        ({"counters": {**COUNTERS, "spikes": 1.5}}, "counters.spikes"),
        ({"counters": {**COUNTERS, "spikes": 2**63}}, "counters.spikes"),
        ({"ticks": -1}, "ticks"),
        ({"ticks": True}, "ticks"),
        ({"cores": 0}, "cores"),
        ({"tick_us": 0}, "tick_us"),
    ],
)
def test_counts_that_cannot_be(change, key):
    plain = {"counters": COUNTERS, "ticks": 1, "cores": 1, "tick_us": 1, "coefficients": read_coefficients("loihi")}
    with pytest.raises(ConfigError) as caught:
        estimate(**{**plain, **change})
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"spike": None}, "mine.spike"),
        ({"spike": 3.0}, "mine.spike"),
        ({"spike": row(value=-1.0)}, "mine.spike.value"),
        ({"spike": row(value=float("nan"))}, "mine.spike.value"),
        ({"spike": row(value=float("inf"))}, "mine.spike.value"),
        ({"spike": row(value=10**400)}, "mine.spike.value"),
        ({"spike": row(value=True)}, "mine.spike.value"),
        ({"spike": row(value="26")}, "mine.spike.value"),
        ({"spike": row(unit="uW")}, "mine.spike.unit"),
        ({"spike": row(unit=["pJ"])}, "mine.spike.unit"),
        ({"static": row(unit="pJ")}, "mine.static.unit"),
        ({"spike": row(source="")}, "mine.spike.source"),
        ({"spike": row(source="\x1b[2J")}, "mine.spike.source"),
        ({"spike": {"value": 1.0, "unit": "pJ"}}, "mine.spike.source"),
        ({"spike": row() | {"vlaue": 1}}, "mine.spike.vlaue"),
        ({"spikes": row()}, "mine.spikes"),
        ({"about": 7}, "mine.about"),
    ],
)
def test_a_table_that_is_none(change, key):
    with pytest.raises(ConfigError) as caught:
        Coefficients.from_tables("mine", table(**change))
    assert caught.value.key == key


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
ENTRIES = st.dictionaries(st.sampled_from(["value", "unit", "source", "pJ"]), ANYTHING | st.just("pJ"))


@given(ANYTHING | st.dictionaries(st.sampled_from(["about", *UNITS, "x"]), ANYTHING | ENTRIES))
def test_whatever_a_table_is_it_is_refused_by_one_kind_of_error(given):
    with pytest.raises(ConfigError):
        Coefficients.from_tables("mine", given)


@given(st.sampled_from(list(UNITS)), ENTRIES)
def test_one_bad_entry_is_one_kind_of_error(key, entry):
    try:
        Coefficients.from_tables("mine", table(**{key: entry}))
        where = f"mine.{key}"  # by chance it was a good one
    except ConfigError as error:
        where = error.key
    assert where.startswith(f"mine.{key}")


def test_a_name_nearby_is_proposed():
    with pytest.raises(ConfigError, match="did you mean 'truenorth'") as caught:
        read_coefficients("trunorth")
    assert caught.value.allowed == "loihi, truenorth, truenorth_static"
    with pytest.raises(ConfigError, match=r"did you mean 'mine\.spike'"):
        Coefficients.from_tables("mine", table(spikes=row()))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[mine]\n",
        b"mine = 3\n",
        b"[[mine]]\n",
        b"\xff\xfe",
        b"[mine",
        b"mine = " + b"[" * 100_000,
        b"#" * 2_000_000,
    ],
    ids=["empty", "bare", "number", "rows", "bytes", "cut", "deep", "long"],
)
def test_a_file_that_is_none(tmp_path, content):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        read_coefficients("mine", path)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "pipe", "a\0b"):
        with pytest.raises(ConfigError, match="cannot read the coefficients"):
            read_coefficients("mine", path)


def test_a_file_of_the_users_is_read_in_place_of_the_shipped_one(tmp_path):
    text = shipped().read_text().replace("[truenorth", "[mine").replace("26.0", "2.5")
    (tmp_path / "mine.toml").write_text(text)
    found = estimate(PUBLISHED, 1_000, MESH, 1_000, read_coefficients("mine", tmp_path / "mine.toml"))
    assert found["power_w"] == pytest.approx(0.0067108864, rel=1e-9)


def test_the_python_in_the_docs_prints_what_they_say(capsys):
    text = (ROOT / "docs" / "energy.md").read_text()
    code, printed = re.search(r"```python\n(.*?)```\n\nprints\n\n```\n(.*?)```", text, re.DOTALL).groups()
    exec(compile(code, "energy.md", "exec"), {})
    assert capsys.readouterr().out == printed


def test_the_table_in_the_docs_is_the_shipped_file():
    text = (ROOT / "docs" / "energy.md").read_text()
    rows = {row[0]: row[1:] for row in re.findall(r"^\| `(\w+)`.*? \| (.+?) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)}
    names = re.search(r"^\| \| `(\w+)` \| `(\w+)` \| `(\w+)` \|$", text, re.MULTILINE).groups()
    shipped_tables = tomllib.loads(shipped().read_text())
    assert sorted(names) == sorted(shipped_tables)
    for k, name in enumerate(names):
        for key in UNITS:
            entry = shipped_tables[name][key]
            assert rows[key][k] == f"{entry['value']:g} {entry['unit']}", f"{name}.{key}"
