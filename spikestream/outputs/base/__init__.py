"""What an output is, and how a URL becomes one; `listener` and `subscriber` are what the socket outputs share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from spikestream import registry
from spikestream.errors import ConfigError
from spikestream.outputs.base.due import Published
from spikestream.wire import Ask, Delivery, Hello, Numbers, Outgoing, Past


class Output(Protocol):
    """Where messages go. Every output sees the same messages: same numbers, same bytes."""

    url: str
    """Where it is to be found, the real port in it once it has started."""

    @property
    def subscribers(self) -> int:
        """Return how many subscribers have asked for something."""
        ...

    @property
    def blocked(self) -> bool:
        """Return whether a subscriber with policy block is full: `ready` would wait."""
        ...

    async def start(self, hello: Callable[[], Hello], published: Published) -> None:
        """Begin; raises `ConfigError` or `ClientError`.

        ``hello`` returns the greeting for whoever connects, ``published`` what the publisher has counted by topic: what
        is due to a subscriber comes from there (`spikestream.outputs.base.due.Due`).
        """
        ...

    def send(self, message: Outgoing) -> None:
        """Hand a message on, or queue it, and return at once."""
        ...

    async def ready(self) -> None:
        """Return at once, unless a subscriber with policy block is full: then when it has room."""
        ...

    async def drain(self, timeout_s: float) -> None:
        """Return when everything is handed over, or when nobody has taken anything for `timeout_s` seconds."""
        ...

    async def aclose(self) -> None:
        """Tell every subscriber what it will not get, say bye, and end; of nothing sent nothing stays."""
        ...

    def deliveries(self) -> Sequence[Delivery]:
        """Return the account of every subscriber, and of the last ones that have gone."""
        ...


@runtime_checkable
class Asked(Protocol):
    """An output whose subscribers may make requests: it hands each on to ``ask``, which is set before it starts."""

    ask: Ask


@runtime_checkable
class Reaching(Protocol):
    """An output whose subscribers may begin in the past: both are set before it starts.

    ``past`` is what was published before and is kept, ``numbers`` returns the next number of every topic.
    """

    past: Past | None
    numbers: Numbers


def open_output(url: str, **options: Any) -> Output:
    """Return the output for a URL such as ``tcp://127.0.0.1:7077``, ``unix:///run/x.sock`` or ``file:///srv/x.ssp``.

    Of the ``options`` it gets those that its constructor names. It is built, not started. Raises `ConfigError` for what
    is no URL, `PluginError` for an unknown scheme.
    """
    scheme, separator, location = url.partition("://")
    if not separator:
        raise ConfigError(
            f"'{url}' is not a URL to publish at",
            value=url,
            allowed="tcp://HOST:PORT, tcps://HOST:PORT, ws://HOST:PORT, wss://HOST:PORT, unix:///PATH, "
            "file:///PATH, nats://HOST:PORT, udp://HOST:PORT, dv://HOST:PORT",
        )
    make = registry.load("outputs", scheme)
    known = inspect.signature(make).parameters
    output: Output = make(location, **{name: value for name, value in options.items() if name in known})
    return output
