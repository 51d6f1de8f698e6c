"""A picture of a model: inputs and populations as boxes, projections as arrows.

Columns from the left are how many projections away from an input a population is. Arrows that excite end in a triangle,
those that inhibit in a bar, so that they are told apart without colours too; those that learn are thick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikestream.errors import ConfigError
from spikestream.model import Input, Model, Population, Projection, Uniform, Values
from spikestream.plots.base import axes_for, need_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = tuple[float, float]
WIDE, HIGH = 1.9, 0.9
"""A box, in units of the drawing."""
ACROSS, DOWN = 3.9, 2.3
"""From the centre of a box to that of its neighbour."""
MOST_BOXES = 64
INCHES = 0.62
"""Of a unit."""
LOOP = 1.0
"""How far the smallest loop rises above its box; each further one rises by `LOOP_MORE`."""
LOOP_MORE = 0.45
APART, AROUND = 0.15, 0.3
"""Bends of arrows between the same two boxes, and of those that pass a column of others."""
LABEL_AT = 0.4
"""A label's place on its arrow: not in the middle, where arrows cross."""
COLOURS = {"excites": "#c2570c", "inhibits": "#1d4ed8", "both": "#6d28d9"}
HEADS = {"excites": "-|>,head_length=6,head_width=3", "inhibits": "|-|,widthA=0,widthB=5", "both": "->"}
INHIBITING = ("inh", "gaba")
"""In the name of a receptor, they tell that its weights inhibit, though they are positive."""


class Arrow(NamedTuple):
    """A projection's way from box to box; ``bend`` is the height of its arc, in parts of its length."""

    projection: Projection
    begin: Point
    end: Point
    bend: float


def diagram(model: Model, ax: Axes | None = None) -> Axes:
    """Draw a model; raises `ConfigError` for anything else, and where it has more than `MOST_BOXES` boxes.

    A new figure, where no axes are given, is as large as the boxes need.
    """
    if not isinstance(model, Model):
        raise ConfigError(f"models are drawn here, not {type(model).__name__}", key="model")
    if len(_all(model)) > MOST_BOXES:
        text = f"{len(_all(model)):,} inputs and populations make no picture that could be read"
        raise ConfigError(text, key="model", allowed=f"up to {MOST_BOXES}")
    places = places_of(model)
    drawn = axes_for(ax) if ax is not None else _new_axes(model, places)
    boxes = {one.name: _box(drawn, one, places[one.name], one.name in model.outputs) for one in _all(model)}
    for arrow in _arrows(model, places):
        _draw(drawn, arrow, boxes)
    for name in places:
        _draw_loops(drawn, places[name], [p for p in model.projections if p.source == p.target == name])
    _legend(drawn, model)
    (left, right), (low, high) = _limits(model, places)
    drawn.set(xlim=(left, right), ylim=(low, high), aspect="equal")
    drawn.set_axis_off()
    return drawn


def effect_of(p: Projection) -> str:
    """Return whether a projection "excites", "inhibits" or does "both", by its receptor's name or its weights' sign."""
    if any(word in p.receptor.lower() for word in INHIBITING):
        return "inhibits"
    weights = p.weights
    if isinstance(weights, Values):
        numbers = weights.array if weights.array.size else np.zeros(1)
        low, high = float(numbers.min()), float(numbers.max())
    else:
        low, high = weights if isinstance(weights, Uniform) else (weights, weights)
    if low < 0 < high:
        return "both"
    return "inhibits" if low < 0 else "excites"


def places_of(model: Model) -> dict[str, Point]:
    """Return the centre of each input and population, by name."""
    columns: dict[int, list[str]] = {}
    for name, column in _columns(model).items():
        columns.setdefault(column, []).append(name)
    places: dict[str, Point] = {}
    for x, names in sorted(columns.items()):
        names.sort(key=lambda name: -_height_of_sources(model, name, places))
        top = (len(names) - 1) / 2
        places |= {name: (x * ACROSS, (top - row) * DOWN) for row, name in enumerate(names)}
    return places


