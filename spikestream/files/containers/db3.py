"""Bags of ROS 2 in SQLite (.db3): the messages of events in the order in which they were recorded.

Python's own library reads the file. Of a bag in a folder, the .db3 file in it is the recording.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spikestream.batch import Array
from spikestream.errors import RecordingError
from spikestream.formats.base import Empty, Format, Spare
from spikestream.formats.ros.records import MOST
from spikestream.formats.ros.topics import OPTIONS, Topics

MAGIC = b"SQLite format 3\0"
STEPS = 1_000_000
PATIENCE = 100
"""Millions of SQLite's own instructions for one row: a good file takes a few, a hostile one would take for ever."""


class Container:
    """Read one topic of a bag; ``sensor`` and ``raw`` change nothing. Bound: a message, of at most 64 MiB."""

    def __init__(
        self,
        path: str,
        sensor: str | None = None,
        size: tuple[int, int] | None = None,
        raw: bool = False,
        topic: str | None = None,
    ) -> None:
        self.size = size
        self.sensor = ""
        self.skipped: dict[str, int] = {}
        self.warnings: list[str] = []
        self.consumed = 0
        self.empty: Empty = Spare()
        self._bytes = os.stat(path).st_size
        self._topics = Topics(topic, size)
        self._spent = 0
        self._file = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            self._file.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST)
            self._file.execute("PRAGMA trusted_schema = OFF")
            self._file.set_progress_handler(self._too_long, STEPS)
            self._numbers = self._add_topics()
        except BaseException:
            self.close()
            raise

    def _too_long(self) -> bool:
        self._spent += 1
        return self._spent > PATIENCE

    def _rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """Yield rows, each within a bounded number of steps."""
        try:
            self._spent = 0
            for row in self._file.execute(query, values):
                self._spent = 0
                yield row
        except (sqlite3.Error, MemoryError, OverflowError, UnicodeDecodeError) as error:
            raise RecordingError("the bag is damaged, or no bag of ROS 2", details=[str(error)]) from error

    def _add_topics(self) -> list[int]:
        """Take note of all topics; return the numbers of those that are read."""
        tables = {name for (name,) in self._rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"topics", "messages"} <= tables:
            raise RecordingError("this is an SQLite file, but no bag of ROS 2", expected="tables topics and messages")
        numbers = []
        for number, name, kind, encoding in self._rows("SELECT id, name, type, serialization_format FROM topics"):
            if not (isinstance(number, int) and all(isinstance(text, str) for text in (name, kind, encoding))):
                raise RecordingError("the bag is damaged: a topic is none")
            self._topics.add(number, name, kind, encoding)
            if name == self._topics.name():
                numbers.append(number)
        self._topics.finish()
        return numbers

    def summary(self) -> None:
        """Return nothing: how many events there are is known to nobody before they are read."""

    def events(self) -> Iterator[Array]:
        """Yield arrays (n,) EVENT; raises `RecordingError` where the file is damaged."""
        last = max((row[0] or 0 for row in self._rows("SELECT max(id) FROM messages")), default=0)
        wanted = ", ".join("?" * len(self._numbers))
        query = f"SELECT id, topic_id, iif(topic_id IN ({wanted}), data, X'') FROM messages ORDER BY id"
        for at, number, data in self._rows(query, *self._numbers):
            if not (isinstance(data, bytes) and isinstance(at, int)):
                raise RecordingError("a message is damaged", expected="bytes", found=type(data).__name__)
            for events in self._topics.events(number, memoryview(data), self.empty):
                self._tell()
                yield events
            self.consumed = self._bytes * at // max(1, last, at)
        self._tell()

    def _tell(self) -> None:
        self.size, self.skipped, self.warnings = self._topics.told()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def sniff(head: bytes) -> bool:
    """Return whether a file is one of SQLite's."""
    return head.startswith(MAGIC)


FORMAT = Format("db3", "ROS 2 bag (.db3)", (".db3",), sniff, None, None, OPTIONS, Container)
