"""`devices`: what sensors say is there, what they say is missing, and that one of them never hides the others."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from cli import PATIENCE_S, spikestream
from plainformat import install
from soundserver import sound_server

__all__ = ["sound_server"]

SENSORS = """
from spikestream.errors import DeviceError
from spikestream.sensors.base import Device

class Retina:
    @staticmethod
    def devices():
        return [Device("retina://7", "EVK4", "1280x720, USB 3"), Device("retina://12", "DAVIS346")]

class Locked:
    @staticmethod
    def devices():
        raise DeviceError("permission is denied", remedy="sudo udevadm trigger")

class Broken:
    @staticmethod
    def devices():
        raise ValueError("no bus")

class Empty:
    @staticmethod
    def devices():
        return []

class Plain:
    pass
"""
NAMES = ("retina", "locked", "broken", "empty", "plain")


@pytest.fixture
def site(tmp_path_factory, monkeypatch):
    """Install these sensors, and one that does not load, for one test."""
    folder = tmp_path_factory.mktemp("site")
    points = "".join(f"{name} = cameras_of_tests:{name.title()}\n" for name in NAMES)
    install(folder, "cameras", f"[spikestream.sensors]\n{points}gone = nowhere.at.all:Gone\n")
    (folder / "cameras_of_tests.py").write_text(SENSORS)
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop("cameras_of_tests", None)


def listed(*kinds, code=0):
    return {row["kind"]: row for row in json.loads(spikestream("devices", "--json", *kinds, code=code).stdout)}


def test_what_is_there_is_listed_whatever_the_others_do(site):
    # In processes of their own: PortAudio looks for devices when it is first imported, and other tests are after those.
    lines = spikestream("devices").stdout.splitlines()
    assert spikestream("devices", "retina").stdout.splitlines()[0] == "retina://7   EVK4      1280x720, USB 3"
    assert any(line.startswith("retina://12") and line.endswith("DAVIS346") for line in lines)
    assert "locked: unavailable: permission is denied; try: sudo udevadm trigger" in lines
    assert "broken: unavailable: ValueError: no bus" in lines
    assert "empty: there is none" in lines
    assert any(line.startswith("gone: unavailable: sensor 'gone' of cameras does not load") for line in lines)
    assert not any(line.startswith(("plain", "file", "mnist")) for line in lines)


def test_as_json(site):
    rows = listed()
    assert rows["retina"]["devices"][0] == {"uri": "retina://7", "name": "EVK4", "detail": "1280x720, USB 3"}
    assert (rows["locked"]["unavailable"], rows["locked"]["remedy"]) == ("permission is denied", "sudo udevadm trigger")
    assert rows["empty"] == {"kind": "empty", "devices": [], "unavailable": "", "remedy": ""}
    assert "microphone" in rows
    assert not {"plain", "file"} & set(rows)


@pytest.mark.parametrize(
    ("kinds", "code"), [(["retina"], 0), (["locked"], 4), (["broken"], 4), (["empty"], 4), (["retina", "empty"], 4)]
)
def test_a_named_kind_that_cannot_be_had_is_an_error(kinds, code, site):
    assert set(listed(*kinds, code=code)) == set(kinds)


def test_a_kind_that_is_none_is_refused(site):
    assert "sensor 'plain' has no devices to list" in spikestream("devices", "plain", code=2).stderr
    assert "did you mean 'retina'?" in spikestream("devices", "ratina", code=4).stderr
    assert "does not load" in spikestream("devices", "gone", code=4).stderr


def test_microphones_are_listed_as_what_opens_them(sound_server):
    args = [sys.executable, "-m", "spikestream", "devices", "microphone", "--json"]
    done = subprocess.run(args, env=sound_server.env, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    ((kind,),) = [json.loads(done.stdout)]
    names = {device["name"]: device for device in kind["devices"]}
    (default,) = [device for device in names.values() if device["detail"].endswith("the default")]
    code = "import sys\nfrom spikestream.sensors.base import open_sensor\nprint(open_sensor(sys.argv[1]).device)"
    for device in names.values():
        args = [sys.executable, "-c", code, device["uri"]]
        done = subprocess.run(args, env=sound_server.env, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.stdout.strip() == device["name"], done.stderr
    assert default["uri"].startswith("microphone://")


def test_without_portaudio_it_says_what_to_install():
    code = (
        "import ctypes.util, sys\nctypes.util.find_library = lambda name: None\n"
        "from spikestream.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    for kinds, expected in (([], 0), (["microphone"], 4)):
        args = [sys.executable, "-c", code, "devices", *kinds]
        done = subprocess.run(args, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == expected, done.stderr
        assert "microphone: unavailable: PortAudio, which microphones need, is missing" in done.stdout
        assert "libportaudio2" in done.stdout
