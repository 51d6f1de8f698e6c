"""`formats`: what it says can be read and written can be, and what cannot be is listed with the reason."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cli import spikestream
from inprocess import called
from plainformat import ENTRIES, install, plain

import spikestream as ss
from spikestream.batch import EVENT, Events
from spikestream.registry import found

__all__ = ["plain"]
MODULE = """
from spikestream.formats.base import Format, no_magic
import plainformat
PARTS = Format("parts", "Parts", (".parts",), no_magic, plainformat.Decoder, plainformat.Encoder,
               {"tint": "a colour"}, needs=("json", "no_such_library"), install="pip install 'parts[all]'")
NONE = Format("none", "Nothing", (".none",), no_magic)
OTHER = 7
"""


def listed(*names: str, code: int = 0) -> dict[str, dict]:
    return {row["name"]: row for row in json.loads(called("formats", "--json", *names, code=code).stdout)}


def test_every_registered_format_is_listed_once():
    names = [entry.name for entry in found("formats")]
    assert list(listed()) == names == sorted(set(names))
    assert [line.split()[0] for line in called("formats").stdout.splitlines()] == ["name", *names]


@pytest.mark.parametrize("name", [name for name, row in listed().items() if row["writes"]])
def test_what_is_said_to_be_written_and_read_is(name, tmp_path):
    row = listed(name)[name]
    data = np.zeros(500, EVENT)
    data["t"], data["x"], data["p"] = np.arange(500), np.arange(500) % 34, np.arange(500) % 2
    path = tmp_path / f"a{row['suffixes'][0]}"
    ss.write(path, Events(0, 500, data, (34, 34)), format=name)
    assert np.array_equal(ss.read(path, format=name).data, data)
    hidden = path.rename(tmp_path / "a")  # nothing but the content can tell now
    done = called("info", "--json", hidden, code=0 if row["by_content"] else 3)
    assert not row["by_content"] or json.loads(done.stdout)["format"] == name
    with open(hidden, "rb") as file:
        done = spikestream("info", "--json", "-", "--format", name, stdin=file, code=0 if row["streams"] else 3)
    assert not row["streams"] or json.loads(done.stdout)["events"] == 500


def test_what_is_not_written_says_so(tmp_path):
    for name, row in listed().items():
        if row["reads"] and not row["writes"]:
            with pytest.raises(ss.ConfigError, match="can be read, not written"):
                ss.write(tmp_path / "x", Events(0, 1, np.zeros(0, EVENT), (4, 4)), format=name)


def test_what_cannot_be_used_is_listed_with_the_reason(plain):
    (plain / "moreformats.py").write_text(MODULE)
    install(
        plain,
        "more",
        "[spikestream.formats]\ngone = nowhere.at.all:FORMAT\nparts = moreformats:PARTS\nnone = moreformats:NONE\n",
    )
    install(plain, "odd", "[spikestream.formats]\nother = moreformats:OTHER\nplain = moreformats:PARTS\n")
    rows = listed()
    assert "does not load: No module named 'nowhere'" in rows["gone"]["unavailable"]
    assert "0 ways to be read" in rows["none"]["unavailable"]
    assert rows["other"]["unavailable"] == "'other' of odd 1.0 registers a int, which is no Format"
    assert "registered 2 times: by odd, plainformat" in rows["plain"]["unavailable"]
    assert rows["plain"]["remedy"] == "pip uninstall plainformat"
    assert (rows["parts"]["unavailable"], rows["parts"]["remedy"]) == (
        "not installed: no_such_library",
        "pip install 'parts[all]'",
    )
    assert not any(rows[name][can] for name in ("gone", "none", "other", "parts") for can in ("reads", "writes"))
    assert (rows["mute"]["reads"], rows["mute"]["writes"]) == (True, False)
    assert not rows["twin"]["unavailable"]
    text = called("formats").stdout
    assert "  parts: not installed: no_such_library; try: pip install 'parts[all]'" in text
    assert called("formats", "mute", "parts", code=4).stdout.splitlines()[-1] == "  parts  tint: a colour"
    assert set(listed("mute", "twin")) == {"mute", "twin"}


def test_an_unknown_format_is_an_error_that_names_the_nearest():
    assert "did you mean 'evt3'?" in called("formats", "evt33", code=4).stderr


def test_the_plugin_of_the_tests_is_what_is_listed(plain):
    assert {line.partition(" ")[0] for line in ENTRIES.splitlines()[1:]} <= set(listed())
    assert listed("plain")["plain"]["distribution"] == "plainformat 1.0"
