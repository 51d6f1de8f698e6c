"""The segment log that a configuration asks for."""

from __future__ import annotations

from spikestream.config import LogConfig
from spikestream.log import Limits, SegmentLog


def open_log(config: LogConfig) -> SegmentLog | None:
    """Return the log, what an earlier process left of it taken up, None where none is asked for.

    Raises `ConfigError` where another process writes there, `RecordingError` for a place nothing can be written to.
    """
    if not config.path:
        return None
    limits = Limits(config.max_bytes, config.max_age_s, config.segment_bytes)
    return SegmentLog.of(config.path, config.kinds, config.topics, limits, config.sync_s)
