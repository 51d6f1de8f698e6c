"""Hear what the spikes of a cochlea keep: turn them back into sound.

    python examples/resynthesize.py speech.wav heard.wav [--bands 64] [--no-gain-control]
    python examples/resynthesize.py speech.npz heard.wav                  (made by: spikestream convert speech.wav ...)

Every spike becomes the impulse response of its band, played backwards in time, so that the delay of the filter on the
way in is undone; its height is the threshold of its fibre, the charge the spike stands for. The sum of all is the
sound: there is no noise in it and no tone that spikes did not bring. Its level is arbitrary.

Beside it stands a measure, where there is an original to compare with: how well the logarithm of each band's envelope
(20 ms, down to 60 dB below the loudest) correlates over time with that of the original, as a mean over the bands, and
how well the waveforms do. The same for spikes at random times, as many in each band, says what the numbers are worth.
The gain control makes soft parts as loud as loud ones, which costs agreement: without it the spikes keep the level too.

Whole sounds are held in memory: this is for minutes, not for hours.
"""

from __future__ import annotations

import argparse
import os
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile

import spikestream as ss

WINDOW_S, HOP_S = 0.02, 0.01
RANGE_DB = 60
LONGEST_S = 0.1
"""Of an impulse response: the lowest band's has fallen by 60 dB by then."""


@dataclass(frozen=True)
class Heard:
    """Spikes (n,): sample and axon; the bands' frequencies, the fibres' thresholds, and the length in samples."""

    sample: np.ndarray
    axon: np.ndarray
    centres_hz: np.ndarray
    thresholds: np.ndarray
    samplerate_hz: int
    length: int


