"""Networks composed of a plugin's neuron and rule, plugins that are wrong or edited, and docs/composing.md."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from composing_cases import NEURON, PAGE, ROOT, RULE, install, on_page
from filter_cases import pieces, same
from hypothesis import given, settings
from hypothesis import strategies as st

import spikestream as ss
from spikestream import checks, registry
from spikestream.batch import Setting, Spikes, concat, cut
from spikestream.checks.composing import HOOKS
from spikestream.errors import ConfigError, PluginError
from spikestream.kernels.neurons import lif
from spikestream.kernels.rules import pair
from spikestream.model import Input, Model, Population, Projection, Rule
from spikestream.stages.network.components import HOOKS as USED
from spikestream.stages.network.components import NEEDED

PLUGIN = ROOT / "plugins" / "quadratic"
TOO_LONG = 120


def model(neuron: str = "quadratic", rule: str = "bcm", weights: float = 9.0, **params) -> Model:
    see = Projection("see", "in", "out", weights=(0.0, weights), rules=[Rule(rule, {"w_max": 20.0, **params})])
    back = Projection(
        "back", "out", "out", connect="random", probability=0.5, weights=2.0, delay_ms=(1, 4), rules=see.rules
    )
    return Model([Input("in", 8)], [Population("out", 6, neuron=neuron)], [see, back], seed=4)


def spikes(count: int = 900, stop: int = 300_000, seed: int = 3) -> Spikes:
    rng = np.random.default_rng(seed)
    return Spikes(0, stop, np.sort(rng.integers(0, stop, count)), rng.integers(0, 8, count).astype(np.int32))


def rows(batch: Spikes) -> list[tuple[int, int]]:
    return list(zip(batch.t.tolist(), batch.axon.tolist(), strict=True))


# An installed plugin: one file each.


def test_a_plugin_s_neuron_and_rule_are_found_without_being_imported():
    code = (
        "import json, sys; from spikestream import registry\n"
        "found = [[f.distribution, f.value] for g in ('neurons', 'rules') for f in registry.found(g)]\n"
        "print(json.dumps([found, [m for m in sys.modules if m.startswith('spikestream_quadratic')]]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found, imported = json.loads(answer.stdout)
    assert ["spikestream-quadratic", "spikestream_quadratic.quadratic"] in found
    assert ["spikestream-quadratic", "spikestream_quadratic.bcm"] in found
    assert imported == []


@pytest.mark.parametrize(("group", "name"), [("neurons", "quadratic"), ("rules", "bcm")])
def test_each_is_one_file_of_less_than_120_lines(group: str, name: str):
    path = Path(str(registry.load(group, name).__file__))
    assert path.is_relative_to(PLUGIN)
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < TOO_LONG
    imports = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert {one for one in imports if one and one.startswith("spikestream")} == {"spikestream.kernels"}


def test_a_network_of_them_fires_and_learns():
    net = ss.Network.from_model(model())
    before = net.weights
    assert len(net(spikes())) > 50
    moved = abs(net.weights - before)
    assert (moved > 1e-4).sum() > 20
    assert 0 <= net.weights.min() <= net.weights.max() <= 20


def test_without_learning_it_fires_and_does_not_learn():
    net = ss.Network.from_model(model(), learning=False)
    before = net.weights
    assert len(net(spikes())) > 50
    assert np.array_equal(net.weights, before)


@given(st.lists(st.integers(0, 300_000), max_size=12))
@settings(max_examples=15, deadline=None)
def test_it_does_not_matter_where_its_input_is_cut(cuts: list[int]):
    whole, other = ss.Network.from_model(model()), ss.Network.from_model(model())
    expected = rows(whole(spikes()))
    assert rows(concat([other(part) for part in pieces(spikes(), cuts)])) == expected
    assert same(whole.state(), other.state())


@given(st.integers(1, 299_999))
@settings(max_examples=8, deadline=None)
def test_saved_in_a_file_it_goes_on_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, at: int):
    left, right = cut(spikes(), at)
    first, second = ss.Network.from_model(model()), ss.Network.from_model(model())
    first(left)
    path = tmp_path_factory.mktemp("saved") / "x.npz"
    np.savez(path, **first.state())
    with np.load(path) as saved:
        second.restore(dict(saved))
    assert rows(second(right)) == rows(first(right))
    assert same(second.state(), first.state())


def test_one_population_of_them_is_made_by_name():
    net = ss.Network(8, 6, neuron="quadratic", rule="bcm", w_max=12.0, amplitude=0.01, v_peak=30.0)
    assert net.settings["network.v_peak"] == 30.0
    assert len(net(spikes())) > 50


def test_their_parameters_change_while_it_runs():
    changed, plain = ss.Network.from_model(model()), ss.Network.from_model(model())
    for key, value in (("learn.see.bcm.amplitude", 0.0), ("learn.back.bcm.amplitude", 0.0)):
        changed.command(Setting(100_000, key, value))
    changed.command(Setting(200_000, "network.out.v_thresh", -40.0))
    (left, rest), expected = cut(spikes(), 100_000), rows(plain(spikes()))
    early = rows(changed(left))
    weights = changed.weights
    late = rows(changed(rest))
    assert np.array_equal(weights, changed.weights)
    assert early == [row for row in expected if row[0] < 100_000]
    assert len([t for t, _ in late if t >= 200_000]) < 0.9 * len([t for t, _ in expected if t >= 200_000])


# Plugins that are wrong, or were edited.


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that installs a plugin; whatever it imported is forgotten at the end."""
    monkeypatch.syspath_prepend(tmp_path)

    def installed(name: str, source: str, group: str, value: str = "") -> None:
        install(tmp_path, name, source, group, value)
        importlib.invalidate_caches()

    yield installed
    for name in [n for n, m in sys.modules.items() if str(getattr(m, "__file__", "")).startswith(str(tmp_path))]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["RECEPTORS", "Params", "Coeffs", "State", "design", "init", "decay", "fire"])