def _all(model: Model) -> list[Input | Population]:
    return [*model.inputs, *model.populations]


def _columns(model: Model) -> dict[str, int]:
    """Return how many projections away from an input each is; what no input reaches is in the first column after."""
    found = {one.name: 0 for one in model.inputs}
    front = list(found)
    for one in ("", *(population.name for population in model.populations)):
        if one and one not in found:
            found[one] = 1
            front = [one]
        while front:
            ahead = [p for p in model.projections if p.source in front and p.target not in found]
            found |= {p.target: found[p.source] + 1 for p in ahead}
            front = [p.target for p in ahead]
    return found


def _height_of_sources(model: Model, name: str, places: dict[str, Point]) -> float:
    """Return the mean height of what is left of a box and projects onto it, 0 where nothing does."""
    heights = [places[p.source][1] for p in model.projections if p.target == name and p.source in places]
    return sum(heights) / len(heights) if heights else 0.0


def _arrows(model: Model, places: dict[str, Point]) -> Iterator[Arrow]:
    """Yield the arrows between different boxes, bent away from each other and from boxes between."""
    ways = Counter((p.source, p.target) for p in model.projections)
    drawn: Counter[tuple[str, str]] = Counter()
    for p in model.projections:
        if p.source == p.target:
            continue
        begin, end = places[p.source], places[p.target]
        columns, rows = abs(end[0] - begin[0]) / ACROSS, abs(end[1] - begin[1]) / DOWN
        several = ways[p.target, p.source] + ways[p.source, p.target] > 1
        bend = AROUND if columns > 1.5 else APART if several else 0.0
        if columns < 0.5 and rows > 1.5:
            bend = (WIDE + 0.8) / abs(end[1] - begin[1])
        yield Arrow(p, begin, end, bend + APART * drawn[p.source, p.target])
        drawn[p.source, p.target] += 1


def _new_axes(model: Model, places: dict[str, Point]) -> Axes:
    need_matplotlib()
    from matplotlib.figure import Figure

    (left, right), (low, high) = _limits(model, places)
    return Figure(figsize=((right - left) * INCHES, (high - low) * INCHES), layout="constrained").add_subplot()


def _limits(model: Model, places: dict[str, Point]) -> tuple[Point, Point]:
    """Return what the axes show: all boxes, the loops above them, the arcs around them and the legend below."""
    x, y = ([place[axis] for place in places.values()] for axis in (0, 1))
    loops = Counter(p.target for p in model.projections if p.source == p.target)
    most = max(loops.values(), default=0)
    wide, high = (_bulge(model, places, axis) for axis in (1, 0))
    above = max(LOOP + LOOP_MORE * (most - 1) + 0.4 if most else 0.2, high - HIGH / 2 + 0.3)
    below = max(0.9, high - HIGH / 2 + 0.9)
    side = max(WIDE / 2, wide) + 0.5
    return (min(x) - side, max(x) + side), (min(y) - HIGH / 2 - below, max(y) + HIGH / 2 + above)


def _bulge(model: Model, places: dict[str, Point], axis: int) -> float:
    """Return how far arcs along this axis stand out at most."""
    return max((abs(way.end[axis] - way.begin[axis]) * way.bend / 2 for way in _arrows(model, places)), default=0.0)


