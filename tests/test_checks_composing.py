"""Each law of a neuron and of a rule bites, and every one that is registered keeps them all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from composing_cases import FORM, NEURONS, RULES

from spikestream import checks, registry
from spikestream.checks import neurons, rules

CASES = {
    **{f"neuron-{name}": case[0] for name, case in {**NEURONS, "hidden": ("registered *",)}.items()},
    **{f"rule-{name}": case[0] for name, case in {**RULES, "hidden": ("registered *",)}.items()},
    "rule-untold": "learning-off",
}
LAWS = {"neurons": [law.name for law in neurons.LAWS], "rules": [law.name for law in rules.LAWS]}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Return what was seen against each broken module; as plain Python, since compiling each would take minutes."""
    script, folder = Path(__file__).with_name("composing_cases.py"), tmp_path_factory.mktemp("broken")
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-W", "ignore", str(script), str(folder)]
    return json.loads(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("case", CASES)
def test_a_broken_module_breaks_its_laws(seen: dict[str, dict[str, str]], case: str):
    found, (*laws, last) = seen[case], CASES[case].split()
    expected = {law.replace("-", " ") for law in ([*laws, last] if last != "*" else laws)}
    if last == "*":  # what is malformed is not run
        tried = {law for law, what in found.items() if not what.startswith("it was not tried")}
        assert expected <= tried <= FORM
        assert len(found) - len(tried) == len(LAWS[f"{case.partition('-')[0]}s"]) - len(FORM)
    else:
        assert set(found) == expected


@pytest.mark.parametrize("case", ["neuron-whole", "rule-whole"])
def test_those_of_the_docs_keep_all_laws(seen: dict[str, dict[str, str]], case: str):
    assert seen[case] == {}


def test_every_law_is_broken_by_something():
    for group, laws in LAWS.items():
        broken = {
            law.replace("-", " ") for case, text in CASES.items() if case.startswith(group[:-1]) for law in text.split()
        }
        assert set(laws) <= broken


@pytest.mark.parametrize("law", LAWS["neurons"])
@pytest.mark.parametrize("name", [one.name for one in registry.found("neurons")])
def test_neurons_keep_the_laws(name: str, law: str):
    dict(checks.neuron(registry.load("neurons", name)))[law]()


@pytest.mark.parametrize("law", LAWS["rules"])
@pytest.mark.parametrize("name", [one.name for one in registry.found("rules")])
def test_rules_keep_the_laws(name: str, law: str):
    dict(checks.rule(registry.load("rules", name)))[law]()
