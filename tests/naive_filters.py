"""Naive twins of the filters: plain loops over (t, x, y, p), written from docs/filters.md and not from the kernels."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

Event = tuple[int, int, int, bool]
Size = tuple[int, int]
LOST = ("outside", "rate_limit")


def outside(events: list[Event], size: Size) -> tuple[list[Event], Size]:
    return [(t, x, y, p) for t, x, y, p in events if x < size[0] and y < size[1]], size


def refractory(events: list[Event], size: Size, period_ms: float = 1.0) -> tuple[list[Event], Size]:
    passed: dict[tuple[int, int], int] = {}
    out = []
    for t, x, y, p in events:
        if (x, y) not in passed or t - passed[x, y] >= round(period_ms * 1000):
            passed[x, y] = t
            out.append((t, x, y, p))
    return out, size


def background(
    events: list[Event], size: Size, window_ms: float = 10.0, neighbours: int = 1
) -> tuple[list[Event], Size]:
    latest: dict[tuple[int, int], int] = {}
    out = []
    for t, x, y, p in events:
        around = [(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
        support = [pixel for pixel in around if pixel in latest and t - latest[pixel] <= round(window_ms * 1000)]
        latest[x, y] = t
        if len(support) >= neighbours:
            out.append((t, x, y, p))
    return out, size


def hot_pixel(
    events: list[Event],
    size: Size,
    max_rate_hz: float = 500.0,
    period_ms: float = 100.0,
    pixels: tuple[tuple[int, int], ...] | list[list[int]] = (),
) -> tuple[list[Event], Size]:
    period = round(period_ms * 1000)
    most = Fraction(str(max_rate_hz)) * Fraction(period, 1_000_000)
    busy = Counter((x, y, t // period) for t, x, y, _ in events)
    listed = {(x, y) for x, y in pixels}
    out = []
    for t, x, y, p in events:
        if (x, y) not in listed and busy[x, y, t // period - 1] <= most:
            out.append((t, x, y, p))
    return out, size


def polarity(events: list[Event], size: Size, keep: str) -> tuple[list[Event], Size]:
    if keep == "merge":
        return [(t, x, y, True) for t, x, y, _ in events], size
    wanted = {"on": [True], "off": [False], "both": [True, False]}[keep]
    return [(t, x, y, p) for t, x, y, p in events if p in wanted], size


def crop(events: list[Event], size: Size, width: int, height: int, x: int = 0, y: int = 0) -> tuple[list[Event], Size]:
    left, top = x, y
    columns, rows = range(left, left + width), range(top, top + height)
    return [(t, x - left, y - top, p) for t, x, y, p in events if x in columns and y in rows], (width, height)


def flip(events: list[Event], size: Size, horizontal: bool = False, vertical: bool = False) -> tuple[list[Event], Size]:
    out = []
    for t, x, y, p in events:
        out.append((t, size[0] - 1 - x if horizontal else x, size[1] - 1 - y if vertical else y, p))
    return out, size


def downsample(events: list[Event], size: Size, factor: int | str = "auto") -> tuple[list[Event], Size]:
    if factor == "auto":
        factor = 1
        while min(size) > 2 and (max(size) + factor - 1) // factor > 32:
            factor += 1
    small = ((size[0] - 1) // factor + 1, (size[1] - 1) // factor + 1)
    return [(t, x // factor, y // factor, p) for t, x, y, p in events], small


def rate_limit(events: list[Event], size: Size, max_rate_hz: float, burst_ms: float = 10.0) -> tuple[list[Event], Size]:
    rate = Fraction(round(max_rate_hz * 1000), 1000) / 1_000_000  # events a µs
    most = max(Fraction(1), rate * round(burst_ms * 1000))
    tokens, latest = most, None
    out = []
    for t, x, y, p in events:
        if latest is not None:
            tokens = min(most, tokens + (t - latest) * rate)
        latest = t
        if tokens >= 1:
            tokens -= 1
            out.append((t, x, y, p))
    return out, size


TWINS = {
    "refractory": refractory,
    "background": background,
    "hot_pixel": hot_pixel,
    "polarity": polarity,
    "crop": crop,
    "flip": flip,
    "downsample": downsample,
    "rate_limit": rate_limit,
}


def row_of(rows: list[dict], size: Size, events: list[Event]) -> tuple[list[Event], Size, dict[str, int]]:
    """Return what a row of filters lets through, the size going out, and how many each kind removed."""
    removed = {"outside": 0}
    passed, size = outside(events, size)
    removed["outside"] = len(events) - len(passed)
    for row in rows:
        options = {name: value for name, value in row.items() if name != "kind"}
        before = len(passed)
        passed, size = TWINS[row["kind"]](passed, size, **options)
        removed[row["kind"]] = removed.get(row["kind"], 0) + before - len(passed)
    return passed, size, removed