def _box(drawn: Axes, one: Input | Population, place: Point, heard: bool) -> Any:
    """Draw one box with its name, size and kind; an output has a thick rim."""
    from matplotlib.patches import FancyBboxPatch

    outside = isinstance(one, Input)
    corner = (place[0] - WIDE / 2, place[1] - HIGH / 2)
    style = "round,pad=0,rounding_size=0.3" if outside else "square,pad=0"
    look = {"facecolor": "#e5e7eb" if outside else "#fff7ed", "edgecolor": "black", "linewidth": 2.2 if heard else 0.9}
    box = FancyBboxPatch(corner, WIDE, HIGH, boxstyle=style, zorder=3, **look)  # type: ignore[arg-type]
    drawn.add_patch(box)
    kind = f"{one.size:,} axons" if isinstance(one, Input) else f"{one.size:,} {_short(one.neuron)}"
    text = {"horizontalalignment": "center", "verticalalignment": "center", "zorder": 4, "parse_math": False}
    drawn.text(place[0], place[1] + 0.17, _short(one.name), fontsize=9, fontweight="bold", **text)  # type: ignore[arg-type]
    drawn.text(place[0], place[1] - 0.2, kind, fontsize=7, **text)  # type: ignore[arg-type]
    return box


def _look(p: Projection) -> dict[str, Any]:
    effect = effect_of(p)
    return {
        "arrowstyle": HEADS[effect],
        "color": COLOURS[effect],
        "linewidth": 2.0 if p.rules else 1.0,
        "mutation_scale": 1 if effect != "both" else 12,
        "zorder": 2,
    }


def _draw(drawn: Axes, arrow: Arrow, boxes: dict[str, Any]) -> None:
    """Draw one arrow from rim to rim, with the projection's name on it."""
    from matplotlib.patches import FancyArrowPatch

    p, (x0, y0), (x1, y1) = arrow.projection, arrow.begin, arrow.end
    ends = {"patchA": boxes[p.source], "patchB": boxes[p.target], "shrinkA": 1, "shrinkB": 4}
    bent = f"arc3,rad={arrow.bend}"
    drawn.add_patch(FancyArrowPatch(arrow.begin, arrow.end, connectionstyle=bent, **ends, **_look(p)))
    handle = ((x0 + x1) / 2 + arrow.bend * (y1 - y0), (y0 + y1) / 2 - arrow.bend * (x1 - x0))
    a, b, c = (1 - LABEL_AT) ** 2, 2 * LABEL_AT * (1 - LABEL_AT), LABEL_AT**2
    _label(drawn, p, a * x0 + b * handle[0] + c * x1, a * y0 + b * handle[1] + c * y1)


def _draw_loops(drawn: Axes, place: Point, loops: list[Projection]) -> None:
    """Draw a box's projections onto itself as loops above it, one within the other."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    x, top = place[0], place[1] + HIGH / 2
    for number, p in enumerate(loops):
        half, rise = 0.3 + 0.2 * number, (LOOP + LOOP_MORE * number) / 0.75  # a cubic arc rises to 3/4 of its handles
        points = [(x - half, top), (x - half - 0.35, top + rise), (x + half + 0.35, top + rise), (x + half, top + 0.06)]
        path = Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
        drawn.add_patch(FancyArrowPatch(path=path, **_look(p)))
        _label(drawn, p, x, top + rise * 0.75)


def _label(drawn: Axes, p: Projection, x: float, y: float) -> None:
    look = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8}
    place = {"horizontalalignment": "center", "verticalalignment": "center", "zorder": 5}
    drawn.text(x, y, _short(p.name), fontsize=7, color=COLOURS[effect_of(p)], bbox=look, **place)  # type: ignore[arg-type]


def _legend(drawn: Axes, model: Model) -> None:
    """Name the looks that are there, below the boxes."""
    from matplotlib.lines import Line2D

    there = {effect_of(p) for p in model.projections}
    markers = {"excites": ">", "inhibits": "|", "both": "4"}
    shown = [Line2D([], [], color=COLOURS[name], marker=markers[name], label=name) for name in COLOURS if name in there]
    if any(p.rules for p in model.projections):
        shown.append(Line2D([], [], color="grey", linewidth=2.0, label="learns"))
    if shown:
        drawn.legend(handles=shown, loc="lower center", ncols=len(shown), fontsize=7, frameon=False)


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"
