"""Folders of spoken words, one in each sound file: ``{label}_{speaker}_{number}.wav``, as of the Free Spoken Digits."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from spikestream.batch import Array, is_label
from spikestream.errors import RecordingError
from spikestream.files.datasets.samples import check_folder
from spikestream.files.sound import open_sound, sounds

NAME = re.compile(r"(.+)_([^_]+)_(\d{1,9})\.wav", re.IGNORECASE)
MOST_FILES = 1_000_000
LONGEST_S = 60
"""A word that lasts longer is none; it is held as a whole."""
MOST_CHANNELS = 16


@dataclass(frozen=True, slots=True)
class Word:
    """One recording: what is said by whom in its ``number``-th take, and how many ``samples`` its header promises."""

    path: str
    label: str
    speaker: str
    number: int


def find_words(folder: str) -> list[Word]:
    """Return the recordings of a folder, or of ``recordings`` in it, by number, then speaker, then label.

    Raises `RecordingError` where there are none.
    """
    check_folder(folder)
    below = os.path.join(folder, "recordings")
    place = below if os.path.isdir(below) else folder
    try:
        found = [(match, name) for name in os.listdir(place) if (match := NAME.fullmatch(name))]
    except OSError as error:
        raise RecordingError(f"cannot be read: {error.strerror or error}", file=folder) from error
    words = [
        Word(os.path.join(place, name), match[1], match[2], int(match[3]))
        for match, name in found
        if is_label(match[1]) and is_label(match[2])
    ]
    if not words or len(words) > MOST_FILES:
        expected = f"1 to {MOST_FILES:,} files named LABEL_SPEAKER_NUMBER.wav"
        raise RecordingError("is no folder of spoken words", file=folder, expected=expected, found=f"{len(words):,}")
    return sorted(words, key=lambda word: (word.number, word.speaker, word.label))


def length_of(path: str) -> tuple[int, int, int]:
    """Return (samples, samples a second, channels) as a file's header tells them; raises `RecordingError`."""
    with open_sound(path) as file:
        facts = file.frames, file.samplerate, file.channels
    if not 0 < facts[0] <= LONGEST_S * facts[1] or facts[2] > MOST_CHANNELS:
        expected = f"up to {LONGEST_S} s in up to {MOST_CHANNELS} channels"
        found = f"{facts[0] / facts[1]:,.1f} s in {facts[2]}"
        raise RecordingError("is not one word", file=path, expected=expected, found=found)
    return facts


def read_word(path: str, samples: int) -> Array:
    """Return the samples (n, channels) float32 of a file that has so many; raises `RecordingError`."""
    block, *more = sounds(path, length_us=LONGEST_S * 1_000_000 + 1)
    if more or len(block) != samples:
        text = "has changed since it was looked at"
        raise RecordingError(text, file=path, expected=f"{samples:,} samples", found=f"{len(block):,}")
    return block.samples
