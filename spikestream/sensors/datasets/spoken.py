"""Spoken words as a sensor: one recording after the other with a pause between, at any level, in silence or noise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from spikestream.batch import Array, Sound
from spikestream.errors import ConfigError, RecordingError
from spikestream.files.datasets.samples import choose
from spikestream.files.datasets.speech import Word, find_words, length_of, read_word
from spikestream.files.labels import LabelRow
from spikestream.files.sound import FULL_SCALE_DB
from spikestream.sensors.datasets.options import choice_of, microseconds, names, real, whole

TURN = 8
"""Batches between two turns of the event loop."""
TESTS = "0-4"
ORDERS = ("stored", "shuffled", "speakers")
GAIN, NOISE = 1, 2
"""What a random number is for: it stands in its seed."""


class Spoken:
    """The words of a folder, each followed by ``gap_ms`` of pause; words and pauses last whole milliseconds.

    ``speakers`` leaves only these. The test part are the recordings whose numbers are in ``test``, and all of the
    speakers ``unseen``; with ``unseen`` alone, only those. ``order`` "speakers" plays one speaker after the other.
    Each recording is made louder by a number of dB drawn from ``gain_db`` as ``-10:10``, a single one for all;
    ``noise_db`` is the level of white noise throughout, "" for none, where a sine of full scale has 100 dB; what
    exceeds full scale is clipped and counted. A batch is a word with its pause, or ``length_us`` µs at most. ``choice``
    are the other options of `Choice`. All may be text. ``rows`` are the words in stream time. Raises `RecordingError`
    and `ConfigError`.
    """

    live = False
    size = None
    tables: Mapping[str, Mapping[str, Any]] = {"readout": {"windows": "marked"}, "network": {"theta_plus": 0.5}}

    def __init__(
        self,
        location: str,
        *,
        speakers: str = "",
        test: str = "",
        unseen: str = "",
        order: str = "stored",
        gap_ms: float | str = 300.0,
        gain_db: float | str = 0.0,
        noise_db: float | str = "",
        length_us: int | str = 0,
        **choice: Any,
    ) -> None:
        self.location, self.sent = location, 0
        self.problems: dict[str, int] = {}
        self._gap_us = microseconds("gap_ms", gap_ms, 0)
        self._gain_db = _range("gain_db", gain_db)
        self._noise_db = None if noise_db == "" else real("noise_db", noise_db, -100.0, FULL_SCALE_DB)
        self._length_us = whole("length_us", length_us)
        plain = "stored" if order == "speakers" else order
        chosen = choice_of({**choice, "order": plain})
        self._seed = chosen.seed
        words = _spoken_by(find_words(location), speakers, location)
        if order == "speakers":
            words = sorted(words, key=lambda word: word.speaker)
        held = _held_out(words, test, unseen)
        self._played = choose([word.label for word in words], held, chosen)
        self._words = words
        self._lay_out()

    def _lay_out(self) -> None:
        """Find out how long every word is, and where in the stream it stands."""
        facts: dict[int, tuple[int, int, int]] = {}
        rates: set[tuple[int, int]] = set()
        for index in dict.fromkeys(self._played.index.tolist()):
            facts[index] = length_of(self._words[index].path)
            rates.add(facts[index][1:])
            if len(rates) > 1:
                found = ", ".join(f"{rate:,} Hz in {channels} channels" for rate, channels in sorted(rates))
                text = "differs from the others in rate or channels"
                raise RecordingError(text, file=self._words[index].path, expected="one of them", found=found)
        ((self.samplerate_hz, self.channels),) = rates
        self._samples = {index: fact[0] for index, fact in facts.items()}
        self.rows: list[LabelRow] = []
        self._ends: list[int] = []
        now = 0
        for index, test in zip(self._played.index.tolist(), self._played.test.tolist(), strict=True):
            stop = now + _whole_ms(self._samples[index] * 1_000_000 / self.samplerate_hz)
            self.rows.append(LabelRow(now, stop, self._words[index].label, test))
            now = stop + _whole_ms(self._gap_us)
            self._ends.append(now)

    async def batches(self, start: int = 0) -> AsyncIterator[Sound]:
        """Yield the batches that end after ``start`` µs, from the first whole sample there on."""
        number = 0
        for place, end in enumerate(self._ends):
            if end <= start:
                continue
            for batch in self._cut(self._slot(place), start):
                if number % TURN == 0:
                    await asyncio.sleep(0)
                number += 1
                self.sent += len(batch)
                yield batch

    def _cut(self, whole: Sound, start: int) -> list[Sound]:
        """Return what there is from ``start`` on, cut at the multiples of the length of a batch."""
        length, first = self._length_us or whole.stop, self._at(whole.start)
        edges = [whole.start, *range((whole.start // length + 1) * length, whole.stop, length), whole.stop]
        made = []
        for begin, end in pairwise(edges):
            if end <= start:
                continue
            begin = max(begin, start)
            low, high = self._at(begin), self._at(end)
            if high > low:  # a batch starts and stops with its samples
                at = [self._time(sample) for sample in (low, high)]
                made.append(Sound(at[0], at[1], whole.samples[low - first : high - first]))
        return made

    def _at(self, time_us: int) -> int:
        """Return the number of the first sample at or after a time."""
        return -(-time_us * self.samplerate_hz // 1_000_000)

    def _time(self, sample: int) -> int:
        return sample * 1_000_000 // self.samplerate_hz

    def _slot(self, place: int) -> Sound:
        """Return a word and its pause."""
        row, stop = self.rows[place], self._ends[place]
        index, epoch = int(self._played.index[place]), int(self._played.epoch[place])
        low, high = self._at(row.start), self._at(stop)
        samples = np.zeros((high - low, self.channels), np.float32)
        word = read_word(self._words[index].path, self._samples[index])
        lowest, highest = self._gain_db
        drawn = np.random.default_rng([self._seed, GAIN, epoch, index]).random()
        gain = 10 ** ((lowest + (highest - lowest) * drawn) / 20)
        samples[: len(word)] = word[: len(samples)] * np.float32(gain)
        if self._noise_db is not None:
            level = 10 ** ((self._noise_db - FULL_SCALE_DB) / 20) / np.sqrt(2)
            rng = np.random.default_rng([self._seed, NOISE, epoch, index])
            samples += rng.standard_normal(samples.shape, np.float32) * np.float32(level)
        self._clip(samples)
        return Sound(row.start, stop, samples)

    def _clip(self, samples: Array) -> None:
        beyond = int(np.count_nonzero(np.abs(samples) > 1))
        if beyond:
            self.problems = {"clipped": self.problems.get("clipped", 0) + beyond}
            np.clip(samples, -1, 1, out=samples)


def _spoken_by(words: list[Word], speakers: str, location: str) -> list[Word]:
    if not speakers:
        return words
    wanted = names("speakers", speakers)
    _known("speakers", wanted, words)
    return [word for word in words if word.speaker in wanted]


def _held_out(words: list[Word], test: str, unseen: str) -> Array:
    strangers = names("unseen", unseen) if unseen else ()
    _known("unseen", strangers, words)
    numbers = {int(n) for n in names("test", test or TESTS) if n.isdigit()} if test or not unseen else set()
    return np.array([word.number in numbers or word.speaker in strangers for word in words], bool)


def _known(key: str, wanted: tuple[str, ...], words: list[Word]) -> None:
    known = sorted({word.speaker for word in words})
    if unknown := [name for name in wanted if name not in known]:
        allowed = ", ".join(known[:50])
        raise ConfigError(f"nobody called '{unknown[0]}' speaks here", key=key, value=unknown[0], allowed=allowed)


def _range(key: str, value: float | str) -> tuple[float, float]:
    low, _, high = str(value).partition(":")
    ends = real(key, low, -100.0, 100.0), real(key, high or low, -100.0, 100.0)
    if ends[0] > ends[1]:
        raise ConfigError(f"{key} = {value} is empty", key=key, value=value, allowed="lowest:highest")
    return ends


def _whole_ms(time_us: float) -> int:
    return -int(-time_us // 1_000) * 1_000
