"""What a class taught a few times lacks in a decision, and is given: it was fitted to so few that others pass it by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spikestream.batch import Array


def weighed(shares: Array, seen: Sequence[int], few: int) -> Array:
    """Return shares (classes,) of a decision, each times the square root of how much less than others it was taught.

    ``seen`` is how often each was taught, more than ``few`` times being no more than that. To balance a prior, logits
    are moved by its logarithm (logit adjustment, Menon et al., ICLR 2021); the replays balance a part of it already,
    so they are moved by half of that.
    """
    taught = np.clip(seen, 1, max(1, few))
    if not len(shares) or taught.min() == taught.max():
        return shares
    raised = shares * np.sqrt(taught.max() / taught)
    return np.asarray(raised / raised.sum())
