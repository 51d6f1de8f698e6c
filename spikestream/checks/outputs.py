"""The laws of an output: it never holds up who publishes, hands on what it was given, and accounts for it."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from inspect import isawaitable
from typing import Any

import numpy as np

from spikestream.batch import EVENT, Decision, Decisions, Events, Spikes, no_events, no_spikes
from spikestream.checks.base import Check, Law, suite
from spikestream.outputs.base import Output
from spikestream.outputs.base.due import Published
from spikestream.wire import Gap, Hello, Outgoing, Payload, Stats, Tally, kind_of

Make = Callable[[], Output]

_PATIENCE_S = 10.0
_DRAIN_S = 1.0


def output(make: Make, *, memory: int = 8 << 20) -> Iterator[Check]:
    """Yield the checks of an output.

    ``make`` returns a fresh one each time, not started, all at one and the same place or each at another; ``memory`` is
    the number of bytes it may hold while nobody listens. What subscribers get is not looked at here.
    """
    return suite("output", LAWS, make, memory)


def _hello() -> Hello:
    return Hello("checks", "0123456789abcdef", 0)


def _messages() -> list[Outgoing]:
    spikes = Spikes(0, 1_000, np.array([1, 999]), np.array([5, 0], np.int32))
    answer = Decision(-500, 1_000, None, 0.5, (("left", 0.5), ("right", 0.5)), 7.0)
    batches: list[Payload] = [
        Events(0, 1_000, np.array([(1, 2, 3, True), (1, 0, 0, False)], EVENT), (4, 4)),
        no_events(1_000, 2_000),
        spikes,
        no_spikes(1_000, 2_000),
        Decisions(0, 1_000, (answer,)),
        Decisions(1_000, 2_000),
        Stats(0, 1_000, {"rate_hz": 5.0}),
        Gap(2_000, 9_000, "sensor"),
    ]
    return [Outgoing(f"main.x.{kind_of(b)}", kind_of(b), i // 2, 10**18 + i, b) for i, b in enumerate(batches)]


def _with(make: Make, use: Callable[[Output], Awaitable[str]], published: Published = dict) -> str:
    async def run() -> str:
        given = make()
        await asyncio.wait_for(given.start(_hello, published), _PATIENCE_S)
        try:
            return await asyncio.wait_for(use(given), _PATIENCE_S)
        finally:
            await asyncio.wait_for(given.aclose(), _PATIENCE_S)

    return asyncio.run(run())


def _not_found(make: Make, memory: int) -> str:
    async def use(given: Output) -> str:
        if not (isinstance(given.url, str) and "://" in given.url):
            return f"url is {given.url!r}"
        return f"subscribers is {given.subscribers} before anybody came" if given.subscribers else ""

    return _with(make, use)


def _waits(make: Make, memory: int) -> str:
    async def use(given: Output) -> str:
        for message in _messages():
            answer: Any = given.send(message)  # type: ignore[func-returns-value]
            if isawaitable(answer):
                return "send() has to be awaited"
            await given.ready()
        return ""

    return _with(make, use)


def _changes(make: Make, memory: int) -> str:
    async def use(given: Output) -> str:
        for message, twin in zip(_messages(), _messages(), strict=True):
            given.send(message)
            await given.drain(_DRAIN_S)
            again = Outgoing(message.topic, message.kind, message.seq, message.t_ns, message.batch)
            if not (message.frame == again.frame == twin.frame):
                return f"message {twin.seq} of {twin.topic} changed"
        return ""

    return _with(make, use)


def _does_not_add_up(make: Make, memory: int) -> str:
    published: dict[str, Tally] = {}

    async def use(given: Output) -> str:
        for message in _messages():
            published.setdefault(message.topic, Tally()).add(1, message.rows)
            given.send(message)
        for delivery in given.deliveries():
            for topic, flow in delivery.flows.items():
                if flow.imbalance() or flow.due.rows > published[topic].rows:
                    return f"{delivery.peer}: of {published[topic].rows} rows in {topic} it accounts for {flow}"
        return ""

    return _with(make, use, lambda: published)


def _does_not_end(make: Make, memory: int) -> str:
    async def close_twice(given: Output) -> str:
        given.send(_messages()[0])
        await given.drain(_DRAIN_S)
        await given.aclose()
        return ""

    async def close_unused() -> None:
        await asyncio.wait_for(make().aclose(), _PATIENCE_S)

    asyncio.run(close_unused())
    return _with(make, close_twice) or _with(make, close_twice)


def _hoards(make: Make, memory: int) -> str:
    data = np.zeros(20_000, EVENT)

    async def use(given: Output) -> str:
        tracemalloc.start()
        try:
            for seq in range(2 * memory // data.nbytes + 1):
                given.send(Outgoing("main.x.events", "events", seq, seq, Events(seq, seq + 1, data.copy(), (1, 1))))
                await asyncio.sleep(0)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        return f"{2 * memory:,} bytes sent, {peak:,} held; stated are {memory:,}" if peak > memory else ""

    return _with(make, use)


LAWS = (
    Law("found", "url says where it is, and subscribers counts those who asked for something", _not_found),
    Law("never waits", "send() returns at once, and so does ready() while nobody blocks", _waits),
    Law("handed on untouched", "a message is the same for every output: it is not written to", _changes),
    Law("account", "deliveries() say what became of every row: sent, dropped or held", _does_not_add_up),
    Law("ends", "aclose() may be called twice, or before start(), and gives the place back", _does_not_end),
    Law("bounded memory", "while nobody listens, no more than the stated number of bytes is held", _hoards),
)
