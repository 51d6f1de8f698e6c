"""Who reads whose recordings: docs/interop.md says what other programs do with our files, and we with theirs."""

from __future__ import annotations

import re
import signal
import sys
import tomllib

import numpy as np
import pytest
from cli import ROOT

sys.path.append(str(ROOT / "benchmarks"))
import interop


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return interop.matrix(tmp_path_factory.mktemp("interop"))


def test_what_we_write_we_read(found):
    ours = {cell: text for cell, text in found.items() if set(cell[1:]) == {interop.OURS}}
    assert {cell[0] for cell in ours} == {
        name for name, kind in interop.FORMATS.items() if interop.OURS in kind.writers.split()
    }
    assert set(ours.values()) == {"equal"}


def test_every_file_of_ours_is_read_alike_by_another_program(found):
    others = {cell[0] for cell, text in found.items() if cell[1] == interop.OURS != cell[2] and text == "equal"}
    assert others == {name for name, kind in interop.FORMATS.items() if interop.OURS in kind.writers.split()}


def test_the_page_says_what_is_found(found):
    page = interop.PAGE.read_text()
    told, made_with, here = interop.documented(page), interop.told_versions(page), interop.versions()
    assert sorted(made_with) == sorted(set(interop.programs()) - set(interop.PLAIN))
    # Another version of a program may do otherwise; what spikestream does with its own files may not.
    alike = {name for name, version in here.items() if made_with[name] == version} | set(interop.PLAIN)
    both = [{cell: text for cell, text in cells.items() if alike.issuperset(cell[1:])} for cells in (found, told)]
    assert both[0] == both[1], "docs/interop.md is not what was found: python benchmarks/interop.py --write"
    assert interop.tables(told) in page


def test_every_program_is_installed_for_the_tests():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {re.split(r"[>=;\[ ]", one)[0] for one in extras["oracles"] + extras["datasets"]} | {"numpy", "spikestream"}
    assert {interop.PACKAGES.get(program, program) for program in interop.programs()} <= named


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda events: events, "equal"),
        (lambda events: events[:-3], "the last 3 missing"),
        (lambda events: events[1:], "1 event fewer"),
        (lambda events: events[:0], "no events"),
        (lambda events: np.concatenate([events, events[:2]]), "2 events more"),
        (lambda events: changed(events, "y", 259 - events["y"]), "y upside down"),
        (lambda events: changed(events, "x", 345 - events["x"]), "x mirrored"),
        (lambda events: changed(events, "t", events["t"] + 1), "t"),
        (lambda events: changed(events, "p", ~events["p"]), "p"),
    ],
)
def test_one_event_that_differs_is_told(change, told):
    events = interop.scene("es", "late")
    assert interop.differing(events, change(events), "es") == told
    one = events.copy()
    one["x"][1_999] += 1
    assert interop.differing(events, one, "es") == "x"


def changed(events, name, column):
    made = events.copy()
    made[name] = column
    return made


def test_what_crashes_or_hangs_is_told_and_the_next_file_is_read(tmp_path, monkeypatch):
    events, read = tmp_path / "a.npy", tmp_path / "b.npy"
    np.save(events, interop.scene("npy", "zero"))
    with interop.Program("numpy") as program:
        assert program.does("read", "npy", tmp_path / "none.npy", read) == "refuses"
        program._running.kill()  # as a library that crashes would
        assert program.does("read", "npy", events, read) == "crashes"
        assert program.does("read", "npy", events, read) == ""
        assert np.array_equal(np.load(read), np.load(events))
        program._running.send_signal(signal.SIGSTOP)
        with monkeypatch.context() as patched:
            patched.setattr(interop, "LIMIT_S", 0.2)
            assert program.does("read", "npy", events, read) == "hangs"
        assert program.does("read", "npy", events, read) == ""