def hear(sound: np.ndarray, samplerate_hz: int, bands: int, gain_control: bool) -> Heard:
    """Return the spikes of a sound (n,) float32."""
    ear = ss.Cochlea(samplerate_hz, bands, gain_control=gain_control)
    made = ear(ss.Sound(0, len(sound) * 1_000_000 // samplerate_hz, sound[:, np.newaxis]))
    sample = samples_at(made.t, samplerate_hz)
    return Heard(sample, made.axon, ear.centres_hz, np.array(ear.params.thresholds), samplerate_hz, len(sound))


def read_spikes(path: str) -> Heard:
    """Return the spikes that `spikestream convert` wrote; raises `RecordingError` for another file."""
    try:
        with np.load(path, allow_pickle=False) as held:
            rate, start, stop = (int(held[name]) for name in ("samplerate_hz", "start", "stop"))
            t, axon, centres_hz, thresholds = (held[name] for name in ("t", "axon", "centres_hz", "thresholds"))
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ss.RecordingError(f"holds no spikes of a cochlea: {error}", file=path) from error
    return Heard(samples_at(t - start, rate), axon, centres_hz, thresholds, rate, samples_at(stop - start, rate))


def samples_at(t: Any, samplerate_hz: int) -> Any:
    """Return the numbers of the samples with stamps ``t`` µs, an array or one."""
    return -(-t * samplerate_hz // 1_000_000)


def spectra(centres_hz: np.ndarray, samplerate_hz: int, size: int) -> Iterator[np.ndarray]:
    """Yield the transform (size,) of each band's complex gammatone of order 4, with a gain of 1 at its centre.

    Bandwidths after Glasberg & Moore, Hear. Res. 47 (1990); 1.019 ERB after Patterson et al., APU report 2341 (1988).
    """
    t = np.arange(int(LONGEST_S * samplerate_hz)) / samplerate_hz
    for centre in centres_hz:
        width = 1.019 * 24.7 * (4.37 * centre / 1_000 + 1)
        envelope = t**3 * np.exp(-2 * np.pi * width * t)
        yield np.fft.fft(envelope / envelope.sum() * np.exp(2j * np.pi * centre * t), size)


def padded(length: int, samplerate_hz: int) -> int:
    """Return a power of two with room for a sound and the longest response after it."""
    return 1 << (length + int(LONGEST_S * samplerate_hz)).bit_length()


def resynthesize(heard: Heard) -> np.ndarray:
    """Return the sound (length,) of the spikes, half of full scale at its peak."""
    bands = len(heard.centres_hz)
    fibre, band = np.divmod(heard.axon, bands)
    ours = (fibre < len(heard.thresholds)) & (heard.sample < heard.length)  # not those for OFF
    sample, fibre, band = heard.sample[ours], fibre[ours], band[ours]
    size = padded(heard.length, heard.samplerate_hz)
    total = np.zeros(size, complex)
    for number, response in enumerate(spectra(heard.centres_hz, heard.samplerate_hz, size)):
        here = band == number
        pulses = np.bincount(sample[here], heard.thresholds[fibre[here]], size)
        # The conjugate plays the response backwards; the response of negative frequencies follows from a real sum.
        total += np.fft.fft(pulses) * np.conj(response)
    sound = np.fft.ifft(total).real[: heard.length]
    return 0.5 * sound / np.abs(sound).max(initial=1e-12)


def shuffled(heard: Heard, seed: int = 0) -> Heard:
    """Return as many spikes of every fibre at random times."""
    sample = np.random.default_rng(seed).integers(0, max(heard.length, 1), len(heard.sample))
    return Heard(sample, heard.axon, heard.centres_hz, heard.thresholds, heard.samplerate_hz, heard.length)


def envelopes_db(sound: np.ndarray, samplerate_hz: int, centres_hz: np.ndarray) -> np.ndarray:
    """Return the level of each band over time, (bands, frames)."""
    size, hop = padded(len(sound), samplerate_hz), int(HOP_S * samplerate_hz)
    window = np.hanning(int(WINDOW_S * samplerate_hz) + 2)[1:-1]
    transform, rows = np.fft.fft(sound, size), []
    for response in spectra(centres_hz, samplerate_hz, size):
        power = np.abs(np.fft.ifft(transform * response)[: len(sound)]) ** 2
        rows.append(np.convolve(power, window / window.sum(), "same")[::hop])
    level = 10 * np.log10(np.array(rows) + 1e-20)
    return np.maximum(level, level.max() - RANGE_DB)


def agreement(original: np.ndarray, heard: Heard, sound: np.ndarray) -> tuple[float, float]:
    """Return the correlations of log band envelopes, as a mean over bands, and of waveforms."""
    ours, theirs = (envelopes_db(one, heard.samplerate_hz, heard.centres_hz) for one in (original, sound))
    found = [correlation(a, b) for a, b in zip(ours, theirs, strict=True)]
    return float(np.mean(found)), correlation(original, sound)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Pearson's correlation, 0 where one of the two never changes."""
    a, b = a - a.mean(), b - b.mean()
    norm = np.sqrt(np.dot(a, a) * np.dot(b, b))
    return float(np.dot(a, b) / norm) if norm > 0 else 0.0


def report(original: np.ndarray, heard: Heard, sound: np.ndarray) -> str:
    """Return the table of agreements."""
    rate = len(heard.sample) * heard.samplerate_hz / max(heard.length, 1) / len(heard.centres_hz)
    lines = [
        f"{len(heard.sample):,} spikes, {rate:.0f} a band and second",
        f"{'correlation of':24} envelopes  waveform",
    ]
    chance = resynthesize(shuffled(heard))
    for name, one in (("the spikes", sound), ("spikes at random times", chance)):
        envelope, waveform = agreement(original, heard, one)
        lines.append(f"  {name:22} {envelope:9.2f} {waveform:9.2f}")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="SRC", help="a sound file, or an .npz of spikes")
    parser.add_argument("target", metavar="OUT", help="a sound file")
    parser.add_argument("--bands", type=int, default=64, help="of the cochlea, 8 to 256")
    parser.add_argument("--no-gain-control", action="store_true", help="let the spikes keep the level")
    options = parser.parse_args()
    if os.path.exists(options.target) and os.path.samefile(options.source, options.target):
        parser.error("what is read cannot be written over")
    if options.source.endswith(".npz"):
        heard = read_spikes(options.source)
        original = None
    else:
        sound, rate = soundfile.read(options.source, dtype="float32", always_2d=True)
        if not len(sound):
            raise ss.RecordingError("holds no sound", file=options.source)
        original = sound.mean(axis=1)
        heard = hear(original, rate, options.bands, not options.no_gain_control)
    made = resynthesize(heard)
    soundfile.write(options.target, made, heard.samplerate_hz)
    print(report(original, heard, made) if original is not None else f"{len(heard.sample):,} spikes, no original")


if __name__ == "__main__":
    try:
        main()
    except (ss.SpikestreamError, soundfile.SoundFileError, OSError) as error:
        sys.exit(f"error: {error}")
