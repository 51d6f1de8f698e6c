"""The hub: numbers every message once, and hands it to every output."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from spikestream import __version__
from spikestream.errors import ConfigError, SpikestreamError
from spikestream.outputs.base import Asked, Output, Reaching
from spikestream.service.desk import Desk
from spikestream.wire import (
    ALL_BYTES,
    POLICIES,
    RING_BYTES,
    Delivery,
    Hello,
    Outgoing,
    Past,
    Payload,
    Ring,
    Shelf,
    Tally,
    is_topic,
    kind_of,
    pieces,
)

log = logging.getLogger(__name__)

POLL_S = 0.01
TERMS = ("since", "credit", "rate", "decimate")
"""What a subscription may ask for beside its topics and its policy."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What was published by topic, counted by the hub, and what each subscriber got of it, counted by its output.

    ``left_out`` has the rows, by topic, that no frame could hold.
    """

    published: Mapping[str, Tally]
    subscribers: Sequence[Delivery]
    left_out: Mapping[str, int]

    def problems(self) -> list[str]:
        """Return one line for every account that does not close, in rows."""
        return [
            f"{delivery.peer}: {topic}: {flow.imbalance():+,} rows unaccounted for"
            for delivery in self.subscribers
            for topic, flow in delivery.flows.items()
            if flow.imbalance()
        ]


@dataclass(slots=True)
class _Topic:
    kind: str
    first: int = 0
    published: Tally = field(default_factory=Tally)
    left_out: int = 0

    @property
    def next(self) -> int:
        return self.first + self.published.messages


class Hub:
    """Publishes batches under topics, on all outputs alike; call it from the loop's own thread.

    ``epoch`` is another text after every start; ``clock`` says what stream time is, and ``policies`` what subscribers
    may choose (see `Hello`). ``desk`` is where their requests go. ``past`` is the log of what was published, by earlier
    runs of the same epoch too, and ``numbers`` the number by topic with which each goes on after them. In memory the
    newest ``ring_bytes`` of every topic are kept, of all together ``ring_total_bytes``.
    """

    def __init__(
        self,
        outputs: Sequence[Output],
        *,
        epoch: str,
        now_ns: Callable[[], int] = time.time_ns,
        clock: str = "sensor",
        policies: Sequence[str] = POLICIES,
        desk: Desk | None = None,
        past: Past | None = None,
        numbers: Mapping[str, int] | None = None,
        ring_bytes: int = RING_BYTES,
        ring_total_bytes: int = ALL_BYTES,
    ) -> None:
        self.outputs = tuple(outputs)
        self._epoch = epoch
        self._now_ns = now_ns
        self._clock = clock
        self._policies = tuple(policies)
        self._desk = desk
        # Nobody can ask a file for what is past, and what nobody can ask for is not kept.
        reaching = any(isinstance(output, Reaching) for output in self.outputs)
        self._ring = Ring(ring_bytes, ring_total_bytes) if ring_bytes and reaching else None
        self._past = Shelf([one for one in (self._ring, past) if one is not None])
        self._numbers = dict(numbers or {})
        self._topics: dict[str, _Topic] = {}

    async def start(self) -> None:
        """Start every output; where one cannot, the others are closed again and its error is raised."""
        try:
            for output in self.outputs:
                if self._desk is not None and isinstance(output, Asked):
                    output.ask = self._desk.ask
                if isinstance(output, Reaching):
                    output.past, output.numbers = self._past, self.numbers
                await output.start(self.hello, self.published)
        except BaseException:
            await self.aclose()
            raise

    def hello(self) -> Hello:
        """Return the greeting for a subscriber who connects now."""
        caps = (*self._policies, *TERMS, *(self._desk.does if self._desk is not None else ()))
        return Hello(f"spikestream/{__version__}", self._epoch, self._now_ns(), self._clock, caps)

    @property
    def epoch(self) -> str:
        """Return the epoch that its numbers belong to."""
        return self._epoch

    def numbers(self) -> Mapping[str, int]:
        """Return the next number of every topic, of those too that were published by earlier runs only."""
        # A copy, which takes one step: a checkpoint asks from a thread of its own.
        return self._numbers | {name: topic.next for name, topic in tuple(self._topics.items())}

    def published(self) -> Mapping[str, Tally]:
        """Return what was published so far by topic."""
        return {name: topic.published for name, topic in self._topics.items()}

    @property
    def subscribers(self) -> int:
        """Return how many subscribers all outputs have together."""
        return sum(output.subscribers for output in self.outputs)

    def publish(self, topic: str, batch: Payload, at: tuple[int, ...] = ()) -> None:
        """Number a batch and hand it to every output; never waits. ``at`` is when it came in and was made, unix ns.

        A batch too large for one frame goes out as several messages, cut by time; what no frame can hold is left out,
        counted and told of once. Raises `ConfigError` for a topic that is none or is another kind's, and what an output
        raises that is broken, once all others have the message.
        """
        known = self._topics.get(topic) or self._add(topic)
        if known.kind != kind_of(batch):
            raise ConfigError(f"topic '{topic}' is for {known.kind}, not {kind_of(batch)}", key="topic", value=topic)
        for piece, left_out in pieces(batch) if self.outputs else ((batch, 0),):
            if left_out and not known.left_out:
                log.warning(
                    "%s: %s rows at %d µs are more than a message can hold", topic, f"{left_out:,}", piece.start
                )
            known.left_out += left_out
            message = Outgoing(topic, known.kind, known.next, self._now_ns(), piece, at=at)
            known.published.add(1, len(piece))
            if self._ring is not None:
                self._ring.append(topic, message.seq, message.t_ns, len(piece), message.frame)
            self._send(message)

    def _send(self, message: Outgoing) -> None:
        broken: SpikestreamError | None = None
        for output in self.outputs:
            try:
                output.send(message)
            except SpikestreamError as error:
                broken = broken or error
        if broken is not None:
            raise broken

    def _add(self, topic: str) -> _Topic:
        if not is_topic(topic):
            allowed = "<pipeline>.<stage>.<kind> of letters, digits, - and _"
            raise ConfigError(f"'{topic}' is not a topic", key="topic", value=topic, allowed=allowed)
        self._topics[topic] = _Topic(topic.rpartition(".")[2], self._numbers.get(topic, 0))
        return self._topics[topic]

    @property
    def blocked(self) -> bool:
        """Return whether a subscriber with policy block is full."""
        return any(output.blocked for output in self.outputs)

    async def ready(self) -> None:
        """Return at once, unless a subscriber with policy block is full: then when it has room."""
        for output in self.outputs:
            await output.ready()

    async def wait_subscribers(self, n: int) -> None:
        """Return when at least `n` subscribers have asked for something; the caller sets the time limit."""
        while self.subscribers < n:
            # Subscribers come at human pace, and any output may be a plugin: looking is simpler than being told.
            await asyncio.sleep(POLL_S)

    async def drain(self, timeout_s: float = 5.0) -> None:
        """Return when everything is handed over, or when nobody has taken anything for `timeout_s` seconds."""
        await _all(output.drain(timeout_s) for output in self.outputs)

    async def aclose(self) -> None:
        """Say bye on every output and close it."""
        await _all(output.aclose() for output in self.outputs)

    def ledger(self) -> Ledger:
        """Return what was published and what became of it, as of now."""
        published = {name: replace(topic.published) for name, topic in self._topics.items()}
        deliveries = [delivery for output in self.outputs for delivery in output.deliveries()]
        return Ledger(published, deliveries, {name: topic.left_out for name, topic in self._topics.items()})


async def _all(steps: Iterable[Awaitable[None]]) -> None:
    """Take all steps at once, and raise the first error when the last of them has ended."""
    for result in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
