"""The conformance suites over every built-in; that each law bites is shown in test_checks_*.py."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import rosfiles
import scipy.io
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


CONTAINERS = {"npy": 200, "npz": 200, "db3": 200, "hdf5": 15}
"""The formats that read their file themselves, and how often it is damaged: a process apart ends with each."""
READING: dict[str, dict[str, Any]] = {"nas": {"sensor": "stereo16:jaer"}, "aedat1": {"sensor": "dvs128"}}
"""What a decoder needs to be told; of the others' recordings, only a sensor does: their size."""


def encoded(name: str) -> bytes:
    if name == "nas":  # these are only read
        return sound(500)
    if name == "aedat1":
        return b"#!AER-DAT1.0\r\n" + b"".join(struct.pack(">HI", 37 * k % 2**15, 200 * k) for k in range(500))
    if name == "mat":
        return spiketrain()
    if name in ("bag", "mcap", "db3"):
        with TemporaryDirectory() as folder:
            return messages(Path(folder) / f"recording.{name}", some_events(500, 100_000)).read_bytes()
    if name == "npy":
        file = BytesIO()
        np.save(file, some_events(500, 100_000))
        return file.getvalue()
    if name == "evt21":
        words = [8 << 60, *(k % 2 << 60 | (k // 8) << 54 | 3 << 43 | 5 << 32 | 0b1001 for k in range(500))]
        return b"% evt 2.1\n% geometry 16x12\n% end\n" + np.array(words, "<u8").tobytes()
    format = registry.load("formats", name)
    if format.packer is not None:
        return packed(format)
    encoder = format.encoder(size=SIZE)
    return encoder.feed(some_events(500, 100_000)) + encoder.finish()


def packed(format: Any) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "recording"
        packer = format.packer(path, size=SIZE)
        packer.feed(some_events(500, 100_000))
        packer.finish()
        packer.close()
        return path.read_bytes()


def messages(path: Path, events: Array) -> Path:
    kind, parts = "dvs_msgs/msg/EventArray", np.split(events, [1, 2, 5, 200])
    return rosfiles.write(path, [("/events", kind, partial(rosfiles.array, events=part, size=SIZE)) for part in parts])


def spiketrain() -> bytes:
    array = np.zeros((101, 60))
    array[np.arange(60), np.arange(60)], array[100] = (-1) ** np.arange(60), np.arange(60) / 1000
    file = BytesIO()
    scipy.io.savemat(file, {"spiketrain": array}, do_compression=True)
    return file.getvalue()


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
SMALL = {"axons": 16, "w_init": 0.8, "window_us": 5_000, "update_ms": 2.0, "rate": 0.05}
RECURRENT = {
    "recurrent": 0.4,
    "adaptive": 0.5,
    "feedback": "random",
    "tau_out_ms": [5.0, 20.0],
    "tau_m_ms": [5.0, 30.0],
}
STAGES: dict[str, tuple[Callable[[], Any], Events | Spikes, list[Any]]] = {
    **{f"filter-{name}": (stage("filter", rows=rows, size=SIZE), EVENTS, []) for name, rows in FILTERS.items()},
    "address": (stage("address", size=SIZE), EVENTS, []),
    "address-unipolar": (stage("address", size=SIZE, polarity=False), EVENTS, []),
    "pool": (stage("pool", shape=(1, 4, 4), rest_ms=0.7), SPIKES, []),
    "pool-overlapping": (stage("pool", shape=(1, 4, 4), pool=3, stride=1, rest_ms=0.7), SPIKES, []),
    "edges": (stage("edges", shape=(1, 4, 4), size=3, tau_ms=5.0, pool=3, stride=2), SPIKES, []),
    "edges-700": (stage("edges", shape=(2, 2, 4), size=3, patterns="both", pool=1, tick_us=700), SPIKES, []),
    "surface": (stage("surface", shape=(1, 4, 4), size=3, pool=1), SPIKES, []),
    "surface-overlapping": (stage("surface", shape=(2, 2, 4), patterns="bars", pool=2, stride=1), SPIKES, []),
    "maps": (stage("maps", shape=(1, 4, 4), size=3, maps=3, gain=2.0, lesson_ms=0.0), SPIKES, SWITCHES),
    "maps-local": (stage("maps", shape=(2, 2, 4), size=2, share=False, stride=1, tick_us=700), SPIKES, SWITCHES),
    "network": (stage("network", axons=16, neurons=5), SPIKES, SWITCHES),
    "network-fixed": (stage("network", axons=16, neurons=5, rule="none", seed=3, tick_us=700), SPIKES, []),
    "readout": (stage("readout", neurons=16, window_us=5_000), SPIKES, [*LABELS, *SWITCHES]),
    "classifier": (stage("classifier", hidden=8, **SMALL, replays=2), SPIKES, [*LABELS, *SWITCHES]),
    "classifier-marked": (
        stage("classifier", hidden=8, **{**SMALL, "tick_us": 700}, windows="marked", kept=2, reset=True, store=2),
        SPIKES,
        [*MARKS, *LABELS],
    ),
    "classifier-anytime": (
        stage("classifier", hidden=8, **SMALL, **RECURRENT, anytime_us=1_700, classes=1),
        SPIKES,
        [*LABELS, Setting(20_100, "classifier.confidence_min", 0.51), Setting(26_000, "classifier.rate", 0.01)],
    ),
    "readout-marked": (stage("readout", neurons=16, windows="marked", kept=2), SPIKES, [*MARKS, *LABELS]),
}


def laws(suite: Iterator[checks.Check]) -> list[str]:
    return [name for name, _ in suite]


LAWS = {
    "sensors": laws(checks.sensor(list)),
    "stages": laws(checks.stage(list, [])),
    "formats": laws(checks.decoder(list, b"")),
    "containers": laws(checks.container(list, Path())),
    "writers": laws(checks.writer(registry.load("formats", "csv"), Path())),
    "outputs": laws(checks.output(list)),
}


@pytest.mark.parametrize("law", LAWS["formats"])
@pytest.mark.parametrize("name", sorted(built_in("formats") - set(CONTAINERS)))
def test_formats_keep_the_laws(name: str, law: str):
    make = partial(registry.load("formats", name).decoder, **READING.get(name, {}))
    memory = 2 * MEMORY if name in ("mcap", "evt3", "aedat4") else MEMORY
    dict(checks.decoder(make, encoded(name), memory=memory))[law]()


@pytest.mark.parametrize("law", LAWS["containers"])
@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_keep_the_laws(name: str, law: str, tmp_path: Path):
    path = tmp_path / "recording"
    path.write_bytes(encoded(name))
    dict(checks.container(registry.load("formats", name).container, path, times=CONTAINERS[name]))[law]()


WRITERS = {name for name in built_in("formats") if registry.load("formats", name).writes is not None}


@pytest.mark.parametrize("law", LAWS["writers"])
@pytest.mark.parametrize("name", sorted(WRITERS))
def test_writers_keep_the_laws(name: str, law: str, tmp_path: Path):
    dict(checks.writer(registry.load("formats", name), tmp_path))[law]()


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
    reading = READING.get(name, {} if name == "mat" else {"size": SIZE})
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
    "synth": lambda folder: lambda: registry.load("sensors", "synth")("bars", take=2),
}


@pytest.mark.parametrize("law", LAWS["sensors"])
@pytest.mark.parametrize("name", SENSORS)
def test_sensors_keep_the_laws(name: str, law: str, tmp_path: Path):
    dict(checks.sensor(SENSORS[name](tmp_path)))[law]()


OUTPUTS: dict[str, Callable[[Path], str]] = {
    "tcp": lambda folder: "127.0.0.1:0",
    "ws": lambda folder: "127.0.0.1:0",
    "unix": lambda folder: str(folder / "x.sock"),
    "file": lambda folder: str(folder / "x.ssp"),
    "udp": lambda folder: "127.0.0.1:9",
    "dv": lambda folder: "127.0.0.1:0",
}


@pytest.mark.parametrize("law", LAWS["outputs"])
@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_keep_the_laws(name: str, law: str, tmp_path: Path):
    output = registry.load("outputs", name)
    dict(checks.output(lambda: output(OUTPUTS[name](tmp_path))))[law]()


def test_every_built_in_is_checked():
    # Sound is no recording of events, a chip needs a placement, a simulator a circuit, a data set its folder, what is
    # inherited a service manager, NATS a broker, and TLS a certificate: their own tests hold these to the laws.
    own = {"hear", "carfac", "contrast", "chip", "simulator"}
    assert built_in("stages") == {name.partition("-")[0] for name in STAGES} | own
    elsewhere = {"wav", "microphone", "mnist", "saccades", "nmnist", "spoken", "tonic", "nats", "udp", "dv", "stdin"}
    elsewhere |= {"tcp", "tcps", "unix", "ws", "wss"}
    assert built_in("sensors") == {name.partition("-")[0] for name in SENSORS} | elsewhere
    assert built_in("outputs") == set(OUTPUTS) | {"inherited", "nats", "tcps", "wss"}
