"""Subscribers at a socket that the service manager listens on: it is there before we are, and while we restart.

See sd_listen_fds(3): the manager hands its sockets over as descriptors from 3 on, and tells how many and their names.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
from collections.abc import Mapping, Sequence

from spikestream.errors import ClientError, ConfigError
from spikestream.outputs.base.listener import HANDSHAKE_S, MAX_CONNECTIONS, QUEUE_BYTES, Listener
from spikestream.security import read_token

FIRST = 3
"""The first descriptor that is handed over."""


class Inherited(Listener):
    """Listens at the socket of this name; one that is not on loopback, or a file for all, wants a token."""

    def __init__(
        self,
        location: str,
        *,
        queue_bytes: int = QUEUE_BYTES,
        max_connections: int = MAX_CONNECTIONS,
        handshake_s: float = HANDSHAKE_S,
        token_file: str = "",
    ) -> None:
        super().__init__(queue_bytes=queue_bytes, max_connections=max_connections, handshake_s=handshake_s)
        if not location:
            raise ConfigError("a name is missing", value=location, allowed="inherited://NAME, its FileDescriptorName")
        self._name = location
        self.url = f"inherited://{location}"
        self.token = read_token(token_file) if token_file else ""

    async def listen(self) -> Sequence[socket.socket]:
        """Take the socket over; raises `ClientError` where none has this name, `ConfigError` for an open one."""
        sockets = handed_over()
        found = sockets.pop(self._name, None)
        for one in sockets.values():
            one.detach()  # another listener's
        if found is None:
            there = ", ".join(sockets) or "none"
            remedy = "start it with config/systemd/spikestream.socket, or publish at tcp://127.0.0.1:7077"
            raise ClientError(
                f"no socket '{self._name}' was handed over by a service manager (there: {there})", remedy=remedy
            )
        if not self.token and not _private(found):
            found.detach()
            text = f"{self.url} would let others than this user listen in; it needs a token"
            raise ConfigError(
                text, key="publish.token_file", value="", allowed="a file with a token (docs/security.md)"
            )
        found.setblocking(False)
        return [found]


def handed_over(environment: Mapping[str, str] = os.environ) -> dict[str, socket.socket]:
    """Return the sockets that the manager listens on for us, by their names.

    Those without a name of their own are called ``3``, ``4`` and so on, by their descriptors.
    """
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return {}
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    found = {}
    for index in range(int(count)):
        name = names[index] if index < len(names) else ""
        os.set_inheritable(FIRST + index, False)
        found[name if name not in ("", "unknown") else str(FIRST + index)] = socket.socket(fileno=FIRST + index)
    return found


def _private(listening: socket.socket) -> bool:
    """Return whether only this machine, or of a file only its owner, gets there."""
    address = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        return not stat.S_IMODE(os.stat(address).st_mode) & 0o077
    return ipaddress.ip_address(address[0]).is_loopback
