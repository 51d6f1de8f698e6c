"""Error texts: what happened, where, why likely, the next command; and one exit code per culprit."""

from __future__ import annotations

import pickle

import pytest

from spikestream import errors
from spikestream.errors import (
    ClientError,
    ConfigError,
    DeviceError,
    ModelError,
    PluginError,
    RecordingError,
    SpikestreamError,
    nearest,
)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SpikestreamError("it broke"), "it broke"),
        (
            SpikestreamError("it broke", details=["here", "there"], remedy="mend it"),
            "it broke\n  here\n  there\n  try: mend it",
        ),
        (RecordingError("not an event file I know"), "not an event file I know"),
        (
            RecordingError(
                "not an event file I know",
                file="rec.aedat",
                offset=12_345,
                expected="a header",
                found="zeros",
                details=["it is a Git-LFS pointer (132 bytes)"],
                remedy="git lfs pull --include rec.aedat",
            ),
            "rec.aedat: not an event file I know\n  at byte 12,345, expected a header, found zeros\n"
            "  it is a Git-LFS pointer (132 bytes)\n  try: git lfs pull --include rec.aedat",
        ),
        (RecordingError("cut short", offset=0), "cut short\n  at byte 0"),
        (RecordingError("cut short", found="3 bytes"), "cut short\n  found 3 bytes"),
        (ConfigError("unknown filter 'refactory'"), "unknown filter 'refactory'"),
        (
            ConfigError("unknown filter 'refactory'", allowed="crop, refractory", nearest="refractory", remedy="look"),
            "unknown filter 'refactory'\n  allowed: crop, refractory\n  did you mean 'refractory'?\n  try: look",
        ),
        (PluginError("no such plugin", remedy="spikestream plugins"), "no such plugin\n  try: spikestream plugins"),
    ],
)
def test_texts(error: SpikestreamError, text: str):
    assert str(error) == text


def test_exit_codes():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SpikestreamError)]
    codes = {kind.__name__: kind.exit_code for kind in kinds}
    assert codes == {
        "SpikestreamError": 1,
        "ConfigError": 2,
        "RecordingError": 3,
        "DeviceError": 4,
        "PluginError": 4,
        "ClientError": 5,
        "ModelError": 6,
    }


@pytest.mark.parametrize("kind", [RecordingError, ConfigError, PluginError, DeviceError, ClientError, ModelError])
def test_one_base_for_all(kind: type[SpikestreamError]):
    with pytest.raises(SpikestreamError, match="broken"):
        raise kind("broken")


def test_the_facts_stay_readable_as_fields():
    error = RecordingError("cut", file="a", offset=5, expected="b", found="c", details=iter(["d"]), remedy="e")
    assert (error.what, error.file, error.offset, error.expected, error.found) == ("cut", "a", 5, "b", "c")
    assert (error.details, error.remedy) == (("d",), "e")
    config = ConfigError("bad", key="learn.rate", value=-1, allowed=">= 0", nearest="x")
    assert (config.key, config.value, config.allowed, config.nearest) == ("learn.rate", -1, ">= 0", "x")


def test_a_file_named_later_is_in_the_text():
    error = RecordingError("cut", offset=5)
    error.file = "rec.bin"
    assert str(error) == "rec.bin: cut\n  at byte 5"


def test_errors_cross_a_process_border():
    error = RecordingError("cut", file="a", offset=5, expected="b", found="c", details=["d"], remedy="e")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("refactory", ["crop", "refractory", "flip"], "refractory"),
        ("polarty", ["polarity", "population"], "polarity"),
        ("zzz", ["crop", "flip"], ""),
        ("crop", [], ""),
        ("", ["crop"], ""),
    ],
)
def test_nearest(name: str, known: list[str], found: str):
    assert nearest(name, known) == found
    assert nearest(name, iter(known)) == found
