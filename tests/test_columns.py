"""Columns of other people's names, orders, types and units, against what they say in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from fuzz import taken

from spikestream.batch import EVENT
from spikestream.errors import ConfigError, RecordingError
from spikestream.formats.base import Spare
from spikestream.formats.base.columns import Columns, check_order, named, split, told_order


def columns(t, x=0, y=0, p=0) -> dict[str, np.ndarray]:
    t = np.asarray(t)
    return {"t": t, **{name: np.resize(np.asarray(value), len(t)) for name, value in (("x", x), ("y", y), ("p", p))}}


def made(given: dict[str, np.ndarray], base_us: int = 0, **how) -> tuple[list, list[str], Columns]:
    warnings: list[str] = []
    reader = Columns(warnings, how.get("size", (640, 480)), how.get("unit"))
    parts = [np.empty(0, EVENT), *reader.events(given, Spare(), base_us)]
    return np.concatenate(parts).tolist(), warnings, reader


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("t x y p", "t x y p"),
        ("p Y X TS id", "TS X Y p"),
        ("timestamps x_pos y_pos polarity", "timestamps x_pos y_pos polarity"),
        ("ts xs ys ps", "ts xs ys ps"),
        ("t x y", None),
        ("p t id", None),
    ],
)
def test_names_of_the_field_are_known(names, found):
    expected = None if found is None else dict(zip("txyp", found.split(), strict=True))
    assert named(names.split()) == expected


@pytest.mark.parametrize("kind", ["u1", "<i2", ">u4", "<i8", ">u8", "<f4", ">f8"])
def test_every_type_of_number_is_taken(kind):
    given = {
        name: np.array(values, kind) for name, values in (("t", [3, 90]), ("x", [7, 8]), ("y", [1, 2]), ("p", [0, 1]))
    }
    events, _, _ = made(given)
    assert events == [(3, 7, 1, False), (90, 8, 2, True)]


def test_polarities_of_minus_one_and_one_and_of_truth():
    assert [event[3] for event in made(columns([1, 2, 3], p=np.array([-1, 1, -1], "i1")))[0]] == [False, True, False]
    assert [event[3] for event in made(columns([1, 2, 3], p=np.array([False, True, True])))[0]] == [False, True, True]
    assert [event[3] for event in made(columns([1, 2], p=np.array([0, 255], "u1")))[0]] == [False, True]


@pytest.mark.parametrize(
    "blocks",
    [
        [[0, 1, 0], [1, 1]],
        [[-1, 1], [-1, -1]],
        [[-1, 0, 1]],
        [[0, 0], [255, 0], [0, 0], [255]],
        [[255, 255]],
        [[0], [-1], [1]],
    ],
)
@pytest.mark.parametrize("kind", ["i2", "<f4", ">i8"])
def test_polarities_of_the_field_are_on_above_0(blocks, kind):
    reader = Columns([], (640, 480), None)
    for values in blocks:
        p = np.array(values, kind)
        (got,) = reader.events(columns(np.arange(len(p)), p=p), Spare())
        assert got["p"].tolist() == [value > 0 for value in values]


@pytest.mark.parametrize(
    ("values", "good", "found"),
    [
        ([0, 1, 7, 1], 2, "p 7 in a column with 1"),
        ([7, 1], 0, "p 7"),
        ([0.0, 1.0, 0.3], 2, "p 0.3 in a column with 1"),
        ([0, 0, -2], 2, "p -2"),
        ([1.0, np.nan], 1, "p nan in a column with 1"),
        ([1, 255], 0, "p 1"),  # -1 that lost its sign
        ([255, 1], 1, "p 1 in a column with 255"),
        ([255, -1], 1, "p -1 in a column with 255"),
        ([254, 0], 0, "p 254"),
        ([0, 10**9], 1, "p 1000000000"),
    ],
)
def test_what_is_no_polarity_is_refused_with_what_may_be_wrong(values, good, found):
    p = np.array(values)
    got, error = taken(Columns([], (640, 480), "us").events(columns(np.arange(len(p)), p=p), Spare()))
    assert [event[0] for event in got] == list(range(good))
    assert f"row {good} is no event: its p is no polarity" in error
    assert f"found {found}\n" in error
    assert "--option order=xytp" in error


def test_polarities_of_another_kind_in_a_later_block_are_refused():
    for first, second in ((1, 255), (255, 1)):
        reader = Columns([], (640, 480), "us")
        list(reader.events(columns([1, 2], p=np.array([0, first])), Spare()))
        got, error = taken(reader.events(columns([3, 4], p=np.array([0, second])), Spare()))
        assert len(got) == 1
        assert f"p {second} in a column with {first}" in error


@pytest.mark.parametrize(
    ("unit", "t", "expected"),
    [
        (None, [1, 2], [1, 2]),
        ("us", [1, 2], [1, 2]),
        ("ms", [1, 2], [1_000, 2_000]),
        ("s", [1, 2], [1_000_000, 2_000_000]),
        ("ns", [999, 2_001, -1], [1, 2, 0]),
        ("ns", [1_500, 2_500, 3_500, 3_501, -500, -1_500, -1_501], [2, 2, 4, 4, 0, -2, -2]),  # of two the even one
        ("ns", np.array([2**64 - 1], "u8"), [18_446_744_073_709_552]),
        ("ns", np.array([-(2**63), 2**63 - 1]), [-9_223_372_036_854_776, 9_223_372_036_854_776]),
        ("ns", np.array([127, -128], "i1"), [0, 0]),
        ("s", [0.005748, 1.0000006], [5_748, 1_000_001]),  # to the nearest, not down
        ("ms", [0.5, 0.0015], [500, 2]),
        ("ns", [1_500.0, 2_500.0], [2, 2]),
    ],
)
def test_units(unit, t, expected):
    events, warnings, _ = made(columns(t), unit=unit)
    assert [event[0] for event in events] == expected
    assert warnings == []


def test_a_base_is_added_after_the_unit():
    assert [event[0] for event in made(columns([1, 2]), base_us=49_599_300_523)[0]] == [49_599_300_524, 49_599_300_525]
    assert [event[0] for event in made(columns([1.5]), base_us=7, unit="s")[0]] == [1_500_007]


def test_fractions_are_taken_as_seconds_and_whole_floats_as_microseconds_and_that_is_said():
    events, warnings, _ = made(columns([0.25, 1.0]))
    assert [event[0] for event in events] == [250_000, 1_000_000]
    assert "taken as s; --option unit= says otherwise" in warnings[0]
    events, warnings, reader = made(columns([250.0, 1000.0]))
    assert [event[0] for event in events] == [250, 1000]
    assert "taken as us" in warnings[0]
    (later,) = reader.events(columns([1001.0]), Spare())
    assert later["t"].tolist() == [1001]
    assert len(warnings) == 1


def test_fractions_that_come_after_whole_floats_are_refused_where_the_unit_was_found():
    """What was told first stays, and what speaks against it is no time in that unit."""
    for unit, remedy in ((None, "--option unit=s, where t is in s"), ("us", None)):
        reader = Columns([], (640, 480), unit)
        list(reader.events(columns([0.0, 0.0]), Spare()))
        got, error = taken(reader.events(columns([1.0, 1.25, 2.0]), Spare()))
        assert [event[0] for event in got] == ([1] if remedy else [1, 1, 2])
        if remedy:
            assert "row 3 is no event: its t has a fraction" in error
            assert "found t 1.25\n" in error
            assert remedy in error
    for bad in (np.nan, np.inf):  # that is no fraction
        reader = Columns([], None, None)
        list(reader.events(columns([0.0]), Spare()))
        assert "expected -2^62 <= t" in taken(reader.events(columns([0.0, bad]), Spare()))[1]


@pytest.mark.parametrize("kind", ["<i8", ">u8", "<f8"])
def test_what_counts_in_nanoseconds_since_1970_is_told_as_in_text(kind):
    times = np.array([10**18, 10**18 + 2_560_000], kind)
    events, warnings, reader = made(columns(times))
    assert [event[0] for event in events] == [10**15, 10**15 + 2_560]
    said = ["t in ns (whole numbers, counted since 1970)"]
    assert (reader.notes, len(warnings)) == (([], 1) if kind == "<f8" else (said, 0))
    (later,) = reader.events(columns([2_000]), Spare())
    assert later["t"].tolist() == [2]
    for first, unit, shown in ((10**18 - 1, None, "µs"), (42 * 10**17, None, "µs"), (10**18, "us", "")):
        events, _, reader = made(columns([first]), unit=unit)
        assert (events[0][0], reader.notes) == (first, [f"t in {shown} (whole numbers)"] if shown else [])


@pytest.mark.parametrize(
    "bad",
    [
        {"t": np.array([0, 2**62])},
        {"t": np.array([0, 2**63], "u8")},
        {"t": np.array([0.0, np.nan])},
        {"t": np.array([0.0, np.inf])},
        {"t": np.array([0.0, 1e30])},
        {"x": np.array([0, 65_536])},
        {"x": np.array([0, -1])},
        {"y": np.array([0.0, 1.5])},
        {"y": np.array([0.0, np.nan])},
        {"x": np.array([0, 2**64 - 1], "u8")},
    ],
)
def test_what_is_no_event_is_refused_after_the_good_ones(bad):
    reader = Columns([], (640, 480), "us")
    given = columns(np.array([5, 6])) | {"t": np.array([5, 6])} | bad
    got, error = taken(reader.events(given, Spare()))
    assert got == [(int(given["t"][0]), 0, 0, False)]
    assert "row 1 is no event" in error


@pytest.mark.parametrize("bad", [np.array(["a"]), np.array([1 + 2j]), np.array([[1, 2]]), np.array([1], "M8[s]")])
def test_what_holds_no_numbers_is_refused(bad):
    with pytest.raises(RecordingError, match="column x holds no numbers"):
        made({"t": np.array([1]), "x": bad, "y": np.array([1]), "p": np.array([1])})


def test_a_size_that_is_not_known_grows_and_one_that_is_stays():
    reader = Columns(warnings := [], None, None)
    assert reader.size is None
    list(reader.events(columns([1], x=300, y=100), Spare()))
    assert (reader.size, len(warnings)) == ((304, 240), 1)
    list(reader.events(columns([1], x=1000, y=100), Spare()))
    assert (reader.size, len(warnings)) == ((1280, 720), 1)
    known = Columns(warnings, (10, 10), None)
    list(known.events(columns([1], x=300, y=100), Spare()))
    assert (known.size, len(warnings)) == ((10, 10), 1)


ROWS = {"t": [5, 9, 9, 12], "x": [30, 2, 7, 30], "y": [4, 4, 9, 1], "p": [1, 0, 0, 1]}


@pytest.mark.parametrize("order", ["txyp", "xytp", "xypt", "ptxy", "tpxy"])
def test_the_order_of_columns_is_told_from_their_values(order):
    rows = np.stack([ROWS[name] for name in order], axis=1)
    assert told_order(rows) == told_order(rows.astype("u4")) == told_order(rows.astype("f4")) == order
    assert split(rows, order)["t"].tolist() == ROWS["t"]


def test_an_order_is_told_where_255_stands_for_on():
    rows = np.stack([np.array(ROWS[name]) * (255 if name == "p" else 1) for name in "xypt"], axis=1)
    assert told_order(rows) == "xypt"


def test_an_order_in_doubt_is_asked_for():
    rising = np.array([[1, 5, 1, 0], [2, 6, 0, 1]])  # two columns run forward, two may be polarities
    for rows in (rising, np.zeros((3, 4)), np.empty((0, 4))):
        with pytest.raises(RecordingError, match="order of the four columns") as error:
            told_order(rows)
        assert "--option order=txyp" in error.value.remedy


def test_wrong_options_are_named():
    with pytest.raises(ConfigError, match="unknown unit 'sec'"):
        Columns([], None, "sec")
    for order in ("txy", "txyx", "abcd"):
        with pytest.raises(ConfigError, match="names no four columns"):
            check_order(order)
