"""A live microphone with real PortAudio and PulseAudio: nothing lost, every gap told, the replay identical."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import soundfile
import soxr
from cli import command, replay_json, spikestream
from soundserver import RATE, clip, find, listening, sound_server, wait_for  # noqa: F401

import spikestream as ss
from spikestream.batch import Sound
from spikestream.errors import ConfigError, DeviceError
from spikestream.sensors.record import Record

LEAD = RATE // 20
"""paplay may disturb the first 29 ms of what it plays."""
SAME = ("events_in", "spikes_out", "decisions", "duration_us", "state_sha256", "output_sha256")


@pytest.fixture(scope="module")
def speech(data) -> np.ndarray:
    """Return eight spoken digits at 16 kHz."""
    parts = []
    for digit in range(8):
        samples, rate = soundfile.read(data / "speech" / "recordings" / f"{digit}_jackson_{digit}.wav")
        parts += [soxr.resample(samples, rate, RATE), np.zeros(RATE // 4)]
    return np.clip(np.concatenate(parts), -1, 1)


def sounds(path) -> list[Sound]:
    async def collect():
        return [batch async for batch in Record(str(path)).batches()]

    return asyncio.run(collect())


def samples_of(parts) -> np.ndarray:
    """Return all samples (n,) int16 of mono sound, and see that they were such."""
    whole = np.concatenate([part.samples[:, 0] for part in parts]) * 32_768
    assert np.array_equal(whole, np.rint(whole))
    return whole.astype(np.int16)


class Subscriber(Thread):
    """Takes all of some topics until the server says bye."""

    def __init__(self, url, *topics) -> None:
        super().__init__()
        self.client, self.messages = ss.Client(url, topics), []
        self.start()

    def run(self) -> None:
        with self.client:
            self.messages.extend(self.client)

    def of(self, topic):
        self.join(60)
        return [message for message in self.messages if message.topic == topic]


@pytest.mark.realdata
def test_what_is_played_is_captured_to_the_sample_and_replays_to_the_bit(sound_server, speech, tmp_path):  # noqa: F811
    played = clip(tmp_path / "played.wav", speech)
    record, url = tmp_path / "record", f"unix://{sound_server.folder}/s"
    with listening(sound_server, *command("listen"), "--record", record, "--publish", url, "--jsonl") as ear:
        subscriber = Subscriber(url, "main.hear.spikes", "main.sensor.*", "main.readout.decisions")
        wait_for(lambda: len(subscriber.messages) > 2, "spikes")
        sound_server.play(tmp_path / "played.wav")
        assert ear.end() == 143
    live = json.loads(ear.stdout.splitlines()[-1])
    parts = sounds(record)
    captured = samples_of(parts)
    at = find(played[RATE : RATE + 2_000], captured) - RATE
    assert np.array_equal(captured[at + LEAD : at + len(played)], played[LEAD:])
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert live["events_in"] == len(captured)

    again = replay_json(record, "--speed", "max")
    assert {key: again[key] for key in SAME} == {key: live[key] for key in SAME}
    told = spikestream("convert", record, tmp_path / "heard.wav").stdout
    assert f"{len(captured):,} samples" in told
    assert np.array_equal(soundfile.read(tmp_path / "heard.wav", dtype="int16")[0], captured)
    assert live["decisions"] >= 6
    assert len(ear.stdout.splitlines()) == live["decisions"] + 1

    ear_again = ss.Cochlea(RATE)
    heard = [ear_again(part) for part in parts]
    spikes = [message.batch() for message in subscriber.of("main.hear.spikes")]
    begin = spikes[0].start
    assert begin < at * 1_000_000 // RATE
    t = np.concatenate([one.t for one in heard])
    axon = np.concatenate([one.axon for one in heard])[t >= begin]
    assert np.array_equal(np.concatenate([one.t for one in spikes]), t[t >= begin])
    assert np.array_equal(np.concatenate([one.axon for one in spikes]), axon)
    assert len(axon) > 5_000
    stats = subscriber.of("main.sensor.stats")[-1].data
    assert (stats["dropped"], stats["vanished"], stats["gaps_us"], stats["device"]) == (0, 0, 0, "default")
    assert stats["captured"] >= len(captured)


def test_a_wav_that_was_recorded_holds_the_same_and_replays_alike(sound_server, tmp_path):  # noqa: F811
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, RATE)
    played = clip(tmp_path / "played.wav", noise)
    with listening(sound_server, *command("listen"), "--record", tmp_path / "heard.wav", "--json") as ear:
        sound_server.play(tmp_path / "played.wav")
        assert ear.end(signal.SIGINT) == 130
    live = json.loads(ear.stdout)
    captured, rate = soundfile.read(tmp_path / "heard.wav", dtype="int16")
    assert (rate, soundfile.info(tmp_path / "heard.wav").subtype) == (RATE, "PCM_16")
    at = find(played[RATE : RATE + 500], captured) - RATE
    assert np.array_equal(captured[at + LEAD : at + len(played)], played[LEAD:])
    again = replay_json(tmp_path / "heard.wav", "--speed", "max", "--set", "readout.windows=voice")
    assert {key: again[key] for key in SAME} == {key: live[key] for key in SAME}


def test_a_server_that_dies_is_a_gap_and_nothing_else_is_lost(sound_server, tmp_path):  # noqa: F811
    noise = np.random.default_rng(1).uniform(-0.3, 0.3, RATE)
    played = clip(tmp_path / "played.wav", noise)
    record, url = tmp_path / "record", f"unix://{sound_server.folder}/s"
    with listening(sound_server, *command("listen"), "--record", record, "--publish", url) as ear:
        subscriber = Subscriber(url, "main.sensor.*")
        sound_server.play(tmp_path / "played.wav")
        sound_server.kill()
        ear.until("has gone")
        sound_server.start()
        ear.until("is back")
        sound_server.play(tmp_path / "played.wav")
        assert ear.end() == 143
    assert "every hop closes" in ear.stdout
    assert "1 times the device went away" in ear.stderr
    (gap,) = subscriber.of("main.sensor.gap")
    parts = sounds(record)
    (hole,) = [(a.stop, b.start) for a, b in pairwise(parts) if a.stop < b.start]
    assert (gap.start, gap.stop) == hole
    assert 100_000 < gap.stop - gap.start < 60_000_000
    stats = subscriber.of("main.sensor.stats")[-1].data
    assert (stats["vanished"], stats["dropped"], stats["gaps_us"]) == (1, 0, gap.stop - gap.start)
    for half in ([p for p in parts if p.stop <= hole[0]], [p for p in parts if p.start >= hole[1]]):
        captured = samples_of(half)
        at = find(played[RATE : RATE + 500], captured) - RATE
        assert np.array_equal(captured[at + LEAD : at + len(played)], played[LEAD:])
    first, second = (replay_json(record, "--speed", "max") for _ in range(2))
    assert first["output_sha256"] == second["output_sha256"]
    assert f"{first['spikes_out']:,}, {first['decisions']:,}" in ear.stdout


def test_a_loop_that_is_busy_for_too_long_loses_what_is_counted(sound_server):  # noqa: F811
    program = """
