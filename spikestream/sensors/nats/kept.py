"""What a broker keeps (JetStream), taken by one process at a time, from where its checkpoint says, in order.

A durable consumer says to the broker what has been taken: what is acknowledged is in a checkpoint, and nothing else is.
Order is ours to keep: as soon as deliveries do not follow each other the consumer is made anew behind what is
acknowledged, and what was had already is passed over.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from spikestream.batch import Events, Spikes
from spikestream.broker import ANSWER_S, EPOCH, Place, connect, trouble, why
from spikestream.errors import ClientError, ModelError
from spikestream.sensors.base.order import Mark, Order, size_in
from spikestream.sensors.nats.lease import Lease

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from nats.js import JetStreamContext

log = logging.getLogger(__name__)

PULL = 256
"""Messages that the broker may send ahead."""
PULL_BYTES = 16 << 20
"""And bytes."""
BEAT_S = 1.0
"""So often the broker says that there is nothing."""
SILENT_S = 3 * BEAT_S
AGAIN_S = 0.25
UNACKNOWLEDGED_S = 86_400.0
"""The broker sends nothing again by itself in less."""
REPLIES = 1 << 16
"""How to acknowledge the last messages that are in no checkpoint; with one of them all before it are."""
MARKS = 512
"""Batches that may be between this sensor and the end of the pipeline: more than a channel holds."""


class Kept:
    """A subject of a stream as a sensor of ``size``, which waits for whoever takes it.

    `claim` has to come before `batches`, and `release` after the last checkpoint.
    """

    live = False

    def __init__(
        self,
        place: Place,
        subject: str,
        stream: str,
        durable: str,
        size: tuple[int, int],
        lease_s: float,
        standby_s: float,
    ) -> None:
        self.size = size
        self._place, self._subject, self._stream, self._durable = place, subject, stream, durable
        self._lease_s, self._standby_s = lease_s, standby_s
        self._order = Order(size)
        self._client: Client | None = None
        self._lease: Lease | None = None
        self._acknowledged = self._had = 0  # numbers of stored messages
        self._marks: deque[Mark] = deque(maxlen=MARKS)
        self._replies: deque[tuple[int, str]] = deque(maxlen=REPLIES)  # of messages that are not acknowledged
        self._opened = 0

    @property
    def sent(self) -> int:
        """Return how many events were handed out."""
        return self._order.sent

    @property
    def owned(self) -> bool:
        """Return whether the stream is ours at the moment."""
        return self._lease is not None and self._lease.held

    def intake(self) -> tuple[str, int, dict[str, int], dict[str, int], int]:
        """Return the hop before it, in events: see `Counting`."""
        return "broker to sensor", *self._order.intake()

    def stats(self) -> dict[str, Any]:
        """Return its figures as they are published; ``acknowledged`` and ``at`` are numbers of stored messages."""
        told = {"stream": self._stream, "durable": self._durable, "owned": self.owned, "opened": self._opened}
        return {**told, "at": self._had, "acknowledged": self._acknowledged, **self._order.stats()}

    async def claim(self) -> None:
        """Return when the stream is this one's to take; raises `ClientError` where there is no such stream."""
        client = self._client = await connect(self._place, f"spikestream {self._durable}")
        replicas = await _replicas(client.jetstream(timeout=ANSWER_S), self._stream, self._place)
        stored = client.jetstream(timeout=min(ANSWER_S, self._lease_s / 4))
        self._lease = Lease(stored, f"{self._stream}.{self._durable}", self._lease_s, replicas)
        await self._lease.acquire(self._standby_s)

    async def release(self) -> None:
        """Let others have the stream."""
        lease, self._lease, client, self._client = self._lease, None, self._client, None
        if lease is not None:
            await lease.release()
        if client is not None:
            with suppress(*trouble()):
                await client.close()

    async def resume(self, told: Mapping[str, Any] | None) -> bool:
        """Begin at what a checkpoint tells of this stream, and return whether it does; else at the beginning.

        Raises `ModelError` where that is before what was acknowledged: what came between was learned by another one.
        """
        place = (told or {}).get(self._name)
        mark = Mark() if place is None else Mark.of(place)
        floor = await self._floor()
        if floor > mark.whole:
            what = "is not here" if place is None else f"goes up to message {mark.whole:,}"
            raise ModelError(
                f"stream '{self._stream}' is acknowledged up to message {floor:,}, and the checkpoint {what}",
                remedy="let all that take it share the folder of checkpoint.path; to begin anew, "
                f"nats consumer rm {self._stream} {self._durable}",
            )
        self._order.mark = mark
        self._acknowledged = mark.whole
        self._had = mark.whole
        self._marks = deque([mark] if place is not None else [], MARKS)
        self._replies.clear()
        return place is not None

    def position(self, now: int) -> dict[str, Any] | None:
        """Return what a checkpoint has to tell of a pipeline that has run up to ``now`` µs, None where nobody knows."""
        while self._marks and (self._marks[0].now or 0) < now:
            self._marks.popleft()
        return {self._name: self._marks[0].told()} if self._marks and self._marks[0].now == now else None

    async def saved(self, told: Mapping[str, Any]) -> None:
        """Acknowledge what a checkpoint holds that is on the disk now."""
        whole = Mark.of(told[self._name]).whole
        reply = ""
        while self._replies and self._replies[0][0] <= whole:
            reply = self._replies.popleft()[1]
        if self._client is None or not self.owned or not reply:
            return
        with suppress(*trouble()):  # the next checkpoint acknowledges it, too
            await self._client.request(
                reply, b"+ACK", timeout=ANSWER_S
            )  # which the broker answers when it has noted it
            self._acknowledged = whole

    async def batches(self, start: int = 0) -> AsyncIterator[Events | Spikes]:
        """Yield what is kept from where it stands on, as it comes; never ends. What it begins at is not ``start``'s."""
        async for message in self._messages():
            at = message.metadata.sequence.stream
            self._replies.append((at, message.reply))
            for batch in self._order.take((message.headers or {}).get(EPOCH), message.data, at):
                self._check()
                self._marks.append(self._order.mark)
                yield batch

    @property
    def _name(self) -> str:
        return f"nats:{self._stream}:{self._subject}"

    def _check(self) -> None:
        if self._lease is None:
            raise ClientError(f"nobody has claimed {self._durable}")
        self._lease.check()

    async def _floor(self) -> int:
        """Return the number of the message up to which all is acknowledged, 0 for none."""
        from nats.js.errors import NotFoundError

        assert self._client is not None, "claim comes first"
        try:
            info = await self._client.jetstream(timeout=ANSWER_S).consumer_info(self._stream, self._durable)
        except NotFoundError:
            return 0
        except trouble() as error:
            raise ClientError(f"{self._place.url} does not tell of {self._durable}: {why(error)}") from error
        return info.ack_floor.stream_seq if info.ack_floor is not None else 0

    async def _messages(self) -> AsyncIterator[Msg]:
        """Yield stored messages in order, each once; when something breaks, go on behind the last one."""
        assert self._client is not None, "claim comes first"
        while True:
            self._check()
            try:
                async for message in self._opened_at(self._client, self._acknowledged + 1):
                    yield message
            except trouble() as error:
                log.debug("%s: %s", self._durable, why(error))
            await asyncio.sleep(AGAIN_S)

    async def _opened_at(self, client: Client, first: int) -> AsyncIterator[Msg]:
        """Make the consumer anew and yield what it delivers from a message on; end where order is broken."""
        stored = client.jetstream(timeout=ANSWER_S)
        await _consumer(stored, self._stream, self._durable, self._subject, first)
        self._opened += 1
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, pending_bytes_limit=-1, pending_msgs_limit=-1)
        try:
            async for message in self._delivered(client, subscription, inbox):
                at = message.metadata.sequence.stream
                if at > self._had:
                    self._had = at
                    yield message
        finally:
            with suppress(*trouble()):
                await subscription.unsubscribe()

    async def _delivered(self, client: Client, subscription: Subscription, inbox: str) -> AsyncIterator[Msg]:
        """Ask for messages again and again and yield them, until one is missing or the broker is silent."""
        ask = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._durable}"
        wanted = {"batch": PULL, "max_bytes": PULL_BYTES, "expires": 30 * 10**9, "idle_heartbeat": round(BEAT_S * 1e9)}
        due, left = 1, 0
        while True:
            if not left:
                await client.publish(ask, json.dumps(wanted).encode(), reply=inbox)
                left = PULL
            self._check()
            try:
                message = await subscription.next_msg(timeout=SILENT_S)
            except TimeoutError:
                return
            told = message.headers or {}
            if "Status" in told and not message.reply:
                if told["Status"] not in ("100", "408", "409") or "Deleted" in told.get("Description", ""):
                    return  # the consumer, or who led it, has gone
                left = left if told["Status"] == "100" else 0  # a beat, or the end of what was asked for
                continue
            if message.metadata.sequence.consumer != due:
                return
            due += 1
            left -= 1
            yield message


