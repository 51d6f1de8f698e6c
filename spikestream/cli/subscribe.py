"""``spikestream subscribe``: print what a running spikestream publishes."""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spikestream.cli.base import INTERRUPTED, Console, add_access, add_quiet, refuse_both
from spikestream.errors import ConfigError
from spikestream.units import duration_us, size_bytes

if TYPE_CHECKING:
    from spikestream.wire import Hello, Message

QUIET = ("events", "spikes", "decisions")
"""Kinds of which people do not want to read the empty messages."""
LONGEST_S = 3_600_000
SHORT = ("events", "spikes", "decisions", "weights", "stats", "gap")


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(prog="spikestream subscribe", description=__doc__)
    add = made.add_argument
    add("url", metavar="URL", help="tcp://127.0.0.1:7077 or unix:///path; tcps://, ws:// and wss:// too")
    add(
        "--topic",
        action="append",
        default=[],
        help="main.network.spikes, main.*.spikes, main.>, a kind such as decisions, or * (default); repeatable",
    )
    add("--count", type=int, default=0, metavar="N", help="end after N messages")
    add("--for", dest="for_", metavar="TIME", help="end after so long, e.g. 10s")
    add("--jsonl", action="store_true", help="one JSON object a message, with all of its data")
    add("--summary", action="store_true", help="print only what was received, topic by topic, at the end")
    add("--policy", default="drop_oldest", help="when too slow: drop_oldest (default), latest, disconnect, block")
    add("--since", metavar="WHERE", help="begin with all that is kept, with 10s ago, or with EPOCH:NUMBER")
    add("--credit", type=int, default=0, metavar="N", help="no more than N messages under way")
    add("--max-rate", type=float, default=0, metavar="N", help="of each topic at most N messages a second")
    add("--max-bytes", metavar="SIZE", help="of all topics at most so much a second, e.g. 1MB")
    add("--decimate", type=int, default=1, metavar="N", help="every Nth event and spike")
    add("--reconnect", metavar="TIME", help="where the connection ends, try so long to go on where it was")
    add("--wait", metavar="TIME", default="0s", help="try so long to connect, e.g. 5s")
    add_access(made)
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Print messages until the publisher says bye, the count or the time is reached, or stdout closes."""
    from spikestream.client import Client

    console = Console(options.quiet)
    refuse_both({"--jsonl": options.jsonl, "--summary": options.summary})
    topics = [_pattern(topic) for topic in options.topic] or ["*"]
    shown = 0
    reader: Client | None = None
    interrupted = False
    seconds = _seconds("--for", options.for_) if options.for_ else 0.0
    signal.signal(signal.SIGALRM, _time_is_up)
    terms = _terms(options)
    try:
        with _connect(Client, options, topics, terms) as reader:
            signal.setitimer(signal.ITIMER_REAL, seconds)  # 0 means never
            if reader.recovered is False:
                console.log(_not_kept(options.since, reader.hello))
            for message in reader:
                if options.jsonl:
                    console.json(as_json(message))
                elif not options.summary and (message.n or message.kind not in QUIET):
                    console.out(as_line(message))
                shown += 1
                if console.broken or shown == options.count:
                    break
    except KeyboardInterrupt:
        interrupted = True
    except _TimeIsUp:
        pass
    for topic, count in sorted(reader.counts.items() if reader else ()):
        lost = f", {count.missing:,} messages missed in {count.gaps:,} gaps" if count.missing else ""
        if count.left_out or count.left_out_rows:
            lost += f", {count.left_out:,} messages and {count.left_out_rows:,} rows left out on request"
        tell = console.out if options.summary else console.log
        tell(f"received {topic}: {count.messages:,} messages, {count.rows:,} rows{lost}")
    return INTERRUPTED if interrupted else 0


def _pattern(topic: str) -> str:
    """Return the pattern for a kind, and any other as it is; raises `ConfigError` for one that no topic can match."""
    if topic in SHORT:
        return f"*.*.{topic}"
    if "." not in topic and topic not in ("*", ">"):
        allowed = f"*, a pattern such as main.>, or a kind: {', '.join(SHORT)}"
        raise ConfigError(f"no topic is called '{topic}'", key="--topic", value=topic, allowed=allowed)
    return topic


def _terms(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the options ask for, as the client takes it."""
    most = size_bytes(options.max_bytes) if options.max_bytes else 0
    reconnect = _seconds("--reconnect", options.reconnect) if options.reconnect else False
    terms = {"policy": options.policy, "since": _since(options.since), "credit": options.credit, "reconnect": reconnect}
    rates = {"max_rate": options.max_rate, "max_bytes": most, "decimate": options.decimate}
    return terms | rates | {"token_file": options.token_file, "ca": options.ca}


