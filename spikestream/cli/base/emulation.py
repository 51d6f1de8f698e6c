"""A chip that runs on a stimulus, and what is counted meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter_ns
from typing import TYPE_CHECKING

import numpy as np

from spikestream.batch import Spikes
from spikestream.cli.base.stimulus import Stimulus, timed
from spikestream.pipeline import Pipeline
from spikestream.service.watching import OutputHash

if TYPE_CHECKING:
    from spikestream.stages.chip import Chip


class Emulation:
    """Runs a chip for ``ticks`` ticks, None: to the end of the stimulus."""

    def __init__(self, chip: Chip, stimulus: Stimulus, ticks: int | None) -> None:
        self.chip, self.stimulus = chip, stimulus
        self.heard = np.zeros(chip.placement.input_count, np.int64)  # spikes of each input
        self.given = np.zeros(chip.placement.outputs, np.int64)  # spikes of each output
        self.hash = OutputHash()
        self.ticks = 0
        self.wall_ns = 0  # of the chip alone
        self._until = ticks

    def batches(self) -> Iterator[Spikes]:
        """Run, and yield the spikes of the outputs block by block."""
        pipeline, tick_us = Pipeline({"chip": self.chip}), self.chip.tick_us
        first: int | None = None
        for batch in timed(self.stimulus, self._until, tick_us):
            begun = perf_counter_ns()
            made = pipeline(batch)["chip"]
            self.wall_ns += perf_counter_ns() - begun
            assert isinstance(made, Spikes)
            self.heard += np.bincount(batch.axon, minlength=len(self.heard))
            self.given += np.bincount(made.axon, minlength=len(self.given))
            self.hash(batch, (), {"chip": made})
            first = batch.start // tick_us if first is None else first
            self.ticks = batch.stop // tick_us - first
            yield made

    def realtime_factor(self) -> float:
        """Return stream seconds per second of the chip."""
        return self.ticks * self.chip.tick_us * 1000 / max(1, self.wall_ns)
