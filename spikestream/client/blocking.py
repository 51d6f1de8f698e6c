"""Subscribe without asyncio: `Client`, a shell over the wire."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from spikestream.client.places import connect, silent, unanswered
from spikestream.client.shell import ANSWER_S, FIRST_PAUSE_S, HANDSHAKE_S, LONGEST_PAUSE_S, READ_BYTES, Shell
from spikestream.client.verbs import Verbs
from spikestream.errors import ClientError
from spikestream.wire import DEFAULT_FOR_US, Lesson, Message, Since, Taught, Terms
from spikestream.wire import taught as taught_by


class Client(Shell, Verbs[Mapping[str, Any]]):
    """Blocking iterator of `Message`, and a context manager that closes; arguments and errors as of `subscribe`.

    It has subscribed once it is built. Nothing is read in the background: who does not iterate is a slow subscriber.
    """

    def __init__(
        self,
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
    ) -> None:
        terms = Terms(policy, since, credit, max_rate, max_bytes, decimate)
        super().__init__(url, topics, terms, reconnect, name, token_file, ca)
        self._open()

    def _open(self) -> None:
        self._socket = connect(self._place, HANDSHAKE_S, self._tls)
        try:
            self._socket.settimeout(HANDSHAKE_S)
            self._send(self._line.first())
            while self._waits:
                self._pull(silent(self.url, HANDSHAKE_S))
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
        while True:
            cause: ClientError | None = None
            try:
                self._send(self._give_back())
                while (message := self._next()) is None and not self._session.ended:
                    self._pull()
                if message is not None:
                    return message
            except ClientError as error:
                cause = error
            if not self._again(cause):
                self.close()
                if cause is not None:
                    raise cause
                raise StopIteration

    def _again(self, cause: ClientError | None) -> bool:
        """Connect again where that is wanted, and return whether there is a new session."""
        pause_s, until = FIRST_PAUSE_S, time.monotonic() + self._patience_s
        while self._patient(cause):
            self._socket.close()
            try:
                self._resume()
                self._open()
            except ClientError:
                if time.monotonic() + pause_s > until:
                    self._patience_s = 0.0
                    return False
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                return True
        return False

    def _send(self, data: bytes) -> None:
        try:
            if data:
                self._socket.sendall(data)
        except OSError as error:
            raise self._breaks(error) from error

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
        return taught_by(self.request("teach", **Lesson(label, for_us, reward, pipeline, window).fields()))

    def request(self, do: str, /, **fields: Any) -> Mapping[str, Any]:
        """Ask for something (docs/control.md) and return the answer; raises `Refusal`, a `ClientError`."""
        number = self._ask(do, fields)
        until = time.monotonic() + ANSWER_S
        try:
            self._socket.settimeout(ANSWER_S)
            self._socket.sendall(self._to_send())
            while self._pending(number):
                self._socket.settimeout(max(1e-3, until - time.monotonic()))
                self._pull(unanswered(self.url, ANSWER_S))
            return self._told(number)
        except OSError as error:
            raise self._breaks(error) from error
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
            raise self._breaks(error) from error

    def close(self) -> None:
        """Say bye and close the socket; what was not read is gone."""
        self._patience_s = 0.0
        self._session.bye()
        with suppress(OSError):  # it has gone already, or hangs: either way we leave
            self._socket.sendall(self._to_send())
        self._session.ended = True
        self._socket.close()
