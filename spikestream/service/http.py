"""HTTP: health, readiness, metrics, status and all requests of the desk, for programs that speak nothing else.

Law: what a page in a browser may not do, nothing here lets it do. Without a token only loopback listens, and only for
names of loopback, so that no name that was rebound gets in; a request of another page's is refused.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import ipaddress
import itertools
import json
import logging
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web

from spikestream.errors import ClientError, ConfigError
from spikestream.service.metrics import CONTENT_TYPE, page_of
from spikestream.wire import Reply, Request

if TYPE_CHECKING:
    from spikestream.service.daemon import Daemon

log = logging.getLogger(__name__)

MOST_BYTES = 64 << 10
"""Of a request's body, as of a client's frame."""
MOST_CONNECTIONS = 64
GUESS_S = 1.0
"""A wrong token is answered so late."""
CLOSING_S = 1.0
PATIENCE_S, IDLE_S = 10.0, 75.0
"""How long the head of a first request may take, and its body; and from an answer to the next whole head."""
LOOK_S = 1.0
CODES = {"do": 404, "pipeline": 404, "key": 400, "value": 400, "folder": 403, "busy": 429, "full": 409}
CODES |= {"early": 409, "frozen": 409, "over": 503, "failed": 500}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_QUIET = logging.getLogger("spikestream.http")
_QUIET.setLevel(logging.CRITICAL)  # the library tells of every malformed request, with a traceback


class Http:
    """Serves a daemon at ``http://HOST:PORT``; raises `ConfigError` for a URL that is none, or open without a token."""

    def __init__(self, daemon: Daemon, url: str, token: str = "") -> None:
        self._daemon, self._token = daemon, token
        self._host, self._port, self._loopback = address(url)
        if not self._loopback and not token:
            text = f"{url} would let anybody on the network in; only loopback addresses need no token"
            raise ConfigError(
                text, key="http.url", value=url, remedy="http://127.0.0.1:7078, or set publish.token_file"
            )
        self.url = url
        self._numbers = itertools.count()
        self._busy: set[object] = set()
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._due: dict[object, float] = {}
        self._looking: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Listen; raises `ClientError` where the port cannot be had."""
        app = web.Application(middlewares=[self._guard], client_max_size=MOST_BYTES)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/status", self._status)
        app.router.add_post("/do/{do}", self._do)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_QUIET,
            handle_signals=False,
            keepalive_timeout=IDLE_S,
            shutdown_timeout=CLOSING_S,
            auto_decompress=False,  # a body of 60 KB that unpacks to 60 MB would take the loop's time
        )
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(self._connection, self._host, self._port)
        except OSError as error:
            await self.aclose()
            raise ClientError(f"cannot listen at {self.url}: {error.strerror}", remedy="set http.url") from error
        self._look()
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def aclose(self) -> None:
        """Answer what is open, for a moment, and end."""
        if self._looking is not None:
            self._looking.cancel()
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def _connection(self) -> asyncio.BaseProtocol:
        """Return what serves a new connection; where there are too many, one that asks for nothing makes room."""
        server = self._runner.server if self._runner is not None else None
        if server is None:
            return _Full()
        there = [one for one in server.connections if one.transport is not None]
        if len(there) >= MOST_CONNECTIONS:
            idle = next((one for one in there if one not in self._busy), None)
            if idle is None:
                return _Full()
            idle.force_close()
        return server()

    def _look(self) -> None:
        """Part with connections whose request is late, and look again in a moment: 64 of them keep all others out."""
        loop = asyncio.get_running_loop()
        now, server = loop.time(), self._runner.server if self._runner is not None else None
        there = server.connections if server is not None else []
        self._due = {one: self._due.get(one, now + PATIENCE_S) for one in there}
        for one in there:
            if self._due[one] < now and one.transport is not None:
                log.debug("a connection whose request does not come is cut")
                one.transport.abort()
        self._looking = loop.call_later(LOOK_S, self._look)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in who may come in, and answer every error as JSON; nothing is remembered by a browser."""
        self._due[request.protocol] = math.inf
        try:
            await self._check(request)
            self._busy.add(request.protocol)
            response = await handler(request)
        except web.HTTPException as error:
            response = _json({"ok": False, "code": "http", "what": error.text or error.reason}, error.status)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            response = _json({"ok": False, "code": "failed", "what": "this is an error of the server's own"}, 500)
        finally:
            self._busy.discard(request.protocol)
            self._due[request.protocol] = asyncio.get_running_loop().time() + IDLE_S
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def _check(self, request: web.Request) -> None:
        """Raise what keeps a request out."""
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        if not self._token and not _is_loopback(_hostname(host)):
            raise web.HTTPForbidden(text="this is no name of this machine's own: use 127.0.0.1 or localhost")
        if origin is not None and _netloc(origin) != host.lower():
            raise web.HTTPForbidden(text="pages of another origin may not ask here")
        if self._token and request.path not in ("/healthz", "/readyz") and not self._knows(request):
            await asyncio.sleep(GUESS_S)
            raise web.HTTPUnauthorized(text="Authorization: Bearer with the token of publish.token_file is wanted")

    def _knows(self, request: web.Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        same = hmac.compare_digest(token.strip().encode("utf-8", "replace"), self._token.encode())
        return scheme.lower() == "bearer" and same

    async def _healthz(self, request: web.Request) -> web.Response:
        """Say that the loop is alive: whoever reads this has been answered by it."""
        return _json({"ok": True})

    async def _readyz(self, request: web.Request) -> web.Response:
        """Say whether all sensors are up, and which are not; the names only to who may know them."""
        late = {name: one.lane.state for name, one in self._daemon.supervisors.items() if not one.up}
        told = late if not self._token or self._knows(request) else {}
        return _json({"ok": not late, "not_ready": told}, 503 if late else 200)

    async def _metrics(self, request: web.Request) -> web.Response:
        body = await page_of(self._daemon)
        return web.Response(body=body.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _status(self, request: web.Request) -> web.Response:
        return await self._asked("status", dict(request.query))

    async def _do(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":  # which no form of another page can send
            raise web.HTTPUnsupportedMediaType(text="Content-Type: application/json is wanted")
        try:
            async with asyncio.timeout(PATIENCE_S):
                body = await request.read()
            fields = json.loads(body.decode() or "{}", parse_constant=_no_number)
        except (web.RequestPayloadError, ConnectionError) as error:
            raise web.HTTPBadRequest(text=f"the body is broken: {error}") from None
        except TimeoutError:
            raise web.HTTPRequestTimeout(text=f"the body has not come within {PATIENCE_S:g} s") from None
        except (ValueError, RecursionError) as error:
            raise web.HTTPBadRequest(text=f"this is not JSON: {error}") from None
        if not isinstance(fields, dict):
            raise web.HTTPBadRequest(text="a JSON object is wanted")
        return await self._asked(request.match_info["do"], fields)

    async def _asked(self, do: str, fields: dict[str, Any]) -> web.Response:
        """Hand a request to the desk, and return its answer."""
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def answer(reply: Reply) -> None:
            if not answered.done():  # who asked may have gone
                answered.set_result(reply)

        self._daemon.desk.ask(Request(next(self._numbers), do, fields), answer)
        reply = await answered
        if reply.ok:
            return _json({"ok": True, "d": dict(reply.d)})
        return _json({"ok": False, "code": reply.code, "what": reply.what}, CODES.get(reply.code, 400))


class _Full(asyncio.Protocol):
    """Ends a connection as soon as it is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """End it."""
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


def _json(value: Any, status: int = 200) -> web.Response:
    text = json.dumps(value, default=_as_text)
    return web.Response(text=text, status=status, content_type="application/json")


def _as_text(value: object) -> str:
    """Return bytes, the weights, as base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def address(url: str) -> tuple[str, int, bool]:
    """Return host, port, and whether it is loopback; raises `ConfigError`."""
    wrong = ConfigError(f"'{url}' is not a URL to serve at", key="http.url", value=url, allowed="http://HOST:PORT")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme != "http" or not host or port is None or parts.path not in ("", "/") or parts.query:
        raise wrong
    host = "127.0.0.1" if host == "localhost" else host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise wrong from None
    return host, port, _is_loopback(host)


def _hostname(host: str) -> str:
    """Return the host of a Host header, "" for none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _netloc(origin: str) -> str:
    """Return host and port of an Origin, "" for none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
