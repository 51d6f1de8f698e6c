"""Discovery: a name finds its one object, nothing loads before it is named, and two of one name are an error."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from spikestream import registry
from spikestream.errors import PluginError


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that puts a small distribution with one module and its entry points on the path."""

    def put(name: str, source: str, points: dict[str, dict[str, str]]) -> Path:
        folder = tmp_path / name
        meta = folder / f"{name}-1.5.dist-info"
        meta.mkdir(parents=True)
        (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        groups = [f"[spikestream.{g}]\n" + "".join(f"{k} = {v}\n" for k, v in p.items()) for g, p in points.items()]
        (meta / "entry_points.txt").write_text("\n".join(groups))
        (folder / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(folder)
        return folder

    yield put
    for name in [n for n, m in sys.modules.items() if str(getattr(m, "__file__", "")).startswith(str(tmp_path))]:
        del sys.modules[name]


def test_a_plugin_is_found_and_loaded(install):
    install("crickets", "class Cricket: ...\n", {"sensors": {"cricket": "crickets:Cricket"}})
    (found,) = (f for f in registry.found("sensors") if f.name == "cricket")
    assert found == registry.Found("sensors", "cricket", "crickets:Cricket", "crickets", "1.5")
    assert "crickets" not in sys.modules
    cricket = registry.load("sensors", "cricket")
    assert cricket is sys.modules["crickets"].Cricket


def test_finding_runs_no_code_and_loading_runs_only_what_was_named(install):
    install("bombs", "raise RuntimeError('loaded unasked')\n", {"stages": {"bomb": "bombs:Bomb"}})
    install("lambs", "class Lamb: ...\n", {"stages": {"lamb": "lambs:Lamb"}})
    assert {"bomb", "lamb"} <= {f.name for f in registry.found("stages")}
    assert registry.load("stages", "lamb").__name__ == "Lamb"
    assert "bombs" not in sys.modules


def test_names_are_sorted():
    for group in registry.GROUPS:
        names = [found.name for found in registry.found(group)]
        assert names == sorted(names)


def test_the_built_ins_come_by_the_same_way():
    built_in = {f.name: f for f in registry.found("formats") if f.distribution == "spikestream"}
    assert {"aedat2", "aedat3", "aedat4", "bin"} <= set(built_in)
    assert built_in["aedat2"].version == version("spikestream")
    assert "file" in {f.name for f in registry.found("sensors")}


def test_an_unknown_name_names_the_nearest(install):
    install("crickets", "", {"rules": {"chirp": "crickets:A", "trill": "crickets:B"}})
    with pytest.raises(PluginError) as caught:
        registry.load("rules", "chrip")
    known = ", ".join(f.name for f in registry.found("rules"))
    assert "chirp" in known
    assert str(caught.value) == (
        f"unknown rule 'chrip'; did you mean 'chirp'?\n  known: {known}\n  try: spikestream plugins"
    )


def test_an_unknown_name_with_nothing_near(install):
    with pytest.raises(PluginError) as caught:
        registry.load("sensors", "qqqqqqqqqqqqqqq")
    assert str(caught.value).startswith("unknown sensor 'qqqqqqqqqqqqqqq'\n  known: ")
    with pytest.raises(PluginError, match="known: none"):
        registry.load("no such group", "x")


def test_two_distributions_with_one_name_are_an_error(install):
    install("crickets", "class Cricket: ...\n", {"sensors": {"cricket": "crickets:Cricket"}})
    install("locusts", "class Cricket: ...\n", {"sensors": {"cricket": "locusts:Cricket"}})
    with pytest.raises(PluginError) as caught:
        registry.load("sensors", "cricket")
    assert str(caught.value) == (
        "sensor 'cricket' is registered 2 times: by crickets, locusts\n  try: pip uninstall locusts"
    )
    assert not {"crickets", "locusts"} & set(sys.modules)


def test_a_plugin_may_not_take_the_name_of_a_built_in(install):
    install("impostor", "FORMAT = None\n", {"formats": {"aedat2": "impostor:FORMAT"}})
    with pytest.raises(PluginError, match="format 'aedat2' is registered 2 times: by impostor, spikestream"):
        registry.load("formats", "aedat2")


def test_one_distribution_seen_twice_on_the_path_is_one(install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = install("crickets", "class Cricket: ...\n", {"sensors": {"cricket": "crickets:Cricket"}})
    monkeypatch.syspath_prepend(f"{folder}/.")
    assert registry.load("sensors", "cricket").__name__ == "Cricket"


@pytest.mark.parametrize(
    ("source", "value", "why"),
    [
        ("import no_such_module_at_all\n", "crickets:Cricket", "No module named 'no_such_module_at_all'"),
        ("", "crickets:Cricket", "has no attribute 'Cricket'"),
        ("raise RuntimeError('no licence')", "crickets:Cricket", "no licence"),
        ("class Cricket(:", "crickets:Cricket", "invalid syntax"),
        ("", "no_such_module_at_all:Cricket", "No module named 'no_such_module_at_all'"),
    ],
)
def test_a_plugin_that_does_not_load(install, source: str, value: str, why: str):
    install("crickets", source, {"sensors": {"cricket": value}})
    with pytest.raises(PluginError) as caught:
        registry.load("sensors", "cricket")
    assert str(caught.value).startswith("sensor 'cricket' of crickets does not load: ")
    assert why in str(caught.value)
    assert caught.value.exit_code == 4


def test_what_was_installed_from_a_folder_is_installed_from_there_again(install):
    folder = install("crickets", "import no_such_module_at_all\n", {"sensors": {"cricket": "crickets:Cricket"}})
    told = '{"dir_info": {"editable": true}, "url": "file:///home/me/crickets"}'
    (folder / "crickets-1.5.dist-info" / "direct_url.json").write_text(told)
    with pytest.raises(PluginError) as caught:
        registry.load("sensors", "cricket")
    again = "pip install --upgrade --force-reinstall /home/me/crickets"
    assert caught.value.remedy == f"{again}, or leave it out: pip uninstall crickets"


def test_what_is_ours_and_no_part_of_the_package_says_how_to_install_it(monkeypatch):
    others = {one: point for one, point in registry._points("sensors").items() if one.name != "camera"}
    with pytest.raises(PluginError, match="unknown sensor 'camera'") as caught:
        registry._load("sensors", others, "camera")
    assert caught.value.remedy.startswith("pip install -e plugins/camera")


def test_looking_for_plugins_imports_none_of_the_heavy_libraries():
    code = (
        "import json, sys; from spikestream import registry\n"
        "for group in registry.GROUPS: registry.found(group)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "numba", "asyncio", "aiohttp", "sounddevice", "spikestream.sensors", "spikestream.formats"}
    assert heavy & set(json.loads(answer.stdout)) == set()
