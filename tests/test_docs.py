"""The docs name every verb and option, and the README's Python runs."""

from __future__ import annotations

import os
import re
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import soundfile
from cli import ROOT

from spikestream.cli import VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_every_verb_is_documented(verb):
    text = (ROOT / "docs" / "cli.md").read_text()
    section = text.partition(f"## spikestream {verb}\n")[2].partition("\n## ")[0]
    parser = import_module(f"spikestream.cli.{verb}").parser()
    for action in parser._actions:
        for name in action.option_strings or [action.metavar or action.dest]:
            assert name in section, f"{verb} {name}"


def test_every_key_of_the_json_object_is_documented():
    from test_replay import KEYS

    text = (ROOT / "docs" / "cli.md").read_text()
    assert not [key for key in KEYS if f"`{key}`" not in text]


def test_the_readme_names_every_verb():
    text = (ROOT / "README.md").read_text()
    assert not [verb for verb in VERBS if f"spikestream {verb}" not in text and verb != "demo"]


def test_the_readme_s_python_runs(tmp_path, monkeypatch, capsys):
    first = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    monkeypatch.chdir(tmp_path)
    os.symlink(ROOT / "recordings", tmp_path / "recordings")
    exec(compile(first, "README.md", "exec"), {})
    spikes, shape = capsys.readouterr().out.split(" ", 1)
    assert int(spikes) > 0
    assert shape == "(2312, 100)\n"
    assert (tmp_path / "model.npz").exists()


def test_the_python_about_hearing_hears_the_tone_it_plays(capsys, tmp_path):
    tone, file = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "hearing.md").read_text(), re.DOTALL)
    exec(compile(tone, "hearing.md", "exec"), {})
    spikes, centre_hz = capsys.readouterr().out.split()
    assert int(spikes) > 100
    assert abs(float(centre_hz) - 440) < 50
    soundfile.write(tmp_path / "x.wav", np.random.default_rng(0).normal(0, 0.1, 8_000), 8_000)
    names: dict[str, Any] = {}
    exec(compile(file, "hearing.md", "exec"), names)
    assert len(list(names["decisions"](str(tmp_path / "x.wav")))) == 10


def test_links_in_the_docs_lead_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
