"""What runs aside, in a thread of its own: what may block, and what needs another event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator, Iterator
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
AHEAD = 8
"""So many items are made before they are asked for."""


def answered(work: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns, run on a loop of its own: this may be called on another, which waits."""
    made: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            made.append(asyncio.run(work))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="asking")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return made[0]


async def aside(items: Iterator[T]) -> AsyncGenerator[T, None]:
    """Yield the items of an iterator that may block, such as a pipe, and raise what getting them raises.

    Where this is closed, the thread ends with the item that it waits for, closes a generator, and is waited for by
    nobody: the program may end before.
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
        finally:
            if isinstance(items, Generator):
                items.close()

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
