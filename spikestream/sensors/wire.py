"""Another spikestream as a sensor: what one of its stages publishes, batch by batch as it was there.

Data messages carry start and stop, so time goes on as it does there, also in silence. What was lost on the way is a
gap. A connection that breaks is made again, and goes on with the number that was due, as far as the publisher keeps it.

Law: nothing is subscribed to before the batches are wanted. A publisher that waits for its subscribers would begin, and
what it then sends would be nobody's.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

from spikestream.batch import Events, Spikes
from spikestream.client import Client, subscribe
from spikestream.client.places import place_of
from spikestream.errors import ClientError, ConfigError, DeviceError
from spikestream.sensors.base.choices import one_of, whole
from spikestream.sensors.base.order import Mark, Order
from spikestream.units import pixels
from spikestream.wire import Message, is_pattern

log = logging.getLogger(__name__)

TOPIC = "main.filter.events"
NAME = "spikestream sensor"


class Tcp:
    """Events or spikes that are published at ``HOST:PORT`` under ``topic``, as its last part says.

    ``size`` is asked of the publisher where it is not told; of spikes ``axons`` has to be told. A publisher that
    has gone is looked for ``reconnect_s`` seconds; then this ends with a `DeviceError`, or at once and without one if
    it has said goodbye and ``bye`` is end. ``token_file`` and ``ca`` as of `spikestream.subscribe`. Raises
    `ConfigError`, and `ClientError` where nobody is there or lets us in.
    """

    scheme = "tcp"
    live = True

    def __init__(
        self,
        location: str,
        *,
        topic: str = TOPIC,
        size: str = "",
        axons: int | str = "",
        reconnect_s: int | str = 10,
        bye: str = "retry",
        token_file: str = "",
        ca: str = "",
    ) -> None:
        self.url = place_of(f"{self.scheme}://{location}").url
        self.topic = topic
        kind = topic.rpartition(".")[2]
        if not is_pattern(topic) or set(topic) & set("*>") or kind not in ("events", "spikes"):
            allowed = "the topic of one stage, such as main.filter.events or main.address.spikes"
            raise ConfigError(f"'{topic}' is no topic of one sensor", key="topic", value=topic, allowed=allowed)
        self._ends = one_of("bye", bye, ("retry", "end")) == "end"
        self._patience_s = 0 if self._ends else whole("reconnect_s", reconnect_s, 0, 86_400)
        self._access: dict[str, Any] = {"token_file": token_file, "ca": ca}
        self.axons: int | None = None
        self.size: tuple[int, int] | None = None
        if kind == "spikes":
            if not axons:
                raise ConfigError("spikes do not tell how many axons there are", key="axons", allowed="axons=NUMBER")
            self.axons = whole("axons", axons, 1, 2**31 - 1)
        else:
            self.size = pixels(size) if size else self._asked()
        self._order = Order(self.size, self.axons)

    @property
    def sent(self) -> int:
        """Return how many events or spikes were handed out."""
        return self._order.sent

    def intake(self) -> tuple[str, int, dict[str, int], dict[str, int], int]:
        """Return the hop before it, in rows: see `Counting`."""
        return "publisher to sensor", *self._order.intake()

    def stats(self) -> dict[str, Any]:
        """Return its figures as they are published; ``missing`` counts messages."""
        return {"url": self.url, "topic": self.topic, **self._order.stats()}

    async def batches(self, start: int = 0) -> AsyncIterator[Events | Spikes]:
        """Yield what is published from now on; a stream that is not as far as ``start`` µs is moved there."""
        if start and self._order.mark.now is None:
            self._order.mark = Mark(now=start)
        told = False
        patience_s, access = self._patience_s, self._access
        async with subscribe(self.url, [self.topic], reconnect=patience_s, name=NAME, **access) as messages:
            async for message in messages:
                assert messages.hello is not None
                batch = self._order.accept(messages.hello.epoch, message)
                if batch is not None:
                    yield batch
                elif self._order.foreign == 1 and not told:
                    told = True
                    log.warning("%s: %s is left out: it is not %s", self.url, _said(message), self._wanted)
        if not self._ends:
            raise DeviceError(f"{self.url} has said goodbye", remedy="?bye=end, where that is the end of the stream")

    @property
    def _wanted(self) -> str:
        return f"spikes of {self.axons:,} axons" if self.size is None else "events of {}x{}".format(*self.size)

    def _asked(self) -> tuple[int, int]:
        """Return the size of what is published under the topic, as the publisher tells it; raises `ClientError`."""
        pipeline, _, rest = self.topic.partition(".")
        with Client(self.url, (), name=NAME, **self._access) as client:
            assert client.hello is not None
            told = client.pipelines() if "pipelines" in client.hello.caps else {}
        try:
            width, height = told["pipelines"][pipeline]["sizes"][rest.rpartition(".")[0]]
            return pixels(f"{width}x{height}")
        except (KeyError, TypeError, ValueError, ConfigError):  # who is at the other end need not be one of us
            text = f"{self.url} does not say what size {self.topic} has"
            remedy = f"spikestream subscribe {self.url}, to see what is published, or tell it: ?size=640x480"
            raise ClientError(text, remedy=remedy) from None


def _said(message: Message) -> str:
    return message.kind if message.size is None else "{} of {}x{}".format(message.kind, *message.size)


class Tcps(Tcp):
    """The same with TLS."""

    scheme = "tcps"


class Unix(Tcp):
    """The same at a Unix socket, whose path is the location."""

    scheme = "unix"


class Ws(Tcp):
    """The same by WebSocket."""

    scheme = "ws"


class Wss(Tcp):
    """The same by WebSocket with TLS."""

    scheme = "wss"