def _since(text: str | None) -> Any:
    """Return where to begin, as the wire has it."""
    if text in (None, "all", "now"):
        return text
    epoch, colon, number = str(text).rpartition(":")
    if colon and number.isascii() and number.isdigit():
        return {"epoch": epoch, "seq": int(number)}
    try:
        ago_us = duration_us(str(text))
    except ConfigError as error:
        allowed = "all, now, a time such as 10s, EPOCH:NUMBER"
        raise ConfigError(f"--since {text} is no beginning", key="--since", value=text, allowed=allowed) from error
    return {"t_ns": max(0, time.time_ns() - 1_000 * ago_us)}


def _not_kept(since: str | None, hello: Hello | None) -> str:
    """Return what to tell where not all is there that was asked for; `since` says from where on."""
    epoch = since.rpartition(":")[0] if since else ""
    if hello is not None and epoch and epoch != hello.epoch:
        return f"--since {since}: numbers are counted anew since then, the epoch is {hello.epoch} now"
    return f"--since {since}: not all of that is kept, or was ever published; what is missing is told as a gap"


def _seconds(name: str, text: str) -> float:
    """Return a duration in s that a timer takes."""
    seconds = duration_us(text) / 1e6
    if not 1e-3 <= seconds <= LONGEST_S:
        raise ConfigError(f"{name} {text} is out of range", key=name, value=text, allowed="1ms to 1000h")
    return seconds


class _TimeIsUp(Exception):
    """``--for`` has passed."""


def _time_is_up(signal_number: int, frame: object) -> None:
    raise _TimeIsUp


def _connect(client: Any, options: argparse.Namespace, topics: list[str], terms: Mapping[str, Any]) -> Any:
    """Return the connected client, trying again for as long as the options say."""
    from spikestream.errors import ClientError

    until = time.monotonic() + (_seconds("--wait", options.wait) if options.wait != "0s" else 0)
    while True:
        try:
            return client(options.url, topics, name="spikestream subscribe", **terms)
        except ClientError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.05)


def as_json(message: Message) -> dict[str, Any]:
    """Return a message as plain JSON values, rows as lists."""
    head = {"topic": message.topic, "kind": message.kind, "seq": message.seq, "start": message.start}
    head |= {"stop": message.stop, "n": message.n, "published_ns": message.published_ns}
    made = {"at": list(message.at)} if message.at else {}
    return head | made | {"data": _plain(message)}


def _plain(message: Message) -> Any:
    if message.kind == "weights":
        return message.data | {"values": message.data["values"].tolist()}
    from spikestream.cli.base.report import json_of

    if message.kind in ("events", "spikes", "sound"):
        return message.data.tolist()
    if message.kind == "decisions":
        return [json_of(row) for row in message.data]
    return dict(message.data) if message.data else {}


def as_line(message: Message) -> str:
    """Return a message as one line for people."""
    head = f"{message.topic} #{message.seq}"
    if message.kind == "gap":
        return f"{head} GAP {dict(message.data)}"
    span = f"{head} [{message.start}, {message.stop}) µs"
    if message.kind == "decisions":
        said = (
            f"{row.label or 'unknown'} {row.confidence:.0%} in [{row.start}, {row.stop}) µs" for row in message.data
        )
        return f"{head} {'  '.join(said)}".rstrip() if message.data else span
    if message.kind == "stats":
        return f"{span} {dict(message.data)}"
    return f"{span} {message.n:,} {message.kind}"
