"""Options of filters: what is wrong is said, the two ways to write them agree, and the manual has them all."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from filter_cases import SLOW_START, events_of
from hypothesis import given, settings
from hypothesis import strategies as st

from spikestream.errors import ConfigError
from spikestream.stages.filters import KINDS, Filters, parse_filter

DOC = Path(__file__).resolve().parent.parent / "docs" / "filters.md"


@pytest.mark.parametrize(
    ("row", "text", "key", "nearest", "allowed"),
    [
        ({"kind": "refactory"}, "unknown filter 'refactory'", "filter.kind", "refractory", "rate_limit"),
        ({}, "a filter needs a 'kind'", "filter.kind", "", "refractory"),
        ({"kind": 3}, "a filter needs a 'kind'", "filter.kind", "", "refractory"),
        (
            {"kind": "refractory", "periodms": 1},
            "filter 'refractory' has no option 'periodms'",
            "filter.refractory.periodms",
            "period_ms",
            "period_ms",
        ),
        (
            {"kind": "refractory", "period_ms": 0},
            "filter 'refractory': period_ms cannot be 0",
            "filter.refractory.period_ms",
            "",
            "a number from 0.001 to 86,400,000 ms",
        ),
        ({"kind": "refractory", "period_ms": "1"}, "cannot be '1'", "filter.refractory.period_ms", "", "a number"),
        ({"kind": "refractory", "period_ms": True}, "cannot be True", "filter.refractory.period_ms", "", "a number"),
        ({"kind": "refractory", "period_ms": None}, "cannot be None", "filter.refractory.period_ms", "", "a number"),
        ({"kind": "refractory", "period_ms": float("nan")}, "be nan", "filter.refractory.period_ms", "", "a number"),
        ({"kind": "refractory", "period_ms": 10**400}, "cannot be 1", "filter.refractory.period_ms", "", "a number"),
        ({"kind": "background", "neighbours": 9}, "cannot be 9", "filter.background.neighbours", "", "1 to 8"),
        ({"kind": "background", "neighbours": 1.0}, "be 1.0", "filter.background.neighbours", "", "whole number"),
        ({"kind": "background", "neighbours": True}, "be True", "filter.background.neighbours", "", "whole number"),
        ({"kind": "hot_pixel", "pixels": [[1, 2, 3]]}, "pixels cannot be", "filter.hot_pixel.pixels", "", "[x, y]"),
        ({"kind": "hot_pixel", "pixels": [[-1, 2]]}, "pixels cannot be", "filter.hot_pixel.pixels", "", "[x, y]"),
        ({"kind": "hot_pixel", "pixels": "1x2"}, "pixels cannot be", "filter.hot_pixel.pixels", "", "[x, y]"),
        ({"kind": "hot_pixel", "pixels": [[8, 0]]}, "be [8, 0]", "filter.hot_pixel.pixels", "", "inside 8x6"),
        ({"kind": "hot_pixel", "pixels": [[0, 6]]}, "be [0, 6]", "filter.hot_pixel.pixels", "", "inside 8x6"),
        ({"kind": "polarity"}, "needs the option 'keep'", "filter.polarity.keep", "", "on, off, both, merge"),
        ({"kind": "polarity", "keep": "ON"}, "keep cannot be 'ON'", "filter.polarity.keep", "", "on, off, both, merge"),
        ({"kind": "polarity", "keep": []}, "keep cannot be []", "filter.polarity.keep", "", "on, off, both, merge"),
        ({"kind": "crop", "width": 4}, "needs the option 'height'", "filter.crop.height", "", "65,536"),
        ({"kind": "crop", "x": 5, "width": 4, "height": 1}, "x + width cannot be 9", "filter.crop.x + width", "", "8"),
        ({"kind": "crop", "width": 8, "height": 7}, "y + height cannot be 7", "filter.crop.y + height", "", "6"),
        ({"kind": "flip", "horizontal": 1}, "horizontal cannot be 1", "filter.flip.horizontal", "", "true, false"),
        ({"kind": "downsample", "factor": 0}, "factor cannot be 0", "filter.downsample.factor", "", "auto"),
        ({"kind": "downsample", "factor": "half"}, "be 'half'", "filter.downsample.factor", "", "auto"),
        ({"kind": "rate_limit"}, "needs the option 'max_rate_hz'", "filter.rate_limit.max_rate_hz", "", "Hz"),
        ({"kind": "rate_limit", "max_rate_hz": 0}, "be 0", "filter.rate_limit.max_rate_hz", "", "from 0.001"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(row, text, key, nearest, allowed):
    with pytest.raises(ConfigError) as caught:
        Filters([row], (8, 6))
    error = caught.value
    assert text in error.what
    assert (error.key, error.nearest) == (key, nearest)
    assert allowed in error.allowed


def test_a_row_is_checked_against_the_size_the_row_before_it_leaves():
    rows = [{"kind": "downsample", "factor": 4}, {"kind": "crop", "width": 3, "height": 1}]
    with pytest.raises(ConfigError, match="x \\+ width cannot be 3"):
        Filters(rows, (8, 6))
    assert Filters(rows[::-1], (8, 6)).size == (1, 1)


@pytest.mark.parametrize("size", [None, (0, 1), (1, 65_537)])
def test_without_a_size_there_are_no_filters(size):
    with pytest.raises(ConfigError) as caught:
        Filters([], size)
    assert caught.value.key == "sensor.size"
    assert caught.value.remedy == ("--size WxH" if size is None else "")


@pytest.mark.parametrize("kind", ["refractory", "background", "hot_pixel"])
def test_a_forged_size_does_not_allocate_without_bound(kind):
    with pytest.raises(ConfigError, match="cannot remember 65536x65536 pixels"):
        Filters([{"kind": kind}], (65_536, 65_536))
    crop = {"kind": "crop", "width": 100, "height": 100}
    assert Filters([crop, {"kind": kind}], (65_536, 65_536)).size == (100, 100)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("refractory", {"kind": "refractory"}),
        ("refractory:period_ms=1", {"kind": "refractory", "period_ms": 1}),
        ("refractory:period_ms=0.5", {"kind": "refractory", "period_ms": 0.5}),
        (
            "crop:x=10,y=10,width=64,height=64",
            {"kind": "crop", "x": 10, "y": 10, "width": 64, "height": 64},
        ),
        ("downsample:factor=2", {"kind": "downsample", "factor": 2}),
        ("downsample:factor=auto", {"kind": "downsample", "factor": "auto"}),
        ("polarity:keep=on", {"kind": "polarity", "keep": "on"}),
        (" flip: horizontal = true , vertical=false", {"kind": "flip", "horizontal": True, "vertical": False}),
        ("hot_pixel:pixels=1x2", {"kind": "hot_pixel", "pixels": [[1, 2]]}),
        (
            "hot_pixel:max_rate_hz=1e3,pixels=1x2+30x4",
            {"kind": "hot_pixel", "max_rate_hz": 1e3, "pixels": [[1, 2], [30, 4]]},
        ),
    ],
)
def test_the_command_line_form_means_the_same_as_the_row(text, row):
    got = parse_filter(text)
    assert got == row
    assert [type(v) for v in got.values()] == [type(v) for v in row.values()]
    Filters([got], (100, 100))


@pytest.mark.parametrize(
    "text", ["crop:x", "crop:x=", "crop:=1", "crop:x=1,", "crop:,x=1", "crop:x=1,x=2", "crop:kind=flip", "flip:a:b"]
)
def test_a_form_that_says_nothing_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        parse_filter(text)
    assert f"filter '{text}'" in caught.value.what


@given(text=st.one_of(st.text(), st.from_regex(r"[a-z_]{1,10}:([a-z_]{1,4}=[0-9a-zx+.,=-]{0,5},?){0,3}")))
@settings(max_examples=1000, deadline=None)
def test_any_text_is_a_row_or_a_config_error(text):
    with suppress(ConfigError):
        Filters([parse_filter(text)], (8, 8))


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@SLOW_START
def test_any_value_is_taken_or_refused_with_a_config_error(kind, data):
    names = st.sampled_from([*KINDS[kind].checks, "other"])
    row = data.draw(st.dictionaries(names, VALUES, max_size=4))
    with suppress(ConfigError):
        stage = Filters([{"kind": kind, **row}], (8, 8))
        stage(events_of([(0, 0, 0, True), (1, 7, 7, False)]))
        assert stage.account.imbalance() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_is_in_the_manual_with_its_default(kind):
    section = DOC.read_text().split(f"\n## {kind}\n")[1].split("\n## ")[0]
    table = {cells[0]: cells[2] for cells in re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| .+ \|$", section, re.M)}
    assert list(table) == list(KINDS[kind].checks)
    assert set(table) == {field.name for field in fields(KINDS[kind].options)}
    for field in fields(KINDS[kind].options):
        words = {"()": "[]", "True": "true", "False": "false"}
        default = words.get(str(field.default), field.default)
        shown = "required" if field.default is MISSING else f"`{default}`"
        assert table[field.name] == shown
    assert "\nCounted: " in section


def test_the_manual_has_no_section_for_a_filter_that_does_not_exist():
    assert re.findall(r"^## (\w+)$", DOC.read_text(), re.M) == list(KINDS)
