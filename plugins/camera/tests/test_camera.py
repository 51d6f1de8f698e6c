"""A scripted camera at the library's own border: it sends, is silent, overflows, is unplugged, and comes back."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from typing import Any

import neuromorphic_drivers as nd
import numpy as np
import pytest
import spikestream_camera
from spikestream_camera import Camera

from spikestream import checks
from spikestream.errors import ConfigError, DeviceError
from spikestream.registry import load
from spikestream.sensors.base import Device

THEIRS = np.dtype([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])
GONE = "No such device (it may have been disconnected)"


def events(*times: int) -> np.ndarray:
    """Return events as the library gives them."""
    made = np.zeros(len(times), THEIRS)
    made["t"] = times
    made["x"], made["y"], made["on"] = made["t"] % 1_280, made["t"] % 720, made["t"] % 2
    return made


def packet(data: np.ndarray | None, overflows: list[int] | None = None) -> nd.Evt3Packet:
    made = nd.Evt3Packet()
    made.polarity_events = data
    made.trigger_events = None
    made.polarity_events_overflow_indices = None if overflows is None else np.array(overflows, np.uint64)
    made.trigger_events_overflow_indices = None
    return made


class Scripted:
    """What `neuromorphic_drivers.open` returns, as far as it is used: of each step a packet, None, or an error."""

    opened: list[Scripted] = []  # noqa: RUF012 - emptied by the fixture

    def __init__(self, steps: Any, serial: str | None) -> None:
        self.steps, self.own, self.closed, self.handed = iter(steps), serial or "00050423", 0, 0
        self.opened.append(self)

    def name(self) -> nd.Name:
        return nd.Name.PROPHESEE_EVK4

    def serial(self) -> str:
        return self.own

    def properties(self) -> Any:
        return nd.prophesee_evk4.Properties()

    def __iter__(self) -> Scripted:
        return self

    def __next__(self) -> tuple[Any, nd.Evt3Packet | None]:
        assert not self.closed, "__next__ called after __exit__"
        step = next(self.steps, None)
        if isinstance(step, Exception):
            raise step
        if step is None:
            time.sleep(0.002)
            return nd.device.status.Status(system_time=0.0, ring=None), None
        self.handed += 1
        ring = nd.device.status.RingStatus(0.0, 3, 1, False, 0, 7)
        return nd.device.status.Status(system_time=0.0, ring=ring), step

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def script(monkeypatch):
    """Return a function that sets what cameras will do, one list of steps for each that is opened."""
    Scripted.opened.clear()
    lives: list[Any] = []

    def opening(**options: Any) -> Scripted:
        assert options["iterator_timeout"] > 0
        steps = lives.pop(0) if lives else RuntimeError("no device found")
        if isinstance(steps, Exception):
            raise steps
        return Scripted(steps, options["serial"])

    monkeypatch.setattr(nd, "open", opening)
    return lives.extend


async def taken(camera: Camera, count: int) -> list[Any]:
    batches: list[Any] = []
    stream = camera.batches()
    async with asyncio.timeout(30):
        while sum(map(len, batches)) < count:
            batches.append(await anext(stream))
    await stream.aclose()
    return batches


async def to_the_end(camera: Camera, batches: list[Any]) -> None:
    async with asyncio.timeout(30):
        async for batch in camera.batches():
            batches.append(batch)  # noqa: PERF401 - what came before the error is wanted


def gaps(batches: list[Any]) -> list[tuple[int, int]]:
    return [(a.stop, b.start) for a, b in pairwise(batches) if a.stop < b.start]


def test_events_come_as_they_are_and_the_camera_is_closed_at_the_end(script):
    data = events(*range(1_000_000, 1_050_000, 10))
    script([[packet(part) for part in np.split(data, 50)]])
    camera = Camera("00050423", slack_us="1000000")
    assert (camera.size, camera.name, camera.serial) == ((1_280, 720), "Prophesee EVK4", "00050423")
    batches = asyncio.run(taken(camera, 4_000))
    came = np.concatenate([batch.data for batch in batches])
    for ours, theirs in (("t", "t"), ("x", "x"), ("y", "y"), ("p", "on")):
        assert came[ours].tolist() == data[theirs][: len(came)].tolist()
    assert gaps(batches) == []
    assert Scripted.opened[0].closed == 1
    name, came_in, _, dropped, held = camera.intake()
    assert (name, came_in) == ("camera to sensor", camera.sent + sum(dropped.values()) + held)
    assert (camera.stats()["dropped_packets"], camera.stats()["backlog"]) == (7, 3)


def test_time_goes_on_while_it_sees_nothing(script):
    script([[packet(events(1_000_000, 1_001_000)), packet(None)]])

    async def work() -> list[Any]:
        batches, stream = [], Camera().batches()
        async with asyncio.timeout(30):
            while not batches or batches[-1].stop < 1_200_000:
                batches.append(await anext(stream))
        await stream.aclose()
        return batches

    batches = asyncio.run(work())
    assert sum(map(len, batches)) == 2
    assert gaps(batches) == []


@pytest.mark.parametrize(
    ("packets", "expected"),
    [
        ([([1_000_000, 1_001_000, 1_008_000, 1_009_000], [2])], (1_001_001, 1_008_000)),
        ([([1_000_000, 1_001_000], [2]), ([1_008_000, 1_009_000], None)], (1_001_001, 1_008_000)),
        ([([1_000_000, 1_001_000], None), ([1_008_000, 1_009_000], [0])], (1_001_001, 1_008_000)),
        ([([1_000_000, 1_001_000], [2]), ([], None), ([1_008_000, 1_009_000], [0])], (1_001_001, 1_008_000)),
    ],
)
def test_an_overflow_is_a_gap_at_its_place(script, packets, expected):
    script([[*(packet(events(*times), places) for times, places in packets), packet(events(1_050_000))]])
    camera = Camera(slack_us="1000000")
    batches = asyncio.run(taken(camera, 4))
    assert gaps(batches) == [expected]
    assert [t for batch in batches for t in batch.data["t"].tolist()] == [1_000_000, 1_001_000, 1_008_000, 1_009_000]
    assert camera.overflows == sum(len(places or []) for _, places in packets)


@pytest.mark.parametrize("said", [GONE, "Rusb(NoDevice)", "Input/Output Error", "ring overflow"])
def test_one_that_is_unplugged_is_a_device_error_after_all_it_has_seen_and_may_come_back(script, said):
    first, second = events(1_000_000, 1_001_000), events(500, 20_000, 90_000)
    script([[packet(first), RuntimeError(said)], RuntimeError("no device found"), [packet(second)]])
    batches: list[Any] = []
    with pytest.raises(DeviceError, match="Prophesee EVK4 00050423 has gone"):
        asyncio.run(to_the_end(Camera(), batches))
    assert [t for batch in batches for t in batch.data["t"].tolist()] == [1_000_000, 1_001_000]
    assert Scripted.opened[0].closed == 1
    with pytest.raises(DeviceError, match="not there"):  # and the daemon goes on trying
        Camera()
    again = asyncio.run(taken(Camera(), 3))
    assert [t for batch in again for t in batch.data["t"].tolist()] == [500, 20_000, 90_000]


def test_what_the_pipeline_is_too_slow_for_waits_in_the_library(script):
    """Nothing piles up here: the library's ring overflows, and says where."""

    def steps():
        for k in range(10_000):
            yield packet(events(1_000_000 + 1_000 * k))

    script([steps()])
    camera = Camera(slack_us="1000000")

    async def work() -> int:
        stream = camera.batches()
        await anext(stream)
        await asyncio.sleep(0.1)  # who takes nothing
        handed = Scripted.opened[0].handed
        await stream.aclose()
        return handed

    assert asyncio.run(work()) < 100


