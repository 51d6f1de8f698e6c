"""How a sensor's stream becomes a file: what `record` and `synth` share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikestream.cli.base import Console, run_until_signalled
from spikestream.cli.base.bar import PROGRESS_S
from spikestream.errors import ConfigError, RecordingError
from spikestream.units import show_us

if TYPE_CHECKING:
    from spikestream.batch import Batch, Events
    from spikestream.service.filing import Filing

WAV = ".wav"


def keeper(sensor: Any, target: str, format: str | None, zero: bool) -> Callable[[Iterator[Batch]], int]:
    """Return what writes the batches of a sensor into a file, and tells how many events or samples there were.

    Raises `ConfigError` where what the sensor gives is not written to a file of this name.
    """
    from spikestream.batch import no_events
    from spikestream.cli.base.copying import format_of, from_zero
    from spikestream.files.write import write, write_kept

    rate: int = getattr(sensor, "samplerate_hz", 0)
    if bool(rate) != (Path(target).suffix.lower() == WAV):
        what = f"{'sound' if rate else 'events'} cannot be recorded as '{Path(target).suffix or target}'"
        allowed = ".wav" if rate else "a format of events, such as .aedat4; see spikestream formats"
        raise ConfigError(what, key="OUT", value=target, allowed=allowed)
    if rate:
        return lambda batches: _sound(target, rate, getattr(sensor, "pcm16", False), batches)
    name, options = format_of(target, format)

    def keep(given: Iterator[Batch]) -> int:
        events = _events(given)
        begin = [no_events(0, 0, sensor.size)] if sensor.size else []
        batches = chain(begin, from_zero(events) if zero else events)
        writing = write_kept if sensor.live else write
        return writing(
            target, batches, size=None, format=name, **options
        )  # of a file that does not tell it, it may grow

    return keep


def file(console: Console, filing: Filing, keep: Callable[[Iterator[Batch]], int]) -> tuple[int | None, int | None]:
    """Write until the sensor ends or a signal comes; return how much was written, and the signal's number.

    The first is None where there is no file, as nothing came: ``filing.error`` tells why.
    """
    written: list[int | None] = []

    async def run() -> None:
        import asyncio

        showing = asyncio.create_task(_show(console, filing))
        try:
            written.append(await filing.run(keep))
        finally:
            showing.cancel()
            console.clear()

    signalled = run_until_signalled(run(), filing.end)
    return (written or [None])[0], signalled


async def _show(console: Console, filing: Filing) -> None:
    import asyncio

    while True:
        await asyncio.sleep(PROGRESS_S)
        length = show_us(filing.stop - filing.start) if filing.start is not None else "nothing yet"
        console.progress(f"{length}, {filing.rows:,}")


def _events(batches: Iterable[Batch]) -> Iterator[Events]:
    from spikestream.batch import Events

    for batch in batches:
        if not isinstance(batch, Events):
            what = f"a sensor of {type(batch).__name__.lower()} cannot be recorded as events"
            raise RecordingError(what, remedy="spikestream run CONFIG --record FILE")
        yield batch


def _sound(target: str, rate: int, pcm16: bool, batches: Iterator[Batch]) -> int:
    import asyncio

    from spikestream.service.record_wav import WavRecorder

    recorder = WavRecorder(target, rate, pcm16)
    try:
        for batch in batches:
            recorder(batch, (), {})
    finally:
        asyncio.run(recorder.aclose())
    if not recorder.rows:
        raise RecordingError("no sound came", file=target)
    return recorder.rows