import asyncio, json, time
from spikestream.sensors.microphone import Microphone
from spikestream.sensors.base import capture
capture.RING_S = 1
async def main():
    microphone, edges, heard = Microphone(), [], 0
    async for sound in microphone.batches():
        edges.append((sound.start, sound.stop))
        heard += len(sound)
        if len(edges) == 20:
            time.sleep(2)
        if len(edges) > 20 and microphone.dropped and sound.start > edges[19][1] + 2_200_000:
            break
    holes = [b[0] - a[1] for a, b in zip(edges, edges[1:]) if b[0] > a[1]]
    print(json.dumps([heard, microphone.sent, microphone.captured, microphone.taken, microphone.dropped,
                      microphone.held, sum(holes), microphone.stats()["gaps_us"]]))
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=sound_server.env, capture_output=True, text=True, timeout=120
    )
    assert not done.returncode, done.stderr
    heard, sent, captured, taken, dropped, held, holes, gaps = json.loads(done.stdout)
    assert heard == sent
    assert captured == taken + dropped + held
    assert dropped > RATE // 2
    assert holes == gaps == pytest.approx(dropped * 1_000_000 / RATE, abs=100)


@pytest.mark.parametrize("silent_s", [0, 7])
def test_a_server_that_hangs_keeps_nobody_from_ending_it(silent_s, sound_server, tmp_path):  # noqa: F811
    record = tmp_path / "record"
    with listening(sound_server, *command("listen", "--record", record, "--json")) as ear:
        sound_server.signal(signal.SIGSTOP)
        try:
            if silent_s:
                ear.until("has gone")
            assert ear.end() == 143
        finally:
            sound_server.signal(signal.SIGCONT)
    assert json.loads(ear.stdout)["events_in"] == len(samples_of(sounds(record)))


def test_a_server_that_hangs_at_the_beginning_is_an_error(sound_server):  # noqa: F811
    sound_server.signal(signal.SIGSTOP)
    try:
        for verb in (["--devices"], []):
            told = spikestream_in(sound_server.env, "listen", *verb, code=4).stderr
            assert "does not answer" in told
    finally:
        sound_server.signal(signal.SIGCONT)


