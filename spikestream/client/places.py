"""Where a publisher is to be found, and what is said where it is not."""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from spikestream.errors import ClientError, ConfigError
from spikestream.security import TOKEN_VARIABLE, client_tls, read_token

if TYPE_CHECKING:
    import ssl

log = logging.getLogger(__name__)


class Line(Protocol):
    """How frames travel: as they are, or as messages of a WebSocket."""

    def first(self) -> bytes:
        """Return what this end has to say before the server greets."""
        ...

    def receive(self, data: bytes) -> bytes:
        """Return the frames, whole or in part, in what has arrived."""
        ...

    def send(self, frames: bytes) -> bytes:
        """Return what is to be sent for some whole frames in a row, and by the line itself."""
        ...


class Plain:
    """Frames as they are."""

    def first(self) -> bytes:
        """Return nothing: the server speaks first."""
        return b""

    def receive(self, data: bytes) -> bytes:
        """Return what has arrived."""
        return data

    def send(self, frames: bytes) -> bytes:
        """Return the frames."""
        return frames


@dataclass(frozen=True, slots=True)
class Place:
    """Where a publisher is: the path of a Unix socket, or a host and a port, and how it is spoken to there."""

    url: str
    path: str = ""
    host: str = ""
    port: int = 0
    scheme: str = "unix"

    @property
    def encrypted(self) -> bool:
        """Return whether the line is."""
        return self.scheme in ("tcps", "wss")

    @property
    def overheard(self) -> bool:
        """Return whether others may read what is sent there."""
        return not (self.encrypted or self.path or self.host == "localhost" or self.host.startswith(("127.", "::1")))

    def line(self) -> Line:
        """Return what translates; a WebSocket's library is loaded only for one."""
        if self.scheme not in ("ws", "wss"):
            return Plain()
        from spikestream.client.web import Web

        return Web(self.url)

    def tls(self, ca: str) -> ssl.SSLContext | None:
        """Return what encrypts the line, None where nothing does; raises `ConfigError` for a file that cannot."""
        return client_tls(ca) if self.encrypted else None


def place_of(url: str) -> Place:
    """Return the place that a URL names; raises `ConfigError` for what is none."""
    scheme, _, location = url.partition("://")
    host, _, port = location.removesuffix("/").rpartition(":")
    if scheme == "unix" and location:
        return Place(url, location)
    if scheme in ("tcp", "tcps", "ws", "wss") and host and port.isascii() and port.isdigit() and int(port) < 65536:
        host = host.removeprefix("[").removesuffix("]")
        if all(character.isprintable() and character not in " /?#@[]" for character in host):
            return Place(url, "", host, int(port), scheme)
    allowed = "tcp://HOST:PORT, tcps://HOST:PORT, ws://HOST:PORT, wss://HOST:PORT, unix:///PATH"
    raise ConfigError(f"'{url}' is not a URL to subscribe to", value=url, allowed=allowed)


def token_of(token_file: str, place: Place) -> str:
    """Return the token of a file, or of the one that the environment names, "" for none; raises `ConfigError`."""
    named = token_file or os.environ.get(TOKEN_VARIABLE, "")
    if not named:
        return ""
    if place.overheard:
        log.warning("anybody on the line to %s can read a token it asks for: use tcps:// or wss://", place.url)
    return read_token(named, "token_file" if token_file else TOKEN_VARIABLE)


def connect(place: Place, seconds: float, context: ssl.SSLContext | None) -> socket.socket:
    """Return a connected socket; raises `ClientError` where nobody answers within so many seconds."""
    connection: socket.socket | None = None
    try:
        if place.host:
            connection = socket.create_connection((place.host, place.port), seconds)
            return context.wrap_socket(connection, server_hostname=place.host) if context else connection
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(place.path)
        return connection
    except (OSError, UnicodeError) as error:  # a host name of odd characters never reaches the resolver
        if connection is not None:
            connection.close()
        raise unreachable(place.url, error) from error


def unreachable(url: str, error: OSError | UnicodeError) -> ClientError:
    """Return the error for a place where nobody listens."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    if type(error).__name__ == "SSLCertVerificationError":
        return ClientError(
            f"the certificate of {url} is not to be trusted: {getattr(error, 'verify_message', why)}",
            remedy="name the authority's certificate, --ca FILE, and the host as the certificate has it",
        )
    if type(error).__name__.startswith("SSL"):
        return ClientError(
            f"{url} does not speak TLS as it should: {getattr(error, 'reason', None) or why}",
            remedy="use tcp:// or ws:// for a listener without TLS",
        )
    return ClientError(
        f"nobody answers at {url}: {why}",
        remedy=f"spikestream run CONFIG, or spikestream replay FILE --publish {url}",
    )


def silent(url: str, seconds: float) -> ClientError:
    """Return the error for who listens and does not speak our language, after so many seconds."""
    return ClientError(
        f"{url} is there and says nothing a spikestream server would say within {seconds:g} s",
        remedy="check the port: the wire is at 7077, the browser's page at 7078",
    )


def unanswered(url: str, seconds: float) -> ClientError:
    """Return the error for who does not answer a request, after so many seconds."""
    return ClientError(f"{url} does not answer the request within {seconds:g} s", remedy="see what it logs")
