"""Options of an output as its URL's query has them."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl

from spikestream.errors import ConfigError, nearest
from spikestream.wire import is_pattern


def query_of(scheme: str, query: str, known: Iterable[str]) -> dict[str, str]:
    """Return the options of a URL's query, all of which are ``known``; raises `ConfigError`."""
    names = list(known)
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise ConfigError(f"'{query}' is no query", key=scheme, allowed="name=value&name=value") from error
    for name, _ in pairs:
        if name not in names:
            text, near = f"{scheme} has no option '{name}'", nearest(name, names)
            raise ConfigError(text, key=name, allowed=", ".join(names), nearest=near)
    if len(dict(pairs)) < len(pairs):
        raise ConfigError(f"an option is given twice in '{query}'", key=scheme)
    return dict(pairs)


def patterns_of(topics: str) -> list[str]:
    """Return the patterns of topics, which have commas between them; raises `ConfigError`."""
    patterns = topics.split(",")
    if wrong := [one for one in patterns if not is_pattern(one)]:
        raise ConfigError(f"{wrong} are not topics", key="topics", allowed="main.readout.decisions,*.filter.events")
    return patterns
