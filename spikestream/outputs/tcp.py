"""Subscribers over TCP: on this machine by default, from elsewhere with a token, encrypted as ``tcps``."""

from __future__ import annotations

from spikestream.outputs.base.listener import HANDSHAKE_S, MAX_CONNECTIONS, QUEUE_BYTES
from spikestream.outputs.base.places import Networked, place_of

DEFAULT = "127.0.0.1:7077"


class Tcp(Networked):
    """Listens at ``HOST:PORT``, a loopback address unless there is a token; port 0 takes any free one."""

    scheme = "tcp"

    def __init__(
        self,
        location: str = DEFAULT,
        *,
        queue_bytes: int = QUEUE_BYTES,
        max_connections: int = MAX_CONNECTIONS,
        handshake_s: float = HANDSHAKE_S,
        token_file: str = "",
        tls_certificate: str = "",
        tls_key: str = "",
    ) -> None:
        super().__init__(
            place_of(self.scheme, location, DEFAULT),
            queue_bytes=queue_bytes,
            max_connections=max_connections,
            handshake_s=handshake_s,
            token_file=token_file,
            tls_certificate=tls_certificate,
            tls_key=tls_key,
        )


class Tcps(Tcp):
    """The same with TLS."""

    scheme = "tcps"