async def _replicas(stored: JetStreamContext, stream: str, place: Place) -> int:
    """Return on how many servers a stream is; raises `ClientError` where there is none."""
    from nats.js.errors import NotFoundError

    until = monotonic() + 5 * ANSWER_S
    while True:
        try:
            info = await stored.stream_info(stream)
            return info.config.num_replicas or 1
        except NotFoundError as error:
            remedy = f"its publisher makes it: --publish '{place.url}/?stream={stream}&topics=...'"
            raise ClientError(f"there is no stream '{stream}' at {place.url}", remedy=remedy) from error
        except trouble() as error:
            if monotonic() > until:
                raise ClientError(f"{place.url} does not tell of stream '{stream}': {why(error)}") from error
            await asyncio.sleep(AGAIN_S)


async def _consumer(stored: JetStreamContext, stream: str, durable: str, subject: str, first: int) -> None:
    """Make the durable consumer anew, to begin at a message."""
    from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
    from nats.js.errors import NotFoundError

    with suppress(NotFoundError):
        await stored.delete_consumer(stream, durable)
    config = ConsumerConfig(
        durable_name=durable,
        filter_subject=subject,
        ack_policy=AckPolicy.ALL,
        ack_wait=UNACKNOWLEDGED_S,
        max_ack_pending=-1,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=first,
    )
    await stored.add_consumer(stream, config)


async def last_kept(place: Place, subject: str, stream: str) -> tuple[int, int] | None:
    """Return the size of the last batch that a stream keeps, None where it keeps none."""
    from nats.js.errors import NotFoundError

    client = await connect(place, "spikestream sensor")
    try:
        stored = client.jetstream(timeout=ANSWER_S)
        await _replicas(stored, stream, place)
        message = await stored.get_last_msg(stream, subject)
        return size_in(message.data or b"")
    except NotFoundError:
        return None
    except trouble() as error:
        raise ClientError(f"{place.url} does not tell what it keeps: {why(error)}") from error
    finally:
        await client.close()
