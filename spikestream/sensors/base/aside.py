"""What an iterator gives that may block, such as a pipe nobody writes to: it runs aside, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")
AHEAD = 8
"""So many items are made before they are asked for."""


async def aside(items: Iterator[T]) -> AsyncIterator[T]:
    """Yield the items, and raise what getting them raises.

    Where this is closed, the thread ends with the item that it waits for, and nobody waits for it: the program may end
    before.
    """
    loop = asyncio.get_running_loop()
    made: asyncio.Queue[tuple[list[T], BaseException | None]] = asyncio.Queue()
    room, over = threading.Semaphore(AHEAD), threading.Event()

    def tell(item: list[T], error: BaseException | None = None) -> None:
        with suppress(RuntimeError):  # the loop is closed already
            loop.call_soon_threadsafe(made.put_nowait, (item, error))

    def work() -> None:
        try:
            for item in items:
                tell([item])
                room.acquire()
                if over.is_set():
                    return
            tell([])
        except BaseException as error:
            tell([], error)

    threading.Thread(target=work, name="aside", daemon=True).start()
    try:
        while True:
            item, error = await made.get()
            if error is not None:
                raise error
            if not item:
                return
            yield item[0]
            room.release()
    finally:
        over.set()
        room.release()
