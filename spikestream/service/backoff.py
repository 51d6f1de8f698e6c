"""How long to wait before what has failed is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable

from spikestream.config.sections import RestartConfig


class Backoff:
    """Says how long to wait: ``base_s`` at first, twice as long each time up to ``cap_s``, less a random part.

    Who has run for ``calm_s`` begins again. ``chance`` returns a number from 0 to 1.
    """

    def __init__(self, config: RestartConfig, chance: Callable[[], float] = random.random) -> None:
        self._config, self._chance = config, chance
        self._failures = 0

    def after(self, ran_s: float) -> float:
        """Return the seconds to wait after a failure that came ``ran_s`` after the last try."""
        config = self._config
        if ran_s >= config.calm_s:
            self._failures = 0
        wait_s = min(config.cap_s, config.base_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return wait_s * (1 - self._chance() / 2)
