"""Options by name for what was loaded by name: a wrong one is named, beside those that exist."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable
from typing import Any

from spikestream.errors import ConfigError, nearest

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def check_options(
    what: str,
    factory: Callable[..., Any],
    names: Iterable[str],
    *,
    skip: int = 0,
    given: Collection[str] = (),
    also: Iterable[str] = (),
) -> None:
    """Raise `ConfigError` for a name that ``factory`` does not take as a keyword.

    Its first ``skip`` parameters and those in ``given`` are no options; those in ``also`` are options the caller deals
    with itself. A factory with ``**options`` takes all of them, and checks for itself.
    """
    parameters = list(inspect.signature(factory).parameters.values())[skip:]
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return
    taken = [parameter.name for parameter in parameters if parameter.kind in _BY_NAME and parameter.name not in given]
    known = [*also, *taken]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{what} has no option '{name}'",
                key=name,
                allowed=", ".join(known) or "none",
                nearest=nearest(name, known),
            )
