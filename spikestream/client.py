"""Subscribe to a running pipeline: `subscribe` for asyncio, `Client` without it. Both are thin shells over the wire."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from spikestream.errors import ClientError, ConfigError
from spikestream.wire import ClientSession, Count, Hello, Message, Subscribed

if TYPE_CHECKING:
    import asyncio

HANDSHAKE_S = 5.0
READ_BYTES = 256 << 10


def subscribe(url: str, topics: Sequence[str] = ("*",), *, policy: str = "drop_oldest", name: str = "") -> Subscription:
    """Return an async iterator of `Message` from ``tcp://HOST:PORT`` or ``unix:///PATH``; the server's bye ends it.

    ``async with subscribe(url) as messages`` has subscribed once its block begins, and closes at its end; a bare
    ``async for`` subscribes with its first step. ``policy`` is what happens where this end is too slow: drop_oldest,
    latest (the newest of each topic), disconnect, or block (the publisher waits). Raises `ConfigError` for a wrong
    argument, `ClientError` where the other end is missing, is something else, or breaks the rules.
    """
    return Subscription(url, topics, policy=policy, name=name)


class _Shell:
    """What both clients share: the session, and what it has received and not yet handed out."""

    def __init__(self, url: str, topics: Sequence[str], policy: str, name: str) -> None:
        self.url = url
        self._target = _target(url)
        self._session = ClientSession(name)
        self._session.subscribe([topics] if isinstance(topics, str) else topics, policy)
        self._received: deque[Message] = deque()
        self._subscribed = False
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
        return not (self._subscribed or self._session.ended or self._error)

    def _take(self, data: bytes) -> bytes:
        """Take what the socket gave, and return what it is to send; an error waits for its turn among the messages."""
        try:
            for event in self._session.receive(data):
                if isinstance(event, Message):
                    self._received.append(event)
                elif isinstance(event, Subscribed):
                    self._subscribed = True
        except ClientError as error:
            self._error = error
        return self._session.to_send()

    def _refused(self) -> None:
        if self._error is not None and not self._subscribed:
            raise self._error

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
        self._socket = _connect(self._target, url)
        try:
            self._socket.settimeout(HANDSHAKE_S)
            while self._waits:
                self._pull()
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

    def _pull(self) -> None:
        try:
            answer = self._take(self._socket.recv(READ_BYTES))
            if answer:
                self._socket.sendall(answer)
        except TimeoutError:
            raise _silent(self.url) from None
        except OSError as error:
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

    async def __aenter__(self) -> Self:
        import asyncio

        if self._writer is not None or self._session.ended:
            return self
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await self._open()
        except TimeoutError:
            await self.aclose()
            raise _silent(self.url) from None
        except BaseException:
            await self.aclose()
            raise
        return self

    async def _open(self) -> None:
        import asyncio

        try:
            if isinstance(self._target, str):
                self._reader, self._writer = await asyncio.open_unix_connection(self._target, limit=READ_BYTES)
            else:
                self._reader, self._writer = await asyncio.open_connection(*self._target, limit=READ_BYTES)
        except OSError as error:
            raise _unreachable(self.url, error) from error
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
                await self._pull()
        except ClientError:
            await self.aclose()
            raise
        return message

    async def _pull(self) -> None:
        assert self._writer is not None
        try:
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


def _target(url: str) -> str | tuple[str, int]:
    scheme, _, location = url.partition("://")
    host, _, port = location.rpartition(":")
    if scheme == "unix" and location:
        return location
    if scheme == "tcp" and host and port.isascii() and port.isdigit() and int(port) < 65536:
        return host.removeprefix("[").removesuffix("]"), int(port)
    raise ConfigError(f"'{url}' is not a URL to subscribe to", value=url, allowed="tcp://HOST:PORT, unix:///PATH")


def _connect(target: str | tuple[str, int], url: str) -> socket.socket:
    try:
        if not isinstance(target, str):
            return socket.create_connection(target, HANDSHAKE_S)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(target)
        except OSError:
            connection.close()
            raise
        return connection
    except (OSError, UnicodeError) as error:  # a host name of odd characters never reaches the resolver
        raise _unreachable(url, error) from error


def _unreachable(url: str, error: OSError | UnicodeError) -> ClientError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    return ClientError(
        f"nobody answers at {url}: {why}",
        remedy=f"spikestream run CONFIG, or spikestream replay FILE --publish {url}",
    )


def _silent(url: str) -> ClientError:
    return ClientError(
        f"{url} is there and says nothing a spikestream server would say within {HANDSHAKE_S:g} s",
        remedy="check the port: the wire is at 7077, the browser's page at 7078",
    )
