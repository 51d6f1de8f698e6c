"""A second thread that is there when it is needed and costs nothing when it is not."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any


class Job:
    """A call in another thread; `result` waits for it."""

    def __init__(self, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._call, self._args = call, args
        self._done = threading.Lock()
        self._done.acquire()
        self._error: BaseException | None = None
        self._value: Any = None

    def run(self) -> None:
        """Make the call, and let go of what it was handed."""
        try:
            self._value = self._call(*self._args)
        except BaseException as error:  # whoever waits for it is told
            self._error = error
        finally:
            del self._call, self._args
            self._done.release()

    def result(self) -> Any:
        """Return what the call returned, or raise what it raised."""
        with self._done:
            if self._error is not None:
                raise self._error
            return self._value


class Helper:
    """One thread, which ends with whoever holds this, and with the process."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True)
        self._thread.start()
        weakref.finalize(self, self._jobs.put, None)

    @property
    def alive(self) -> bool:
        """Return whether it still works: it does not in a fork of the process."""
        return self._thread.is_alive()

    def start(self, call: Callable[..., Any], *args: Any) -> Job:
        """Let the thread make a call that lets go of the GIL."""
        job = Job(call, args)
        self._jobs.put(job)
        return job


def _work(jobs: SimpleQueue[Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job.run()
        del job  # or the last one's arrays would live until the next
