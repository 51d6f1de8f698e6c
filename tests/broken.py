"""Runs a conformance suite on something that may be broken."""

from __future__ import annotations

from collections.abc import Iterator

from spikestream import checks
from spikestream.errors import PluginError


def broken(suite: Iterator[checks.Check]) -> set[str]:
    """Run a suite and return the names of the laws that are broken."""
    names = set()
    for name, check in suite:
        try:
            check()
        except PluginError as error:
            names.add(name if f" breaks the law '{name}': " in error.what and error.details else str(error))
    return names
