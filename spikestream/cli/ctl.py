"""``spikestream ctl``: change what a running spikestream does."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spikestream.cli.base import Console, add_access, add_quiet
from spikestream.errors import ConfigError

WORDS = {
    "get": "get [KEY]              the settings that may be changed, as they are now",
    "set": "set KEY=VALUE          change one of them, from now on",
    "learn": "learn on|off           turn learning on or off",
    "save": "save [FILE]            save what was learned, in place or to FILE in control.folder",
    "load": "load [FILE]            take over what a model has learned",
    "pause": "pause                  take nothing more from the sensor",
    "resume": "resume                 go on",
    "add": "add NAME CONFIG        add a pipeline: a file in control.folder, or with --send the text of one here",
    "remove": "remove NAME            end a pipeline and forget it",
    "pipelines": "pipelines              list them",
}
_COUNTS = {
    "set": (1, 1),
    "learn": (1, 1),
    "get": (0, 1),
    "save": (0, 1),
    "load": (0, 1),
    "add": (2, 2),
    "remove": (1, 1),
}


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(
        prog="spikestream ctl",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="what to do:\n" + "\n".join(f"  {text}" for text in WORDS.values()),
    )
    add = made.add_argument
    add("url", metavar="URL", help="where it publishes: tcp://127.0.0.1:7077 or unix:///path")
    add("do", metavar="DO", help="what to do, see below")
    add("args", metavar="ARG", nargs="*", help="what belongs to it")
    add("--pipeline", metavar="NAME", default="", help="which one, where there are several")
    add("--send", action="store_true", help="with add: send the text of CONFIG, a file of this machine")
    add("--json", action="store_true", help="print one JSON object, nothing else")
    add_access(made)
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Ask, and say what came of it; the exit codes are those of `teach`."""
    from spikestream.client import Client

    console = Console(options.quiet)
    fields = _fields(options)
    access = {"token_file": options.token_file, "ca": options.ca}
    with Client(options.url, (), name="spikestream ctl", **access) as client:
        came = client.request(options.do, **fields)
    if options.json:
        console.json(dict(came))
    else:
        for line in _lines(options.do, came):
            console.out(line)
    return 0


def _fields(options: argparse.Namespace) -> dict[str, Any]:
    """Return what belongs to the request; raises `ConfigError` for what makes no sense."""
    from spikestream.errors import nearest

    do, args = options.do, options.args
    if do not in WORDS:
        near = nearest(do, WORDS)
        raise ConfigError(f"ctl cannot {do}", key="DO", value=do, allowed=", ".join(WORDS), nearest=near)
    least, most = _COUNTS.get(do, (0, 0))
    if not least <= len(args) <= most:
        raise ConfigError(f"'{' '.join([do, *args])}' makes no sense", key="DO", allowed=" ".join(WORDS[do].split()))
    if options.send and do != "add":
        raise ConfigError("only a pipeline that is added has a text to send", key="--send", value=do)
    return _named(options) | _own(do, args, options.send)


def _named(options: argparse.Namespace) -> dict[str, Any]:
    if not options.pipeline:
        return {}
    if options.do in ("add", "remove", "pipelines"):
        raise ConfigError(f"{options.do} takes no --pipeline", key="--pipeline", value=options.pipeline)
    return {"pipeline": options.pipeline}


def _own(do: str, args: list[str], send: bool) -> dict[str, Any]:
    from spikestream.config import parsed_setting

    if do == "set":
        key, value = parsed_setting(args[0])
        return {"key": key, "value": value}
    if do == "learn":
        if args[0] not in ("on", "off"):
            raise ConfigError("learning is on or off", key="learn", value=args[0], allowed="on, off")
        return {"on": args[0] == "on"}
    if do == "add":
        return {"name": args[0], **({"toml": _text(args[1])} if send else {"file": args[1]})}
    if do == "remove":
        return {"pipeline": args[0]}
    key = {"get": "key", "save": "file", "load": "file"}.get(do, "")
    return {key: args[0]} if args else {}


def _text(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}", key="CONFIG", value=path) from error


def _lines(do: str, came: Mapping[str, Any]) -> list[str]:
    """Return an answer for people."""
    if do == "get":
        return [f"{key} = {_shown(value)}" for key, value in came.get("settings", {}).items()]
    if do == "pipelines":
        return [f"{name}  {one['state']}  {one['sensor']}" for name, one in came.get("pipelines", {}).items()]
    if do in ("set", "learn"):
        return [f"{came['pipeline']}: {came['key']} = {_shown(came['value'])} from {came['t']:,} µs on"]
    if do in ("save", "load"):
        return [f"{came['pipeline']}: {'saved to' if do == 'save' else 'has learned what is in'} {came['path']}"]
    if do == "add":
        return [f"{came['pipeline']}: added, {came['sensor']}"]
    problems = [f"  {line}" for line in came.get("problems", [])]
    return [f"{came['pipeline']}: {came['state']}", *problems]


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
