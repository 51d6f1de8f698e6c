"""What a recording does not say of itself, said on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from spikestream.errors import ConfigError


def add_option(parser: argparse.ArgumentParser) -> None:
    """Let a verb be told options of the format it reads."""
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the format, as 'spikestream formats NAME' lists them: order=xypt, unit=ms, polarity=inivation",
    )


def named(options: Iterable[str]) -> dict[str, str]:
    """Return options as names and values; raises `ConfigError` for one that is none."""
    made = {}
    for text in options:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ConfigError(f"'{text}' is no option", key="--option", value=text, allowed="NAME=VALUE")
        made[name.strip()] = value.strip()
    return made
