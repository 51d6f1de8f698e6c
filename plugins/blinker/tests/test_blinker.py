"""The template's test: the laws of every sensor, then what this one is for."""

import asyncio

import numpy as np
import pytest
from spikestream_blinker import Blinker

from spikestream import checks
from spikestream.batch import Events, concat
from spikestream.errors import ConfigError
from spikestream.registry import load
from spikestream.sensors.base import open_sensor


async def take(sensor: Blinker, count: int, start: int = 0) -> Events:
    stream = sensor.batches(start)
    return concat([await anext(stream) for _ in range(count)])


@pytest.mark.parametrize("options", [{}, {"hz": "777", "width": "3", "height": "1"}, {"hz": "0.001"}])
@pytest.mark.parametrize("law", [name for name, _ in checks.sensor(Blinker)])
def test_it_keeps_the_laws_of_a_sensor(law: str, options: dict[str, str]):
    dict(checks.sensor(lambda: Blinker(**options)))[law]()


def test_it_is_found_by_its_name():
    assert load("sensors", "blinker") is Blinker
    assert open_sensor("blinker://?hz=2&width=8&height=4").size == (8, 4)


def test_the_square_turns_on_and_off():
    second = asyncio.run(take(Blinker(hz="2", width="8", height="4"), 100))
    assert (second.start, second.stop, second.size) == (0, 1_000_000, (8, 4))
    times, counts = np.unique(second.data["t"], return_counts=True)
    assert times.tolist() == [0, 250_000, 500_000, 750_000]
    assert counts.tolist() == [8, 8, 8, 8]
    assert second.data["p"].reshape(4, 8).all(axis=1).tolist() == [True, False, True, False]
    assert sorted(set(zip(second.data["x"].tolist(), second.data["y"].tolist(), strict=True))) == [
        (x, y) for x in (2, 3, 4, 5) for y in (1, 2)
    ]


def test_an_edge_on_the_border_of_a_batch_belongs_to_the_later_one():
    first = asyncio.run(take(Blinker(hz="50"), 1))
    assert set(first.data["t"].tolist()) == {0}
    assert set(asyncio.run(take(Blinker(hz="50"), 1, start=10_000)).data["t"].tolist()) == {10_000}


@pytest.mark.parametrize(
    "options", ["hz=0", "hz=fast", "hz=nan", "hz=-5", "hz=1e9", "width=0", "width=wide", "height=70000"]
)
def test_odd_options_are_a_config_error(options: str):
    with pytest.raises(ConfigError):
        open_sensor(f"blinker://?{options}")
