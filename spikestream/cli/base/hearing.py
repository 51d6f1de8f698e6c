"""Sound through the configured cochlea, block by block, for verbs that need no network behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from spikestream.errors import ConfigError

if TYPE_CHECKING:
    from spikestream.batch import Sound, Spikes
    from spikestream.stages.sound import Ear

BLOCK_US = 250_000


def ear(samplerate_hz: int, sets: Sequence[str] = ()) -> Ear:
    """Return the ear that `replay` would hear with, after settings ``hear.KEY=VALUE``; raises `ConfigError`."""
    from spikestream.building import build
    from spikestream.config import read_config
    from spikestream.stages.sound import Ear

    for text in sets:
        if not text.startswith("hear."):
            raise ConfigError(f"'{text}' is no setting of hearing", key="--set", value=text, allowed="hear.KEY=VALUE")
    stage = build(read_config(None, sets), samplerate_hz=samplerate_hz).stages["hear"]
    if not isinstance(stage, Ear):
        raise ConfigError("that ear has no bands of fibres", key="hear.stage", allowed="hear, carfac")
    return stage


def heard(cochlea: Ear, sounds: Iterable[Sound]) -> Iterator[Spikes]:
    """Yield the spikes of each block of sound."""
    for sound in sounds:
        yield cochlea(sound)
