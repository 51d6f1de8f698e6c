"""What a run tells about how far it can be trusted: each decision judged by the label that came after it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from spikestream.batch import Batch, Command, Decisions, Label
from spikestream.building import trust_of
from spikestream.config import Config
from spikestream.service.scoring import Judged
from spikestream.stages.trust import Guarded

log = logging.getLogger(__name__)


class TrustWatch:
    """Watches an engine: judges what it decides by the labels that it hands over, and says when accuracy falls.

    It sees what a label names only once it has been decided, so it can leak nothing. As a watcher of the scorer it
    also keeps the baseline beside, on the taught windows of label rows.
    """

    def __init__(self, config: Config, readout: object) -> None:
        self.rollback = isinstance(readout, Guarded)  # it judges itself, at the time of each label
        self.trust = readout.trust if isinstance(readout, Guarded) else trust_of(config)
        self._near: deque[bool] = deque(maxlen=self.trust.window)

    def __call__(self, batch: Batch, commands: Sequence[Command], outputs: Mapping[str, Batch]) -> None:
        """Take one batch: what was decided in it, then its labels in the order of their times."""
        if self.rollback:
            return
        made = outputs["readout"]
        if isinstance(made, Decisions):
            self.trust.decided(made.rows)
        for label in sorted((one for one in commands if isinstance(one, Label)), key=lambda one: one.t):
            _, fall = self.trust.taught(label)
            if fall is not None:
                log.warning("accuracy has fallen: %s", fall)

    def judged(self, judged: Judged) -> None:
        """Keep whether the nearest centroid was right about a taught window."""
        if not judged.held_out:
            self._near.append(judged.near == judged.window.label)

    def stats(self) -> dict[str, Any]:
        """Return what is published: counts, the sliding accuracy with chance and baseline beside, and the last fall."""
        trust, fall = self.trust, self.trust.falls[-1] if self.trust.falls else None
        return {
            "judged": trust.judged,
            "accuracy": trust.right / trust.judged if trust.judged else None,
            "sliding_accuracy": trust.sliding,
            "best_accuracy": trust.best,
            "chance": trust.chance,
            "baseline_accuracy": sum(self._near) / len(self._near) if self._near else None,
            "window": trust.window,
            "rollback": self.rollback,
            "fallen": None if fall is None else {"t": fall.t, "from": fall.before, "to": fall.after},
        }
