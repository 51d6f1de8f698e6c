"""Messages into a file, byte for byte as a subscriber to everything would have got them.

Until it is complete the file is called ``NAME.part``: what a process leaves there that is killed is whole up to the
message it was writing, since every message goes to the kernel at once; the disk has it within a second.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from spikestream.errors import ConfigError, RecordingError
from spikestream.files.generations import sync_folder
from spikestream.files.regular import check_place, open_regular
from spikestream.outputs.base.due import Due, Published
from spikestream.wire import BYE, Delivery, Flow, Hello, Outgoing

log = logging.getLogger(__name__)


SYNC_S = 1.0
"""How often the disk is asked to have what was written."""


class File:
    """Greeting, frames and bye in one file, which appears under its name only when it is complete.

    A ``.part`` that an earlier process left is kept as ``.part-1``, the next as ``.part-2``.
    """

    def __init__(self, location: str) -> None:
        if not location:
            raise ConfigError("a file needs a path", value=location, allowed="file:///PATH, file://RELATIVE/PATH")
        self._path = Path(location)
        self._part = self._path.with_name(f"{self._path.name}.part")
        self._file: BinaryIO | None = None
        self._syncing: _Syncing | None = None
        self._broken = False
        self._flows: dict[str, Flow] = {}
        self._due: Due | None = None
        self.url = f"file://{location}"

    @property
    def subscribers(self) -> int:
        """Return 0: nobody can ask a file for anything."""
        return 0

    @property
    def blocked(self) -> bool:
        """Return False: a file takes what it is given."""
        return False

    async def start(self, hello: Callable[[], Hello], published: Published) -> None:
        """Open the unfinished file; raises `RecordingError` where that fails."""
        self._due = Due(published)
        try:
            self._file = self._begun()
            self._syncing = _Syncing(self._file.fileno())
            self._file.write(hello().frame)
            self._file.flush()
        except OSError as error:
            await self._forget()
            raise self._failed(error) from error

    def send(self, message: Outgoing) -> None:
        """Append a message; raises `RecordingError` where the disk takes no more."""
        assert self._file is not None, "the file is not started"
        try:
            self._file.write(message.frame)
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error
        self._flows.setdefault(message.topic, Flow()).sent.add(1, message.rows)

    async def ready(self) -> None:
        """Return at once."""

    async def drain(self, timeout_s: float) -> None:
        """Hand what is buffered to the kernel."""
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                raise self._failed(error) from error

    async def aclose(self) -> None:
        """Close with a bye and give the file its name once it is on the disk; with nothing sent, an older one stays.

        After an error what there is of it stays ``.part``.
        """
        if self._file is None:
            return
        file, self._file = self._file, None
        await self._sync_no_more()
        try:
            if self._broken:
                self._keep(file)
                return
            with file:
                if not self._flows:
                    self._part.unlink()
                    return
                file.write(BYE)
                file.flush()
                os.fsync(file.fileno())
                # Named while it is locked: another process that begins now takes it for one that is being written.
                self._part.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            self._keep(file)
            raise self._failed(error) from error

    def deliveries(self) -> Sequence[Delivery]:
        """Return the account of the file, as if it were a subscriber."""
        if self._due is None:
            return []
        flows = {topic: flow.copy() for topic, flow in self._flows.items()}
        for topic, due in self._due.figures(lambda topic: True).items():
            flows.setdefault(topic, Flow()).due = due
        return [Delivery(self.url, "file", flows)]

    def _begun(self) -> BinaryIO:
        """Open the unfinished file and lock it; what an earlier process left of one gets another name."""
        check_place(self._path)
        try:
            with open_regular(self._part) as left:
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                free = next(n for n in range(1, 1_000_000) if not os.path.lexists(f"{self._part}-{n}"))
                self._part.replace(f"{self._part}-{free}")
                log.warning("what an earlier run left of %s is kept as %s-%d", self._path, self._part, free)
        except FileNotFoundError:
            pass
        except BlockingIOError as error:
            raise OSError(error.errno, "another process is writing it") from error
        file = self._part.open("xb")
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file

    async def _forget(self) -> None:
        """Leave nothing of a file that could not even be begun."""
        file, self._file = self._file, None
        if file is None:
            return
        await self._sync_no_more()
        with suppress(OSError):
            self._part.unlink()
        with suppress(OSError):
            file.close()

    async def _sync_no_more(self) -> None:
        """Return when nobody holds the file, and its lock, but us."""
        syncing, self._syncing = self._syncing, None
        if syncing is not None:
            await asyncio.to_thread(syncing.end)

    def _keep(self, file: BinaryIO) -> None:
        with suppress(OSError):
            file.close()
        if self._part.exists():  # what is in it may not be had again
            log.warning("what was written before is kept as %s", self._part)

    def _failed(self, error: OSError) -> RecordingError:
        self._broken = True
        return RecordingError(f"cannot be written: {error.strerror}", file=str(self._path))


class _Syncing:
    """Asks the disk every so often to have what was written, from a thread: the one who writes need not wait."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Ask no more; return when the last answer has come."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(SYNC_S):
            with suppress(OSError):  # whoever writes next gets it, or whoever closes
                os.fdatasync(self._descriptor)
        os.close(self._descriptor)
