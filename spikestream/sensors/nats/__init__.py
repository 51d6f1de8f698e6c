"""Events of another host's spikestream, by a NATS broker: as they come, or from where this one left off.

``nats://HOST:PORT/SUBJECT`` is live: what nobody listens to is gone. With ``?stream=NAME`` the broker keeps them, and
the sensor waits for the pipeline, is had by one process at a time, and goes on exactly where its checkpoint says.
"""

from __future__ import annotations

import logging

from spikestream.broker import Place, is_name, need_nats, number, place_of
from spikestream.errors import ClientError, ConfigError
from spikestream.sensors.base.aside import answered
from spikestream.sensors.base.order import Mark
from spikestream.sensors.nats.kept import Kept, last_kept
from spikestream.sensors.nats.live import Live, next_live
from spikestream.units import pixels
from spikestream.wire import is_pattern

__all__ = ["Mark", "nats"]

log = logging.getLogger(__name__)


def nats(
    location: str,
    *,
    stream: str = "",
    durable: str = "",
    size: str = "",
    lease_s: float | str = 10.0,
    standby_s: float | str = 0.0,
    token_file: str = "",
    user: str = "",
    tls_ca: str = "",
) -> Live | Kept:
    """Return the sensor of ``HOST:PORT[,HOST:PORT...]/SUBJECT``; ``size`` is asked of what was published, if not given.

    ``stream`` is where JetStream keeps it and ``durable`` the name of who takes it from there, by default that of the
    subject; one process has it, for ``lease_s`` seconds at a time, and another gets it ``standby_s`` later. Raises
    `ConfigError`, and `ClientError` where there is no broker, or nothing to tell the size by.
    """
    servers, _, subject = location.partition("/")
    place = place_of(servers, token_file=token_file, user=user, tls_ca=tls_ca)
    place.options()
    need_nats()
    if not is_pattern(subject) or set(subject) & set("*>"):
        allowed = "nats://HOST:PORT/SUBJECT, the topic of one pipeline, such as main.filter.events"
        raise ConfigError(f"'{subject}' is no subject of one sensor", key="sensor.uri", value=subject, allowed=allowed)
    name = durable or subject.replace(".", "-")
    for key, value in (("stream", stream or "none"), ("durable", name)):
        if not is_name(value):
            raise ConfigError(f"'{value}' is no name", key=key, value=value, allowed="letters, digits, - and _")
    if durable and not stream:
        raise ConfigError("only what a stream keeps has a durable", key="durable", allowed="stream=NAME&durable=NAME")
    seconds = number("lease_s", lease_s, 1, 3_600), number("standby_s", standby_s, 0, 86_400)
    known = pixels(size) if size else _asked(place, subject, stream)
    return Kept(place, subject, stream, name, known, *seconds) if stream else Live(place, subject, known)


def _asked(place: Place, subject: str, stream: str) -> tuple[int, int]:
    """Return the size of the last batch there is, or of the next one; raises `ClientError`."""
    found = answered(last_kept(place, subject, stream) if stream else next_live(place, subject))
    if found is None:
        text = f"nothing of a known size has been published as {subject} at {place.url}"
        raise ClientError(text, remedy="start its publisher first, or tell the size: ?size=640x480")
    return found
