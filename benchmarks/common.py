"""What the benchmarks share: the machine they ran on, medians, and the JSON line they end with."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any


def machine() -> dict[str, Any]:
    """Return what a reader needs to know of this machine to compare ratios."""
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version(), "load_1min": load}


def medians(rounds: int, contestants: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Run all contestants in turn, `rounds` times, and return the median of each: load then hits all alike."""
    seen: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            seen[name].append(run())
    return {name: median(values) for name, values in seen.items()}


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned columns, the first row as their heads."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def finish(figures: Mapping[str, float], targets: Mapping[str, float]) -> None:
    """Print the closing JSON line; a figure meets its target by being at least as large; None where none was set."""
    wanted = {name: targets.get(name) for name in figures}
    met = {name: None if goal is None else figures[name] >= goal for name, goal in wanted.items()}
    print(json.dumps({"figures": dict(figures), "targets": wanted, "met": met, "machine": machine()}))
