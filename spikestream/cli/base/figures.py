"""Shares and scores as the verbs print them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def percent(share: float | None) -> str:
    """Return a share as it is printed, "-" where there is none."""
    return "-" if share is None else f"{share:.1%}"


def held_out_line(figures: Mapping[str, Any]) -> str:
    """Return the figures of held-out windows as a line: accuracy and its standard error, chance and centroid beside."""
    error, unknown = figures["standard_error"], figures["unknown"]
    line = f"held-out accuracy {percent(figures['accuracy'])} ± {100 * error:.1f} of {figures['windows']:,} windows"
    line += f"   (chance {percent(figures['chance'])}, nearest centroid {percent(figures['baseline_accuracy'])})"
    return f"{line}, {unknown:,} unknown" if unknown else line
