"""The page about circuits: its Python runs and prints what it says, and it names every field and every framework."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest
from cli import ROOT

from spikestream.model.circuit import MOST_SPIKES, RESETS, Cells
from spikestream.model.nir import linear as nir_linear
from spikestream.model.nir.steps import FRAMEWORKS, INTEGRATES, SCHEMES, Discretisation
from spikestream.stages import simulator, ticked

TEXT = (ROOT / "docs" / "simulator.md").read_text()
NAMES = [one.name for kind in (Cells, Discretisation) for one in fields(kind) if one.name not in ("name", "shape")]


def test_the_python_runs_and_prints_what_the_page_says(capsys):
    code = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)[0]
    exec(compile(code, "simulator.md", "exec"), {})
    assert capsys.readouterr().out.strip() == re.findall(r"prints `(.*?)`", TEXT)[0]


@pytest.mark.parametrize("name", [*NAMES, *FRAMEWORKS])
def test_every_field_and_framework_is_told(name):
    assert f"`{name}`" in TEXT


def test_numbers_and_words_of_the_page_are_those_of_the_code():
    for number in (ticked.GAP_TICKS, simulator.TICK_US, MOST_SPIKES, nir_linear.MOST_WEIGHTS):
        assert f"{number:,}" in TEXT
    for word in (*RESETS, *SCHEMES, *INTEGRATES):
        assert f'"{word}"' in TEXT
