"""Time another project's filterbank, in an environment of `make peers`: `audio.py` runs this, and nobody else need.

    .peers/NAME/bin/python benchmarks/peer_hears.py NAME RATE SAMPLES.npy CENTRES.npy

Prints seconds of sound per second of one core, once it has heard a tenth of the sound for practice.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np


def brian2hears(rate: int, centres: np.ndarray) -> Callable[[np.ndarray], object]:
    from brian2 import Hz, prefs
    from brian2hears import Gammatone, Sound

    prefs.codegen.target = "numpy"  # what its filters are written in; else it looks for a compiler, and complains
    return lambda sound: Gammatone(Sound(sound, samplerate=rate * Hz), centres * Hz).process()


def lyon(rate: int, centres: np.ndarray) -> Callable[[np.ndarray], object]:
    """Its number of bands follows from the sample rate: 86 at 16 kHz."""
    from lyon.calc import LyonCalc

    ear = LyonCalc()
    return lambda sound: ear.lyon_passive_ear(sound, rate)


def toolbox(rate: int, centres: np.ndarray) -> Callable[[np.ndarray], object]:
    from python_auditory_toolbox.auditory_toolbox import ErbFilterBank, MakeErbFilters

    filters = MakeErbFilters(rate, centres)
    return lambda sound: ErbFilterBank(sound, filters)


def main() -> None:
    name, rate, samples, centres = sys.argv[1:]
    sound = np.load(samples).astype(np.float64)
    run = {"brian2hears": brian2hears, "lyon": lyon, "toolbox": toolbox}[name](int(rate), np.load(centres))
    run(sound[: len(sound) // 10])
    begun = time.process_time()
    run(sound)
    print(len(sound) / int(rate) / (time.process_time() - begun))


main()
