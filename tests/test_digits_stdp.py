"""Digits without a teacher, by the configuration that is shipped: what its options are for, on MNIST's images."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from spikestream import build
from spikestream.config import read_config
from spikestream.sensors.datasets.mnist import Mnist
from spikestream.service.scoring import Scorer, commands_of

CONFIG = Path(__file__).parents[1] / "config" / "digits_stdp.toml"
TAUGHT, HELD_OUT = 2_000, 400
SMALL = ["network.neurons=64", "network.inhibition=22", "learn.rate_end=0.01", "readout.windows=marked"]


async def played(folder: Path, sets: list[str]) -> float:
    """Return the share of images told right that were held out, the last of those played."""
    sensor = Mnist(str(folder), present_ms=150, rate_hz=128, take=TAUGHT + HELD_OUT, together=10)
    rows = [replace(row, test=place >= TAUGHT) for place, row in enumerate(sensor.rows)]
    pipeline = build(read_config(CONFIG, [*SMALL, *sets], {"address": {"polarity": "ignore"}}), sensor.size)
    commands, scorer = commands_of(rows, mark=True, teach=True), Scorer(rows, 784, taught=True)
    async for batch in sensor.batches():
        due = [command for command in commands if command.t < batch.stop]
        commands = commands[len(due) :]
        out = pipeline(batch, due)
        scorer.observe(out["address"], out["readout"])
    return scorer.results()["accuracy"] or 0.0


@pytest.mark.realdata
def test_digits_are_told_apart_after_two_thousand_images(data):
    assert asyncio.run(played(data / "digits", [])) > 0.72  # chance is 0.13; docs/learning-stdp.md has whole passes


@pytest.mark.realdata
@pytest.mark.parametrize("without", ["network.theta_shared=0", "network.reset=false"])
def test_what_the_configuration_sets_is_needed(data, without):
    """Else few neurons find all the work, or what is left of one digit holds the network down through the next."""
    assert asyncio.run(played(data / "digits", [without])) < 0.4
