"""The conformance suites over every built-in; that each law bites is shown in test_checks_*.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nasbytes import sound

from spikestream import checks, registry
from spikestream.batch import EVENT, Array, Batch, Events, Label, Setting, Spikes, Window, cut
from spikestream.checks.running import Taught
from spikestream.config import Config
from spikestream.service.record import Recorder

SIZE = (16, 12)
MEMORY = 1 << 20
"""Bytes that any of our decoders may hold: a little more than one array of 65,536 events."""


def built_in(group: str) -> set[str]:
    return {found.name for found in registry.found(group) if found.distribution == "spikestream"}


def some_events(count: int, span_us: int) -> Array:
    """Return events in time order, some of them at the same time."""
    rng = np.random.default_rng(1)
    data = np.empty(count, EVENT)
    data["t"] = np.sort(rng.integers(0, span_us, count))
    data["x"], data["y"] = rng.integers(0, SIZE[0], count), rng.integers(0, SIZE[1], count)
    data["p"] = rng.random(count) < 0.5
    return data


def in_batches(whole: Any, length_us: int) -> list[Batch]:
    pieces = []
    while whole.stop - whole.start > length_us:
        left, whole = cut(whole, whole.start + length_us)
        pieces.append(left)
    return [*pieces, whole]


READING: dict[str, dict[str, Any]] = {"nas": {"sensor": "stereo16:jaer"}}
"""What a decoder needs to be told; of the others' recordings, only a sensor does: their size."""


def encoded(name: str) -> bytes:
    if name == "nas":  # which is only read
        return sound(500)
    encoder = registry.load("formats", name).encoder(size=SIZE)
    return encoder.feed(some_events(500, 100_000)) + encoder.finish()


EVENTS = Events(0, 40_000, some_events(300, 40_000), SIZE)
SPIKES = Spikes(0, 40_000, EVENTS.data["t"].copy(), EVENTS.data["x"].astype(np.int32))
FILTERS: dict[str, list[dict[str, object]]] = {
    "none": [],
    "refractory": [{"kind": "refractory", "period_ms": 0.4}],
    "background": [{"kind": "background", "window_ms": 3.0}],
    "hot_pixel": [{"kind": "hot_pixel", "period_ms": 5.0, "max_rate_hz": 250.0, "pixels": [[1, 1]]}],
    "polarity": [{"kind": "polarity", "keep": "on"}],
    "merge": [{"kind": "polarity", "keep": "merge"}],
    "crop": [{"kind": "crop", "x": 2, "y": 3, "width": 9, "height": 7}],
    "flip": [{"kind": "flip", "horizontal": True, "vertical": True}],
    "downsample": [{"kind": "downsample", "factor": 2}],
    "rate_limit": [{"kind": "rate_limit", "max_rate_hz": 3_000.0, "burst_ms": 2.0}],
}
FILTERS["all"] = [row for name, rows in FILTERS.items() if name != "polarity" for row in rows]


def stage(name: str, **options: Any) -> Callable[[], Any]:
    return lambda: registry.load("stages", name)(**options)


SWITCHES = [Setting(22_345, "learn.enabled", False), Setting(29_000, "learn.enabled", True)]
LABELS = [Label(t, t - 12_000, t - 1_000, name) for t, name in ((13_000, "a"), (21_500, "b"), (30_000, "a"))]
MARKS = [Window(start, start + 6_000) for start in (3_000, 11_000, 17_000, 30_500)]
STAGES: dict[str, tuple[Callable[[], Any], Events | Spikes, list[Any]]] = {
    **{f"filter-{name}": (stage("filter", rows=rows, size=SIZE), EVENTS, []) for name, rows in FILTERS.items()},
    "address": (stage("address", size=SIZE), EVENTS, []),
    "address-unipolar": (stage("address", size=SIZE, polarity=False), EVENTS, []),
    "network": (stage("network", axons=16, neurons=5), SPIKES, SWITCHES),
    "network-fixed": (stage("network", axons=16, neurons=5, rule="none", seed=3, tick_us=700), SPIKES, []),
    "readout": (stage("readout", neurons=16, window_us=5_000), SPIKES, [*LABELS, *SWITCHES]),
    "readout-marked": (stage("readout", neurons=16, windows="marked", kept=2), SPIKES, [*MARKS, *LABELS]),
}


