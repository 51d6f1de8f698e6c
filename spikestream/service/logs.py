"""The log of a daemon on stderr: as text for people, or a JSON object a line for programs that collect logs."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TextIO

KINDS = ("text", "json")


class JsonLines(logging.Formatter):
    """One object a record: ``time`` (UTC, ms), ``level``, ``logger``, ``message``, and ``error`` where one is told."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextLines(logging.Formatter):
    """The message, and in front of it how bad it is where it is bad."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, with a traceback where there is one."""
        head = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return head + super().format(record)


def set_up(kind: str, stream: TextIO, quiet: bool = False) -> None:
    """Send what is logged from here on to a stream: in one of `KINDS`, and only warnings and worse where ``quiet``."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if kind == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("spikestream").setLevel(logging.WARNING if quiet else logging.INFO)