def test_the_time_ends_it_also_where_no_sound_comes_any_more(sound_server):  # noqa: F811
    with listening(sound_server, *command("listen", "--for", "3s", "--strict")) as ear:
        sound_server.kill()
        assert ear.process.wait(60) == 7
    assert "device went away" in ear.stderr


def test_nobody_listens_to_another_device_than_the_one_that_was_named(monkeypatch):
    from spikestream.sensors import microphone
    from spikestream.sensors.microphone.driver import Device

    usb, webcam, builtin = (
        Device(n, name, "ALSA", 1, 16_000, n == 2) for n, name in enumerate(["usb", "webcam", "builtin"])
    )
    there = [usb, webcam, builtin]
    monkeypatch.setattr(microphone, "devices", lambda: there)
    monkeypatch.setattr("spikestream.sensors.microphone.driver.devices", lambda: there)
    monkeypatch.setattr(microphone.Microphone, "_rate_hz", lambda self: 16_000)
    monkeypatch.setattr(microphone.Microphone, "_start", lambda self: None)
    named, numbered, default = (microphone.Microphone(device=wanted) for wanted in ("usb", "0", ""))
    there[:] = [Device(0, "webcam", "ALSA", 1, 16_000, True)]
    for one in (named, numbered):
        with pytest.raises(DeviceError, match="there is no usb"):
            one._start_again()
    default._start_again()
    assert default.device == "webcam"
    there[:] = [webcam, Device(7, "usb", "ALSA", 1, 16_000, True)]
    named._start_again()
    assert (named.device, named._device.number) == ("usb", 7)


# Without a server: ALSA gives the samples of a file, as fast as they are wanted.


@pytest.fixture
def alsa_file(tmp_path):
    """Return (environment, samples (n,) int16) of a device 'wavmic' that gives these samples again and again."""
    samples = np.arange(60_000).astype(np.int16)
    samples.tofile(tmp_path / "clip.raw")
    device = f'type file slave.pcm "null" file "/dev/null" infile "{tmp_path}/clip.raw" format "raw"'
    (tmp_path / "asound.conf").write_text(f"pcm.wavmic {{ {device} }}\n")
    config = Path("/usr/share/alsa/alsa.conf")
    if not config.exists():
        pytest.skip("no ALSA here: apt install libasound2-plugins")
    env = {key: value for key, value in os.environ.items() if not key.startswith("PULSE_")}
    return {**env, "HOME": str(tmp_path), "ALSA_CONFIG_PATH": f"{config}:{tmp_path}/asound.conf"}, samples


