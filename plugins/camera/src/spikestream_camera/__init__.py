"""Event cameras as sensors: whatever neuromorphic-drivers opens, with its own stamps.

    camera --USB--> the library's ring --a thread of ours--> timeline --batches

Who is too slow to empty the ring finds in the library's packets where something is missing, and leaves a gap there. A
camera that is unplugged is a `DeviceError`: the daemon opens it again when it is back.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from itertools import pairwise
from time import monotonic_ns
from typing import Any, NamedTuple

import neuromorphic_drivers
import numpy as np

from spikestream.batch import EVENT, Array, Events
from spikestream.errors import ConfigError, DeviceError
from spikestream.sensors.base import Device
from spikestream.sensors.base.aside import aside
from spikestream.sensors.base.choices import whole
from spikestream.sensors.base.timeline import Timeline
from spikestream_camera.hints import trouble

__all__ = ["Camera"]

log = logging.getLogger(__name__)

TURN_S = 0.01
"""So long the library waits for a packet before it says that there is none."""
SILENT_S = 5.0
"""A camera that is still there and says nothing at all for so long is told of, once."""
CLOSING_S = 2.0


class Packet(NamedTuple):
    """What the thread hands over: events, before which of them something is missing, and when that was."""

    events: Array
    missing: list[int]
    clock_us: int
    heard: bool
    """Whether the camera has said anything."""


class Camera:
    """The camera of this ``serial`` number, or the only one, or the first; it may be the location as well.

    ``address`` is that of one on Ethernet. Batches are of ``length_us`` µs or more; where the camera says nothing for
    ``slack_us``, time goes on without. The origin is the top left corner. Raises `ConfigError`, and `DeviceError` where
    there is none, it may not be opened, or goes.
    """

    live = True

    def __init__(
        self,
        location: str = "",
        *,
        serial: str = "",
        address: str = "",
        length_us: int | str = 10_000,
        slack_us: int | str = 50_000,
    ) -> None:
        if serial and location.strip("/") not in ("", serial):
            text = "two serial numbers are given"
            raise ConfigError(text, key="serial", value=serial, allowed="camera://SERIAL, or camera://?serial=SERIAL")
        self._wanted = serial or location.strip("/")
        lengths = whole("length_us", length_us, 1_000, 1_000_000), whole("slack_us", slack_us, 0, 10_000_000)
        try:
            self._device: Any = neuromorphic_drivers.open(
                serial=self._wanted or None, address=address or None, iterator_timeout=TURN_S
            )
        except Exception as error:  # whatever the library raises: a camera that cannot be had
            raise trouble(f"camera {self._wanted}".strip(), error) from error
        try:
            self.name, self.serial = str(self._device.name().value), str(self._device.serial())
            about = self._device.properties()
        except Exception as error:
            self._device.close()
            raise trouble("the camera", error) from error
        self.size = int(about.width), int(about.height)
        self.sent = self.overflows = self.packets = 0
        self._dropped = self._backlog = 0
        self._gap = False  # whether something is missing before the next event
        self._timeline = Timeline(self.size, length_us=lengths[0], slack_us=lengths[1])
        self._over, self._closed = threading.Event(), threading.Event()

    @staticmethod
    def devices() -> list[Device]:
        """Return the cameras that are there now; raises `DeviceError` where USB cannot be asked."""
        try:
            found = neuromorphic_drivers.list_devices()
        except Exception as error:
            raise trouble("USB", error) from error
        made = []
        for one in found:
            uri = f"camera://{one.serial}" if one.serial else "camera://"
            detail = f"{one.connection.value}{f' ({one.address})' if one.address else ''}"
            why = f": cannot be opened: {trouble(one.name.value, one.error).what}" if one.error else ""
            made.append(Device(uri, one.name.value, detail + why))
        return made

    def intake(self) -> tuple[str, int, dict[str, int], dict[str, int], int]:
        """Return the hop before it, in events: see `spikestream.sensors.base.Counting`."""
        return "camera to sensor", *self._timeline.intake()

    def stats(self) -> dict[str, Any]:
        """Return its figures as they are published.

        ``overflows`` counts the places where something is missing, ``dropped_packets`` is the library's own count of
        USB packets, and ``backlog`` how many wait in its ring.
        """
        told = {"name": self.name, "serial": self.serial, "packets": self.packets, "overflows": self.overflows}
        return {**told, "dropped_packets": self._dropped, "backlog": self._backlog, **self._timeline.stats()}

    async def batches(self, start: int = 0) -> AsyncIterator[Events]:
        """Yield what is seen from now on, at ``start`` µs or later."""
        self._timeline.begin(start)
        heard_us, told = monotonic_ns() // 1_000, False
        try:
            async with aclosing(aside(self._packets())) as packets:
                async for packet in packets:
                    heard_us = packet.clock_us if packet.heard else heard_us
                    if not told and packet.clock_us - heard_us > SILENT_S * 1e6:
                        told = True
                        log.warning("%s %s is there, and has said nothing for %g s", self.name, self.serial, SILENT_S)
                    for batch in self._placed(packet):
                        self.sent += len(batch)
                        yield batch
        except DeviceError:
            for batch in self.rest():
                yield batch
            raise
        finally:
            self._over.set()
            with suppress(RuntimeError):  # the loop is closed
                await asyncio.to_thread(self._closed.wait, CLOSING_S)

    def rest(self) -> Iterator[Events]:
        """Yield what is held, to whoever has ended the batches."""
        for batch in self._timeline.finish():
            self.sent += len(batch)
            yield batch

    def _placed(self, packet: Packet) -> Iterator[Events]:
        """Yield the batches that a packet completes; where something is missing in it, a gap comes first."""
        edges = [0, *packet.missing, len(packet.events)]
        for number, (begin, end) in enumerate(pairwise(edges)):
            self._gap |= number > 0
            if begin < end:
                lost, self._gap = self._gap, False
                yield from self._timeline.take(packet.events[begin:end], packet.clock_us, lost=lost)
        yield from self._timeline.silent(packet.clock_us)

    def _packets(self) -> Iterator[Packet]:
        """Yield what the library has, in a thread that alone talks to it, and close the camera at the end."""
        try:
            for status, packet in self._device:
                if self._over.is_set():
                    return
                yield self._taken(status, packet)
        except Exception as error:
            raise trouble(f"{self.name} {self.serial}", error, gone=True) from error
        finally:
            with suppress(Exception):  # of a camera that is gone the library may complain once more
                self._device.close()
            self._closed.set()
        raise DeviceError(f"{self.name} {self.serial} has ended", remedy="plug it in again")

    def _taken(self, status: Any, packet: Any) -> Packet:
        ring = getattr(status, "ring", None)
        if ring is not None:
            self._dropped, self._backlog = int(ring.dropped_packets), int(ring.backlog)
        theirs = None if packet is None else packet.polarity_events
        places = None if packet is None else packet.polarity_events_overflow_indices
        self.packets += packet is not None
        count = 0 if theirs is None else len(theirs)
        missing = [] if places is None else sorted(min(int(place), count) for place in places)
        self.overflows += len(missing)
        events = np.empty(count, EVENT)
        if theirs is not None:
            for ours, name in (("t", "t"), ("x", "x"), ("y", "y"), ("p", "on")):
                events[ours] = theirs[name]
        return Packet(events, missing, monotonic_ns() // 1_000, packet is not None)
