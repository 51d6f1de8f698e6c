"""What ``emulate`` gives to a chip: a recording through eye or ear, spikes of a file, noise, or silence."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikestream.batch import Events, Spikes, cut, no_spikes
from spikestream.errors import ConfigError, ModelError, RecordingError

if TYPE_CHECKING:
    from spikestream.config import Config
    from spikestream.model.placement import Placement

log = logging.getLogger(__name__)

BLOCK_TICKS = 1_000
"""So many ticks go through the chip at once, and so many of noise are drawn at once: its seed counts them."""
MOST_DRAWN = 1 << 26
"""Spikes of noise in one block, at most."""


@dataclass(frozen=True, slots=True)
class Stimulus:
    """Spikes for a chip: what they are, batch by batch in order of time, and whether they end of themselves."""

    name: str
    batches: Iterator[Spikes]
    ends: bool = True


def silence() -> Stimulus:
    """Return no spikes, from stream time 0 on."""
    return Stimulus("silence", iter([no_spikes(0, 0)]), ends=False)


def poisson(inputs: int, rate_hz: float, seed: int, tick_us: int) -> Stimulus:
    """Return noise without end: each input spikes at ``rate_hz`` by chance; raises `ConfigError`."""
    block_us = BLOCK_TICKS * tick_us
    mean = inputs * rate_hz * block_us / 1e6
    if not 0 <= mean <= MOST_DRAWN:
        allowed = f"0 or more, together up to {MOST_DRAWN / block_us * 1e6:,.0f} a second"
        raise ConfigError(f"{rate_hz} Hz an input is out of range", key="--poisson", value=rate_hz, allowed=allowed)

    def drawn() -> Iterator[Spikes]:
        rng, start = np.random.default_rng(seed), 0
        while True:
            count = int(rng.poisson(mean))
            t, axon = np.sort(rng.integers(start, start + block_us, count)), rng.integers(0, max(inputs, 1), count)
            yield Spikes(start, start + block_us, t, axon.astype(np.int32))
            start += block_us

    return Stimulus(f"noise of {rate_hz:g} Hz an input, seed {seed}", drawn(), ends=False)


def beside(model: str, placement: Placement, tick_us: int) -> Stimulus | None:
    """Return the input that comes along with a model: packets in RANC's file, a spike file of NSCS of the same name."""
    from spikestream.model.crossbar import RANC

    path = Path(model)
    if path.suffix == ".json" and placement.law == RANC:
        spikes = _packets(model, placement, tick_us)
        return _whole(f"packets of {path.name}", spikes) if spikes.stop > spikes.start else None
    spikes_path = path.with_suffix(".sfri")
    if path.suffix == ".json" and spikes_path.is_file():
        return _whole(spikes_path.name, _nscs(str(spikes_path), placement, tick_us))
    return None


def of_file(source: str, placement: Placement, tick_us: int, config: Config) -> Stimulus:
    """Return what a file holds: packets of RANC, spikes of NSCS or of our own, or a recording or sound that is heard.

    ``config`` tells the filters or the ear. Raises `RecordingError`, `ModelError` and `ConfigError`.
    """
    from spikestream.sensors.record import is_record

    name, suffix = Path(source).name, Path(source).suffix.lower()
    if suffix == ".json":
        return _whole(f"packets of {name}", _packets(source, placement, tick_us))
    if suffix == ".sfri":
        return _whole(name, _nscs(source, placement, tick_us))
    if suffix == ".npz":
        from spikestream.files.spikes import read_spikes

        return _whole(name, read_spikes(source))
    if is_record(source):
        remedy = f"spikestream replay {source} --placement FILE"
        raise ConfigError("a record holds more than spikes for a chip", key="--input", value=source, remedy=remedy)
    return Stimulus(name, _sensed(source, placement, config))


def timed(stimulus: Stimulus, ticks: int | None, tick_us: int) -> Iterator[Spikes]:
    """Yield a stimulus for ``ticks`` ticks, then silence, or None: to its end; cut at `BLOCK_TICKS` and after them."""
    stop: int | None = None
    now = 0
    for batch in stimulus.batches:
        if stop is None:
            now = batch.start
            stop = now // tick_us * tick_us + ticks * tick_us if ticks is not None else 2**62
        if batch.start >= stop:
            break
        piece = batch if batch.stop <= stop else cut(batch, stop)[0]
        yield from _blocks(piece, tick_us)
        now = piece.stop
        if now >= stop:
            return
    if stop is None or ticks is None:  # the last tick runs to its end
        stop = -(-now // tick_us) * tick_us
    yield from _blocks(no_spikes(now, stop), tick_us)


def _blocks(batch: Any, tick_us: int) -> Iterator[Spikes]:
    length_us = BLOCK_TICKS * tick_us
    while batch.stop - batch.start > length_us:
        piece, batch = cut(batch, batch.start + length_us)
        yield piece
    yield batch


def _whole(name: str, spikes: Spikes) -> Stimulus:
    return Stimulus(name, iter([spikes]))


def _packets(path: str, placement: Any, tick_us: int) -> Spikes:
    from spikestream.files.ranc import read_packets

    _need_axons(path, placement)
    return read_packets(path, placement, tick_us=tick_us)


def _nscs(path: str, placement: Any, tick_us: int) -> Spikes:
    from spikestream.files.nscs_spikes import nscs_input, read_nscs_spikes

    _need_axons(path, placement)
    return nscs_input(read_nscs_spikes(path), placement, tick_us=tick_us)


def _need_axons(path: str, placement: Placement) -> None:
    """Raise `ModelError` unless the inputs are the axons, which these files name."""
    from spikestream.model.crossbar import CrossbarPlacement

    if not isinstance(placement, CrossbarPlacement) or placement.input_count != placement.cores * placement.axons:
        raise ModelError(f"{path} names axons of cores, and the inputs of this chip are no axons")


def _played(source: str, length_us: int, reading: dict[str, Any]) -> Iterator[Events]:
    """Yield a recording as batches, and say in the end what had to be guessed or is wrong."""
    from spikestream.files.reader import Reader
    from spikestream.files.stream import stream_of

    with Reader(source, **reading) as reader:
        try:
            yield from stream_of(reader, length_us=length_us, grid_us=1_000)
        finally:
            for text in reader.warnings:
                log.warning("%s: %s", source, text)


def _sensed(source: str, placement: Placement, config: Config) -> Iterator[Spikes]:
    """Yield what eye or ear makes of a recording; raises `ConfigError` where the chip has other inputs."""
    from spikestream.building import check_axons, senses, with_sensor
    from spikestream.files.sound import is_sound, sound_info, sounds
    from spikestream.pipeline import Pipeline
    from spikestream.units import pixels

    length_us, sensor = config.batch.length_us, config.sensor
    given: dict[str, Any] = {"format": sensor.format, "sensor": sensor.layout, "time": sensor.time}
    given["size"] = pixels(sensor.size) if sensor.size else None
    batches: Iterator[Any]
    if is_sound(source):
        batches, rate, size = sounds(source, length_us=length_us), sound_info(source, scan=False).samplerate_hz, None
    else:
        batches, rate = _played(source, length_us, {k: v for k, v in given.items() if v}), 0
        first = next(batches, None)
        if first is None:
            raise RecordingError("holds no event", file=source)
        batches, size = chain([first], batches), first.size
    stages, axons = senses(with_sensor(config, size, rate))
    check_axons(placement, axons)
    *_, last = stages
    pipeline = Pipeline(stages)
    for batch in batches:
        made = pipeline(batch)[last]
        if isinstance(made, Spikes):
            yield made
