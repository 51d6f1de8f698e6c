"""`spikestream doctor`: it finds what is there, and each thing that is wrong, and says what to do about it."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from cli import ROOT
from inprocess import called

from spikestream.files import shipped
from spikestream.service import doctor


def findings(*args: object, code: int = 0) -> dict[str, dict[str, str]]:
    """Return what it found, by what was looked at; no two have one name."""
    rows = json.loads(called("doctor", "--json", *args, code=code).stdout)
    assert len({row["what"] for row in rows}) == len(rows)
    return {row["what"]: row for row in rows}


def test_on_a_machine_that_runs_these_tests_nothing_is_bad():
    found = findings(ROOT / "config" / "daemon.toml")
    assert not [row for row in found.values() if row["state"] == "bad"]
    assert found["numpy"]["text"] == version("numpy")
    assert found["sensors blinker"]["state"] == "ok"
    assert found["pipeline main"]["state"] == "ok"
    assert found["recordings"]["text"].startswith("3 in ")


def test_people_get_a_line_for_each_thing_and_a_sum():
    done = called("doctor")
    lines = done.stdout.splitlines()
    assert all(line.startswith(("ok   ", "note ", "BAD ", "       ")) for line in lines)
    assert any(line.startswith("ok     spikestream: ") for line in lines)
    assert done.stderr.endswith("nothing is bad\n")


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """Return an installed package's share of its own, which may be damaged."""
    shutil.copytree(ROOT / "recordings", tmp_path / "share" / "recordings")
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path)
    return tmp_path / "share" / "recordings"


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_damaged_recording_is_bad(package, damage):
    path = package / "wrap.aedat"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data) if damage == "changed" else path.unlink()
    found = findings(code=1)["recordings"]
    assert found["state"] == "bad"
    assert found["text"].endswith(": wrap.aedat")
    assert "--force-reinstall" in found["remedy"]


def test_a_port_that_is_taken_is_told(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(doctor, "PORTS", {port: "the wire"})
        assert findings()[f"port {port}"]["state"] == "note"
    assert findings()[f"port {port}"]["state"] == "ok"


def test_the_ports_that_a_configuration_names_are_looked_at(tmp_path):
    with socket.socket() as taken, socket.socket() as free:
        for one in (taken, free):
            one.bind(("127.0.0.1", 0))
        taken.listen()
        (bad, good), path = (one.getsockname()[1] for one in (taken, free)), tmp_path / "d.toml"
        looks = ROOT / "recordings" / "looks.aedat4"
        path.write_text(f"""
            [sensor]
            uri = "{looks}"
            [publish]
            urls = ["tcp://127.0.0.1:{bad}", "unix://{tmp_path}/s.sock"]
            [http]
            url = "http://127.0.0.1:{good}"
        """)
        found = findings(path)
    assert (found[f"port {bad}"]["state"], found[f"port {good}"]["state"]) == ("note", "ok")
    assert f"tcp://127.0.0.1:{bad}" in found[f"port {bad}"]["text"]


def test_a_name_that_two_distributions_register_and_a_plugin_that_does_not_load_are_bad(tmp_path, monkeypatch):
    for name, value in (("mine", "nowhere:Nothing"), ("tcp", "nowhere:Other")):
        info = tmp_path / f"spikestream_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: spikestream-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[spikestream.outputs]\n{name} = {value}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = findings(code=1)
    assert found["outputs mine"]["state"] == "bad"
    again, _, out = found["outputs mine"]["remedy"].partition(", or leave it out: ")
    assert again == "pip install --upgrade --force-reinstall spikestream-mine"
    assert out == "pip uninstall spikestream-mine"
    assert "nowhere" in found["outputs mine"]["text"]
    assert found["outputs tcp"]["text"] == "registered 2 times; naming it is an error"


def test_few_open_files_are_told():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        found = findings()["open files"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found["state"] == "note"
    assert found["remedy"].startswith("ulimit -n ")


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(doctor.EXTRAS, "plots", ("no_such_module",))
    found = findings()["extra [plots]"]
    assert (found["state"], found["remedy"]) == ("note", "pip install 'spikestream[plots]'")


def test_every_extra_that_a_user_may_want_is_looked_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(doctor.EXTRAS) == set(project["optional-dependencies"]) - {"dev", "fuzz", "oracles"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[sensor]\nuri = 'nothing.aedat'\n", "nothing.aedat"),
        ("[sensor]\nurl = 'x'\n", "url"),
        ("[publish]\nurls = ['tcp://127.0.0.1:99999']\n[sensor]\nuri = 'blinker://'\n", "99999"),
        ("[sensor]\nuri = 'blinker://'\n[checkpoint]\npath = '/no/such/folder/state.npz'\n", "/no/such/folder"),
        (
            "[sensor]\nuri = 'blinker://'\n[checkpoint]\npath = 'one.npz'\n[pipelines.a]\n[pipelines.b]\n",
            "both write to one.npz",
        ),
        ("[sensor]\nuri = 'blinker://'\n[checkpoint]\npath = 'LOOKS.npz'\n", "does not fit"),
    ],
)
def test_a_configuration_that_could_not_run_is_bad(tmp_path, text, told):
    path = tmp_path / "daemon.toml"
    saved = shutil.copy(shipped.models()["looks"], tmp_path)
    path.write_text(text.replace("LOOKS.npz", str(saved)))
    bad = [row for row in findings(path, code=1).values() if row["state"] == "bad"]
    assert len(bad) == 1
    assert told in bad[0]["text"]


def test_nothing_is_left_behind(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    called("doctor", cwd=tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(os.listdir("/proc/self/fd")) <= before