def test_of_a_flood_every_sample_is_handed_out_at_its_time_or_left_out_and_counted(alsa_file, tmp_path):
    env, samples = alsa_file
    program = """
import asyncio, numpy
from spikestream.sensors.microphone import Microphone
async def main():
    microphone, parts = Microphone("wavmic"), []
    async for sound in microphone.batches():
        parts.append(sound)
        if sound.stop > 200_000_000:
            break
    place = numpy.concatenate([numpy.arange(len(p)) + -(-p.start * 2 // 125) for p in parts])
    numpy.save("place.npy", place)
    numpy.save("samples.npy", numpy.concatenate([p.samples[:, 0] for p in parts]))
    numpy.save("counts.npy", [microphone.captured, microphone.taken, microphone.dropped, microphone.held])
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert not done.returncode, done.stderr
    place, heard = np.load(tmp_path / "place.npy"), np.load(tmp_path / "samples.npy")
    captured, taken, dropped, held = np.load(tmp_path / "counts.npy").tolist()
    assert captured == taken + dropped + held
    assert dropped > 0
    assert place[-1] + 1 <= taken + dropped
    played = place < len(samples)  # beyond its end ALSA gives old samples
    assert played.sum() > 10_000
    assert np.array_equal(heard[played] * 32_768, samples[place[played]])


# Devices and errors.


def test_devices_are_listed_and_chosen_by_number_or_name(sound_server):  # noqa: F811
    listed = spikestream_in(sound_server.env, "listen", "--devices")
    assert "default, ALSA, 32 channels" in listed.stdout
    found = [
        json.loads(line) for line in spikestream_in(sound_server.env, "mic", "--devices", "--json").stdout.splitlines()
    ]
    (chosen,) = [one for one in found if one["default"]]
    for name in (chosen["name"], str(chosen["number"]), chosen["name"].upper()):
        assert spikestream_in(sound_server.env, "listen", "--device", name, "--for", "100ms", "--json").stdout


def test_a_device_that_is_not_there_is_told_with_those_that_are(sound_server):  # noqa: F811
    for name, text in (("nonsense", "no microphone is called 'nonsense'"), ("77", "called '77'"), ("al", "several")):
        told = spikestream_in(sound_server.env, "listen", "--device", name, code=4).stderr
        assert text in told
        assert "default, 32 channels" in told
    told = spikestream_in(sound_server.env, "listen", "--channels", "33", code=4).stderr
    assert "has 32 channels, not 33" in told


def spikestream_in(env, *args, code=0):
    assert "sounddevice" not in sys.modules  # which would have looked for devices in the environment of the tests
    return spikestream(*args, code=code, env=env)


def test_without_a_device_the_error_says_so(tmp_path):
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PULSE_", "ALSA_"))}
    env |= {"HOME": str(tmp_path), "PULSE_SERVER": f"unix:{tmp_path}/nobody"}
    done = spikestream_in(env, "listen", code=4)
    assert done.stderr.startswith("error: there is no microphone")
    assert "spikestream listen --devices" in done.stderr
    assert "ALSA" not in done.stderr  # which prints a page of its own
    assert spikestream_in(env, "listen", "--devices").stderr == "there is nothing to record from\n"
    done = spikestream_in(env, "replay", "microphone://", code=4)
    assert "there is no microphone" in done.stderr


def test_without_portaudio_the_error_says_how_to_get_it(tmp_path):
    (tmp_path / "sounddevice.py").write_text('raise OSError("PortAudio library not found")\n')
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(command("listen"), env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 4
    assert done.stderr.startswith("error: PortAudio, which microphones need, is missing: PortAudio library not found")
    assert "apt install libportaudio2" in done.stderr


@pytest.mark.parametrize(
    ("uri", "key"),
    [
        ("microphone://?samplerate_hz=7999", "samplerate_hz"),
        ("microphone://?samplerate_hz=fast", "samplerate_hz"),
        ("microphone://?channels=0", "channels"),
        ("microphone://?length_us=10", "length_us"),
        ("microphone://?bands=3", "bands"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_any_device_is_touched(uri, key):
    assert key in spikestream("replay", uri, code=2).stderr


def test_voices_are_not_looked_for_in_events():
    told = spikestream("replay", "recordings/looks.aedat4", "--set", "readout.windows=voice", code=2).stderr
    assert "voices are heard in sound" in told


def test_a_device_without_the_rate_is_resampled(sound_server, tmp_path):  # noqa: F811
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
    clip(tmp_path / "tone.wav", tone)
    program = """
import sys, sounddevice
check = sounddevice.check_input_settings
def only_44100(samplerate, **rest):
    if samplerate != 44100:
        raise sounddevice.PortAudioError("Invalid sample rate", -9997)
    return check(samplerate=samplerate, **rest)
sounddevice.check_input_settings = only_44100
from spikestream.cli import main
sys.exit(main(sys.argv[1:]))
"""
    (tmp_path / "limited.py").write_text(program)
    record = tmp_path / "record"
    line = [sys.executable, tmp_path / "limited.py", "listen", "--record", record, "--json"]
    with listening(sound_server, *line) as ear:
        sound_server.play(tmp_path / "tone.wav")
        assert ear.end() == 143
    live, parts = json.loads(ear.stdout), sounds(record)
    whole = np.concatenate([part.samples[:, 0] for part in parts])
    loud = whole[len(whole) // 2 - RATE // 4 : len(whole) // 2 + RATE // 4]
    spectrum = np.abs(np.fft.rfft(whole))
    assert abs(np.argmax(spectrum) * RATE / len(whole) - 440) < 1
    assert np.abs(loud).max() < 0.6
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert live["events_in"] == len(whole)
    assert replay_json(record, "--speed", "max")["output_sha256"] == live["output_sha256"]


def test_a_microphone_may_be_a_daemons_sensor(sound_server, tmp_path):  # noqa: F811
    path = tmp_path / "ear.toml"
    path.write_text('[sensor]\nuri = "microphone://"\nsamplerate_hz = 8000\n[hear]\nbands = 16\n')
    line = command(
        "run", path, "--record", tmp_path / "record", "--set", f"publish.urls=unix://{sound_server.folder}/s"
    )
    with listening(sound_server, *line, until="running") as daemon:
        with ss.Client(f"unix://{sound_server.folder}/s", ["main.hear.spikes"]) as client:
            assert any(message.stop > 500_000 for message in client)
        assert daemon.end() == 0
    assert "device to sensor" in daemon.stderr
    assert Record(str(tmp_path / "record")).samplerate_hz == 8_000
    assert len(samples_of(sounds(tmp_path / "record"))) > 1_000


def test_the_options_of_a_microphone_are_checked_by_its_class():
    from spikestream.sensors.microphone import Microphone

    with pytest.raises(ConfigError, match="channels"):
        Microphone(channels=65)
