"""Messages into a file, byte for byte as a subscriber to everything would have got them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from spikestream.errors import ConfigError, RecordingError
from spikestream.outputs.base.due import Due, Published
from spikestream.wire import BYE, Delivery, Flow, Hello, Outgoing

log = logging.getLogger(__name__)


class File:
    """Greeting, frames and bye in one file, which appears under its name only when it is complete."""

    def __init__(self, location: str) -> None:
        if not location:
            raise ConfigError("a file needs a path", value=location, allowed="file:///PATH, file://RELATIVE/PATH")
        self._path = Path(location)
        self._part = self._path.with_name(f".{self._path.name}.tmp-{os.getpid()}")
        self._file: BinaryIO | None = None
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
            self._file = self._part.open("wb")
            self._file.write(hello().frame)
        except OSError as error:
            raise self._failed(error) from error

    def send(self, message: Outgoing) -> None:
        """Append a message; raises `RecordingError` where the disk takes no more."""
        assert self._file is not None, "the file is not started"
        try:
            self._file.write(message.frame)
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

        After an error what there is of it is kept as ``.part``.
        """
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            if self._broken:
                with suppress(OSError):
                    file.close()
                self._keep()
                return
            if not self._flows:
                file.close()
                return
            with file:
                file.write(BYE)
                file.flush()
                os.fsync(file.fileno())
            self._part.replace(self._path)
            _sync_folder(self._path.parent)
        except OSError as error:
            self._keep()
            raise self._failed(error) from error
        finally:
            with suppress(OSError):  # there only if it has not become the file
                self._part.unlink()

    def deliveries(self) -> Sequence[Delivery]:
        """Return the account of the file, as if it were a subscriber."""
        if self._due is None:
            return []
        flows = {topic: flow.copy() for topic, flow in self._flows.items()}
        for topic, due in self._due.figures(lambda topic: True).items():
            flows.setdefault(topic, Flow()).due = due
        return [Delivery(self.url, "file", flows)]

    def _keep(self) -> None:
        """Give the unfinished file another name: what is in it may not be had again."""
        with suppress(OSError):
            self._part.replace(self._path.with_name(f"{self._path.name}.part"))
            log.warning("what was written before is kept as %s.part", self._path)

    def _failed(self, error: OSError) -> RecordingError:
        self._broken = True
        return RecordingError(f"cannot be written: {error.strerror}", file=str(self._path))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
