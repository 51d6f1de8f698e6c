"""Pictures of decisions: which when, and how many of them are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from spikestream.batch import Array, Decision
from spikestream.errors import ConfigError
from spikestream.plots.base import axes_for, seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RIGHT, WRONG, UNJUDGED, TRUTH = "tab:blue", "tab:red", "dimgray", "0.8"
UNKNOWN = "unknown"
NAMED = 40
"""Labels with a name beside them."""


def timeline(
    decisions: Sequence[Decision],
    ax: Axes | None = None,
    *,
    truth: Sequence[str | None] | None = None,
    origin_us: int | None = None,
) -> Axes:
    """Draw each decision as a line over its window, in the row of its label; no label is "unknown", the lowest row.

    Where ``truth`` names what a window really showed, that is a pale line, and the decision blue if right, red if
    wrong. Times are in s from ``origin_us``, by default from the first start. Raises `ConfigError` for a truth of
    another length.
    """
    known = [None] * len(decisions) if truth is None else list(truth)
    _check_lengths(decisions, known)
    drawn = axes_for(ax)
    labels = {row.label for row in decisions} | set(known)
    names = [UNKNOWN, *sorted(label for label in labels if label is not None)]
    place: dict[str | None, int] = {None: 0}
    place |= {name: row for row, name in enumerate(names[1:], start=1)}
    start, stop = _windows(decisions, origin_us)
    there = np.array([label is not None for label in known], bool)
    drawn.hlines(
        [place[label] for label in known if label is not None], start[there], stop[there], colors=TRUTH, linewidth=6
    )
    colours = [_colour(row, label) for row, label in zip(decisions, known, strict=True)]
    drawn.hlines([place[row.label] for row in decisions], start, stop, colors=colours, linewidth=2)
    shown = np.unique(np.linspace(0, len(names) - 1, min(NAMED, len(names))).round().astype(int))
    drawn.set_yticks(shown, [names[row] for row in shown])
    drawn.set(ylim=(-0.5, len(names) - 0.5), xlabel="s")
    return drawn


def learning_curve(
    decisions: Sequence[Decision],
    truth: Sequence[str],
    ax: Axes | None = None,
    *,
    over: int = 50,
    name: str = "",
    chance: float | None = None,
    origin_us: int | None = None,
) -> Axes:
    """Draw the share of right ones among the last ``over`` decisions, at the end of each one's window.

    ``truth`` says what each window really showed; ``name`` goes into the legend; ``chance`` is a dashed line. Times are
    in s from ``origin_us``, by default from the first start. Raises `ConfigError` for a truth of another length.
    """
    _check_lengths(decisions, truth)
    if over < 1:
        raise ConfigError(f"a mean over {over} decisions", key="over", value=over, allowed="1 or more")
    drawn = axes_for(ax)
    right = np.array([row.label == label for row, label in zip(decisions, truth, strict=True)], bool)
    drawn.plot(_windows(decisions, origin_us)[1], _running_mean(right, over), label=name or None)
    if chance is not None:
        drawn.axhline(chance, linestyle="--", color="gray", label="chance")
    if drawn.get_legend_handles_labels()[1]:
        drawn.legend(loc="lower right", fontsize="small")
    drawn.set(ylim=(0, 1.02), xlabel="s", ylabel=f"right, of the last {over}")
    return drawn


def _running_mean(right: Array, over: int) -> Array:
    """Return the mean of each entry (n,) and the ``over - 1`` before it, or as many as there are."""
    total = np.concatenate([[0], np.cumsum(right)])
    end = np.arange(1, len(total))
    begin = np.maximum(end - over, 0)
    share: Array = (total[end] - total[begin]) / (end - begin)
    return share


def _windows(decisions: Sequence[Decision], origin_us: int | None) -> tuple[Array, Array]:
    """Return where windows start and stop, in seconds."""
    origin = origin_us if origin_us is not None else (decisions[0].start if decisions else 0)
    start, stop = ([getattr(row, end) for row in decisions] for end in ("start", "stop"))
    return seconds(np.array(start, np.int64), origin), seconds(np.array(stop, np.int64), origin)


def _colour(decision: Decision, truth: str | None) -> str:
    if truth is None:
        return UNJUDGED
    return RIGHT if decision.label == truth else WRONG


def _check_lengths(decisions: Sequence[Decision], truth: Sequence[str | None]) -> None:
    if len(decisions) != len(truth):
        text = f"{len(truth):,} truths do not fit {len(decisions):,} decisions"
        raise ConfigError(text, key="truth", value=len(truth), allowed="one for each decision")