def test_errors_say_what_to_do(script):
    script(
        [
            RuntimeError("Access denied (insufficient permissions)"),
            RuntimeError("the device is already used by another program"),
        ]
    )
    with pytest.raises(DeviceError) as denied:
        Camera("7")
    assert "install-udev-rules" in denied.value.remedy
    assert 'ATTRS{idVendor}=="152a"' in str(denied.value)
    assert denied.value.exit_code == 4
    with pytest.raises(DeviceError, match="in use by another program"):
        Camera("7")
    with pytest.raises(DeviceError, match="camera 7 is not there"):
        Camera("7")


def test_cameras_are_listed_those_that_cannot_be_opened_with_the_reason(monkeypatch):
    usb = nd.Connection.USB_SUPER
    found = [
        nd.ListedDevice(nd.Name.PROPHESEE_EVK4, usb, "", "00050423", None),
        nd.ListedDevice(nd.Name.INIVATION_DAVIS346, usb, "", None, "Access denied (insufficient permissions)"),
    ]
    monkeypatch.setattr(nd, "list_devices", lambda: found)
    first, second = Camera.devices()
    assert first == Device("camera://00050423", "Prophesee EVK4", "USB 3.0 SuperSpeed (5.0 Gb/s)")
    assert second.uri == "camera://"
    assert "may not be opened by this user" in second.detail


def test_the_real_library_lists_what_there_is_or_says_why_it_cannot():
    found, remedy = [], ""
    try:
        found = Camera.devices()
    except DeviceError as error:
        remedy = error.remedy
    assert "lsusb" in remedy or (not remedy and all(isinstance(one, Device) for one in found))


def test_the_udev_rules_are_those_of_the_library(tmp_path, monkeypatch):
    monkeypatch.setattr("subprocess.check_call", lambda command: None)
    nd.install_udev_rules(tmp_path / "rules", True, True, True)
    theirs = (tmp_path / "rules").read_text().splitlines()
    assert set(spikestream_camera.hints.UDEV) <= set(theirs)


def test_it_keeps_the_laws_of_a_sensor(script):
    def steps():
        begun = time.monotonic()
        while True:
            t = round((time.monotonic() - begun) * 1e6)
            yield packet(events(t, t + 1))
            yield None

    for name, check in checks.sensor(lambda: Camera(length_us="2000"), batches=5):
        script([steps() for _ in range(4)])
        check()
        assert name
    assert all(one.closed == 1 for one in Scripted.opened)


def test_it_is_found_by_its_name():
    assert load("sensors", "camera") is Camera


@pytest.mark.parametrize("options", [{"length_us": "5"}, {"slack_us": "-1"}, {"location": "1", "serial": "2"}])
def test_odd_options_are_a_config_error_and_open_nothing(script, options):
    script([[]])
    with pytest.raises(ConfigError):
        Camera(**options)
    assert Scripted.opened == []
