"""An output of a daemon that may fail: it fails alone, and is opened again, later and later, while the others go on.

Law: what it was not given meanwhile is counted as dropped, like what a slow subscriber loses; the ledger closes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any

from spikestream.config.sections import RestartConfig
from spikestream.errors import SpikestreamError
from spikestream.outputs.base import Asked, Output, Reaching
from spikestream.outputs.base.due import Due, Published
from spikestream.service.backoff import Backoff
from spikestream.wire import Delivery, Flow, Hello, Outgoing, Tally

log = logging.getLogger(__name__)

RETRY = RestartConfig()


class Tended:
    """An output that ``make`` opens, and opens again after it has failed; raises what opening it raises at first.

    Whoever was connected is told goodbye, and nobody is due what comes until it is back. ``failures`` counts how often
    it failed, tries to open it included; ``error`` is the last one, None where it never did.
    """

    def __init__(self, make: Callable[[], Output], backoff: Backoff | None = None) -> None:
        self._make, self._backoff = make, backoff or Backoff(RETRY)
        self._life = _Life(make())
        self.url = self._life.output.url
        if isinstance(self._life.output, Asked):
            self.ask = self._life.output.ask
        if isinstance(self._life.output, Reaching):
            self.past, self.numbers = self._life.output.past, self._life.output.numbers
        self.failures = 0
        self.error: BaseException | None = None
        self.up = False
        self._recovering: asyncio.Task[None] | None = None
        self._began_s = 0.0
        self._missed: dict[str, Tally] = {}
        self._down: Due | None = None
        self._before: dict[str, Flow] = {}

    @property
    def subscribers(self) -> int:
        """Return how many subscribers it has."""
        return self._life.output.subscribers if self.up else 0

    @property
    def blocked(self) -> bool:
        """Return whether a subscriber with policy block is full."""
        return self.up and self._life.output.blocked

    async def start(self, hello: Callable[[], Hello], published: Published) -> None:
        """Begin; raises what the output raises, which at the start is the configuration's fault."""
        self._hello, self._published = hello, published
        await self._open(self._life)

    def send(self, message: Outgoing) -> None:
        """Hand a message on, or count it as missed; raises nothing."""
        if self.up and (dead := getattr(self._life.output, "broken", None)) is not None:
            self._fail(dead)
        if not self.up:
            for missed in (self._missed, self._life.missed):
                missed.setdefault(message.topic, Tally()).add(1, message.rows)
            return
        try:
            self._life.output.send(message)
        except Exception as error:  # of a plugin, say: whatever it is, the others go on
            self._fail(error)

    async def ready(self) -> None:
        """Return when nobody is full who asked the publisher to wait."""
        if self.up:
            await self._life.output.ready()

    async def drain(self, timeout_s: float) -> None:
        """Hand over what waits."""
        if self.up:
            await self._life.output.drain(timeout_s)

    async def aclose(self) -> None:
        """End; raises what the output raises, unless it was known to be down."""
        if self._recovering is not None:
            self._recovering.cancel()
            await asyncio.gather(self._recovering, return_exceptions=True)
        up, self.up = self.up, False
        try:
            await self._life.output.aclose()
        except Exception:
            if up:
                raise

    def deliveries(self) -> Sequence[Delivery]:
        """Return the accounts of its subscribers, and of what itself was not given while it was down."""
        before = {topic: flow.copy() for topic, flow in self._before.items()}
        self._count_missed(before)
        own = [Delivery(f"{self.url} while down", "", before)] if before else []
        return [*own, *self._life.deliveries()]

    def status(self) -> dict[str, Any]:
        """Return how it is: its ``url``, whether it is up, how often it failed, and the last ``error``."""
        told = {"url": self.url, "up": self.up, "failures": self.failures}
        return told if self.error is None else told | {"error": _what(self.error)}

    async def _open(self, life: _Life) -> None:
        """Start an output; from the return on it is given what is published, without a loop's turn in between."""
        life.of_the_hub = self._published
        if isinstance(life.output, Asked):
            life.output.ask = self.ask
        if isinstance(life.output, Reaching):
            life.output.past, life.output.numbers = self.past, self.numbers
        await life.output.start(self._hello, life.published)
        self._life, self.url, self.up, self._began_s = life, life.output.url, True, monotonic()

    def _fail(self, error: BaseException) -> None:
        """Take note that it is down, and begin to bring it back."""
        self.up = False
        self._life.failed = True
        self._down = None if isinstance(self._life.output, Reaching) else Due(self._published)
        self._tell(error, anew=True)
        self._recovering = asyncio.get_running_loop().create_task(self._recover())

    async def _recover(self) -> None:
        """Part with what has failed, and open another in its place, as often as it takes."""
        await self._part(self._life)
        while True:
            await asyncio.sleep(self._backoff.after(monotonic() - self._began_s))
            self._began_s = monotonic()
            life = None
            try:
                life = _Life(self._make())
                await self._open_again(life)
            except Exception as error:
                self._tell(error, anew=_what(error) != _what(self.error))
                if life is not None:
                    with suppress(Exception):
                        await life.output.aclose()
                continue
            return

    async def _open_again(self, life: _Life) -> None:
        before, self._life = self._life, life  # so that it knows what it was not given while it was opened
        try:
            await self._open(life)
        except BaseException:
            self._life = before
            raise
        lost = sum(tally.messages for tally in self._missed.values())
        self._count_missed(self._before)
        self._missed, self._down = {}, None
        log.warning("%s is back; %d messages were published meanwhile", self.url, lost)

    async def _part(self, life: _Life) -> None:
        with suppress(Exception):
            await life.output.aclose()
        for delivery in life.deliveries():
            for topic, flow in delivery.flows.items():
                self._before.setdefault(topic, Flow()).add(flow)
        life.over = True

    def _count_missed(self, flows: dict[str, Flow]) -> None:
        """Add what it was due while down, by the publisher's figures, and what of it was missed, by its own."""
        if self._down is None:
            return
        for topic, due in self._down.figures(lambda topic: True).items():
            flow, missed = flows.setdefault(topic, Flow()), self._missed.get(topic, Tally())
            flow.due.add(due.messages, due.rows)
            flow.dropped.add(missed.messages, missed.rows)

    def _tell(self, error: BaseException, anew: bool) -> None:
        """Count a failure, and log it where it is another than the last try's."""
        self.failures += 1
        self.error = error
        log.log(logging.WARNING if anew else logging.DEBUG, "%s has failed, and is tried again: %s", self.url, error)


class _Life:
    """One output from its opening to its failure, and what the hub has published that it was given."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.of_the_hub: Published = dict
        self.missed: dict[str, Tally] = {}
        """What was published while it was being opened, or after it had failed."""
        self.failed = self.over = False

    def published(self) -> Mapping[str, Tally]:
        """Return what was published by topic, less what it was not given."""
        made = {topic: replace(tally) for topic, tally in self.of_the_hub().items()}
        for topic, missed in self.missed.items():
            made[topic].add(-missed.messages, -missed.rows)
        return made

    def deliveries(self) -> Sequence[Delivery]:
        """Return its accounts; after its failure what nobody has taken is dropped."""
        if self.over:
            return ()
        told = self.output.deliveries()
        for flow in (flow for one in told for flow in one.flows.values() if self.failed):
            flow.held, flow.flying = Tally(), Tally()
            gone = (flow.sent, flow.dropped, flow.left_out)
            messages = flow.due.messages - sum(tally.messages for tally in gone)
            flow.dropped.add(messages, flow.due.rows - sum(tally.rows for tally in gone))
        return told


def _what(error: BaseException | None) -> str:
    return error.what if isinstance(error, SpikestreamError) else f"{type(error).__name__}: {error}"
