"""A bounded store of labelled samples, as many of each class as can be: what is learned again lest it be forgotten.

What is learned again is of the class that was learned least of late, fresh or from the store: all counts of what was
learned fall to 0.99 at every step. So the new and the old get equal shares whatever is being taught. Every second one,
as a coin falls, is of the latest of its class: a new voice or sensor is learned sooner than as one in a thousand.

A new sample takes the place of one of the class that has most in the store; of that class itself it is taken with the
chance that makes its samples a fair draw of all it had (reservoir sampling). Class-balancing reservoir: Chrysakis &
Moens, ICML 2020. Random numbers are a hash (splitmix64) of the seed and a count that is part of the state.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spikestream.batch import Array
from spikestream.stages.base import State
from spikestream.stages.classify.samples import Sample, absurd, packed, unpacked

ALL_BITS = 2**64 - 1
FADING = 0.99
"""What is left, after one more step, of the count of what was learned of a class."""


def drawn(seed: int, count: int, below: int) -> int:
    """Return the ``count``-th random number of ``seed``, 0 .. ``below`` - 1."""
    z = (seed * 0xD1342543DE82EF95 + (count + 1) * 0x9E3779B97F4A7C15) & ALL_BITS
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & ALL_BITS
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & ALL_BITS
    return ((z ^ (z >> 31)) * below) >> 64


class Store:
    """Room for ``room`` samples in the order they came, each with the number of its class.

    ``recent`` is how many of a class count as the latest of it; 0 for no difference.
    """

    def __init__(self, room: int, seed: int, axons: int, recent: int = 0) -> None:
        self.room, self.recent, self._seed, self._axons = room, recent, seed, axons
        self._count = 0  # random numbers drawn so far
        self._samples: list[Sample] = []
        self._classes: list[int] = []
        self._learned = np.zeros(0)  # of each class of late

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def nbytes(self) -> int:
        """Return how many bytes its samples take."""
        return sum(one.nbytes for one in self._samples)

    def counts(self) -> Mapping[int, int]:
        """Return how many samples of each class there are."""
        return {one: self._classes.count(one) for one in sorted(set(self._classes))}

    def learned(self, number: int) -> None:
        """Count a step by a sample of class ``number``."""
        self._learned = np.pad(self._learned, (0, max(0, number + 1 - len(self._learned)))) * FADING
        self._learned[number] += 1

    def draw(self) -> tuple[int, Sample] | None:
        """Return a sample of the class in the store that was learned least of late, None of an empty store."""
        if not self._classes:
            return None
        number = min(sorted(set(self._classes)), key=lambda one: float(self._learned[one]))
        places = self._places(number)
        latest = min(self.recent, len(places))
        chosen = self._random(2 * len(places) if latest else len(places))
        return number, self._samples[places[chosen if chosen < len(places) else -1 - chosen % latest]]

    def offer(self, number: int, sample: Sample, seen: int) -> None:
        """Take a sample of class ``number``, of which ``seen`` have been offered with this one, or leave it."""
        if not self.room:
            return
        sample = Sample(sample.ticks, sample.tick, sample.axon)
        if len(self) < self.room:
            self._samples.append(sample)
            self._classes.append(number)
            return
        counts = self.counts()
        most = max(counts.values())
        if counts.get(number, 0) == most:
            place = self._random(seen)
            if place < most:
                self._replace(self._places(number)[place], number, sample)
            return
        largest = [one for one, count in counts.items() if count == most]
        places = self._places(largest[self._random(len(largest))])
        self._replace(places[self._random(len(places))], number, sample)

    def state(self) -> State:
        """Return copies of the samples, their classes, and how many random numbers were drawn."""
        return {
            "store_drawn": np.array(self._count, np.int64),
            "store_class": np.array(self._classes, np.int64),
            "store_learned": self._learned.copy(),
            **packed("store", self._samples, self._axons),
        }

    def absurd(self, taken: Mapping[str, Array], classes: int, most: tuple[int, int]) -> str:
        """Return what in a saved state can never have been, "" where all is well; ``most`` = (ticks, spikes)."""
        numbers = taken["store_class"]
        if len(numbers) != len(taken["store_ticks"]) or np.any((numbers < 0) | (numbers >= classes)):
            return "stored samples of no class"
        if taken["store_drawn"] < 0 or np.any(taken["store_learned"] < 0):
            return "less than no random numbers, or samples learned"
        if len(taken["store_learned"]) > classes or np.any(numbers >= len(taken["store_learned"])):
            return "stored samples that were never learned"
        return absurd("store", taken, self._axons, (self.room, *most))

    def restore(self, taken: Mapping[str, Array]) -> None:
        """Take over what `state` returned."""
        self._count = int(taken["store_drawn"])
        self._classes = [int(number) for number in taken["store_class"]]
        self._samples = unpacked("store", taken)
        self._learned = taken["store_learned"]

    def _replace(self, place: int, number: int, sample: Sample) -> None:
        del self._samples[place], self._classes[place]
        self._samples.append(sample)
        self._classes.append(number)

    def _places(self, number: int) -> list[int]:
        return [place for place, one in enumerate(self._classes) if one == number]

    def _random(self, below: int) -> int:
        self._count += 1
        return drawn(self._seed, self._count, below)
