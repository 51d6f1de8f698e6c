"""How decoders write events: fields that lie side by side at once, and the time of each compared with the last one's.

What an event takes is the time of its stores, and one for both coordinates is a sixth faster than two.
"""

from __future__ import annotations

import numpy as np

PACKED = np.dtype([("t", "<i8"), ("xy", "<u4"), ("p", "u1")])
"""EVENT of `spikestream.batch` with its coordinates as x + y * 65,536."""

STEP_US = 1 << 20
"""Events are tidy where each comes at the time of the last one, or at most so much later."""
