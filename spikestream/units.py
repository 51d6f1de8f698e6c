"""Durations, rates, byte sizes, pixel sizes and addresses as people write them, and how we write them back."""

from __future__ import annotations

import re

from spikestream.errors import ConfigError

_SECONDS = {"us": 1, "µs": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "min": 60_000_000, "h": 3_600_000_000}
_SCALE = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_BYTES = {"B": 1, "kB": 1_000, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_LIMIT = 2**62
"""Larger ones would not fit an int64 with room to add to them; endless digits become infinite and are refused too."""


def duration_us(text: str) -> int:
    """Return a duration in µs from ``1.5s``, ``200ms``, ``30us``, ``2min``, ``1h`` or ``00:01:02.5``.

    Raises `ConfigError` for anything else; a bare number is refused because it has no unit.
    """
    text = text.strip()
    clock = re.fullmatch(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d+)?)", text)
    number = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(us|µs|ms|s|min|m|h)", text)
    if clock:
        microseconds = (float(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])) * 1e6
    elif number:
        microseconds = float(number[1]) * _SECONDS[number[2]]
    else:
        raise ConfigError(f"'{text}' is not a duration", value=text, allowed="1.5s, 200ms, 30us, 2min, 1h, 00:01:02.5")
    if microseconds > _LIMIT:
        raise ConfigError(f"'{text}' is longer than stream time can hold", value=text)
    return round(microseconds)


def rate_hz(text: str) -> float:
    """Return a rate per second from ``2M/s``, ``200k/s``, ``50/s`` or ``50Hz``; raises `ConfigError`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMG]?)\s*(?:/s|Hz)", text.strip())
    if not found or float(found[1]) * _SCALE[found[2]] > _LIMIT:
        raise ConfigError(f"'{text}' is not a rate", value=text, allowed="2M/s, 200k/s, 50/s, 50Hz")
    return float(found[1]) * _SCALE[found[2]]


def size_bytes(text: str) -> int:
    """Return a number of bytes from ``64KiB``, ``8MiB``, ``1GB`` or ``512B``; raises `ConfigError`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|KiB|MiB|GiB)", text.strip())
    if not found or float(found[1]) * _BYTES[found[2]] > _LIMIT:
        raise ConfigError(f"'{text}' is not a size in bytes", value=text, allowed="64KiB, 8MiB, 1GB, 512B")
    return round(float(found[1]) * _BYTES[found[2]])


def pixels(text: str) -> tuple[int, int]:
    """Return (width, height) in pixels from ``346x260``; raises `ConfigError`."""
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip())
    if not found or not (0 < int(found[1]) <= 65536 and 0 < int(found[2]) <= 65536):
        raise ConfigError(f"'{text}' is not a sensor size", value=text, allowed="WIDTHxHEIGHT in pixels, e.g. 346x260")
    return int(found[1]), int(found[2])


def address(text: str, example: str) -> tuple[str, int]:
    """Return (host, port) of ``HOST:PORT``, ``[::1]:PORT``, or ``:PORT`` of this machine; raises `ConfigError`.

    ``example`` is the form to show to who wrote something else.
    """
    host, _, port = text.removesuffix("/").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    plain = all(one.isprintable() and one not in " /?#@[]" for one in host)
    if not (plain and port.isascii() and port.isdigit() and int(port) < 65_536):
        raise ConfigError(f"'{text}' is not an address", value=text, allowed=f"HOST:PORT, e.g. {example}")
    return "127.0.0.1" if host in ("", "localhost") else host, int(port)


def show_us(microseconds: int) -> str:
    """Return a duration in µs in the largest unit that keeps it readable, e.g. ``1.5 s``."""
    for unit, scale in (("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000)):
        if abs(microseconds) >= scale:
            return f"{microseconds / scale:.4g} {unit}"
    return f"{microseconds} µs"


def show_count(number: float) -> str:
    """Return a count or rate with a metric prefix, e.g. ``1.2 M``."""
    for prefix, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= scale * 0.9995:  # 999.5 k would round to "1e+03 k"
            return f"{number / scale:.3g} {prefix}"
    return f"{number:.3g} "
