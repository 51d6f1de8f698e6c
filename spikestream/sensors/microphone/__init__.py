"""A live microphone: PortAudio's callback fills a ring, the event loop empties it, and not a sample is lost unseen.

Stream time is the count of samples (see `spikestream.sensors.base.capture`). A device that goes away is looked for
again; the time it was gone is a gap.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from time import monotonic_ns
from typing import Any

from spikestream.batch import Array, Sound
from spikestream.errors import DeviceError, SpikestreamError
from spikestream.sensors import base
from spikestream.sensors.base.capture import Capture
from spikestream.sensors.base.choices import whole
from spikestream.sensors.microphone.driver import (
    Device,
    answered,
    devices,
    find,
    list_devices,
    opened,
    portaudio,
    told,
)

__all__ = ["Device", "Microphone", "list_devices"]

log = logging.getLogger(__name__)

LOOK_S = 1.0
SILENT_S = 5.0
"""A device that says nothing for so long, not even silence, is taken for gone."""
PAUSES_S = (0.2, 0.4, 0.8, 1.6, 3.2, 5.0)
"""Between tries to open it again; the last one stays."""
MOST_CHANNELS = 64


class Microphone:
    """A microphone in batches of about ``length_us`` µs, ``device`` its number or a part of its name.

    In a URI the device may be the location as well: ``microphone://usb?channels=2``.
    ``samplerate_hz`` 8,000 to 96,000: where the device lacks it, its own rate is resampled. Counts of the device's
    samples: ``captured == taken + dropped + held``. Raises `ConfigError`, and `DeviceError` where there is no such
    device; one that goes away later is waited for.
    """

    live = True
    size = None

    def __init__(
        self,
        location: str = "",
        *,
        device: str = "",
        samplerate_hz: int | str = 16_000,
        channels: int | str = 1,
        length_us: int | str = 10_000,
    ) -> None:
        self.wanted = device or location.strip("/")
        self.samplerate_hz = whole("samplerate_hz", samplerate_hz, 8_000, 96_000)
        self.channels = whole("channels", channels, 1, MOST_CHANNELS)
        self._length_us = whole("length_us", length_us, 1_000, 1_000_000)
        self.sent = 0
        self.came_ns = 0  # when the first sample of the last batch was there, on the monotonic clock
        self.vanished = 0
        self.connected = False
        self._device = answered(lambda: find(self.wanted, self.channels))
        self._capture = Capture(answered(self._rate_hz), self.samplerate_hz, self.channels)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._stream: Any = None
        self._run = 0  # how often it was opened
        self._ended = False

    @staticmethod
    def devices() -> list[base.Device]:
        """Return what can be recorded from here; raises `DeviceError` where PortAudio is missing or hangs."""
        made = []
        for one in list_devices():
            default = ", the default" if one.default else ""
            detail = f"{one.host}, {one.channels} channels, {one.samplerate_hz:g} Hz{default}"
            made.append(base.Device(f"microphone://{one.number}", one.name, detail))
        return made

    @property
    def captured(self) -> int:
        """Return the samples the device gave, as the callback counts them."""
        return self._capture.ring.captured

    @property
    def taken(self) -> int:
        """Return the samples taken from the ring, as the reader counts them."""
        return self._capture.ring.read

    @property
    def dropped(self) -> int:
        """Return the samples that found no room in the ring."""
        return self._capture.ring.dropped

    @property
    def held(self) -> int:
        """Return the samples that wait in the ring."""
        return self._capture.ring.waiting

    @property
    def overflows(self) -> int:
        """Return how often PortAudio said that samples were lost before they came here."""
        return self._capture.overflows

    @property
    def device(self) -> str:
        """Return the name of the device."""
        return self._device.name

    @property
    def pcm16(self) -> bool:
        """Return whether every sample is a whole number of 1/32768: nothing was resampled."""
        return self._capture.pcm16

    def stats(self) -> dict[str, Any]:
        """Return its figures as they are published; drift: by how many millionths the device's clock runs fast."""
        drift = self._capture.drift
        return {
            "device": self._device.name,
            "connected": self.connected,
            "device_rate_hz": self._capture.rate_hz,
            "captured": self.captured,
            "dropped": self.dropped,
            "overflows": self._capture.overflows,
            "vanished": self.vanished,
            "gaps_us": self._capture.lost_us,
            "drift_ppm": drift.ppm,
            "behind_ms": drift.behind_ms,
        }

    async def batches(self, start: int = 0) -> AsyncIterator[Sound]:
        """Yield the sound from now on, the first sample at ``start`` µs."""
        self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()
        self._capture.start_at(start)
        looking = self._loop.create_task(self._look())
        try:
            await self._off_loop(self._start)
            while True:
                await self._said_something()
                gone = self._gone()
                if gone:
                    with suppress(DeviceError):  # the server hangs, and so would whoever waits for it
                        await self._off_loop(self._close)
                for sound, came_ns in self._capture.end_run() if gone else self._capture.drain():
                    self.came_ns = came_ns
                    self.sent += len(sound)
                    yield sound
                if gone:
                    await self._reconnect()
        finally:
            looking.cancel()
            self._loop = None
            with suppress(DeviceError):  # nobody waits for a server that hangs
                await self._off_loop(self._close)

    # The device's side.

    def _heard(self, run: int, block: Array, frames: int, times: Any, status: Any) -> None:
        """Take a block from PortAudio, in its own thread; one of a run that was given up is nobody's."""
        if run == self._run:
            self._capture.heard(block, monotonic_ns(), bool(status.input_overflow))
            self._wake()

    def _finished(self, run: int) -> None:
        """Hear that the stream has ended, from PortAudio."""
        if run == self._run:
            self._ended = True
            self._wake()

    def _wake(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(self._news.set)

    def _start(self) -> None:
        """Open the device and let it run; raises `DeviceError`."""
        audio = portaudio()
        if self._stream is not None:  # of a call that hung and came back in the end
            self._close()
        rate = self._rate_hz()
        self._capture.begin_run(rate, monotonic_ns())
        self._ended = False
        self._run += 1
        run = self._run
        opened.add(self)
        with told(audio, self._device.name):
            self._stream = audio.InputStream(
                device=self._device.number,
                samplerate=rate,
                channels=self.channels,
                dtype="int16",
                blocksize=self._length_us * rate // 1_000_000,
                latency="low",
                callback=lambda *told: self._heard(run, *told),
                finished_callback=lambda: self._finished(run),
            )
            self._stream.start()
        self.connected = True

    def _close(self) -> None:
        """Let go of the device."""
        stream, self._stream = self._stream, None
        self._run += 1
        self.connected = False
        if stream is not None:
            with suppress(Exception):  # of a device that is gone PortAudio complains once more
                stream.close(ignore_errors=True)
        opened.discard(self)

    def _rate_hz(self) -> int:
        """Return the rate to open the device with: the one asked for, or its own where it lacks that."""
        audio = portaudio()
        asked = {"device": self._device.number, "channels": self.channels, "dtype": "int16"}
        try:
            audio.check_input_settings(samplerate=self.samplerate_hz, **asked)
            return self.samplerate_hz
        except audio.PortAudioError:
            own = round(self._device.samplerate_hz)
        with told(audio, self._device.name):
            audio.check_input_settings(samplerate=own, **asked)
        return own

    # The event loop's side.

    async def _said_something(self) -> None:
        await self._news.wait()
        self._news.clear()

    async def _look(self) -> None:
        """Wake the reader now and then, to see whether the device still says anything."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._news.set()

    def _gone(self) -> bool:
        return self._ended or monotonic_ns() - self._capture.last[1] > SILENT_S * 1e9

    async def _reconnect(self) -> None:
        """Return when the device is back and says something, or has gone once more, which the caller will see."""
        self.vanished += 1
        log.warning("%s has gone: looking for it", self._device.name)
        for tries in itertools.count():
            await asyncio.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)])
            try:
                await self._off_loop(self._start_again)
                break
            except DeviceError as error:
                with suppress(DeviceError):
                    await self._off_loop(self._close)
                log.info("%s is not back: %s", self._device.name, error.what)
        while not self._capture.begun and not self._gone():
            await self._said_something()
        self._capture.bridge()
        self._news.set()
        if self._capture.begun:
            log.warning("%s is back", self._device.name)

    def _start_again(self) -> None:
        """Find the device again, which may have another number now, and start it.

        Nobody listens to another one than that, unless it was the default that was asked for.
        """
        found = devices()
        same = [one for one in found if (one.name, one.host) == (self._device.name, self._device.host)]
        if not same and self.wanted:
            raise DeviceError(f"there is no {self._device.name}, {self._device.host}")
        device = same[0] if same else find("", self.channels)
        if not same:
            log.warning("%s is not there any more: the default is %s now", self._device.name, device.name)
        self._device = device
        self._start()

    async def _off_loop(self, call: Callable[[], None]) -> None:
        """Do what may take a second in a thread; where this is cancelled, wait for it all the same: it is bounded."""
        working = asyncio.ensure_future(asyncio.to_thread(answered, call))
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError:
            with suppress(SpikestreamError, asyncio.CancelledError):
                await working
            raise
