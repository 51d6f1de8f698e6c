"""Sound files: what they are, and their samples block by block.

Law: sample n of a file is at ``n * 10^6 // samplerate`` µs, whatever is selected; no block crosses an absolute multiple
of its length.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from spikestream.batch import Array, Sound
from spikestream.errors import RecordingError
from spikestream.files.regular import open_regular

if TYPE_CHECKING:
    import soundfile

FULL_SCALE_DB = 100.0
"""Level of a sine of amplitude 1."""
MOST = 1 << 50
"""Samples; libsndfile says 2^63 - 1 where a file does not tell how many it holds."""
SCAN_US = 250_000
FLAT = 3
"""So many samples in a row at the end of the range are clipped: music that touches it once is not."""
MAGIC = (b"fLaC", b"OggS", b".snd", b"caff", b"riff\x2e\x91\xcf\x11")
ENDLESS = (0, 0xFFFFFFFF)
"""Sizes that a recorder writes into a header which it means to mend later."""
BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64}
LOUDEST = {"ULAW": 32_124 / 32_768, "ALAW": 32_256 / 32_768}
"""What the largest codes of ITU-T G.711 stand for; an integer format's is one step below 1."""


@dataclass(frozen=True, slots=True)
class SoundInfo:
    """A sound file's facts, None where unknown; ``bits`` is None where samples are compressed with a loss.

    Levels in dB over all channels: ``rms_db`` of a sine of full scale is 100, and so is ``peak_db`` of full scale.
    ``clipped`` counts samples that stand in a row of three or more at the end of the range. ``problems`` counts, by
    kind: ``clipped``, samples that are ``not_finite``, and ``damaged`` = 1 where the file is shorter than it says or
    breaks off.
    """

    path: str
    format: str
    title: str
    subtype: str
    bits: int | None
    samplerate_hz: int
    channels: int
    bytes: int
    samples: int
    duration_us: int
    peak_db: float | None
    rms_db: float | None
    clipped: int | None
    problems: dict[str, int]
    warnings: tuple[str, ...]

    @property
    def suspicious(self) -> bool:
        """Return whether anything is wrong."""
        return bool(self.problems or self.warnings)


def is_sound(path: str) -> bool:
    """Return whether a file begins like sound: WAV (RIFF, RF64, W64), FLAC, Ogg, AIFF, AU, CAF or MP3."""
    try:
        with open_regular(path) as file:
            head = file.read(12)
    except OSError:
        return False
    riff = head[:4] in (b"RIFF", b"RF64", b"RIFX") and head[8:12] == b"WAVE"
    aiff = head[:4] == b"FORM" and head[8:11] == b"AIF"
    mp3 = head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0" and path.lower().endswith(".mp3"))
    return riff or aiff or mp3 or head.startswith(MAGIC)


def open_sound(path: str) -> soundfile.SoundFile:
    """Open a sound file; raises `RecordingError`."""
    import soundfile

    try:
        with open_regular(path) as regular:
            # By its name libsndfile would take a .raw for samples without a header, and want to be told what they are.
            bare = path.lower().endswith(".raw")
            file = soundfile.SoundFile(os.dup(regular.fileno()) if bare else path)
    except OSError as error:
        raise RecordingError(f"cannot be read: {error.strerror or error}", file=path) from error
    except soundfile.SoundFileError as error:
        reason = str(error).rpartition(": ")[2]
        raise RecordingError(f"is no sound file that can be read: {reason}", file=path) from error
    if file.frames > MOST:
        file.close()  # soundfile seeks after every block, which libsndfile then refuses
        raise RecordingError("does not say how long it is", file=path, remedy="write it anew, with flac or ffmpeg")
    return file