def laws(suite: Iterator[checks.Check]) -> list[str]:
    return [name for name, _ in suite]


LAWS = {
    "sensors": laws(checks.sensor(list)),
    "stages": laws(checks.stage(list, [])),
    "formats": laws(checks.decoder(list, b"")),
    "outputs": laws(checks.output(list)),
}


@pytest.mark.parametrize("law", LAWS["formats"])
@pytest.mark.parametrize("name", sorted(built_in("formats")))
def test_formats_keep_the_laws(name: str, law: str):
    make = partial(registry.load("formats", name).decoder, **READING.get(name, {}))
    dict(checks.decoder(make, encoded(name), memory=MEMORY))[law]()


@pytest.mark.parametrize("law", LAWS["stages"])
@pytest.mark.parametrize("name", STAGES)
def test_stages_keep_the_laws(name: str, law: str):
    make, given, commands = STAGES[name]
    dict(checks.stage(make, in_batches(given, 4_700), commands))[law]()


@pytest.mark.parametrize("name", STAGES)
def test_the_stages_are_given_something_to_do(name: str):
    make, given, commands = STAGES[name]
    answer = Taught(make(), commands)(given)
    assert len(answer) > 0
    if name.startswith("filter") and name != "filter-none":
        assert answer.data.tobytes() != given.data.tobytes()
    if name.startswith("readout"):
        assert {row.label for row in answer.rows} == {None, "a", "b"}


def a_recording(name: str, folder: Path) -> Callable[[], Any]:
    path = folder / "recording"
    path.write_bytes(encoded(name))
    reading = READING.get(name, {"size": SIZE})
    return lambda: registry.load("sensors", "file")(str(path), format=name, length_us=7_000, **reading)


def a_record(folder: Path) -> Callable[[], Any]:
    path = str(folder / "record.ssp")

    async def record() -> None:
        recorder = Recorder(path, Config())
        await recorder.start()
        for number, batch in enumerate(in_batches(EVENTS, 4_700)):
            if number != 3:  # a gap
                recorder(batch, [], {})
        await recorder.aclose()

    asyncio.run(record())
    return lambda: registry.load("sensors", "record")(path)


SENSORS: dict[str, Callable[[Path], Callable[[], Any]]] = {
    **{f"file-{name}": partial(a_recording, name) for name in sorted(built_in("formats"))},
    "record": a_record,
}


@pytest.mark.parametrize("law", LAWS["sensors"])
@pytest.mark.parametrize("name", SENSORS)
def test_sensors_keep_the_laws(name: str, law: str, tmp_path: Path):
    dict(checks.sensor(SENSORS[name](tmp_path)))[law]()


OUTPUTS: dict[str, Callable[[Path], str]] = {
    "tcp": lambda folder: "127.0.0.1:0",
    "unix": lambda folder: str(folder / "x.sock"),
    "file": lambda folder: str(folder / "x.ssp"),
}


@pytest.mark.parametrize("law", LAWS["outputs"])
@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_keep_the_laws(name: str, law: str, tmp_path: Path):
    output = registry.load("outputs", name)
    dict(checks.output(lambda: output(OUTPUTS[name](tmp_path))))[law]()


def test_every_built_in_is_checked():
    # Sound is no recording of events, a chip needs a placement and a simulator a circuit: their own tests hold these to
    # the laws.
    own = {"hear", "carfac", "chip", "simulator"}
    assert built_in("stages") == {name.partition("-")[0] for name in STAGES} | own
    assert built_in("sensors") == {name.partition("-")[0] for name in SENSORS} | {"wav", "microphone"}
    assert built_in("outputs") == set(OUTPUTS)
