"""A command line that the options of its verb do not fit, told as every other error is."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from typing import NoReturn
from urllib.parse import urlencode

from spikestream.errors import ConfigError, nearest

OF_A_RECORDING = ("--option", "--format", "--sensor", "--size", "--time")
"""Options that some verbs have; where a sensor is named they stand in its URI."""
SENSED = ("replay", "train", "eval", "record")
SEVERAL = ("train", "eval")
"""Verbs that take a sensor's URI, and those that take more than one."""


def refuse(parser: argparse.ArgumentParser, args: Sequence[str], message: str) -> NoReturn:
    """Raise `ConfigError` with what ``argparse`` says of a verb's arguments, and what to try."""
    verb, remedy, near, allowed = parser.prog.partition(" ")[2], f"{parser.prog} --help", "", ""
    what = message.removeprefix("argument ")
    if message.startswith("unrecognized arguments: "):
        first = message.partition(": ")[2].split(" ")[0].partition("=")[0]
        if first.startswith("-"):
            what, near = f"{verb} has no option '{first}'", _nearest(first, parser)
            if verb in SENSED and first in OF_A_RECORDING and (command := _with_uri(parser, args)):
                near, remedy = "", command
        else:
            what, allowed = f"{verb} takes no further '{first}'", _places(parser)
    elif message.startswith("the following arguments are required: "):
        what = f"{verb} needs {message.partition(': ')[2]}"
    raise ConfigError(what, key=verb, allowed=allowed, nearest=near, remedy=remedy)


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {name: action for action in parser._actions for name in action.option_strings}


def _nearest(given: str, parser: argparse.ArgumentParser) -> str:
    """Return the option that was probably meant, "" where none is near: the dashes, which all have, do not count."""
    bare = {name.lstrip("-"): name for name in _options(parser) if name.startswith("--")}
    return bare.get(nearest(given.lstrip("-"), bare), "")


def _places(parser: argparse.ArgumentParser) -> str:
    """Return what stands in a verb's command line without an option."""
    names = [str(action.metavar or action.dest) for action in parser._actions if not action.option_strings]
    return " ".join(names) or "options alone"


def _with_uri(parser: argparse.ArgumentParser, args: Sequence[str]) -> str:
    """Return the command line with what is said of its recordings in their URIs, "" where it names none."""
    options = _options(parser)
    rest: list[str] = []
    said: list[tuple[str, str]] = []
    words = iter(args)
    for word in words:
        name, equals, value = word.partition("=")
        if name not in OF_A_RECORDING or name in options:
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        key, _, told = value.partition("=")
        said.append((key, told) if name == "--option" else (name.removeprefix("--"), value))
    valued = [before in options and options[before].nargs != 0 for before in ["", *rest]]
    named = [place for place, word in enumerate(rest) if not (word.startswith("-") or valued[place])]
    sources = named if parser.prog.endswith(SEVERAL) else named[:1]
    if not sources or not all(os.path.isfile(rest[place]) and "?" not in rest[place] for place in sources):
        return ""
    for place in sources:
        rest[place] = f"file:{rest[place]}?{urlencode(said)}"
    return f"{parser.prog} {shlex.join(rest)}"
