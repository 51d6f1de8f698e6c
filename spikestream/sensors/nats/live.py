"""What a broker hands on as it comes (core NATS): who is away misses it, and finds a gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from spikestream.batch import Events, Spikes
from spikestream.broker import EPOCH, Place, connect
from spikestream.sensors.base.order import Mark, Order, size_in

LOOK_S = 5.0
"""So long the first batch is waited for that tells the size."""
PENDING_BYTES = 64 << 20


class Live:
    """A subject of a broker as a live sensor of ``size``."""

    live = True

    def __init__(self, place: Place, subject: str, size: tuple[int, int]) -> None:
        self.size = size
        self._place, self._subject = place, subject
        self._order = Order(size)

    @property
    def sent(self) -> int:
        """Return how many events were handed out."""
        return self._order.sent

    def intake(self) -> tuple[str, int, dict[str, int], dict[str, int], int]:
        """Return the hop before it, in events: see `Counting`."""
        return "broker to sensor", *self._order.intake()

    def stats(self) -> dict[str, Any]:
        """Return its figures as they are published."""
        return {"subject": self._subject, **self._order.stats()}

    async def batches(self, start: int = 0) -> AsyncIterator[Events | Spikes]:
        """Yield what is published from now on; a stream that is not as far as ``start`` µs is moved there."""
        if start and self._order.mark.now is None:
            self._order.mark = Mark(now=start)
        client = await connect(self._place, "spikestream sensor")
        try:
            subscription = await client.subscribe(self._subject, pending_bytes_limit=PENDING_BYTES)
            await client.flush()
            async for message in subscription.messages:
                for batch in self._order.take((message.headers or {}).get(EPOCH), message.data):
                    yield batch
        finally:
            await client.close()


async def next_live(place: Place, subject: str) -> tuple[int, int] | None:
    """Return the size of the next batch that is published, None where none comes for a while."""
    client = await connect(place, "spikestream sensor")
    try:
        subscription = await client.subscribe(subject)
        async with asyncio.timeout(LOOK_S):
            async for message in subscription.messages:
                if (found := size_in(message.data)) is not None:
                    return found
    except TimeoutError:
        pass
    finally:
        await client.close()
    return None
