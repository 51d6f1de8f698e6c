"""The page about Loihi cores: its Python runs and prints what it says, and it names every field and limit."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest
from cli import ROOT

from spikestream.model import loihi_limits
from spikestream.model.loihi import LoihiPlacement
from spikestream.stages import ticked

TEXT = (ROOT / "docs" / "loihi.md").read_text()


def test_the_python_runs_and_prints_what_the_page_says(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(code, "loihi.md", "exec"), {})
    assert capsys.readouterr().out.strip() == re.findall(r"prints `(.*?)`", TEXT)[0]


OF_THE_MESH = {"law", "grid", "core_xy", "input_count", "outputs", "digest", "notes"}


@pytest.mark.parametrize("name", [one.name for one in fields(LoihiPlacement) if one.name not in OF_THE_MESH])
def test_every_field_is_told(name):
    assert f"`{name}`" in TEXT


TABLES = {**loihi_limits.COMPARTMENTS, **loihi_limits.AXONS, **loihi_limits.CORES}


@pytest.mark.parametrize(
    "name", ["du", "bias", "threshold", "weight_exponent", "epoch", "x1_impulse", "x1_decay", "a_plus"]
)
def test_ranges_of_the_page_are_those_of_the_code(name):
    _, default, low, high = TABLES[name]
    (row,) = [line for line in TEXT.splitlines() if line.startswith("|") and f"`{name}`" in line]
    assert f"{low:,} .. {high:,}" in row
    assert f"{default:,}" in row.rsplit("|", 2)[1]


def test_numbers_of_the_page_are_those_of_the_code():
    assert f"{ticked.GAP_TICKS:,}" in TEXT
    for most in (loihi_limits.MOST_COMPARTMENTS, loihi_limits.MOST_AXONS, loihi_limits.MOST_TARGETS):
        assert f"{most:,} " in TEXT
    assert loihi_limits.MOST_SYNAPSE_BITS == 128 * 1024 * 8
