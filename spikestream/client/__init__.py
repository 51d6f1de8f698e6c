"""Subscribe to a running pipeline and teach it: `subscribe` for asyncio, `Client` without it."""

from __future__ import annotations

from spikestream.client.blocking import Client
from spikestream.client.subscription import Subscription, subscribe

__all__ = ["Client", "Subscription", "subscribe"]
