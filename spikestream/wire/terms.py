"""What a subscriber may ask for beside its topics: the terms of one subscription, checked at both ends.

policy      what happens where it does not keep up
since       where it begins: "now", "all", {t_ns}, or {epoch, seq} with seq a number, or a map of topics to numbers
credit      so many messages may be under way; `ack` gives back
max_rate    messages a second of each topic        max_bytes   bytes a second of all of them
decimate    every nth row of events and spikes
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from spikestream.errors import ConfigError, nearest
from spikestream.wire.topics import POLICIES, is_topic

Since: TypeAlias = str | Mapping[str, Any] | None
MOST_CREDIT = 1 << 20
MOST_RATE = 1e6
MOST_BYTES = 1 << 40
MOST_DECIMATE = 1 << 20
MOST_NUMBER = 2**63
KEYS = ("policy", "since", "credit", "max_rate", "max_bytes", "decimate")

_SINCE = '"now", "all", {t_ns}, or {epoch, seq}'


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one subscription; 0 stands for no bound, and a ``since`` of None for nothing but what comes."""

    policy: str = POLICIES[0]
    since: Since = None
    credit: int = 0
    max_rate: float = 0
    max_bytes: int = 0
    decimate: int = 1

    @property
    def thins(self) -> bool:
        """Return whether something is left out on request."""
        return bool(self.max_rate or self.max_bytes or self.decimate > 1)

    @property
    def plain(self) -> bool:
        """Return whether there is nothing about it but its policy, once it has caught up."""
        return not (self.credit or self.thins)

    def fields(self) -> dict[str, Any]:
        """Return them as `sub` holds them, what is left to its default left out but for the policy."""
        given = {key: getattr(self, key) for key in KEYS}
        return {key: value for key, value in given.items() if key == "policy" or value != getattr(PLAIN, key)}


PLAIN = Terms()


def terms(fields: Mapping[str, Any], policies: tuple[str, ...] = POLICIES) -> Terms:
    """Return the terms among the fields of a `sub`; raises `ConfigError` with the ``key`` that is wrong."""
    made = Terms(**{key: fields[key] for key in KEYS if key in fields})
    if type(made.policy) is not str or made.policy not in policies:
        close = nearest(str(made.policy), policies)
        text = f"unknown policy {made.policy!r}"
        raise ConfigError(text, key="policy", value=made.policy, allowed=", ".join(policies), nearest=close)
    _number("credit", made.credit, MOST_CREDIT)
    _number("max_bytes", made.max_bytes, MOST_BYTES)
    _number("decimate", made.decimate, MOST_DECIMATE, least=1)
    rate = made.max_rate
    if type(rate) not in (int, float) or not math.isfinite(rate) or not (rate == 0 or 1e-3 <= rate <= MOST_RATE):
        raise ConfigError(
            f"max_rate {rate!r} is out of range", key="max_rate", value=rate, allowed=f"0.001 to {MOST_RATE:,.0f} a s"
        )
    if "since" in fields and not is_since(made.since):
        raise ConfigError("since is none of its forms", key="since", value=made.since, allowed=_SINCE)
    return made


def _number(key: str, value: Any, most: int, least: int = 0) -> None:
    if type(value) is not int or not least <= value <= most:
        raise ConfigError(f"{key} {value!r} is out of range", key=key, value=value, allowed=f"{least} to {most:,}")


def is_since(value: Any) -> bool:
    """Return whether a value says where a subscription begins."""
    if isinstance(value, str):
        return value in ("now", "all")
    if not isinstance(value, Mapping):
        return False
    if value.keys() == {"t_ns"}:
        return _counts(value["t_ns"])
    if value.keys() != {"epoch", "seq"} or type(value["epoch"]) is not str:
        return False
    seq = value["seq"]
    return all(_counts(at) and is_topic(topic) for topic, at in seq.items()) if type(seq) is dict else _counts(seq)


def _counts(value: Any) -> bool:
    return type(value) is int and 0 <= value < MOST_NUMBER
