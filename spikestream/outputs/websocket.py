"""Subscribers over WebSocket, browsers first of all: each message is made once, and goes to all as the same bytes.

Only what clients send goes through the WebSocket library; what is published never does.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from spikestream.errors import ClientError, ConfigError
from spikestream.outputs.base.due import Published
from spikestream.outputs.base.listener import HANDSHAKE_S, MAX_CONNECTIONS, QUEUE_BYTES
from spikestream.outputs.base.places import Networked, place_of
from spikestream.outputs.base.subscriber import Subscriber
from spikestream.wire import BYE, MAX_CLIENT_FRAME, Hello, Outgoing, ServerEvent, web

DEFAULT = "127.0.0.1:7079"
MAX_REQUEST = 8 << 10
"""Bytes of the HTTP request that asks for a WebSocket."""
PIECE = 256
"""So many bytes are parsed at a time: some forty of the smallest frames, before they are counted."""
HOME = ("localhost", "127.0.0.1", "::1")
_QUIET = logging.getLogger("spikestream.websocket")
_QUIET.setLevel(logging.ERROR)  # the library tells every connection as it comes and goes


class Refusal(ClientError):
    """What asked for a WebSocket does not get one; ``answer`` is the HTTP response that says so."""

    def __init__(self, status: str, what: str) -> None:
        super().__init__(f"no WebSocket for it: {what}")
        self.answer = answer(status, what)


def answer(status: str, what: str) -> bytes:
    """Return an HTTP response that ends a connection."""
    body = f"{what}\n".encode()
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
    return f"{head}Content-Length: {len(body)}\r\nX-Content-Type-Options: nosniff\r\n\r\n".encode() + body


class Line:
    """The server's end of one WebSocket, sans IO: bytes in, frames of SSP/1 out, and bytes to be sent."""

    def __init__(self, origins: Sequence[str]) -> None:
        self.open = False
        self._origins = tuple(origin.lower() for origin in origins)
        self._protocol = ServerProtocol(max_size=MAX_CLIENT_FRAME, logger=_QUIET)
        self._received = bytearray()
        self._events: deque[Frame | Exception] = deque()
        self._message: bytearray | None = None
        self._out = b""

    def to_send(self) -> bytes:
        """Return the bytes to be sent now, and forget them."""
        data, self._out = self._out, b""
        return data

    def receive(self, data: bytes) -> Iterator[bytes]:
        """Yield what arrives, a frame at a time; b"" for what holds none, as a ping, a fragment, or the upgrade.

        Who does not iterate to the end goes on with the next call. Raises `Refusal` where there will be no WebSocket,
        `ClientError` for what is none.
        """
        self._received += data
        if not self.open and self._asked():
            yield b""
        while self.open and (self._events or self._received):
            if not self._events:
                self._parse()
            while self._events:
                yield self._take(self._events.popleft())

    def _asked(self) -> bool:
        """Return whether the request for the WebSocket has come, whole and lawful."""
        end = self._received.find(b"\r\n\r\n", 0, MAX_REQUEST)
        if end < 0 and len(self._received) < MAX_REQUEST:
            return False
        if end < 0:
            raise Refusal("431 Request Header Fields Too Large", f"more than {MAX_REQUEST:,} bytes of headers")
        request, self._received = bytes(self._received[: end + 4]), self._received[end + 4 :]
        self._protocol.receive_data(request)
        events = self._protocol.events_received()
        if len(events) != 1 or not isinstance(events[0], Request):
            raise Refusal("400 Bad Request", "this is no HTTP request for a WebSocket")
        self._upgrade(events[0])
        return True

    def _upgrade(self, request: Request) -> None:
        if request.path.partition("?")[0] != "/":
            raise Refusal("404 Not Found", "there is a WebSocket at / and nothing else")
        origins = request.headers.get_all("Origin")
        if len(origins) > 1 or not all(map(self._allowed, origins)):
            raise Refusal("403 Forbidden", "pages of this origin may not listen in: see publish.origins")
        response = self._protocol.accept(request)
        if response.status_code != 101:
            status = f"{response.status_code} {response.reason_phrase}"
            raise Refusal(status, "this is no request for a WebSocket (RFC 6455, version 13)")
        offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol")).split(",")
        if web.SUBPROTOCOL not in [name.strip() for name in offered]:
            raise Refusal("400 Bad Request", f"ask for the sub-protocol {web.SUBPROTOCOL}")
        response.headers["Sec-WebSocket-Protocol"] = web.SUBPROTOCOL
        self._protocol.send_response(response)
        self._out = b"".join(self._protocol.data_to_send())
        self.open = True

    def _allowed(self, origin: str) -> bool:
        """Return whether pages of an origin may connect: those of this machine, and those that are listed."""
        if origin.lower() in self._origins:
            return True
        try:
            parts = urlsplit(origin)
            return parts.scheme in ("http", "https") and parts.hostname in HOME
        except ValueError:
            return False

    def _parse(self) -> None:
        piece = bytes(self._received[:PIECE])
        del self._received[:PIECE]
        self._protocol.receive_data(piece)
        self._protocol.data_to_send()  # pongs and close frames have their turn, which is not the library's
        self._events.extend(event for event in self._protocol.events_received() if isinstance(event, Frame))
        if self._protocol.parser_exc is not None:
            self._events.append(self._protocol.parser_exc)

    def _take(self, event: Frame | Exception) -> bytes:
        """Return the frame of SSP/1 that this completes, b"" where it completes none."""
        if isinstance(event, Exception):
            raise ClientError(f"this is no WebSocket frame: {event}")
        if event.opcode is Opcode.CLOSE:
            return BYE
        if event.opcode is Opcode.TEXT:
            raise ClientError("a text is no frame: messages are binary")
        if event.opcode is Opcode.PING:
            self._out += web.pong(bytes(event.data))
        if event.opcode is Opcode.BINARY:
            self._message = bytearray()
        elif event.opcode is not Opcode.CONT or self._message is None:
            return b""
        self._message += event.data
        if not event.fin:
            return b""
        whole, self._message = bytes(self._message), None
        return web.framed(whole)


