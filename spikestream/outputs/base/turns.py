"""Whose turn it is to be heard: all connections of a listener share the time there is for what they ask for.

Law: nobody is refused for what others do; who asks while there is no time left waits, and is heard one thing at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from spikestream.outputs.base.pace import Pace

PER_SECOND, BURST = 50.0, 400.0
"""What all connections together may ask for in a second, and at once after a quiet time; a `sub` counts as 1."""
HELD_S = 0.02
"""What was asked for beyond that is looked at again so often."""


class Heard(Protocol):
    """A connection that can be heard later."""

    def hear(self, *, one: bool = False) -> None:
        """Do what it has asked for, or ``one`` thing of it."""
        ...


class Turns:
    """The time of one listener, and the queue of those who wait for some of it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pace = Pace(PER_SECOND, BURST, self._loop.time())
        self._held: deque[Heard] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def afford(self, cost: float) -> bool:
        """Charge what a connection asks for; return whether there is time for more, and nobody waits for its turn."""
        return self._pace.spend(cost, self._loop.time()) and not self._held

    def hold(self, connection: Heard) -> None:
        """Hear a connection again when its turn comes."""
        self._held.append(connection)
        self._again()

    def close(self) -> None:
        """Hear nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._held.clear()

    def _again(self) -> None:
        if self._held and self._timer is None:
            self._timer = self._loop.call_later(HELD_S, self._hear)

    def _hear(self) -> None:
        """Hear those who wait, one thing of each in turn, for as long as there is time."""
        self._timer = None
        now = self._loop.time()
        waiting, self._held = self._held, deque()
        while waiting and self._pace.spend(0, now):
            waiting.popleft().hear(one=True)
        self._held.extendleft(reversed(waiting))
        self._again()
