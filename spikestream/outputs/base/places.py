"""Where a listener on the network may stand: at home for everybody, elsewhere only with a token."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spikestream.errors import ClientError, ConfigError
from spikestream.outputs.base.listener import BACKLOG, Listener
from spikestream.security import read_token, server_tls

log = logging.getLogger(__name__)

_LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class Place:
    """An address to listen at, and how: ``tcp``, ``tcps``, ``ws`` or ``wss``."""

    scheme: str
    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Return whether only this machine gets there."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def encrypted(self) -> bool:
        """Return whether TLS is spoken there."""
        return self.scheme in ("tcps", "wss")

    def at(self, port: int) -> str:
        """Return the URL with this port."""
        return f"{self.scheme}://[{self.host}]:{port}" if ":" in self.host else f"{self.scheme}://{self.host}:{port}"


class Networked(Listener):
    """Listens at ``HOST:PORT``; port 0 takes any free one, which ``url`` then names."""

    def __init__(
        self,
        place: Place,
        *,
        queue_bytes: int,
        max_connections: int,
        handshake_s: float,
        token_file: str,
        tls_certificate: str,
        tls_key: str,
    ) -> None:
        super().__init__(queue_bytes=queue_bytes, max_connections=max_connections, handshake_s=handshake_s)
        self.place = place
        self.url = place.at(place.port)
        _allowed(place, token_file, tls_certificate)
        self.token = read_token(token_file) if token_file else ""
        self.tls = server_tls(tls_certificate, tls_key) if place.encrypted else None

    async def listen(self) -> Sequence[socket.socket]:
        """Bind and listen; raises `ClientError` where the port cannot be had."""
        host, port = self.place.host, self.place.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            sock = socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise _unavailable(self.place, error) from error
        sock.setblocking(False)
        self.url = self.place.at(sock.getsockname()[1])
        if self.token and not self.place.loopback and self.tls is None:
            log.warning("anybody on the line to %s can read the token: use %ss://", self.url, self.place.scheme)
        return [sock]


def place_of(scheme: str, location: str, default: str) -> Place:
    """Return the place that a URL names; raises `ConfigError` for what is none."""
    location = location or default
    host, _, port = location.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ConfigError(f"'{location}' is not an address", value=location, allowed=f"HOST:PORT, e.g. {default}")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ConfigError(
            f"{scheme}://{location} does not name an address to listen at: by default only loopback addresses are "
            "allowed, with a token any of this machine's",
            value=location,
            allowed="127.0.0.1:PORT, [::1]:PORT, localhost:PORT, with publish.token_file 0.0.0.0:PORT too",
            remedy=f"{scheme}://127.0.0.1:{port}",
        ) from None
    return Place(scheme, host, int(port))


def _allowed(place: Place, token_file: str, certificate: str) -> None:
    """Refuse what would let in anybody, or only seems to be encrypted."""
    url = place.at(place.port)
    if not place.loopback and not token_file:
        raise ConfigError(
            f"{url} would let anybody on the network listen in; without a token only loopback addresses are allowed",
            value=url,
            allowed="127.0.0.1:PORT, [::1]:PORT, localhost:PORT; any with publish.token_file (docs/security.md)",
            remedy=f"{place.scheme}://127.0.0.1:{place.port}, and `ssh -L {place.port}:127.0.0.1:{place.port} "
            "THIS-MACHINE` on the other one",
        )
    if place.encrypted and not certificate:
        raise ConfigError(
            f"{url} needs a certificate",
            key="publish.tls_certificate",
            value=certificate,
            allowed="a PEM file, and its key under publish.tls_key (docs/security.md)",
        )
    if certificate and not place.encrypted and not place.loopback:
        raise ConfigError(
            f"there is a certificate, and {url} is not encrypted",
            value=url,
            allowed=f"{place.scheme}s://, or no publish.tls_certificate",
            remedy=f"{place.scheme}s{url.removeprefix(place.scheme)}",
        )


def _unavailable(place: Place, error: OSError) -> ClientError:
    if error.errno != errno.EADDRINUSE:
        return ClientError(f"cannot listen on port {place.port} of {place.host}: {error.strerror}")
    owner = next(_owners(place.port), "")
    return ClientError(
        f"port {place.port} on {place.host} is in use{owner}",
        remedy=f"subscribe to it, or pass --publish {place.at(0)}",
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