class WebSubscriber(Subscriber):
    """One WebSocket of the listener, greeted once it is one."""

    def __init__(self, listener: WebSocket, hello: Callable[[], Hello], published: Published) -> None:
        super().__init__(listener, hello, published)
        self._line = Line(listener.origins)
        self._greeted = self._answered = False
        self._code = web.REFUSED

    def _greet(self) -> None:
        """Wait for the request first."""

    def _requests(self, data: bytes) -> Iterator[ServerEvent | None]:
        yield from self.session.receive(b"")  # what is left of earlier bytes
        try:
            for frame in self._line.receive(data):
                self._say(self._line.to_send())
                if not self._greeted:
                    self._greeted = True
                    super()._greet()
                if frame:
                    yield from self.session.receive(frame)
                else:
                    yield None
        except Refusal as refusal:
            self._answered = True
            self._write(refusal.answer)
            raise
        except ClientError as error:
            if self.session.over:
                raise
            self._code = web.BROKEN
            raise self.session.fail("frame", error.what) from error

    def _parting(self, last: bytes) -> bytes:
        if not self._line.open:
            return b"" if self._answered else answer("503 Service Unavailable", "no place, or no patience, is left")
        parting = self._listener.wrap(last)
        return parting if last.endswith(BYE) else parting + web.close_frame(self._code)


class WebSocket(Networked):
    """Listens at ``HOST:PORT`` as `Tcp` does; pages of ``origins`` may connect, besides those of this machine."""

    scheme = "ws"

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
        origins: Sequence[str] = (),
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
        self.origins = tuple(map(_origin, origins))

    def subscriber(self, hello: Callable[[], Hello], published: Published) -> Subscriber:
        """Return what serves one connection."""
        return WebSubscriber(self, hello, published)

    def wrap(self, frames: bytes) -> bytes:
        """Return whole frames in a row as WebSocket messages; a bye is the close frame."""
        return web.messages(frames)

    def dressed(self, message: Outgoing) -> Outgoing:
        """Return the message with the header of a WebSocket message in place of its length."""
        made = web.message(message.frame)
        return Outgoing(message.topic, message.kind, message.seq, message.t_ns, message.batch, made)


class WebSockets(WebSocket):
    """The same with TLS."""

    scheme = "wss"


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if text != "null" and not (parts.scheme and parts.netloc and text == f"{parts.scheme}://{parts.netloc}"):
        raise ConfigError(
            f"'{text}' is not an origin",
            key="publish.origins",
            value=text,
            allowed="what browsers send: https://HOST or http://HOST:PORT, without a path; null for pages from a file",
        )
    return text