def test_a_neuron_that_lacks_a_name_is_a_plugin_error(put, name: str):
    put("bare", NEURON + f"\n\ndel {name}\n", "neurons")
    with pytest.raises(PluginError, match=f"neuron 'bare' is not complete: it lacks {name}"):
        ss.Network.from_model(model("bare"))


@pytest.mark.parametrize("name", ["RATES", "Params", "Coeffs", "State", "design", "init", "step"])
def test_a_rule_that_lacks_a_name_is_a_plugin_error(put, name: str):
    put("bare", RULE + f"\n\ndel {name}\n", "rules")
    with pytest.raises(PluginError, match=f"rule 'bare' is not complete: it lacks {name}"):
        ss.Network.from_model(model(rule="bare"))


def test_params_that_are_no_dataclass_are_a_plugin_error(put):
    put("loose", NEURON.replace("@dataclass(frozen=True, slots=True)\n", ""), "neurons")
    with pytest.raises(PluginError, match="it lacks a dataclass Params"):
        ss.Network.from_model(model("loose"))


def test_a_value_that_is_no_module_is_a_plugin_error(put):
    put("thing", f"{NEURON}\n\nclass Thing: ...\n", "neurons", "thing:Thing")
    with pytest.raises(PluginError, match="neuron 'thing' is not complete"):
        ss.Network.from_model(model("thing"))


def test_a_module_that_does_not_load_is_a_plugin_error(put):
    put("torn", NEURON.replace("def design", "def"), "neurons")
    with pytest.raises(PluginError, match="neuron 'torn' of torn does not load: invalid syntax"):
        ss.Network.from_model(model("torn"))


def test_what_design_refuses_is_a_config_error_that_names_the_key(put):
    put("leaky", NEURON, "neurons")
    high = Population("out", 6, neuron="leaky", params={"v_thresh": -1.0})
    with pytest.raises(ConfigError, match=r"populations\.out: v_thresh must lie above 0") as caught:
        ss.Network.from_model(Model([Input("in", 8)], [high]))
    assert caught.value.key == "populations.out"


def test_what_design_refuses_is_no_setting_either():
    net = ss.Network.from_model(model())
    with pytest.raises(ConfigError, match="v_rest must lie below v_thresh"):
        net.check(Setting(0, "network.out.v_thresh", -70.0))


def test_an_unknown_name_or_parameter_names_the_nearest(put):
    with pytest.raises(ConfigError, match="unknown neuron 'quadratics'") as caught:
        ss.Network.from_model(model("quadratics"))
    assert caught.value.nearest == "quadratic"
    with pytest.raises(ConfigError, match=r"unknown parameter 'projections\.see\.rules\.bcm\.amplitud'") as caught:
        ss.Network.from_model(model(amplitud=1.0))
    assert caught.value.nearest == "amplitude"


