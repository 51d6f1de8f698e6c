"""Pictures of what the experiments gave, for docs/papers.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import competition
import distal
import numpy as np
import pairing

from spikestream import plots

SIZE_IN, DPI = (6.4, 3.6), 90
BLUE, RED, GREY = "tab:blue", "tab:red", "0.6"


def window(directory: Path) -> None:
    """Draw the window of the pair rule, and the two exponentials."""
    figure, (ax,) = _figure(1)
    plots.stdp_window(pairing.window, ax, lags_ms=range(-80, 81, 4))
    lags = np.linspace(0, 80, 161)
    for sign, amplitude in ((1, pairing.SONG["a_plus"]), (-1, -pairing.SONG["a_minus"])):
        ax.plot(sign * lags, 100 * amplitude * np.exp(-lags / 20), color=GREY, linewidth=3, alpha=0.5, zorder=0)
    ax.set_ylabel("change, % of the largest weight")
    _save(figure, directory, "window")


def competed(directory: Path, found: Mapping[int, competition.Competed]) -> None:
    """Draw how weights are distributed after inputs of some rates, Hz, competed."""
    figure, axes = _figure(len(found), sharey=True)
    for ax, (rate_hz, one) in zip(axes, found.items(), strict=True):
        ax.hist(one.weights, bins=20, range=(0, 1), color=BLUE)
        ax.set(title=f"inputs {rate_hz} Hz, neuron {one.rate_hz:.0f} Hz", xlabel="weight / largest")
        ax.title.set_fontsize(9)
    axes[0].set_ylabel("synapses")
    _save(figure, directory, "competition")


def triplet(directory: Path) -> None:
    """Draw how the change of the triplet rule depends on the rate of pairs, and what was measured."""
    figure, (ax,) = _figure(1)
    periods_ms = np.array([10_000, 1_000, 200, 100, 67, 50, 40, 33, 29, 25, 22, 20])
    for lag, colour in ((10, BLUE), (-10, RED)):
        model = [pairing.triplet(lag, 1_000 / period) for period in periods_ms]
        ax.plot(1_000 / periods_ms, model, color=colour, label=f"triplet rule, {lag:+d} ms")
        means, errors = zip(*pairing.MEASURED[lag], strict=True)
        ax.errorbar(
            pairing.MEASURED_HZ, means, errors, color=colour, fmt="o", capsize=3, label=f"measured, {lag:+d} ms"
        )
    ax.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    ax.set(xlabel="pairs per second", ylabel="change / weight before")
    ax.legend(fontsize="small")
    _save(figure, directory, "triplet")


def delayed(directory: Path) -> None:
    """Draw what a reward makes of a pair by how much later it comes, and the formula."""
    figure, (ax,) = _figure(1)
    delays = np.linspace(0, 6_000, 121)
    ax.plot(delays / 1_000, [pairing.delayed_formula(delay) for delay in delays], color=GREY, label="formula")
    some = range(0, 6_001, 500)
    ax.plot([at / 1_000 for at in some], [pairing.delayed(at) for at in some], "o", color=BLUE, label="network")
    ax.set(xlabel="reward after the pair, s", ylabel="change of the weight", yscale="log")
    ax.legend()
    _save(figure, directory, "delay")


def rewarded(
    directory: Path, name: str, runs: Sequence[distal.Outcome], controls: Sequence[distal.Outcome] = ()
) -> None:
    """Draw how the synapse grew, and how all weights are distributed in the end, in the first run."""
    figure, (left, right) = _figure(2, width_ratios=[2, 1])
    left.fill_between(*runs[0].course[:, [0, 3]].T, color="0.9", label="99 % of the others")
    for place, one in enumerate(runs):
        left.plot(*one.course[:, :2].T, color=BLUE, linewidth=1, label="" if place else "the synapse")
    for place, one in enumerate(controls):
        left.plot(*one.course[:, :2].T, color=RED, linewidth=1, label="" if place else "without reward")
    if len(runs) == 1:
        left.plot(runs[0].rewards_ms / 1_000, np.full(len(runs[0].rewards_ms), -0.12), "|", color="black", markersize=4)
    left.set(xlabel="s", ylabel="weight", ylim=(-0.25, distal.W_MAX * 1.05))
    left.legend(fontsize="small", loc="upper left")
    right.hist(runs[0].others, bins=40, range=(0, distal.W_MAX), color=GREY, log=True)
    right.axvline(runs[0].weight, color=BLUE)
    right.set(xlabel="weight in the end", ylabel="synapses")
    _save(figure, directory, name)


def _figure(columns: int, **options: Any) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    ratios = {"width_ratios": options.pop("width_ratios", [1] * columns)}
    figure = Figure(figsize=SIZE_IN if columns == 1 else (9.0, 3.2), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False, gridspec_kw=ratios, **options)[0])


def _save(figure: Any, directory: Path, name: str) -> None:
    figure.savefig(directory / f"papers-{name}.png", dpi=DPI)
