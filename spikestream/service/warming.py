"""What a pipeline loads before its sensor begins: no batch of the sensor's shall wait for a kernel."""

from __future__ import annotations

import copy
import itertools
import logging
from typing import TYPE_CHECKING

import numpy as np

from spikestream.batch import EVENT, Batch, Events, Sound
from spikestream.building import ear_of
from spikestream.errors import SpikestreamError

if TYPE_CHECKING:
    from spikestream.config import Config
    from spikestream.service.lane import Lane

log = logging.getLogger(__name__)

TRIED_US = 10_000


def warm_up(lane: Lane) -> None:
    """Load, or on a new machine compile, all kernels of a pipeline; its own memory stays as it is."""
    for name in {lane.core, "readout"}:
        if hasattr(lane.pipeline.stages[name], "prepare"):
            lane.pipeline.stages[name].prepare()  # type: ignore[attr-defined]
    if "hear" in lane.pipeline.stages:
        config: Config = lane.pipeline.config
        rate, channels = config.sensor.samplerate_hz, getattr(lane.sensor, "channels", 1)
        silence = Sound(0, TRIED_US, np.zeros((rate // 100, channels), np.float32))
        try:
            ear_of(config)(silence)
        except SpikestreamError as error:  # it will say so again, of real sound
            log.debug("warming up: %s", error)
    elif lane.sensor.size is not None:
        _run_copies(lane, lane.sensor.size)


def _run_copies(lane: Lane, size: tuple[int, int]) -> None:
    """Run two events through copies of what comes before the stage that thinks: a first call loads a kernel."""
    start = lane.pipeline.now or 0
    data = np.array([(start, 0, 0, True), (start + TRIED_US - 1, 0, 0, False)], EVENT)
    batch: Batch = Events(start, start + TRIED_US, data, size)
    stages = lane.pipeline.stages
    try:
        for name in itertools.takewhile(lambda name: name != lane.core, stages):
            batch = copy.deepcopy(stages[name])(batch)
    except Exception as error:  # of a plugin's stage that cannot be copied, say: its first batch will load it
        log.debug("warming up: %s", error)
