"""The page about the compiler: its Python runs and prints what it says, and it names every option and key."""

from __future__ import annotations

import re
from dataclasses import fields

import numpy as np
import pytest
from cli import ROOT

import spikestream as ss
from spikestream.model.circuit import Cells, Circuit, Link
from spikestream.model.compile import TARGETS
from spikestream.model.compile.options import FAN_IN, INHIBITION, Options

TEXT = (ROOT / "docs" / "compile.md").read_text()


def test_the_python_runs_and_prints_what_the_page_says(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(code, "compile.md", "exec"), {})
    printed = " and ".join(f"`{line}`" for line in capsys.readouterr().out.strip().splitlines())
    assert f"prints {printed}." in TEXT


@pytest.mark.parametrize("name", [one.name for one in fields(Options)])
def test_every_option_is_told(name):
    assert f"`{name}`" in TEXT


@pytest.mark.parametrize("word", [*TARGETS, *FAN_IN, *INHIBITION])
def test_every_word_is_told(word):
    assert f'"{word}"' in TEXT


def keys(table):
    """Return the keys of a table, of those in it too, but for names of populations and of sources."""
    made = set()
    for key, value in table.items():
        made.add(key)
        inner = next(iter(value.values())) if key == "populations" else value
        if isinstance(inner, dict) and key not in ("weight_error", "latency_ticks"):
            made |= keys(inner)
    return made


def test_every_key_of_a_report_is_told():
    cells = Cells("a", (3,), decay=0.9, threshold=1.0)
    circuit = Circuit((("in", 4),), (cells,), (Link.dense("in", "a", np.full((4, 3), 0.4)),), ("a",))
    samples = ss.Spikes(0, 200_000, np.arange(0, 200_000, 500), np.tile(np.arange(4, dtype=np.int32), 100))
    found = keys(ss.compile(circuit, samples=samples).report())
    assert {"agreement", "leak_mismatch", "same_decision", "chip"} < found
    assert [key for key in sorted(found) if f"`{key}`" not in TEXT] == []
