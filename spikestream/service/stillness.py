"""Figures that stand still: a pipeline's batches wait for whoever wants it still between two of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial

LOOKS, LOOK_S = 500, 0.001
"""So often, and so far apart, is it looked whether the pipeline is idle."""


class Stillness:
    """Who has one pipeline: a batch, of which all come in one worker thread, or somebody else."""

    def __init__(self) -> None:
        self._busy = threading.Lock()  # a batch is in the pipeline, or with the watchers
        self._next = threading.Lock()  # who holds it, goes before the next batch

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Hold the pipeline for a batch, once nobody wants it still."""
        with self._next:
            pass
        with self._busy:
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the pipeline, in a thread that may wait for it."""
        with self._busy:
            yield

    @asynccontextmanager
    async def still(self, counted: Callable[[], bool]) -> AsyncIterator[bool]:
        """Keep the next batch away for as long as this holds, on the loop.

        Yields whether it does, and what has come so far is ``counted``: not where a batch takes longer than anybody who
        asks for figures should wait.
        """
        with ExitStack() as held:
            for lock in (self._next, self._busy):
                if not await _soon(partial(lock.acquire, blocking=False)):
                    yield False
                    return
                held.callback(lock.release)
            yield await _soon(counted)


async def _soon(reached: Callable[[], bool]) -> bool:
    """Return whether that came true within half a second or so."""
    for _ in range(LOOKS):
        if reached():
            return True
        await asyncio.sleep(LOOK_S)
    return False
