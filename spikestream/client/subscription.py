"""Subscribe with asyncio: `subscribe`, and the subscription it returns, a shell over the wire."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from spikestream.client.places import silent, unanswered, unreachable
from spikestream.client.shell import ANSWER_S, FIRST_PAUSE_S, HANDSHAKE_S, LONGEST_PAUSE_S, READ_BYTES, Shell
from spikestream.client.verbs import Verbs
from spikestream.errors import ClientError
from spikestream.wire import DEFAULT_FOR_US, Lesson, Message, Since, Taught, Terms
from spikestream.wire import taught as taught_by

if TYPE_CHECKING:
    import asyncio


def subscribe(
    url: str,
    topics: Sequence[str] = ("*",),
    *,
    policy: str = "drop_oldest",
    since: Since = None,
    credit: int = 0,
    max_rate: float = 0,
    max_bytes: int = 0,
    decimate: int = 1,
    reconnect: bool | float = False,
    name: str = "",
    token_file: str = "",
    ca: str = "",
) -> Subscription:
    """Return an async iterator of `Message` from ``tcp://HOST:PORT`` or ``unix:///PATH``; the server's bye ends it.

    ``ws://`` is a WebSocket; ``tcps://`` and ``wss://`` are encrypted, and trusted by the certificates in ``ca``, or by
    this machine's. A server that wants a token gets that of the file ``token_file``, or of SPIKESTREAM_TOKEN_FILE.

    ``async with subscribe(url) as messages`` has subscribed once its block begins, and closes at its end; a bare
    ``async for`` subscribes with its first step. ``policy`` is what happens where this end is too slow: drop_oldest,
    latest (the newest of each topic), disconnect, or block (the publisher waits). ``since`` is where to begin: "now",
    "all" that is kept, {"t_ns": unix ns}, or {"epoch": text, "seq": number, or topics to numbers}. No more than
    ``credit`` messages are under way that were not handed out. Of each topic at most ``max_rate`` messages a second
    come, of all together at most ``max_bytes`` a second, and every ``decimate``-th row of events and spikes.
    ``reconnect`` is for how many seconds to try again where the connection ends (True: 60), and then to go on with the
    number that was due; what cannot be had any more is a gap, for "log" or "reconnect".

    Raises `ConfigError` for a wrong argument, `ClientError` where the other end is missing, is something else, or
    breaks the rules. No topics at all are for who only wants to `teach`.
    """
    terms = Terms(policy, since, credit, max_rate, max_bytes, decimate)
    return Subscription(url, topics, terms, reconnect, name, token_file, ca)


class Subscription(Shell, Verbs[Awaitable[Mapping[str, Any]]]):
    """What `subscribe` returns: an async iterator of `Message`, and an async context manager."""

    _writer: asyncio.StreamWriter | None = None

    def __init__(
        self,
        url: str,
        topics: Sequence[str],
        terms: Terms,
        reconnect: bool | float,
        name: str,
        token_file: str,
        ca: str,
    ) -> None:
        super().__init__(url, topics, terms, reconnect, name, token_file, ca)
        self._reader: asyncio.StreamReader
        self._turn: asyncio.Lock

    async def __aenter__(self) -> Self:
        if self._writer is not None or self._session.ended:
            return self
        try:
            await self._try()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def _try(self) -> None:
        import asyncio

        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await self._open()
        except TimeoutError:
            raise silent(self.url, HANDSHAKE_S) from None

    async def _open(self) -> None:
        import asyncio

        self._turn = asyncio.Lock()
        try:
            place = self._place
            if place.path:
                self._reader, self._writer = await asyncio.open_unix_connection(place.path, limit=READ_BYTES)
            else:
                self._reader, self._writer = await asyncio.open_connection(
                    place.host, place.port, limit=READ_BYTES, ssl=self._tls
                )
        except (OSError, UnicodeError) as error:
            raise unreachable(self.url, error) from error
        self._writer.write(self._line.first())
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
        while True:
            cause: ClientError | None = None
            try:
                self._send(self._give_back())
                while (message := self._next()) is None and not self._session.ended:
                    await self._pull(lambda: not (self._received or self._error or self._session.ended))
                if message is not None:
                    return message
            except ClientError as error:
                cause = error
            if not await self._again(cause):
                await self.aclose()
                if cause is not None:
                    raise cause
                raise StopAsyncIteration

    async def _again(self, cause: ClientError | None) -> bool:
        """Connect again where that is wanted, and return whether there is a new session."""
        import asyncio

        pause_s, until = FIRST_PAUSE_S, time.monotonic() + self._patience_s
        while self._patient(cause):
            self._drop()
            try:
                self._resume()
                await self._try()
            except ClientError:
                if time.monotonic() + pause_s > until:
                    self._patience_s = 0.0
                    return False
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                return True
        return False

    def _send(self, data: bytes) -> None:
        if data and self._writer is not None and not self._writer.is_closing():
            self._writer.write(data)

    def _drop(self) -> None:
        """Let go of a connection without a word."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.transport.abort()

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
        return taught_by(await self.request("teach", **Lesson(label, for_us, reward, pipeline, window).fields()))

    async def request(self, do: str, /, **fields: Any) -> Mapping[str, Any]:
        """Ask for something (docs/control.md) and return the answer; raises `Refusal`, a `ClientError`."""
        import asyncio

        await self.__aenter__()
        number = self._ask(do, fields)
        assert self._writer is not None
        try:
            self._writer.write(self._to_send())
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
            raise self._breaks(error) from error

    async def aclose(self) -> None:
        """Say bye and close the connection; what was not read is gone."""
        self._patience_s = 0.0
        self._session.bye()
        self._session.ended = True
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(self._to_send())
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()

    def __del__(self) -> None:
        # `async for … break` leaves no other moment; the loop itself would keep the connection open for ever.
        if self._writer is not None and not self._writer.is_closing():
            with suppress(RuntimeError):  # the loop is closed already, and with it the connection
                self._writer.transport.abort()
