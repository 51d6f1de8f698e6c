"""Options of sensors as they come from a URI, as text, and what they may be."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from spikestream.errors import ConfigError, nearest
from spikestream.units import pixels


def whole(name: str, value: int | str, least: int, most: int) -> int:
    """Return a whole number of ``[least, most]``; raises `ConfigError`."""
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise ConfigError(
            f"{name} = {value!r} is out of range", key=name, value=value, allowed=f"{least:,} to {most:,}"
        )
    return number


def one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    """Return the value, one of those allowed; raises `ConfigError`."""
    if value not in allowed:
        text, near = f"{name} = {value!r} is none of those there are", nearest(value, allowed)
        raise ConfigError(text, key=name, value=value, allowed=", ".join(allowed), nearest=near)
    return value


@lru_cache(64)
def ip_of(name: str, value: str) -> IPv4Address | IPv6Address:
    """Return an IP address, however it is written: of IPv4 within IPv6, that of IPv4; raises `ConfigError`."""
    try:
        found = ip_address(value)
    except ValueError as error:
        what, allowed = f"{name} = {value!r} is no IP address", "an address, such as 192.168.0.7 or ::1, and no name"
        raise ConfigError(what, key=name, value=value, allowed=allowed) from error
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found


def size_of(value: str, why: str) -> tuple[int, int]:
    """Return the size of a sensor; raises `ConfigError`, with ``why`` it has to be told, where it is not."""
    if not value:
        raise ConfigError(f"the size of the sensor is not known: {why}", key="size", allowed="size=WIDTHxHEIGHT")
    return pixels(value)
