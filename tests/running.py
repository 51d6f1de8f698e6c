"""Coroutines run to their end, with a limit that holds whatever they do."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor

PATIENCE_S = 50


class Daemons(ThreadPoolExecutor):
    """Threads that nobody waits for at the end: one that hangs fails its test, and not the whole run."""

    def submit(self, call, /, *args, **options):
        future: Future = Future()

        def work():
            future.set_running_or_notify_cancel()
            try:
                future.set_result(call(*args, **options))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return future


def run(work, seconds: float = PATIENCE_S):
    """Run a coroutine to its end; what hangs fails, even where it will not be cancelled."""
    hangs = True

    async def limited():
        nonlocal hangs
        asyncio.get_running_loop().set_default_executor(Daemons())
        done, _ = await asyncio.wait({asyncio.ensure_future(work)}, timeout=seconds)
        hangs = not done
        if hangs:
            raise TimeoutError(f"it hangs: {seconds} s are over")
        return done.pop().result()

    runner = asyncio.Runner()
    try:
        return runner.run(limited())
    finally:
        if not hangs:
            runner.close()
