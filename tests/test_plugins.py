"""docs/plugins.md says what the code says, and the template plugin is installed, found and lawful."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from spikestream import checks, registry
from spikestream.batch import EVENT
from spikestream.checks import decoders, outputs, sensors, stages, writers
from spikestream.formats import base as formats_base
from spikestream.outputs import base as outputs_base
from spikestream.sensors import base as sensors_base
from spikestream.stages import base as stages_base

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
TEMPLATE = ROOT / "plugins" / "blinker" / "src" / "spikestream_blinker" / "__init__.py"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def block(word: str) -> str:
    (found,) = (code for code in blocks("python") if word in code)
    return found


def signatures(source: str, name: str) -> dict[str, str]:
    """Return a class's attributes and methods as text, without docstrings; a property is an attribute to its reader."""
    (node,) = (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.ClassDef) and n.name == name)
    members = {}
    for child in node.body:
        if isinstance(child, ast.AnnAssign):
            members[ast.unparse(child.target)] = ast.unparse(child.annotation)
        elif isinstance(child, ast.FunctionDef) and child.decorator_list and child.returns:
            members[child.name] = ast.unparse(child.returns)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            child.body = [ast.Expr(ast.Constant(...))]
            members[child.name] = ast.unparse(child)
    return members


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("Sensor", sensors_base),
        ("Stage", stages_base),
        ("Decoder", formats_base),
        ("Container", formats_base),
        ("Encoder", formats_base),
        ("Packer", formats_base),
        ("Output", outputs_base),
    ],
)
def test_the_signatures_on_the_page_are_those_of_the_protocols(name: str, module: ModuleType):
    page = block("class Encoder(Protocol)")
    assert signatures(page, name) == signatures(inspect.getsource(module), name)
    assert f"class {name}(Protocol):  # {module.__name__}" in page


def test_the_sensor_on_the_page_is_the_template():
    assert block("class Blinker") == TEMPLATE.read_text(encoding="utf-8")


@pytest.mark.parametrize("law", [law.name for law in sensors.LAWS])
def test_the_sensor_on_the_page_runs_and_is_lawful(law: str):
    namespace: dict[str, Any] = {}
    exec(compile(block("class Blinker"), "docs/plugins.md", "exec"), namespace)
    dict(checks.sensor(namespace["Blinker"]))[law]()


def test_the_format_on_the_page_is_lawful_and_tells_every_field(tmp_path):
    namespace: dict[str, Any] = {}
    exec(compile(block("FORMAT = Format("), "docs/plugins.md", "exec"), namespace)
    events = np.zeros(500, EVENT)
    events["t"], events["x"], events["p"] = 3 * np.arange(500), np.arange(500) % 300, np.arange(500) % 2
    encoder = namespace["Encoder"]()
    data = encoder.feed(events) + encoder.finish()
    for suite in (checks.decoder(namespace["Decoder"], data), checks.writer(namespace["FORMAT"], tmp_path)):
        for _, check in suite:
            check()
    table = PAGE.partition("\n## A format\n")[2].partition("```")[0]
    told = {name for row in re.findall(r"^\| (`[^|]*)\|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert told == {field.name for field in fields(formats_base.Format)}


def test_the_test_on_the_page_runs():
    namespace: dict[str, Any] = {}
    exec(compile(block("import pytest"), "docs/plugins.md", "exec"), namespace)
    test = namespace["test_it_keeps_the_laws_of_a_sensor"]
    (mark,) = test.pytestmark
    assert [law for law, _ in mark.args[1]] == [law.name for law in sensors.LAWS]
    for law, check in mark.args[1]:
        test(law, check)


def test_every_law_is_on_the_page():
    rows = {tuple(cell.strip() for cell in line.strip("|").split("|")) for line in PAGE.splitlines() if "|" in line}
    for module in (sensors, stages, decoders, writers, outputs):
        laws = [*module.LAWS, *getattr(module, "LEARNING", ())]
        assert {(law.name, law.words) for law in laws} <= rows


def test_every_group_on_the_page_is_looked_up():
    groups = set(re.findall(r"^\| `spikestream\.(\w+)`", PAGE, re.MULTILINE))
    assert {"sensors", "stages", "formats", "outputs"} <= groups <= set(registry.GROUPS)
    assert all(suite in vars(checks) for suite in re.findall(r"`checks\.(\w+)\(", PAGE))


def test_the_entry_point_on_the_page_is_the_templates():
    (lines,) = (lines for lines in blocks("toml") if "blinker" in lines)
    assert lines in (ROOT / "plugins" / "blinker" / "pyproject.toml").read_text(encoding="utf-8")


def test_the_template_is_installed_and_found_without_being_imported():
    code = (
        "import json, sys; from spikestream import registry\n"
        "found = [f for f in registry.found('sensors') if f.name == 'blinker']\n"
        "print(json.dumps([[f.distribution for f in found], 'spikestream_blinker' in sys.modules]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == [["spikestream-blinker"], False]
    assert registry.load("sensors", "blinker").__module__ == "spikestream_blinker"
