"""How far something is, on a terminal: a bar where the end is known."""

from __future__ import annotations

import time

from spikestream.cli.base import Console
from spikestream.units import show_us

PROGRESS_S = 0.2
WIDTH = 30


class Bar:
    """Shows progress five times a second, and nothing where stderr is no terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._due = 0.0

    def time(self, done_us: int, length_us: int = 0) -> None:
        """Show how much stream time has gone, of how much where that is known."""
        if self._is_due():
            of = f" of {show_us(length_us)}" if length_us else ""
            self.console.progress(f"{_bar(done_us, length_us)}{show_us(done_us)}{of}")

    def bytes(self, done: int, total: int | None) -> None:
        """Show how many bytes were read, of how many where that is known."""
        if self._is_due():
            of = f" of {total / 1e6:,.1f}" if total else ""
            self.console.progress(f"{_bar(done, total or 0)}{done / 1e6:,.1f}{of} MB")

    def _is_due(self) -> bool:
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + PROGRESS_S
        return True


def _bar(done: int, total: int) -> str:
    full = min(done * WIDTH // total, WIDTH) if total else 0
    return f"[{'#' * full}{'.' * (WIDTH - full)}] " if total else ""
