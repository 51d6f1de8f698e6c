"""Where a publisher is to be found, and what is said where it is not."""

from __future__ import annotations

import socket

from spikestream.errors import ClientError, ConfigError


def target_of(url: str) -> str | tuple[str, int]:
    """Return the path or the (host, port) of a URL; raises `ConfigError` for what is none."""
    scheme, _, location = url.partition("://")
    host, _, port = location.rpartition(":")
    if scheme == "unix" and location:
        return location
    if scheme == "tcp" and host and port.isascii() and port.isdigit() and int(port) < 65536:
        return host.removeprefix("[").removesuffix("]"), int(port)
    raise ConfigError(f"'{url}' is not a URL to subscribe to", value=url, allowed="tcp://HOST:PORT, unix:///PATH")


def connect(target: str | tuple[str, int], url: str, seconds: float) -> socket.socket:
    """Return a connected socket; raises `ClientError` where nobody answers within so many seconds."""
    try:
        if not isinstance(target, str):
            return socket.create_connection(target, seconds)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(target)
        except OSError:
            connection.close()
            raise
        return connection
    except (OSError, UnicodeError) as error:  # a host name of odd characters never reaches the resolver
        raise unreachable(url, error) from error


def unreachable(url: str, error: OSError | UnicodeError) -> ClientError:
    """Return the error for a place where nobody listens."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
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
