"""Sound alone, recorded as a WAV file or taken from a record: every sample to the bit, a gap as silence."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import soundfile
from cli import spikestream
from small import config, run

from spikestream.batch import Sound, no_events
from spikestream.config import from_tables
from spikestream.errors import RecordingError
from spikestream.service import record_wav
from spikestream.service.record import Recorder
from spikestream.service.record_wav import WavRecorder, is_pcm16

RATE = 8_000


def stretch(start, n, seed=0, channels=1, whole=True):
    """Return n samples from sample number ``start`` on."""
    samples = np.random.default_rng(seed).integers(-32_768, 32_768, (n, channels)) / np.float32(32_768)
    noise = samples.astype(np.float32) if whole else (samples / 3).astype(np.float32)
    return Sound(start * 125, (start + n) * 125, noise)


GAPPY = [stretch(0, 800), stretch(800, 0), stretch(800, 1, 2), stretch(70_801, 400, 3)]


def recorded(path, parts, pcm16=True):
    recorder = WavRecorder(str(path), RATE, pcm16)

    async def work():
        await recorder.start()
        try:
            for part in parts:
                recorder(part, [], {})
        finally:
            await recorder.aclose()

    asyncio.run(work())
    return recorder


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("whole", [True, False])
def test_every_sample_is_kept_to_the_bit(whole, channels, tmp_path):
    parts = [stretch(0, 500, 1, channels, whole), stretch(500, 300, 2, channels, whole)]
    recorder = recorded(tmp_path / "x.wav", parts, whole)
    assert recorder.rows == 800
    assert soundfile.info(tmp_path / "x.wav").subtype == ("PCM_16" if whole else "FLOAT")
    got, rate = soundfile.read(tmp_path / "x.wav", dtype="float32", always_2d=True)
    assert rate == RATE
    assert np.array_equal(got, np.concatenate([part.samples for part in parts]))
    assert all(is_pcm16(part) == whole for part in parts)


def test_a_gap_is_silence_of_its_length(tmp_path):
    recorder = recorded(tmp_path / "x.wav", GAPPY)
    got = soundfile.read(tmp_path / "x.wav", dtype="float32")[0]
    assert (len(got), recorder.rows) == (71_201, 1_201)
    assert np.array_equal(got[:801], np.concatenate([part.samples[:, 0] for part in GAPPY[:3]]))
    assert not got[801:70_801].any()
    assert np.array_equal(got[70_801:], GAPPY[3].samples[:, 0])


def test_the_sound_of_a_record_becomes_the_same_wav(tmp_path):
    recorder = Recorder(str(tmp_path / "r"), from_tables({"sensor": {"samplerate_hz": RATE}}))

    async def work():
        await recorder.start()
        for part in GAPPY:
            recorder(part, [], {})
        await recorder.aclose()

    run(work())
    told = spikestream("convert", tmp_path / "r", tmp_path / "x.wav").stdout
    assert "1,201 samples" in told
    recorded(tmp_path / "y.wav", GAPPY)
    assert (tmp_path / "x.wav").read_bytes() == (tmp_path / "y.wav").read_bytes()
    assert ".wav" in spikestream("convert", tmp_path / "r", tmp_path / "x.npz", code=2).stderr


def test_a_record_of_events_has_no_sound(tmp_path):
    recorder = Recorder(str(tmp_path / "r"), config())

    async def work():
        await recorder.start()
        recorder(no_events(0, 10), [], {})
        await recorder.aclose()

    run(work())
    told = spikestream("convert", tmp_path / "r", tmp_path / "x.wav", code=2).stderr
    assert "a record of events holds no sound" in told
    assert told.endswith(f"try: spikestream record {tmp_path / 'r'} {tmp_path / 'x.aedat4'}\n")
    assert not (tmp_path / "x.wav").exists()


def test_what_is_no_sound_or_too_much_of_it_is_refused_and_what_was_kept_stays(tmp_path, monkeypatch):
    with pytest.raises(RecordingError, match="only sound"):
        recorded(tmp_path / "x.wav", [no_events(0, 10)])
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(record_wav, "MOST_BYTES", 2_000)
    with pytest.raises(RecordingError, match="4 GB at most"):
        recorded(tmp_path / "x.wav", [stretch(0, 800), stretch(800, 800)])
    assert not (tmp_path / "x.wav").exists()
    assert len(soundfile.read(tmp_path / "x.wav.part")[0]) == 800


def test_nothing_is_left_of_a_recording_that_never_began(tmp_path):
    recorded(tmp_path / "x.wav", [])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(RecordingError, match="cannot be written"):
        recorded(tmp_path / "no" / "x.wav", [stretch(0, 8)])
