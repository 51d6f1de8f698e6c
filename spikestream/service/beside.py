"""The network in floating point beside the chip it was compiled to: the same stream, a readout of its own, compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spikestream import checkpoint
from spikestream.batch import Array, Batch, Command, Decision, Decisions, Spikes, first_at
from spikestream.building import build
from spikestream.config import ChipConfig, Config
from spikestream.pipeline import Pipeline
from spikestream.service.scoring import Scorer
from spikestream.stages.base import State
from spikestream.stages.network import Network


class Frozen:
    """A network that stays as it is: no command reaches it."""

    def __init__(self, network: Network) -> None:
        self._network, self.account = network, network.account
        network.learning = False

    def __call__(self, batch: Batch) -> Spikes:
        """Return what the network makes of a batch."""
        return self._network(batch)

    def skip(self, start: int, stop: int) -> Spikes:
        """Return what the network makes of a gap."""
        return self._network.skip(start, stop)

    def state(self) -> State:
        """Return the state of the network."""
        return self._network.state()

    def restore(self, state: Mapping[str, Array]) -> None:
        """Give the network another state."""
        self._network.restore(state)


class Beside:
    """Watches an engine whose pipeline holds a chip, and runs the network of a saved model on what the chip hears."""

    def __init__(self, model: str, pipeline: Pipeline, senses: str, scorer: Scorer | None) -> None:
        config: Config = pipeline.config
        whole = build(replace(config, chip=ChipConfig()))
        checkpoint.transfer(model, whole)
        network: Any = whole.stages["network"]
        network.prepare()
        self._pipeline = Pipeline({"network": Frozen(network), "readout": whole.stages["readout"]})
        self._senses, self._scorer = senses, scorer
        self._alike = Alike(network.neurons, config.readout.window_us)
        self._waiting: dict[tuple[int, int], list[Decision]] = {}
        self.decisions = self.agreed = self.compared = 0

    def __call__(self, batch: Batch, commands: Sequence[Command], outputs: Mapping[str, Batch]) -> None:
        """Hear what the chip heard, and compare what both made of it."""
        made = self._pipeline(outputs[self._senses], commands)
        fired, ours, theirs = made["network"], made["readout"], outputs["readout"]
        chip = outputs["chip"]
        if isinstance(fired, Spikes) and isinstance(chip, Spikes):
            self._alike.add(fired, chip)
        if isinstance(ours, Decisions) and isinstance(theirs, Decisions):
            self.decisions += len(ours)
            self._compare(ours, theirs)
        if self._scorer is not None:
            self._scorer.observe(outputs[self._senses], ours)

    def summary(self) -> dict[str, Any]:
        """Return how the network did, and how far the chip is from it."""
        scores = self._scorer.results() if self._scorer else {}
        return {
            "float": {
                "spikes_out": self._pipeline.made["network"],
                "decisions": self.decisions,
                "accuracy": scores.get("accuracy"),
                "prequential_accuracy": scores.get("prequential_accuracy"),
            },
            "agreement": self.agreed / self.compared if self.compared else None,
            "compared": self.compared,
            "spike_correlation": self._alike.correlation(),
        }

    def _compare(self, ours: Decisions, theirs: Decisions) -> None:
        """Count the windows that both have decided, and those they decided alike."""
        for one in (*ours.rows, *theirs.rows):
            pair = self._waiting.setdefault((one.start, one.stop), [])
            pair.append(one)
            if len(pair) == 2:
                self.compared += 1
                self.agreed += pair[0].label == pair[1].label
                del self._waiting[one.start, one.stop]
        # Both close a window in the same batch; what one of them alone decided around a gap is never compared.
        self._waiting = {window: pair for window, pair in self._waiting.items() if window[1] > ours.start}


class Alike:
    """How alike two streams of spikes of the same neurons are: Pearson's r of their counts by window and neuron."""

    def __init__(self, neurons: int, window_us: int) -> None:
        self._window_us = window_us
        self._now = np.zeros((2, neurons))
        self._window: int | None = None
        self._sums = np.zeros((2, 2))  # of products
        self._means = np.zeros(2)  # sums, until they are divided
        self._cells = 0

    def add(self, one: Spikes, other: Spikes) -> None:
        """Count the spikes of one interval."""
        start, stop = min(one.start, other.start), max(one.stop, other.stop)
        window = start // self._window_us
        while True:
            if self._window is not None and window > self._window:
                self._close()
            self._window = window
            edges = window * self._window_us, (window + 1) * self._window_us
            for k, spikes in enumerate((one, other)):
                part = spikes.axon[first_at(spikes.t, edges[0]) : first_at(spikes.t, edges[1])]
                if len(part) and part.max() < self._now.shape[1]:
                    self._now[k] += np.bincount(part, minlength=self._now.shape[1])
            if edges[1] >= stop:
                return
            window += 1

    def correlation(self) -> float | None:
        """Return r over all whole windows, None where one of the two never changed."""
        if not self._cells:
            return None
        mean = self._means / self._cells
        covariance = self._sums / self._cells - np.outer(mean, mean)
        scale = float(np.sqrt(covariance[0, 0] * covariance[1, 1]))
        return round(float(covariance[0, 1]) / scale, 6) if scale > 0 else None

    def _close(self) -> None:
        self._sums += self._now @ self._now.T
        self._means += self._now.sum(axis=1)
        self._cells += self._now.shape[1]
        self._now[...] = 0
