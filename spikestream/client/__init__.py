"""Subscribe to a running pipeline and teach it: `subscribe` for asyncio, `Client` without it; shells over the wire."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from spikestream.client.places import connect, silent, target_of, unanswered, unreachable
from spikestream.errors import ClientError
from spikestream.wire import DEFAULT_FOR_US, ClientSession, Count, Hello, Lesson, Message, Reply, Subscribed, Taught
from spikestream.wire import taught as taught_by

if TYPE_CHECKING:
    import asyncio

HANDSHAKE_S = 5.0
READ_BYTES = 256 << 10
ANSWER_S = 10.0
"""A server answers a request in a few seconds, if only to say that it has not been fulfilled yet."""


def subscribe(url: str, topics: Sequence[str] = ("*",), *, policy: str = "drop_oldest", name: str = "") -> Subscription:
    """Return an async iterator of `Message` from ``tcp://HOST:PORT`` or ``unix:///PATH``; the server's bye ends it.

    ``async with subscribe(url) as messages`` has subscribed once its block begins, and closes at its end; a bare
    ``async for`` subscribes with its first step. ``policy`` is what happens where this end is too slow: drop_oldest,
    latest (the newest of each topic), disconnect, or block (the publisher waits). Raises `ConfigError` for a wrong
    argument, `ClientError` where the other end is missing, is something else, or breaks the rules. No topics at all
    are for who only wants to `teach`.
    """
    return Subscription(url, topics, policy=policy, name=name)


class _Shell:
    """What both clients share: the session, and what it has received and not yet handed out."""

    def __init__(self, url: str, topics: Sequence[str], policy: str, name: str) -> None:
        self.url = url
        self._target = target_of(url)
        self._session = ClientSession(name)
        self._subscribed = not isinstance(topics, str) and not topics
        if not self._subscribed:
            self._session.subscribe([topics] if isinstance(topics, str) else topics, policy)
        self._received: deque[Message] = deque()
        self._replies: dict[int, Reply | None] = {}
        """What came of what was asked and not yet told to who asked; None for nothing so far."""
        self._error: ClientError | None = None

    @property
    def hello(self) -> Hello | None:
        """Return the server's greeting, None before it came."""
        return self._session.hello

    @property
    def counts(self) -> dict[str, Count]:
        """Return what arrived by topic: messages, rows, gaps, and the messages these stand for."""
        return self._session.counts

    @property
    def _waits(self) -> bool:
        ready = self._subscribed and self._session.hello is not None
        return not (ready or self._session.ended or self._error)

    def _take(self, data: bytes) -> bytes:
        """Take what the socket gave, and return what it is to send; an error waits for its turn among the messages."""
        try:
            for event in self._session.receive(data):
                if isinstance(event, Message):
                    self._received.append(event)
                elif isinstance(event, Subscribed):
                    self._subscribed = True
                elif isinstance(event, Reply) and event.id in self._replies:
                    self._replies[event.id] = event
        except ClientError as error:
            self._error = error
        return self._session.to_send()

    def _refused(self) -> None:
        if self._error is not None and (not self._subscribed or self._session.hello is None):
            raise self._error

    def _ask(self, lesson: Lesson) -> int:
        """Make the request of a lesson and return its number."""
        if self._session.ended:
            raise ClientError("the connection is closed", remedy="connect again")
        number = self._session.request("teach", lesson.fields())
        self._replies[number] = None
        return number

    def _pending(self, number: int) -> bool:
        """Return whether the answer to a request may still come; raises what ended the connection before it came."""
        if self._replies[number] is not None:
            return False
        if self._error is not None:
            raise self._error
        if self._session.ended:
            raise ClientError("the server said bye before it answered", remedy="connect again")
        return True

    def _told(self, number: int) -> Taught:
        return taught_by(self._replies[number].value())  # type: ignore[union-attr]  # it is not pending any more

    def _next(self) -> Message | None:
        if self._received:
            return self._received.popleft()
        if self._error is not None:
            raise self._error
        return None


