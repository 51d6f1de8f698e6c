"""The page about the chip: its Python runs and prints what it says, and it names every field of a placement."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest
from cli import ROOT

from spikestream.kernels.crossbar_random import VERSION
from spikestream.model.crossbar import CrossbarPlacement
from spikestream.stages import ticked

TEXT = (ROOT / "docs" / "chip.md").read_text()


def test_the_python_runs_and_prints_what_the_page_says(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(code, "chip.md", "exec"), {})
    assert capsys.readouterr().out.strip() == re.findall(r"prints `(.*?)`", TEXT)[0]


OF_THE_MESH = {"law", "grid", "core_xy", "bus_xy", "input_count", "outputs", "digest", "floor_included"}


@pytest.mark.parametrize("name", [one.name for one in fields(CrossbarPlacement) if one.name not in OF_THE_MESH])
def test_every_field_is_told(name):
    assert f"`{name}`" in TEXT


def test_numbers_of_the_page_are_those_of_the_code():
    assert VERSION in TEXT
    assert f"{ticked.GAP_TICKS:,}" in TEXT
    for law in CrossbarPlacement.LAWS:
        assert law in TEXT
