"""``spikestream status``: how a running spikestream is doing."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from spikestream.cli.base import INTERRUPTED, Console, add_access, add_quiet
from spikestream.units import show_count, show_us

URL = "tcp://127.0.0.1:7077"
EVERY_S = 1.0
BAR = 32


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(prog="spikestream status", description=__doc__)
    add = made.add_argument
    add("url", metavar="URL", nargs="?", default=URL, help=f"where it publishes (default {URL})")
    add("--pipeline", metavar="NAME", default="", help="of this one only")
    add("--json", action="store_true", help="print one JSON object, nothing else; with --watch one each time")
    add("--watch", action="store_true", help="again every second, until Ctrl-C")
    add_access(made)
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Ask once, or every second, and show it; the exit code is 7 where a ledger does not close."""
    from spikestream.client import Client

    console = Console(options.quiet)
    fields = {"pipeline": options.pipeline} if options.pipeline else {}
    code = 0
    access = {"token_file": options.token_file, "ca": options.ca}
    with Client(options.url, (), name="spikestream status", **access) as client:
        try:
            while True:
                told = client.request("status", **fields)
                console.json(dict(told)) if options.json else console.out("\n".join(lines(told)))
                code = _code(told)
                if not options.watch or console.broken:
                    return code
                time.sleep(EVERY_S)
                if not options.json:
                    console.out("")
        except KeyboardInterrupt:
            return INTERRUPTED


def _code(told: Mapping[str, Any]) -> int:
    from spikestream.cli.base import LOST

    return LOST if any(one["problems"] for one in told["pipelines"].values()) else 0


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield a status for people, line by line."""
    if "up_s" in told:
        stall, memory = told["loop_stall_ms"], told["memory_bytes"] / (1 << 20)
        yield f"{told['srv']}  up {show_us(round(told['up_s'] * 1e6))}  {memory:,.0f} MiB  loop stall {stall:.1f} ms"
    for name, one in told["pipelines"].items():
        yield from _pipeline(name, one)
    for one in told.get("outputs", []):
        if one["failures"]:
            how = "back" if one["up"] else "down"
            yield f"{one['url']}: {how} after {one['failures']:,} failures, last error: {one['error']}"
    yield from _subscribers(told["subscribers"])


def _subscribers(told: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield who is there, one line each, and in one line what those had who have left."""
    left = [one for one in told if one.get("left")]  # of which earlier servers do not tell
    if told:
        yield "subscribers"
    for one in told:
        if not one.get("left"):
            yield f"  {one['peer']} {one['client']}: {one['sent']:,} sent, {one['waiting']:,} waiting{_dropped([one])}"
    if left:
        yield f"  {len(left):,} that left: {sum(one['sent'] for one in left):,} sent{_dropped(left)}"


def _dropped(told: Sequence[Mapping[str, Any]]) -> str:
    dropped, gaps = (sum(one[name] for one in told) for name in ("dropped", "gaps"))
    return f", {dropped:,} dropped in {gaps:,} gaps" if dropped else ""


def _waterfall(hops: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Yield where the time goes: each hop begins where the one before it ends, all at their medians."""
    parts = {name: hop for name, hop in hops.items() if name != "total"}
    whole, before = sum(hop["p50"] for hop in parts.values()), 0.0
    for name, hop in parts.items():
        begin = round(BAR * before / whole) if whole else 0
        before += hop["p50"]
        end = round(BAR * before / whole) if whole else 0
        bar = " " * begin + ("#" * (end - begin) or "|")
        yield f"    {name:12.12} {bar:{BAR + 1}} p50 {hop['p50']:9.3f} ms  p99 {hop['p99']:9.3f} ms"


def _pipeline(name: str, one: Mapping[str, Any]) -> Iterator[str]:
    yield f"{name}: {one['state']}, {'learning' if one['learning'] else 'frozen'}, {one['sensor']}"
    latency = one["latency_ms"]
    yield (
        f"  at {show_us(one['t'])}, {show_count(round(one['events_per_s']))}events/s, {one['spikes_out']:,} spikes, "
        f"{one['decisions']:,} decisions, latency p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms"
    )
    yield from _waterfall(one["waterfall_ms"])
    lost = {"dropped": one["events_dropped"], "dropped while paused": one["paused_dropped"]}
    lost |= {"lost by failures": one.get("events_lost", 0), "gaps": one["gaps"], "restarts": one.get("restarts", 0)}
    if told := [f"{count:,} {what}" for what, count in lost.items() if count]:
        yield f"  {', '.join(told)}"
    if "error" in one:
        yield f"  last error: {one['error']}"
    if (trust := one["trust"]) is not None and trust["sliding_accuracy"] is not None:
        yield f"  accuracy {trust['sliding_accuracy']:.1%} of the last {trust['window']:,} judged"
    for problem in one["problems"]:
        yield f"  LEDGER: {problem}"
