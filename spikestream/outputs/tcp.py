"""Subscribers over TCP; loopback only, because whoever connects may listen in without a word."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from spikestream.errors import ClientError, ConfigError
from spikestream.outputs.base.listener import HANDSHAKE_S, MAX_CONNECTIONS, QUEUE_BYTES, Listener

DEFAULT = "127.0.0.1:7077"
_LISTENING = "0A"


class Tcp(Listener):
    """Listens at ``HOST:PORT``, a loopback address; port 0 takes any free one, which ``url`` then names."""

    def __init__(
        self,
        location: str = DEFAULT,
        *,
        queue_bytes: int = QUEUE_BYTES,
        max_connections: int = MAX_CONNECTIONS,
        handshake_s: float = HANDSHAKE_S,
    ) -> None:
        super().__init__(queue_bytes=queue_bytes, max_connections=max_connections, handshake_s=handshake_s)
        self._host, self._port = _address(location or DEFAULT)
        self.url = _url(self._host, self._port)

    async def listen(self, protocol: Callable[[], asyncio.Protocol]) -> asyncio.Server:
        """Bind and listen; raises `ClientError` where the port cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(protocol, self._host, self._port)
        except OSError as error:
            raise _unavailable(self._host, self._port, error) from error
        self.url = _url(self._host, server.sockets[0].getsockname()[1])
        return server


def _address(location: str) -> tuple[str, int]:
    host, _, port = location.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ConfigError(f"'{location}' is not an address", value=location, allowed="HOST:PORT, e.g. 127.0.0.1:7077")
    if not loopback:
        raise ConfigError(
            f"tcp://{location} would let anybody on the network listen in; only loopback addresses are allowed",
            value=location,
            allowed="127.0.0.1:PORT, [::1]:PORT, localhost:PORT",
            remedy=f"tcp://127.0.0.1:{port}, and `ssh -L {port}:127.0.0.1:{port} THIS-MACHINE` on the other one",
        )
    return host, int(port)


def _url(host: str, port: int) -> str:
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def _unavailable(host: str, port: int, error: OSError) -> ClientError:
    if error.errno != errno.EADDRINUSE:
        return ClientError(f"cannot listen on port {port} of {host}: {error.strerror}")
    owner = next(_owners(port), "")
    return ClientError(
        f"port {port} on {host} is in use{owner}",
        remedy=f"subscribe to it, or pass --publish {_url(host, 0)}",
    )


def _owners(port: int) -> Iterator[str]:
    """Yield who listens on a port, as far as Linux lets us see it."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _read(table).splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(f":{port:04X}") and fields[3] == _LISTENING:
                yield from _holders(f"socket:[{fields[9]}]")


def _holders(link: str) -> Iterator[str]:
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(descriptor) != link:
                continue
        except OSError:
            continue
        words = _read(f"/proc/{descriptor.parts[2]}/cmdline").split("\0")
        names = [Path(word).name for word in words if word and not word.startswith("-")]
        if names and names[0].startswith("python"):
            names.pop(0)
        yield f" by pid {descriptor.parts[2]} ({' '.join(names[:2])})"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
