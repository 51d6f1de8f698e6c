"""Whose fault it is: one error class per culprit; its text says what, where, why likely, and the next command."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def printable(text: str) -> str:
    """Return the text with what no terminal should be sent, such as an escape that came from a file, spelled out."""
    return "".join(one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode() for one in text)


class SpikestreamError(Exception):
    """Base of every error that bad input, a bad device or a bad plugin may raise.

    ``remedy`` is the next command or step for the reader; ``exit_code`` is what the command line exits with.
    """

    exit_code = 1

    def __init__(self, what: str, *, details: Iterable[str] = (), remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.details = tuple(details)
        self.remedy = remedy

    def where(self) -> str:
        """Return the place the error speaks of, "" where there is none."""
        return ""

    def lines(self) -> list[str]:
        """Return the indented lines below the first one."""
        return list(self.details)

    def __str__(self) -> str:
        where = self.where()
        text = [f"{where}: {self.what}" if where else self.what]
        text += [f"  {line}" for line in self.lines()]
        if self.remedy:
            text.append(f"  try: {self.remedy}")
        return printable("\n".join(text))


class RecordingError(SpikestreamError):
    """The bytes of a recording are not what their format says; ``offset`` counts bytes from the start of the file."""

    exit_code = 3

    def __init__(
        self,
        what: str,
        *,
        file: str = "",
        offset: int | None = None,
        expected: str = "",
        found: str = "",
        details: Iterable[str] = (),
        remedy: str = "",
    ) -> None:
        super().__init__(what, details=details, remedy=remedy)
        self.file = file
        self.offset = offset
        self.expected = expected
        self.found = found

    def where(self) -> str:
        """Return the file's name: a sans-IO codec leaves it to the room that opened the file."""
        return self.file

    def lines(self) -> list[str]:
        """Return offset, expected and found, as far as they are known, then the details."""
        facts = []
        if self.offset is not None:
            facts.append(f"at byte {self.offset:,}")
        if self.expected:
            facts.append(f"expected {self.expected}")
        if self.found:
            facts.append(f"found {self.found}")
        return ([", ".join(facts)] if facts else []) + list(self.details)


class RecordingWarning(UserWarning):
    """Something had to be guessed in reading a recording, or is wrong with its events."""


class ConfigError(SpikestreamError):
    """A setting is unknown or out of its range."""

    exit_code = 2

    def __init__(
        self, what: str, *, key: str = "", value: object = None, allowed: str = "", nearest: str = "", remedy: str = ""
    ) -> None:
        super().__init__(what, remedy=remedy)
        self.key = key
        self.value = value
        self.allowed = allowed
        self.nearest = nearest

    def lines(self) -> list[str]:
        """Return what is allowed and the nearest known name."""
        facts = []
        if self.allowed:
            facts.append(f"allowed: {self.allowed}")
        if self.nearest:
            facts.append(f"did you mean '{self.nearest}'?")
        return facts


class PluginError(SpikestreamError):
    """A plugin is missing, ambiguous, or breaks its protocol."""

    exit_code = 4


class DeviceError(SpikestreamError):
    """A sensor cannot be opened or has gone."""

    exit_code = 4


class ClientError(SpikestreamError):
    """The other end of a socket is unreachable, speaks another protocol, or breaks the rules of this one."""

    exit_code = 5


class ModelError(SpikestreamError):
    """A saved model is damaged, foreign, or does not fit the configuration."""

    exit_code = 6


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name closest to `name`, "" where none is near."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return found[0] if found else ""
