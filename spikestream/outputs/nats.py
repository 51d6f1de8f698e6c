"""Messages to a NATS broker, on subjects that are our topics, to any number of subscribers on any host.

    hub --send--> a queue for each topic, bounded --its task--> broker, which acknowledges --> the next bundle

Of each topic one bundle of frames is under way at a time, sent again until the broker has it, and what comes meanwhile
is the next bundle: so order holds, whatever breaks, and the load makes bundles larger. With ``stream`` the broker
stores them (JetStream) and tells a bundle that comes twice by its id; without, it hands them on to who listens (core).
While it does not answer, messages wait in ``buffer_bytes`` for each topic, then the oldest go and are told as a gap.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from spikestream.broker import ANSWER_S, EPOCH, cancelled, connect, is_name, number, place_of, trouble, why
from spikestream.errors import ClientError, ConfigError
from spikestream.outputs.base.due import Due, Published
from spikestream.outputs.base.query import patterns_of, query_of
from spikestream.wire import Backlog, Delivery, Flow, Hello, Outgoing, is_pattern, loss_frame, matches

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

log = logging.getLogger(__name__)

BUFFER_BYTES = 256 << 20
"""Of each topic: 20 s of a million events a second."""
BUNDLE_BYTES = 512 << 10
HEADERS_BYTES = 512
"""What the headers of a message take at most: topic and epoch are no longer than that."""
AGAIN_S = 0.1
CLOSING_S = 1.0
DUPLICATES_S = 120.0
"""So long a stream remembers ids: no bundle is tried for longer in vain but in an outage, which loses nothing twice."""
STORED = {"replicas": "1", "storage": "file", "keep_s": "3600", "keep_bytes": str(1 << 30)}


class _Topic:
    """One topic on its way: its queue, and the task that sends it."""

    def __init__(self, buffer_bytes: int) -> None:
        self.backlog = Backlog(buffer_bytes)
        self.news = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.bundles = 0

    @property
    def waiting(self) -> bool:
        """Return whether something is queued or under way."""
        flows = self.backlog.accounts().values()
        return bool(self.backlog) or any(flow.flying.messages for flow in flows)


class Nats:
    """Publishes ``topics``, patterns with commas between, under subjects that begin with ``prefix``.

    What comes within ``every_ms`` is one bundle, which costs no more than a message does. A ``stream`` that is not
    there is made, of ``replicas`` servers, in ``storage`` file or memory, and keeps ``keep_bytes`` for ``keep_s``
    seconds. All of it is text from a URL; see `place_of` for the rest.
    """

    subscribers = 0
    """Who has asked a broker for what is the broker's business."""
    blocked = False

    def __init__(self, location: str) -> None:
        servers, _, query = location.partition("?")
        known = inspect.signature(self._set).parameters
        self._set(**query_of("nats", query, known))
        self._place = place_of(
            servers.rstrip("/"), **{key: getattr(self, key) for key in ("token_file", "user", "tls_ca")}
        )
        self.url = f"{self._place.url}/{f'?stream={self.stream}' if self.stream else ''}"
        self._epoch = self._run = ""
        self._due: Due | None = None
        self._client: Client | None = None
        self._stored: JetStreamContext | None = None
        self._most = 1 << 20
        self._topics: dict[str, _Topic] = {}
        self._moved = asyncio.Event()
        self._refused: ClientError | None = None
        self._failing = False

    def _set(
        self,
        *,
        stream: str = "",
        topics: str = ">",
        prefix: str = "",
        every_ms: str = "0",
        buffer_bytes: str = str(BUFFER_BYTES),
        replicas: str = STORED["replicas"],
        storage: str = STORED["storage"],
        keep_s: str = STORED["keep_s"],
        keep_bytes: str = STORED["keep_bytes"],
        token_file: str = "",
        user: str = "",
        tls_ca: str = "",
    ) -> None:
        self.token_file, self.user, self.tls_ca = token_file, user, tls_ca
        self.stream, self.patterns = stream, patterns_of(topics)
        self.prefix = f"{prefix}." if prefix else ""
        if stream and not is_name(stream):
            raise ConfigError(f"'{stream}' is no name of a stream", key="stream", allowed="letters, digits, - and _")
        if prefix and (not is_pattern(prefix) or set(prefix) & set("*>")):
            raise ConfigError(f"'{prefix}' cannot stand before a topic", key="prefix", allowed="names, dots between")
        if storage not in ("file", "memory"):
            raise ConfigError(f"'{storage}' is no storage", key="storage", allowed="file, memory")
        self.storage = storage
        self.every_s = number("every_ms", every_ms, 0, 1_000) / 1_000
        self.buffer_bytes = round(number("buffer_bytes", buffer_bytes, 1 << 10, 1 << 40))
        self.replicas = round(number("replicas", replicas, 1, 5))
        self.keep_s = number("keep_s", keep_s, 1, 1e9)
        self.keep_bytes = round(number("keep_bytes", keep_bytes, 1 << 20, 1 << 50))

    async def start(self, hello: Callable[[], Hello], published: Published) -> None:
        """Connect, and see that the stream is there; raises `ConfigError` or `ClientError`."""
        self._due = Due(published)
        self._epoch, self._run = hello().epoch, secrets.token_hex(6)
        self._client = await connect(self._place, "spikestream output", self._complained)
        self._most = self._client.max_payload - HEADERS_BYTES
        if self.stream:
            self._stored = self._client.jetstream(timeout=ANSWER_S)
            try:
                await self._prepare(self._stored)
            except BaseException:
                await self.aclose()
                raise

    async def _prepare(self, stored: JetStreamContext) -> None:
        """Make the stream, or see that the one there is takes our topics."""
        from nats.js.api import RetentionPolicy, StorageType, StreamConfig
        from nats.js.errors import APIError, NotFoundError

        subjects = [self.prefix + ("*.*.*" if pattern in (">", "*") else pattern) for pattern in self.patterns]
        try:
            try:
                info = await stored.stream_info(self.stream)
            except NotFoundError:
                info = await stored.add_stream(
                    StreamConfig(
                        name=self.stream,
                        subjects=subjects,
                        retention=RetentionPolicy.LIMITS,
                        storage=StorageType(self.storage),
                        num_replicas=self.replicas,
                        max_age=self.keep_s,
                        max_bytes=self.keep_bytes,
                        duplicate_window=min(DUPLICATES_S, self.keep_s),
                    )
                )
        except trouble() as error:
            text = f"there is no stream '{self.stream}' at {self._place.url}, and none can be made: {why(error)}"
            remedy = "prefix=NAME, or topics=PIPELINE.STAGE.KIND: what a stream takes begins with a name"
            raise ClientError(text, remedy=remedy if isinstance(error, APIError) else "nats-server -js") from error
        taken = info.config.subjects or []
        if out := [one for one in subjects if not any(matches(pattern, one) for pattern in taken)]:
            text = f"the stream '{self.stream}' takes {', '.join(taken)}, and not {', '.join(out)}"
            raise ClientError(
                text, remedy=f"nats stream edit {self.stream} --subjects, or give another stream or topics"
            )

    def send(self, message: Outgoing) -> None:
        """Queue a message and return at once; raises `ClientError` where the broker lets us publish nothing."""
        if not self._wants(message.topic):
            return
        topic = self._topics.get(message.topic)
        if topic is None:
            topic = self._topics[message.topic] = _Topic(self.buffer_bytes)
            topic.task = asyncio.get_running_loop().create_task(self._run_topic(message.topic, topic))
        if len(message.frame) > self._most:
            topic.backlog.flow(message.topic).dropped.add(1, message.rows)
            lost = loss_frame(message.topic, message.seq, message.seq + 1, message.rows, "large")
            topic.backlog.control(lost)
            if not topic.backlog.gaps:
                log.warning(
                    "%s: %d bytes are more than the broker takes (max_payload)", message.topic, len(message.frame)
                )
            topic.backlog.gaps += 1
        else:
            topic.backlog.push(message, "drop_oldest")
        topic.news.set()
        if self._refused is not None:
            raise self._refused

    async def ready(self) -> None:
        """Return at once."""

    async def drain(self, timeout_s: float) -> None:
        """Return when the broker has everything, or has taken nothing for ``timeout_s`` seconds."""
        while any(topic.waiting for topic in self._topics.values()):
            self._moved.clear()
            try:
                await asyncio.wait_for(self._moved.wait(), timeout_s)
            except TimeoutError:
                return

    async def aclose(self) -> None:
        """Give up what the broker does not have yet, tell of it where it still hears, and part."""
        client, self._client = self._client, None
        for name, topic in self._topics.items():
            if topic.task is not None:
                await cancelled(topic.task)
            topic.backlog.crashed()
            topic.backlog.clear()
            last = b"".join(topic.backlog.settle())
            if last and client is not None and client.is_connected:
                with suppress(*trouble()):
                    await client.publish(self.prefix + name, last, headers={EPOCH: self._epoch})
        if client is not None:
            with suppress(*trouble()):
                await asyncio.wait_for(client.close(), CLOSING_S)

    def deliveries(self) -> Sequence[Delivery]:
        """Return the account of the broker, as if it were a subscriber."""
        if self._due is None:
            return []
        flows: dict[str, Flow] = {}
        for topic in self._topics.values():
            flows |= topic.backlog.accounts()
        for name, due in self._due.figures(self._wants).items():
            flows.setdefault(name, Flow()).due = due
        return [Delivery(self.url, "nats", flows, sum(topic.backlog.gaps for topic in self._topics.values()))]

    def _wants(self, topic: str) -> bool:
        return any(matches(pattern, topic) for pattern in self.patterns)

    async def _run_topic(self, name: str, topic: _Topic) -> None:
        """Send what is queued of a topic, bundle by bundle, for ever."""
        while True:
            await topic.news.wait()
            await asyncio.sleep(self.every_s)
            topic.news.clear()
            while topic.backlog:
                for bundle in bundles(topic.backlog.take(BUNDLE_BYTES), self._most):
                    await self._put(self.prefix + name, bundle, f"{self._run}.{topic.bundles}.{name}")
                    topic.bundles += 1
                topic.backlog.landed(0)
                self._moved.set()

    async def _put(self, subject: str, bundle: bytes, number: str) -> None:
        """Return when the broker has a bundle."""
        client = self._client
        assert client is not None, "the output is not started"
        headers = {EPOCH: self._epoch}
        while True:
            self._refused = None
            try:
                if self._stored is not None:
                    told = {**headers, "Nats-Msg-Id": number}
                    await self._stored.publish(subject, bundle, timeout=ANSWER_S, stream=self.stream, headers=told)
                elif client.is_connected:  # else it would keep what we keep
                    await client.publish(subject, bundle, headers=headers)
                    await client.flush(timeout=round(ANSWER_S))
            except trouble() as error:
                self._tell(subject, error)
            else:
                if client.is_connected and self._refused is None:
                    break
            await asyncio.sleep(AGAIN_S)
        if self._failing:
            self._failing = False
            log.warning("%s takes messages again", self.url)

    def _tell(self, subject: str, error: Exception) -> None:
        """Say once that the broker takes nothing."""
        if not self._failing:
            self._failing = True
            log.warning("%s: %s is not taken, and waits: %s", self.url, subject, why(error))

    def _complained(self, error: Exception) -> None:
        """Hear what the broker says on its own: that we may not publish is told to who publishes."""
        if "permissions violation for publish" in str(error).lower():
            remedy = "let this user publish it (permissions in the server's configuration)"
            self._refused = ClientError(f"{self._place.url} refuses what is published: {why(error)}", remedy=remedy)


def bundles(frames: Sequence[bytes], most: int) -> Iterator[bytes]:
    """Yield frames in a row joined to bundles of at most so many bytes, a frame that is larger alone."""
    bundle: list[bytes] = []
    size = 0
    for frame in frames:
        if bundle and size + len(frame) > most:
            yield b"".join(bundle)
            bundle, size = [], 0
        bundle.append(frame)
        size += len(frame)
    if bundle:
        yield b"".join(bundle)
