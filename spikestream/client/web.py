"""The subscriber's end of a WebSocket, sans IO: what arrives as frames of SSP/1, and what is to be sent for frames."""

from __future__ import annotations

import logging

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from spikestream.errors import ClientError
from spikestream.wire import BYE, MAX_FRAME_EVER, web

_QUIET = logging.getLogger("spikestream.websocket")


class Web:
    """One WebSocket; `first` opens it, then `receive` and `send` translate."""

    def __init__(self, url: str) -> None:
        self._url = url
        protocol = Subprotocol(web.SUBPROTOCOL)
        self._protocol = ClientProtocol(parse_uri(url), subprotocols=[protocol], max_size=MAX_FRAME_EVER, logger=_QUIET)
        self._message: bytearray | None = None
        self._open = False

    def first(self) -> bytes:
        """Return the request that asks for the WebSocket."""
        self._protocol.send_request(self._protocol.connect())
        return b"".join(self._protocol.data_to_send())

    def receive(self, data: bytes) -> bytes:
        """Return the whole frames that have arrived; a close frame is a bye. Raises `ClientError` for what is none."""
        if data:
            self._protocol.receive_data(data)
        frames = [self._take(event) for event in self._protocol.events_received()]
        error = self._protocol.parser_exc if self._open else self._protocol.handshake_exc
        if error is not None or not (data or self._open):
            raise ClientError(
                f"{self._url} does not speak WebSocket as a spikestream server does",
                details=[str(error or "it went away before it had answered")],
                remedy="check the port: WebSocket is at 7079, the wire at 7077",
            )
        return b"".join(frames)

    def send(self, frames: bytes) -> bytes:
        """Return what is to be sent for some whole frames in a row."""
        for payload in web.payloads(frames):
            if self._protocol.state is not State.OPEN:
                break
            if payload:
                self._protocol.send_binary(payload)
            else:
                self._protocol.send_close(web.NORMAL)
        return b"".join(self._protocol.data_to_send())

    def _take(self, event: Frame | object) -> bytes:
        if isinstance(event, Response):
            self._open = event.status_code == 101 and self._protocol.handshake_exc is None
            if event.status_code != 101:
                raise self._refused(event)
            return b""
        assert isinstance(event, Frame)
        if event.opcode is Opcode.CLOSE:
            return BYE
        if event.opcode is Opcode.TEXT:
            raise ClientError(f"{self._url} sends texts; frames are binary")
        if event.opcode is Opcode.BINARY:
            self._message = bytearray()
        elif event.opcode is not Opcode.CONT or self._message is None:
            return b""
        self._message += event.data
        if not event.fin:
            return b""
        whole, self._message = bytes(self._message), None
        return web.framed(whole)

    def _refused(self, response: Response) -> ClientError:
        text = bytes(response.body or b"")[:200].decode("utf-8", "replace").strip()
        return ClientError(
            f"{self._url} opens no WebSocket: HTTP {response.status_code} {response.reason_phrase}",
            details=[text] if text.isprintable() and text else [],
            remedy="check the URL: ws://HOST:7079",
        )
