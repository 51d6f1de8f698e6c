"""The event loop's stall: how much later than it should the loop comes round, which is how late everything else is."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic

LOOK_S = 0.1
KEPT = 100
"""Looks that are remembered: ten seconds of them."""


class Stall:
    """Looks at the loop ten times a second; ``run`` it as a task."""

    def __init__(self) -> None:
        self._late_s: deque[float] = deque(maxlen=KEPT)

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            due = monotonic() + LOOK_S
            await asyncio.sleep(LOOK_S)
            self._late_s.append(max(0.0, monotonic() - due))

    @property
    def worst_ms(self) -> float:
        """Return the longest stall of the last seconds, ms."""
        return 1e3 * max(self._late_s, default=0.0)