class Client(_Shell):
    """Blocking iterator of `Message`, and a context manager that closes; arguments and errors as of `subscribe`.

    It has subscribed once it is built. Nothing is read in the background: who does not iterate is a slow subscriber.
    """

    def __init__(
        self, url: str, topics: Sequence[str] = ("*",), *, policy: str = "drop_oldest", name: str = ""
    ) -> None:
        super().__init__(url, topics, policy, name)
        self._socket = connect(self._target, url, HANDSHAKE_S)
        try:
            self._socket.settimeout(HANDSHAKE_S)
            while self._waits:
                self._pull(silent(url, HANDSHAKE_S))
            self._refused()
            self._socket.settimeout(None)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        while (message := self._next()) is None:
            if self._session.ended:
                raise StopIteration
            self._pull()
        return message

    def teach(
        self,
        label: str,
        for_us: int = DEFAULT_FOR_US,
        *,
        window: tuple[int, int] | None = None,
        reward: float = 0.0,
        pipeline: str = "main",
    ) -> Taught:
        """Say that the last ``for_us`` µs of stream time, or ``window`` (start, stop), showed ``label``.

        Returns what was learned by it. Messages that come before the answer wait for their turn. Raises `Refusal`, a
        `ClientError`, where nothing can be taught.
        """
        number = self._ask(Lesson(label, for_us, reward, pipeline, window))
        until = time.monotonic() + ANSWER_S
        try:
            self._socket.settimeout(ANSWER_S)
            self._socket.sendall(self._session.to_send())
            while self._pending(number):
                self._socket.settimeout(max(1e-3, until - time.monotonic()))
                self._pull(unanswered(self.url, ANSWER_S))
            return self._told(number)
        except OSError as error:
            raise ClientError(f"the connection to {self.url} broke: {error.strerror or error}") from error
        finally:
            del self._replies[number]
            with suppress(OSError):
                self._socket.settimeout(None)

    def _pull(self, late: ClientError | None = None) -> None:
        try:
            answer = self._take(self._socket.recv(READ_BYTES))
            if answer:
                self._socket.sendall(answer)
        except OSError as error:
            if late is not None and isinstance(error, TimeoutError):
                raise late from None
            raise ClientError(f"the connection to {self.url} broke: {error.strerror or error}") from error

    def close(self) -> None:
        """Say bye and close the socket; what was not read is gone."""
        self._session.bye()
        with suppress(OSError):  # it has gone already, or hangs: either way we leave
            self._socket.sendall(self._session.to_send())
        self._session.ended = True
        self._socket.close()


class Subscription(_Shell):
    """What `subscribe` returns: an async iterator of `Message`, and an async context manager."""

    _writer: asyncio.StreamWriter | None = None

    def __init__(self, url: str, topics: Sequence[str], *, policy: str, name: str) -> None:
        super().__init__(url, topics, policy, name)
        self._reader: asyncio.StreamReader
        self._turn: asyncio.Lock

    async def __aenter__(self) -> Self:
        import asyncio

        if self._writer is not None or self._session.ended:
            return self
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await self._open()
        except TimeoutError:
            await self.aclose()
            raise silent(self.url, HANDSHAKE_S) from None
        except BaseException:
            await self.aclose()
            raise
        return self

    async def _open(self) -> None:
        import asyncio

        self._turn = asyncio.Lock()
        try:
            if isinstance(self._target, str):
                self._reader, self._writer = await asyncio.open_unix_connection(self._target, limit=READ_BYTES)
            else:
                self._reader, self._writer = await asyncio.open_connection(*self._target, limit=READ_BYTES)
        except OSError as error:
            raise unreachable(self.url, error) from error
        while self._waits:
            await self._pull()
        self._refused()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        if self._writer is None:
            await self.__aenter__()
        try:
            while (message := self._next()) is None:
                if self._session.ended:
                    await self.aclose()
                    raise StopAsyncIteration
                await self._pull(lambda: not (self._received or self._error or self._session.ended))
        except ClientError:
            await self.aclose()
            raise
        return message

    async def teach(
        self,
        label: str,
        for_us: int = DEFAULT_FOR_US,
        *,
        window: tuple[int, int] | None = None,
        reward: float = 0.0,
        pipeline: str = "main",
    ) -> Taught:
        """Say that the last ``for_us`` µs of stream time, or ``window`` (start, stop), showed ``label``.

        Returns what was learned by it. It may be called while another task takes messages. Raises `Refusal`, a
        `ClientError`, where nothing can be taught.
        """
        import asyncio

        await self.__aenter__()
        number = self._ask(Lesson(label, for_us, reward, pipeline, window))
        assert self._writer is not None
        try:
            self._writer.write(self._session.to_send())
            async with asyncio.timeout(ANSWER_S):
                while self._pending(number):
                    await self._pull(lambda: self._pending(number))
            return self._told(number)
        except TimeoutError:
            raise unanswered(self.url, ANSWER_S) from None
        finally:
            del self._replies[number]

    async def _pull(self, wanted: Callable[[], bool] = lambda: True) -> None:
        """Read once, unless another task has read what was ``wanted`` meanwhile."""
        assert self._writer is not None
        try:
            async with self._turn:
                if not wanted():
                    return
                answer = self._take(await self._reader.read(READ_BYTES))
            if answer:
                self._writer.write(answer)
        except OSError as error:
            raise ClientError(f"the connection to {self.url} broke: {error.strerror or error}") from error

    async def aclose(self) -> None:
        """Say bye and close the connection; what was not read is gone."""
        self._session.bye()
        self._session.ended = True
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(self._session.to_send())
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()

    def __del__(self) -> None:
        # `async for … break` leaves no other moment; the loop itself would keep the connection open for ever.
        if self._writer is not None and not self._writer.is_closing():
            with suppress(RuntimeError):  # the loop is closed already, and with it the connection
                self._writer.transport.abort()
