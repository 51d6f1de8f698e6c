"""The desk: where requests of subscribers arrive, are handed to whoever fulfils them, and are answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from spikestream.errors import SpikestreamError, nearest
from spikestream.wire import Refusal, Reply, Request

log = logging.getLogger(__name__)

MAX_OPEN = 1_024
"""Requests of all connections, those that have gone included, that may be open at a time."""
GRACE_S = 0.1
"""What is as good as done when the desk closes is waited for so long."""

Clerk: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Fulfils one kind of request: takes what belongs to it, returns what came of it, or raises `Refusal`."""


class Desk:
    """Hands each request to the clerk for it, on the loop, and answers it exactly once, whatever becomes of it."""

    def __init__(self) -> None:
        self._clerks: dict[str, Clerk] = {}
        self._open: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def does(self) -> tuple[str, ...]:
        """Return what may be requested."""
        return tuple(self._clerks)

    def add(self, do: str, clerk: Clerk) -> None:
        """Put a clerk in charge of what is requested as ``do``."""
        self._clerks[do] = clerk

    def ask(self, request: Request, answer: Callable[[Reply], None]) -> None:
        """Take a request, and call ``answer`` with what came of it: at once where that is nothing."""
        try:
            clerk = self._clerk(request.do)
        except Refusal as refusal:
            answer(_refused(request, refusal))
            return
        task = asyncio.get_running_loop().create_task(_fulfil(clerk, request, answer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    def _clerk(self, do: str) -> Clerk:
        if self._closed:
            raise Refusal("over", "the run is at its end")
        if do not in self._clerks:
            near = nearest(do, self._clerks)
            text = f"nobody here knows how to {do}; known: {', '.join(self._clerks)}"
            raise Refusal("do", f"{text}; did you mean '{near}'?" if near else text)
        if len(self._open) >= MAX_OPEN:
            raise Refusal("busy", f"{MAX_OPEN:,} requests are open already: ask again later")
        return self._clerks[do]

    async def aclose(self) -> None:
        """Refuse what comes from now on, and what is not done in a moment."""
        self._closed = True
        waiting = tuple(self._open)
        if waiting:
            await asyncio.wait(waiting, timeout=GRACE_S)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _fulfil(clerk: Clerk, request: Request, answer: Callable[[Reply], None]) -> None:
    try:
        reply = Reply(request.id, await clerk(request.d))
    except Refusal as refusal:
        reply = _refused(request, refusal)
    except SpikestreamError as error:
        reply = Reply(request.id, code="failed", what=str(error))
    except asyncio.CancelledError:
        reply = Reply(request.id, code="over", what="the run ended before it could be done")
    except Exception as error:  # of a plugin's stage, say: whoever asked is told, and the run goes on
        log.warning("a request to %s failed: %s", request.do, error)
        reply = Reply(request.id, code="failed", what=f"it failed: {error}")
    answer(reply)


def _refused(request: Request, refusal: Refusal) -> Reply:
    return Reply(request.id, code=refusal.code, what=refusal.what)
