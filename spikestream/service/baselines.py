"""Batch learners on the same spikes: what counting and hindsight make of the windows that the network decides.

The features of a window are its spikes counted by axon in equal parts of it, as roots, so that busy axons do not drown
the others, each divided by its largest value among the fitted windows. Learners are scikit-learn's (extra
``baselines``), fitted on windows that may be taught and scored on those that are held out, never the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from spikestream.batch import Array, Batch, Command, Spikes, first_at
from spikestream.errors import ConfigError
from spikestream.files.labels import LabelRow

MOST_FITTED = 20_000
"""Windows a learner is fitted on at most, evenly chosen: batch learners take long."""
MOST_CELLS = 200_000_000
"""Counts above zero that are kept at most, in 8 bytes each."""
MOST_BINS = 1_000


def need_sklearn() -> None:
    """Raise `ConfigError` unless scikit-learn is installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        text = "batch baselines need scikit-learn, which is not installed"
        raise ConfigError(text, key="--baseline", remedy="pip install 'spikestream[baselines]'") from None


class Features:
    """Counts the spikes of windows by axon and by ``bins`` equal parts of the window, run after run, in stream time.

    Held-out windows are kept all, of the others ``MOST_FITTED`` at most. Raises `ConfigError` for too many.
    """

    def __init__(self, bins: int) -> None:
        if not 1 <= bins <= MOST_BINS:
            raise ConfigError(f"{bins} bins", key="--bins", value=bins, allowed=f"1 to {MOST_BINS:,}")
        self.bins, self.axons = bins, 0
        self.labels: dict[bool, list[str]] = {False: [], True: []}
        self._cells: dict[bool, list[tuple[Array, Array]]] = {False: [], True: []}
        self._kept = 0
        self._windows: list[LabelRow] = []
        self._next = 0
        self._senses = ""
        self._parts: list[tuple[Array, Array]] = []  # spikes of the window under way

    def begin(self, windows: Sequence[LabelRow], share: float, senses: str, axons: int) -> None:
        """Begin a run over ``windows``, of which that share of the taught ones is wanted, in what a stage hears."""
        taught = [window for window in windows if not window.test]
        few = max(1, round(len(taught) * share))
        chosen = {taught[len(taught) * i // few].start for i in range(min(few, len(taught)))}
        self._windows = [window for window in windows if window.test or window.start in chosen]
        self._next, self._senses, self.axons, self._parts = 0, senses, axons, []

    def __call__(self, batch: Batch, commands: Sequence[Command], outputs: Mapping[str, Batch]) -> None:
        """Count one batch: a watcher of the engine."""
        spikes = outputs[self._senses]
        while isinstance(spikes, Spikes) and self._next < len(self._windows):
            window = self._windows[self._next]
            inside = slice(first_at(spikes.t, window.start), first_at(spikes.t, window.stop))
            if inside.stop > inside.start:
                self._parts.append((spikes.t[inside].copy(), spikes.axon[inside].copy()))
            if window.stop > spikes.stop:
                return
            self._close(window)

    def _close(self, window: LabelRow) -> None:
        t, axon = (
            np.concatenate([np.empty(0, np.int64), *(part[k] for part in self._parts)]).astype(np.int64) for k in (0, 1)
        )
        part = (t - window.start) * self.bins // (window.stop - window.start)
        cells, counts = np.unique(part * self.axons + axon, return_counts=True)
        self._kept += len(cells)
        if self._kept > MOST_CELLS:
            text = f"the windows hold more than {MOST_CELLS:,} counts"
            raise ConfigError(text, key="--bins", value=self.bins, remedy="fewer bins, or a coarser downsample filter")
        self._cells[window.test].append((cells.astype(np.int32), np.sqrt(counts).astype(np.float32)))
        self.labels[window.test].append(window.label)
        self._next, self._parts = self._next + 1, []

    def matrix(self, test: bool) -> Any:
        """Return the features of the held-out windows, or of the others: a sparse matrix (windows, bins · axons)."""
        from scipy.sparse import csr_array

        rows = self._cells[test]
        ends = np.cumsum([0, *(len(cells) for cells, _ in rows)]).astype(np.int32)  # all that scikit-learn takes
        cells = np.concatenate([np.empty(0, np.int32), *(cells for cells, _ in rows)])
        values = np.concatenate([np.empty(0, np.float32), *(values for _, values in rows)])
        return csr_array((values, cells, ends), shape=(len(rows), self.bins * self.axons))


def learners(seed: int) -> dict[str, Callable[[], Any]]:
    """Return what makes each learner, by name: all with fixed options, so that nothing is tuned on what is held out."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import LinearSVC

    return {
        "logistic regression": lambda: LogisticRegression(C=1.0, max_iter=500),
        "3 nearest neighbours": lambda: KNeighborsClassifier(3, algorithm="brute"),
        "linear SVM": lambda: LinearSVC(C=0.1, random_state=seed),
        "MLP of 100": lambda: MLPClassifier((100,), max_iter=30, random_state=seed),
    }


def scores(features: Features, seed: int, said: Callable[[str], None]) -> dict[str, float]:
    """Return the accuracy of each learner on the held-out windows, calling ``said`` before each.

    Raises `ConfigError` where there is nothing to fit on, or only one label.
    """
    import warnings

    truth = features.labels[False]
    if len(set(truth)) < 2 or not features.labels[True]:
        text = f"{len(truth):,} windows that may be taught show {len(set(truth))} labels"
        remedy = "labels with train rows of at least two labels, and test rows"
        raise ConfigError(text, key="--baseline", allowed=remedy)
    fitted, held_out = features.matrix(False), features.matrix(True)
    scale = 1 / np.maximum(fitted.max(axis=0).toarray().ravel(), 1.0)
    for matrix in (fitted, held_out):
        matrix.data *= scale[matrix.indices]
    made = {}
    for name, make in learners(seed).items():
        said(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the MLP, that it could go on: its 30 passes are part of what it is
            model = make().fit(fitted, truth)
        made[name] = float(np.mean(model.predict(held_out) == np.array(features.labels[True])))
    return made
