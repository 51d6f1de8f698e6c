"""What the tests of filters share: streams, rows of filters that fit them, and what came out."""

from __future__ import annotations

import naive_filters as naive
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from spikestream.batch import EVENT, Events, cut
from spikestream.stages.filters import KINDS, Filters

SLOW_START = settings(max_examples=200, deadline=None)  # the first example may compile a kernel
EDGE = 2**62 - 1
BASES = [0, -1_234_567, 1_600_000_000_000_000, -EDGE, EDGE - 10_000_000]
ALL = [
    {"kind": "refractory"},
    {"kind": "background"},
    {"kind": "hot_pixel"},
    {"kind": "rate_limit", "max_rate_hz": 100},
]


def events_of(rows, size=None):
    """Return the batch that holds these (t, x, y, p), over just their time."""
    data = np.array(rows, EVENT) if rows else np.empty(0, EVENT)
    return Events(rows[0][0], rows[-1][0] + 1, data, size) if rows else Events(0, 0, data, size)


def tuples(data):
    return [(int(e["t"]), int(e["x"]), int(e["y"]), bool(e["p"])) for e in data]


def passed(rows, size, events):
    return tuples(Filters(rows, size)(events_of(events)).data)


@st.composite
def streams(draw, size):
    """Draw a start and up to 60 events, dense in time and space, a few outside the size."""
    steps = st.sampled_from([0, 0, 0, 1, 2, 99, 100, 101, 500, 999, 1000, 1001, 4000, 30_000])
    place = st.tuples(steps, st.integers(0, size[0]), st.integers(0, size[1]), st.booleans())
    t = draw(st.sampled_from(BASES))
    rows = []
    for step, x, y, p in draw(st.lists(place, max_size=60)):
        t += step
        rows.append((t, x, y, p))
    return rows


def one_row(kind, size):
    """Return the strategy for a row of this kind that acts on streams as dense as ours."""
    few_ms = st.sampled_from([0.001, 0.1, 0.5, 1, 1.0, 2.5, 10])
    w, h = size
    options = {
        "refractory": {"period_ms": few_ms},
        "background": {"window_ms": few_ms, "neighbours": st.integers(1, 4)},
        "hot_pixel": {
            "max_rate_hz": st.sampled_from([1, 200.5, 1000, 3000.0]),
            "period_ms": few_ms,
            "pixels": st.lists(st.tuples(st.integers(0, w - 1), st.integers(0, h - 1)).map(list), max_size=2),
        },
        "polarity": {"keep": st.sampled_from(["on", "off", "both", "merge"])},
        "flip": {"horizontal": st.booleans(), "vertical": st.booleans()},
        "downsample": {"factor": st.one_of(st.integers(1, 3), st.just("auto"))},
        "rate_limit": {
            "max_rate_hz": st.sampled_from([0.5, 100, 1234.567, 20_000]),
            "burst_ms": st.sampled_from([0, 0.3, 10, 1000]),
        },
    }
    if kind == "crop":
        x, y = st.integers(0, w - 1), st.integers(0, h - 1)
        corner = st.tuples(x, y)
        return corner.flatmap(
            lambda c: st.fixed_dictionaries(
                {
                    "kind": st.just(kind),
                    "x": st.just(c[0]),
                    "y": st.just(c[1]),
                    "width": st.integers(1, w - c[0]),
                    "height": st.integers(1, h - c[1]),
                }
            )
        )
    return st.fixed_dictionaries({"kind": st.just(kind), **options[kind]})


@st.composite
def cases(draw, kinds=tuple(KINDS), most=4):
    """Draw a size, a row of filters that fits it, and a stream."""
    size = draw(st.sampled_from([(1, 1), (3, 2), (5, 4), (130, 3)]))
    rows, now = [], size
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=most)):
        rows.append(draw(one_row(kind, now)))
        now = naive.row_of([rows[-1]], now, [])[1]
    return rows, size, draw(streams(size))


def pieces(batch, cuts):
    """Return the batch cut at these times; a time given twice makes an empty batch."""
    out = []
    for at in sorted(cuts):
        left, batch = cut(batch, at)
        out.append(left)
    return [*out, batch]


def same(one, other):
    return one.keys() == other.keys() and all(
        one[k].dtype == other[k].dtype and one[k].shape == other[k].shape and one[k].tobytes() == other[k].tobytes()
        for k in one
    )
