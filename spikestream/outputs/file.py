"""Messages into a file, byte for byte as a subscriber to everything would have got them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from spikestream.errors import ConfigError, RecordingError
from spikestream.wire import BYE, Delivery, Flow, Hello, Outgoing


class File:
    """Greeting, frames and bye in one file, which appears under its name only when it is complete."""

    def __init__(self, location: str) -> None:
        if not location:
            raise ConfigError("a file needs a path", value=location, allowed="file:///PATH, file://RELATIVE/PATH")
        self._path = Path(location)
        self._part = self._path.with_name(f".{self._path.name}.tmp-{os.getpid()}")
        self._file: BinaryIO | None = None
        self._flows: dict[str, Flow] = {}
        self.url = f"file://{location}"

    @property
    def subscribers(self) -> int:
        """Return 0: nobody can ask a file for anything."""
        return 0

    async def start(self, hello: Callable[[], Hello]) -> None:
        """Open the unfinished file; raises `RecordingError` where that fails."""
        try:
            self._file = self._part.open("wb")
            self._file.write(hello().frame)
        except OSError as error:
            raise self._failed(error) from error

    def send(self, message: Outgoing) -> None:
        """Append a message; raises `RecordingError` where the disk takes no more."""
        flow = self._flows.setdefault(message.topic, Flow())
        flow.offered.add(1, message.rows)
        assert self._file is not None, "the file is not started"
        try:
            self._file.write(message.frame)
        except OSError as error:
            raise self._failed(error) from error
        flow.sent.add(1, message.rows)

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
        """Close with a bye, and give the file its name once it is on the disk."""
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            with file:
                file.write(BYE)
                file.flush()
                os.fsync(file.fileno())
            self._part.replace(self._path)
            _sync_folder(self._path.parent)
        except OSError as error:
            raise self._failed(error) from error

    def deliveries(self) -> Sequence[Delivery]:
        """Return the account of the file, as if it were a subscriber."""
        return [Delivery(self.url, "file", {topic: flow.copy() for topic, flow in self._flows.items()})]

    def _failed(self, error: OSError) -> RecordingError:
        return RecordingError(f"cannot be written: {error.strerror}", file=str(self._path))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