def test_an_edited_neuron_is_compiled_again_and_the_old_code_is_not_served(put, tmp_path: Path):
    put("edited", NEURON, "neurons")
    alone = Model(
        [Input("in", 8)], [Population("out", 6, neuron="edited")], [Projection("p", "in", "out", weights=9.0)]
    )
    before = rows(ss.Network.from_model(alone)(spikes()))
    file = tmp_path / "edited.py"
    file.write_text(NEURON.replace("s.v[j] > c.v_thresh + s.theta[j]", "s.v[j] > c.v_thresh * c.v_thresh * c.v_thresh"))
    del sys.modules["edited"]  # as in the next process
    importlib.invalidate_caches()
    assert rows(ss.Network.from_model(alone)(spikes())) == []
    file.write_text(NEURON)
    del sys.modules["edited"]
    importlib.invalidate_caches()
    assert rows(ss.Network.from_model(alone)(spikes())) == before != []


# The page.


def signatures(source: str) -> dict[str, str]:
    """Return the functions of a module as text, without their bodies and decorators."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            node.body, node.decorator_list = [ast.Expr(ast.Constant(...))], []
            found[node.name] = ast.unparse(node)
    return found


@pytest.mark.parametrize(("group", "words"), [("neurons", "def fire("), ("rules", "def after_post(")])
def test_every_hook_is_on_the_page_with_what_it_is_handed(group: str, words: str):
    (block,) = (
        code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if words in code and ": ..." in code
    )
    page = signatures(block)
    assert list(page) == list(HOOKS[group])
    for name, text in page.items():
        assert [one.arg for one in ast.parse(text).body[0].args.args] == HOOKS[group][name].split()
    section = PAGE.partition(f"## What a {group[:-1]}'s file holds")[2].partition("\n## ")[0]
    assert not [name for name in NEEDED[group] if f"`{name}`" not in section and f"def {name}(" not in section]
    assert set(USED) <= set(HOOKS["rules"])


@pytest.mark.parametrize("source", [NEURON, RULE, inspect.getsource(lif), inspect.getsource(pair)])
def test_what_the_page_says_is_what_a_neuron_and_a_rule_have(source: str):
    words = "def fire(" if "def fire(" in source else "def after_post("
    (block,) = (
        code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if words in code and ": ..." in code
    )
    page = signatures(block)
    own = {
        name: text
        for name, text in signatures(source).items()
        if name in page and (name != "step" or "def init(groups" in source)
    }
    loose = {
        name: re.sub(r"\bw: float", "w: Any", text).replace("w: Any) -> float", "w: Any) -> Any")
        for name, text in own.items()
    }
    assert loose == {name: page[name] for name in own}
    assert len(own) >= 4


def test_the_neuron_and_the_rule_on_the_page_run_and_learn(put):
    put("leaky", NEURON, "neurons")
    put("nudge", RULE, "rules")
    net = ss.Network.from_model(model("leaky", "nudge"))
    before = net.weights
    assert len(net(spikes())) > 50
    assert (net.weights != before).sum() > 20
    assert len(NEURON.splitlines()) < TOO_LONG
    assert len(RULE.splitlines()) < TOO_LONG


def test_the_entry_points_on_the_page_are_the_plugin_s():
    lines = next(code for code in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "entry-points" in code)
    text = (PLUGIN / "pyproject.toml").read_text(encoding="utf-8")
    assert all(line in text for line in lines.splitlines())


def test_the_toml_and_the_python_on_the_page_make_a_network():
    import tomllib

    lines = next(code for code in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) if "populations" in code)
    made = Model.from_tables(tomllib.loads("[inputs.eye]\nsize = 8\n" + lines))
    names = {"ss": ss, "model": made}
    exec(compile(on_page("net = ss.Network(64"), "docs/composing.md", "exec"), names)
    keys = names["net"].settings
    assert {"network.cells.v_peak", "learn.see.bcm.amplitude"} <= set(keys)
    assert {"network.v_peak", "learn.amplitude"} <= set(ss.Network(8, 2, neuron="quadratic", rule="bcm").settings)


def test_the_tests_on_the_page_are_those_of_the_suites():
    names: dict[str, object] = {}
    exec(compile(on_page("import pytest"), "docs/composing.md", "exec"), names)
    for test, suite in (("a_neuron", checks.neurons.LAWS), ("a_rule", checks.rules.LAWS)):
        (mark,) = names[f"test_it_keeps_the_laws_of_{test}"].pytestmark
        assert [law for law, _ in mark.args[1]] == [law.name for law in suite]


def test_every_law_is_in_the_list_of_laws():
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    rows_of = {tuple(cell.strip() for cell in line.strip("|").split("|")) for line in page.splitlines() if "|" in line}
    assert {(law.name, law.words) for law in (*checks.neurons.LAWS, *checks.rules.LAWS)} <= rows_of