def sounds(
    path: str, *, length_us: int = 10_000, from_us: int = 0, to_us: int | None = None
) -> Generator[Sound, None, None]:
    """Yield the samples of ``[from_us, to_us)`` µs, (n, channels) float32, cut at the multiples of ``length_us``.

    A block stops where the sample after it begins. Raises `RecordingError` after all samples before the damage, where
    the selection reaches so far.
    """
    with open_sound(path) as file:
        fs = file.samplerate
        last = file.frames if to_us is None else min(first_sample(to_us, fs), file.frames)
        done = min(first_sample(from_us, fs), last)
        _seek(file, done, path)
        while done < last:
            begin = done * 1_000_000 // fs
            upto = first_sample((begin // length_us + 1) * length_us, fs)
            samples = _read(file, min(upto, last) - done, path)
            if not len(samples):
                raise RecordingError("the sound ends early", file=path, expected=f"{last - done:,} samples more")
            done += len(samples)
            yield Sound(begin, done * 1_000_000 // fs, samples)
        # Where the selection ends inside of what is there, nothing of it is missing.
        missing = missing_bytes(path) if to_us is None or first_sample(to_us, fs) > file.frames else 0
    if missing:
        raise _cut_short(path, missing)


def first_sample(time: int, samplerate_hz: int) -> int:
    """Return the number of the first sample at or after ``time`` µs."""
    return -(-max(time, 0) * samplerate_hz // 1_000_000)


def missing_bytes(path: str) -> int:
    """Return how many bytes a WAV or AIFF file lacks of what its header promises: libsndfile would not say."""
    with open_regular(path) as file:
        head = file.read(12)
        chunk = {b"RIFF": (b"data", "<4sI"), b"FORM": (b"SSND", ">4sI")}.get(head[:4])
        size = _find(file, *chunk) if chunk else 0
        return max(0, file.tell() + size - os.fstat(file.fileno()).st_size) if size not in ENDLESS else 0


def sound_info(path: str | os.PathLike[str], *, scan: bool = True) -> SoundInfo:
    """Return a sound file's facts from all of its samples, or with ``scan=False`` from its header.

    Raises `RecordingError` where there is nothing to tell.
    """
    path = os.fspath(path)
    with open_sound(path) as file:
        header, samples = file, file.frames
    tally = _Tally(header.channels, _loudest(header.subtype))
    problems: dict[str, int] = {}
    warnings = []
    try:
        for block in sounds(path, length_us=SCAN_US) if scan else ():
            tally.add(block.samples)
        if not scan and (missing := missing_bytes(path)):
            raise _cut_short(path, missing)
    except RecordingError as error:
        problems["damaged"] = 1
        samples = tally.samples if scan else samples
        warnings.append("; ".join([f"breaks off after {samples:,} samples: {error.what}", *error.lines()]))
    problems |= {kind: n for kind, n in (("clipped", tally.clipped), ("not_finite", tally.odd)) if n}
    return SoundInfo(
        path=path,
        format=header.format.lower(),
        title=f"{header.format_info}, {header.subtype_info}",
        subtype=header.subtype,
        bits=BITS.get(header.subtype),
        samplerate_hz=header.samplerate,
        channels=header.channels,
        bytes=os.path.getsize(path),
        samples=samples,
        duration_us=samples * 1_000_000 // header.samplerate,
        peak_db=level_db(tally.peak) if scan and samples else None,
        rms_db=level_db(tally.rms() * math.sqrt(2)) if scan and samples else None,
        clipped=tally.clipped if scan else None,
        problems=problems,
        warnings=tuple(warnings),
    )


def level_db(amplitude: float) -> float | None:
    """Return the level of a sine of this amplitude in dB, None for silence."""
    return FULL_SCALE_DB + 20 * math.log10(amplitude) if amplitude > 0 else None


class _Tally:
    """What is measured on the way through the samples."""

    def __init__(self, channels: int, loudest: float) -> None:
        self.loudest = np.float32(loudest)
        self.samples, self.peak, self.power, self.clipped, self.odd = 0, 0.0, 0.0, 0, 0
        self._row = np.zeros((FLAT - 1, channels), bool)  # whether the last samples were at the end of the range
        self._counted = np.zeros((FLAT - 1, channels), bool)

    def add(self, samples: Array) -> None:
        """Measure samples (n > 0, channels) float32."""
        finite = np.isfinite(samples)
        size = np.where(finite, np.abs(samples), 0)
        self.samples += len(samples)
        self.odd += finite.size - int(np.count_nonzero(finite))
        self.peak = max(self.peak, float(size.max()))
        self.power += float(np.mean(np.square(size, dtype=np.float64))) * len(samples)
        at = np.concatenate([self._row, size >= self.loudest])
        flat = np.zeros_like(at)
        flat[: len(self._counted)] = self._counted
        thrice = at[2:] & at[1:-1] & at[:-2]
        for shift in range(FLAT):
            flat[shift : shift + len(thrice)] |= thrice
        self.clipped += int(flat.sum() - self._counted.sum())
        self._row, self._counted = at[1 - FLAT :], flat[1 - FLAT :]

    def rms(self) -> float:
        """Return the root of the mean square."""
        return math.sqrt(self.power / self.samples) if self.samples else 0.0


def _loudest(subtype: str) -> float:
    whole = subtype.startswith("PCM_")
    return 1 - 2.0 ** (1 - BITS[subtype]) if whole and subtype in BITS else LOUDEST.get(subtype, 1.0)


def _seek(file: soundfile.SoundFile, sample: int, path: str) -> None:
    import soundfile

    try:
        if sample:
            file.seek(sample)
    except soundfile.SoundFileError as error:
        raise RecordingError(f"the sound is damaged: {error}", file=path) from error


def _read(file: soundfile.SoundFile, count: int, path: str) -> Any:
    import soundfile

    try:
        return file.read(count, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise RecordingError(f"the sound is damaged: {error}", file=path) from error


def _find(file: BinaryIO, name: bytes, layout: str) -> int:
    """Move to the samples of a WAV or AIFF file and return their size in bytes, 0 where there are none."""
    while len(head := file.read(8)) == 8:
        found, size = struct.unpack(layout, head)
        if found == name:
            return int(size)
        file.seek(size + size % 2, os.SEEK_CUR)
    return 0


def _cut_short(path: str, missing: int) -> RecordingError:
    expected = f"{missing:,} bytes more"
    return RecordingError("the sound ends early", file=path, expected=expected, found="the end of the file")
