"""The door of a listener: who connects is let in at a pace that those who are in already do not feel.

Law: a listening socket is read no faster than `PER_SECOND`, whatever knocks; the kernel keeps the rest waiting.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from spikestream.outputs.base.pace import Pace

if TYPE_CHECKING:
    import ssl

    from spikestream.outputs.base.subscriber import Subscriber

log = logging.getLogger(__name__)

PER_SECOND, BURST = 50.0, 256.0
"""Connections accepted in a second, and at once after a quiet time, as many as there are places by default."""
HOST_PER_SECOND, HOST_BURST = 10.0, 256.0
"""Those of one host that are let in; the others are closed at once, which costs a tenth of letting them in."""
MOST_HOSTS = 1_024
UNPROVEN = 64
"""Connections of a listener that may be on their way to say hello; where one more comes the oldest of them goes."""
SHARE = 4
"""One address beyond this machine gets this part of all places."""
PARTING_S = 5.0
"""How long an encrypted connection may take to say that it has ended."""
AT_ONCE = 16
"""So many are accepted in one turn of the loop, which is everybody's."""
BREATH_S = 0.05
OUT_OF_FILES_S = 1.0
DEAD = (errno.EINVAL, errno.EBADF, errno.ENOTSOCK, errno.EOPNOTSUPP)
"""Errors of a socket that listens no more."""
LOCAL = ("127.", "::1", "::ffff:127.")


class Door:
    """Accepts what comes in at some listening sockets, and gives each connection a `protocol` of its own.

    ``places`` is how many connections the listener has in all; ``dead`` is told why a socket listens no more.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        protocol: Callable[[], Subscriber],
        *,
        places: int,
        tls: ssl.SSLContext | None = None,
        handshake_s: float,
        dead: Callable[[OSError], None],
    ) -> None:
        self._sockets = tuple(sockets)
        self._protocol = protocol
        self._share = max(1, places // SHARE)
        self._tls = tls
        self._handshake_s = handshake_s
        self._dead = dead
        self._loop = asyncio.get_running_loop()
        self._pace = Pace(PER_SECOND, BURST, self._loop.time())
        self._inside: Counter[str] = Counter()
        self._paces: dict[str, Pace] = {}
        self._entering: dict[asyncio.Task[None], tuple[socket.socket, Subscriber, str]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin, or go on, to accept."""
        self._timer = None
        for one in self._sockets:
            self._loop.add_reader(one.fileno(), self._accept, one)

    def close(self) -> None:
        """Accept nothing more, give up who has not yet agreed on a cipher, and close the sockets."""
        if self._timer is not None:
            self._timer.cancel()
        for task in tuple(self._entering):
            task.cancel()
        for one in self._sockets:
            self._loop.remove_reader(one.fileno())
            one.close()

    async def wait_closed(self) -> None:
        """Return when nobody stands in the door any more."""
        await asyncio.gather(*self._entering, return_exceptions=True)

    def left(self, host: str) -> None:
        """Take note that a connection of a host, "" for a Unix socket, has ended."""
        self._inside[host] -= 1
        if self._inside[host] <= 0:
            del self._inside[host]

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(AT_ONCE):
            if not self._pace.spend(1.0, self._loop.time()):
                self._pause(BREATH_S)
                return
            try:
                connection, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                self._pace.refund(1.0)
                return
            except OSError as error:  # no descriptor or no memory left: those who are in go on
                log.warning("cannot accept a connection: %s", error.strerror)
                if error.errno in DEAD:
                    self._loop.remove_reader(listening.fileno())
                    self._dead(error)
                else:
                    self._pause(OUT_OF_FILES_S)
                return
            self._enter(connection, address[0] if isinstance(address, tuple) else "")

    def _pause(self, seconds: float) -> None:
        for one in self._sockets:
            self._loop.remove_reader(one.fileno())
        self._timer = self._loop.call_later(seconds, self.open)

    def _welcome(self, host: str) -> bool:
        """Return whether a host has not had its share of places and of time; a Unix socket is its owner's alone."""
        if not host:
            return True
        if not host.startswith(LOCAL) and self._inside[host] >= self._share:
            return False
        if len(self._paces) >= MOST_HOSTS:
            self._paces.clear()  # with so many there is no host to blame
        now = self._loop.time()
        return self._paces.setdefault(host, Pace(HOST_PER_SECOND, HOST_BURST, now)).spend(1.0, now)

    def _enter(self, connection: socket.socket, host: str) -> None:
        if not self._welcome(host):
            connection.close()
            return
        self._inside[host] += 1
        if len(self._entering) >= UNPROVEN:
            next(iter(self._entering)).cancel()
        connection.setblocking(False)
        made = self._protocol()
        task = self._loop.create_task(self._admit(connection, made))
        self._entering[task] = connection, made, host
        task.add_done_callback(self._entered)

    async def _admit(self, connection: socket.socket, made: Subscriber) -> None:
        patience, parting = (None, None) if self._tls is None else (self._handshake_s, PARTING_S)
        await self._loop.connect_accepted_socket(
            lambda: made, connection, ssl=self._tls, ssl_handshake_timeout=patience, ssl_shutdown_timeout=parting
        )

    def _entered(self, task: asyncio.Task[None]) -> None:
        connection, made, host = self._entering.pop(task)
        if not task.cancelled() and task.exception() is None:
            return
        # No TLS, too slow, or in the way of the next one.
        log.debug("a connection from %s came to nothing", host or "a Unix socket")
        if not made.peer:  # else it has been let in meanwhile, and is counted out when it leaves
            connection.close()
            self.left(host)
