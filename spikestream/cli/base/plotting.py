"""What ``--plot DIR`` draws of a run: kept while it runs, in bounded memory, and drawn at its end."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikestream import plots
from spikestream.batch import Array, Batch, Command, Decision, Decisions, Spikes
from spikestream.cli.base.drawing import write_figure
from spikestream.cli.base.keeping import Bands, Last
from spikestream.errors import ConfigError, ModelError
from spikestream.stages.features import FeatureMaps

if TYPE_CHECKING:
    from spikestream.service.session import Session
    from spikestream.stages.chip import Chip
    from spikestream.stages.network import Network

MOST_SPIKES = 200_000
"""The last so many spikes of the network are drawn."""
MOST_DECISIONS = 100_000
MOST_HEARD = 1_000_000
"""The last so many spikes into the network are kept for the voltages."""
MOST_TICKS = 300
"""Ticks of which the voltages are drawn."""
USUAL_TAU_MS = 30.0
"""The lags of a pair of spikes are longer where the time constant of learning is."""
VOLTAGES = 4
"""Neurons of which the voltage is drawn."""
MEASURED = ("tau_plus_ms", "rate_start", "rate_end", "wins_half")
"""What a run may set of its learning rule."""


def make_folder(path: str, others: Sequence[str]) -> Path:
    """Make the folder for the pictures, unless it is there, at none of the places where ``others`` will be written.

    Raises `ConfigError` where nothing can be drawn into it.
    """
    plots.need_matplotlib()
    try:
        if any(other and os.path.realpath(other) == os.path.realpath(path) for other in others):
            raise ConfigError(f"{path} cannot be both a folder of pictures and a file", key="--plot", value=path)
        os.makedirs(path, exist_ok=True)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot make the folder {path!r}: {why}", key="--plot", value=path) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(f"cannot write into the folder {path!r}", key="--plot", value=path)
    return Path(path)


class Pictures:
    """Watches the run of a session and draws it into a folder that is there."""

    def __init__(self, folder: Path, session: Session) -> None:
        self.folder, self.session = folder, session
        self.stages: dict[str, Any] = {**session.pipeline.stages}
        self.network: Network | None = self.stages.get("network")
        self.chip: Chip | None = self.stages.get("chip")
        self._fired = Last(MOST_SPIKES)
        self._heard = Last(MOST_HEARD, MOST_TICKS * self.stages[session.core].tick_us)
        neurons = self.network.neurons if self.network else self.chip.placement.outputs if self.chip else 0
        self._wins = np.zeros(neurons, np.int64)
        self._inputs = np.zeros(self.chip.placement.input_count if self.chip else 0, np.int64)
        if self.chip:
            self.chip.watch()
        self._source = next(name for name in ("features", "address", "hear") if name in self.stages)
        self._decisions: deque[Decision] = deque(maxlen=MOST_DECISIONS)
        self._ear = self.stages.get("hear")
        self._centres_hz: Array | None = getattr(self._ear, "centres_hz", None)
        self._bands = None if self._centres_hz is None else Bands(len(self._centres_hz))
        session.engine.watch(self)

    def __call__(self, batch: Batch, commands: Sequence[Command], outputs: Mapping[str, Batch]) -> None:
        """Keep what is drawn of one batch."""
        heard, fired = outputs[self._source], outputs[self.session.core]
        made = outputs["readout"]
        if isinstance(heard, Spikes):
            if self.chip:
                self._inputs += np.bincount(heard.axon, minlength=len(self._inputs))
            self._heard.add(heard)
        if self._bands is not None and isinstance(sound := outputs["hear"], Spikes):
            self._bands.add(sound)
        if isinstance(fired, Spikes):
            self._fired.add(fired)
            self._wins += np.bincount(fired.axon, minlength=len(self._wins))
        if isinstance(made, Decisions):
            self._decisions += (replace(row, scores=()) for row in made.rows)  # the scores may be many

    def write(self) -> list[str]:
        """Draw what applies to this run and return the names of the files; raises `RecordingError`."""
        drawn = {
            "raster.png": self._raster(),
            "kernels.png": self._kernels(),
            **(self._of_network(self.network) if self.network else {}),
            "decisions.png": self._timeline(),
            "accuracy.png": self._accuracy(),
            "cochleagram.png": self._cochleagram(),
        }
        figures = {name: axes.figure for name, axes in drawn.items() if axes is not None}
        if self.chip:
            figures["chip.png"] = self._chip(self.chip)
        for name, figure in figures.items():
            write_figure(str(self.folder / name), figure)
        return list(figures)

    def _of_network(self, network: Network) -> dict[str, Any]:
        return {
            "weights.png": self._weights(network),
            "membrane.png": self._membrane(network),
            "stdp.png": self._stdp(network),
        }

    def _chip(self, chip: Chip) -> Any:
        ticks = (self.session.engine.progress.stop - self._origin) // chip.tick_us
        return plots.chip_picture(chip.placement, chip.fires, self._inputs, ticks=ticks)

    @property
    def _origin(self) -> int:
        """Return the stream time that is 0 s, as in the lines that a replay prints."""
        return self.session.engine.progress.start or 0

    def _raster(self) -> Any:
        spikes, all_ = self._fired.spikes(), int(self._wins.sum())
        axes = plots.raster(spikes, rows=len(self._wins), origin_us=self._origin)
        axes.set_title(f"{_of_all(len(spikes), all_)} spikes")
        return axes

    def _busiest(self, since: int) -> list[int]:
        """Return all neurons, those with the most spikes since then first, of equals those with the most of all."""
        spikes = self._fired.spikes()
        recent = np.bincount(spikes.axon[spikes.t >= since], minlength=len(self._wins))
        order: list[int] = np.lexsort((-self._wins, -recent)).tolist()
        return order

    def _weights(self, network: Network) -> Any:
        try:
            weights = network.weights
        except ModelError:  # several projections, or none that is a matrix
            return None
        if len(weights) != network.axons or "features" in self.stages:  # of a population onto another, or of no pixels
            return None
        where: dict[str, Any] = {"size": self.stages["address"].size} if self._ear is None else self._grid(network)
        shown = np.argsort(-self._wins, kind="stable")[: plots.MOST_MAPS].tolist()
        axes = plots.weight_maps(weights, neurons=shown, **where)
        axes.set_title(f"weights of {_of_all(len(shown), network.neurons, 'the busiest')} neurons")
        return axes

    def _kernels(self) -> Any:
        features = self.stages.get("features")
        if not isinstance(features, FeatureMaps) or features.patch[0] > 2:
            return None
        sets, side = features.weights, features.patch[1]
        axes = plots.weight_maps(sets[len(sets) // 2], size=(side, side))
        maps = sets.shape[2]
        shown = _of_all(min(maps, plots.MOST_MAPS), maps, "the first")
        axes.set_title(f"kernels of {shown} feature maps" + (" at the place in the middle" if len(sets) > 1 else ""))
        return axes

    def _grid(self, network: Network) -> dict[str, int]:
        """Return how many bands an ear has; of one that does not tell, as many as axons."""
        bands = 0 if self._centres_hz is None else len(self._centres_hz)
        return {"bands": bands if bands and network.axons % bands == 0 else network.axons}

    def _membrane(self, network: Network) -> Any:
        """Draw voltages of the last moments, heard again by a copy of the network as it is now, frozen."""
        from spikestream.building import build

        heard = self._heard.spikes()
        if heard.stop - heard.start < 2 * network.tick_us:
            return None
        again: Any = build(self.session.pipeline.config).stages["network"]
        learned = {key: value for key, value in network.state().items() if key in network.LEARNED}
        again.restore({**again.state(), **learned})
        again.learning = False
        try:
            recorded = plots.record(again, heard, sorted(self._busiest(heard.start)[:VOLTAGES]))
        except ModelError:  # neurons without a voltage
            return None
        axes = plots.membrane(recorded, origin_us=self._origin)
        axes.set_title("the last moments, given to the network once more, frozen")
        return axes

    def _stdp(self, network: Network) -> Any:
        learn, tick_us = self.session.job.config.learn, network.tick_us
        if not learn.enabled or learn.rule != "stdp" or self.session.job.config.model:
            return None
        options = {key: getattr(learn, key) for key in MEASURED}
        lags_ms = [lag * learn.tau_plus_ms / USUAL_TAU_MS for lag in plots.LAGS_MS]
        axes = plots.stdp_window(lambda lag: plots.pair_change(lag, tick_us=tick_us, **options), lags_ms=lags_ms)
        axes.set_title("a neuron's first learning step")
        return axes

    def _timeline(self) -> Any:
        rows = list(self._decisions)
        if not rows:
            return None
        truth = [self._truth(row) for row in rows]
        axes = plots.timeline(rows, truth=[label for label, _ in truth], origin_us=self._origin)
        axes.set_title(f"{_of_all(len(rows), self.session.pipeline.made['readout'])} decisions")
        return axes

    def _truth(self, row: Decision) -> tuple[str | None, bool]:
        """Return what a window really showed, and whether it was held out."""
        found = self.session.scorer.truth(row.start, row.stop) if self.session.scorer else None
        taught = self.session.job.config.learn.enabled
        return (found.label, found.test or not taught) if found else (None, False)

    def _accuracy(self) -> Any:
        axes = None
        for name, held_out in (("taught: decided first", False), ("held out", True)):
            judged = [(row, *self._truth(row)) for row in self._decisions]
            part = [(row, label) for row, label, out in judged if label is not None and out == held_out]
            if part:
                rows, truth = zip(*part, strict=True)
                chance = self.session.scorer.results()["chance"] if held_out and self.session.scorer else None
                axes = plots.learning_curve(rows, truth, axes, name=name, chance=chance, origin_us=self._origin)
        return axes

    def _cochleagram(self) -> Any:
        if self._bands is None or self._centres_hz is None:
            return None
        cells, interval = self._bands.seen()
        return plots.band_counts(cells, self._centres_hz, interval, origin_us=self._origin)


def _of_all(shown: int, total: int, which: str = "the last") -> str:
    return f"{total:,}" if shown == total else f"{which} {shown:,} of {total:,}"
