"""What somebody who listens sees: a level, the bands that spike, and decisions, on a terminal and in a pipe."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess

import numpy as np
import pytest
from cli import command, spikestream
from soundserver import RATE, clip, listening, sound_server, wait_for  # noqa: F401

import spikestream as ss
from spikestream.batch import Sound, Window
from spikestream.cli.base.cochleagram import ASCII, SHADES
from spikestream.cli.base.ear import LEFT, Ear


def tone(hz, seconds, amplitude=0.1):
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def shown(sound, width=200, shades=SHADES, block=160, marks=()):
    """Return the lines that an ear shows of a sound."""
    cochlea, lines = ss.Cochlea(RATE), []
    ear = Ear(cochlea.centres_hz, width, shades)
    for at in range(0, len(sound), block):
        part = sound[at : at + block, np.newaxis]
        batch = Sound(at * 125 // 2, (at + len(part)) * 125 // 2, part)
        due = [mark for mark in marks if batch.start <= mark.start < batch.stop]
        ear(batch, due, {"hear": cochlea(batch)})
        while ear.lines:
            lines.append(ear.lines.popleft())
    return lines


def bands(line):
    return line.split("|")[2]


@pytest.mark.parametrize("hz", [100, 440, 2_000, 5_000])
def test_a_tone_lights_up_its_band_and_the_level_is_its_own(hz):
    centres = ss.Cochlea(RATE).centres_hz
    _, *lines = shown(tone(hz, 1.0))
    assert len(lines) == 10
    for number, line in enumerate(lines[2:], 3):
        assert line.startswith(f"{number / 10:9.1f} s   80 dB ████████  |")
        lit = [place for place, sign in enumerate(bands(line)) if sign == max(bands(line), key=SHADES.index)]
        assert min(lit) <= np.abs(centres - hz).argmin() <= max(lit)
        assert len(bands(line)) == 64


def test_silence_is_dark_and_the_voice_has_a_sign():
    marks = [Window(300_000, 700_000)]
    lines = shown(np.zeros(RATE, np.float32), marks=marks)[1:]
    assert [bands(line).strip() for line in lines] == [""] * 10
    assert ["v" in line.split("|")[1] for line in lines] == [300_000 < n * 100_000 < 700_000 for n in range(1, 11)]
    assert all("   0 dB" in line for line in lines)


@pytest.mark.parametrize(("width", "columns"), [(60, 60 - LEFT), (300, 64), (20, 8)])
def test_the_picture_fits_the_terminal_and_its_head_stands_over_it(width, columns):
    head, line = shown(tone(300, 0.1), width)
    assert len(bands(line)) == columns
    assert head.startswith("       time  level")
    assert columns < 64 or head.index("50 ") == line.rindex("|", 0, -1) + 1
    assert len(head) <= max(width, LEFT + columns)


def test_where_blocks_cannot_be_printed_it_is_ascii():
    for line in shown(tone(440, 0.5), shades=ASCII):
        line.encode("ascii")


def test_the_lines_do_not_depend_on_the_blocks_and_the_head_comes_again():
    sound = tone(440, 6)
    fine, coarse = shown(sound), shown(sound, block=1_600)
    assert fine == coarse
    assert [n for n, line in enumerate(fine) if "time" in line] == [0, 51]


def test_on_a_terminal_the_sound_is_seen(sound_server, tmp_path):  # noqa: F811
    clip(tmp_path / "tone.wav", tone(1_000, 1.0))
    master, slave = pty.openpty()
    line = command("listen", "--for", "20s")
    env = {**sound_server.env, "PYTHONIOENCODING": "utf-8"}
    ear = subprocess.Popen(line, env=env, stdout=subprocess.PIPE, stderr=slave, text=True)
    os.close(slave)
    seen = b""
    while b"listening to" not in seen:
        seen += os.read(master, 4_096)
    sound_server.play(tmp_path / "tone.wav")
    ear.terminate()
    try:
        while part := os.read(master, 4_096):
            seen += part
    except OSError:  # the other end is closed
        pass
    assert ear.wait(60) == 143
    assert ear.stdout is not None
    said, text = ear.stdout.read(), seen.decode()
    levels = [int(found) for found in re.findall(r" s +(\d+) dB", text)]
    assert {0, 80} <= set(levels)
    assert "| v |" in text
    assert "█" in text
    (decision,) = re.findall(r"^ +([\d.]+) s  unknown .* in 1\.\d+ s$", said, re.MULTILINE)
    assert float(decision) > 1
    assert "every hop closes" in said


def test_in_a_pipe_there_are_decisions_only_and_the_time_ends_it(sound_server, tmp_path):  # noqa: F811
    with listening(sound_server, *command("listen", "--for", "1s", "--jsonl", "--set", "readout.windows=grid")) as ear:
        assert ear.process.wait(60) == 0
    *rows, summary = map(json.loads, ear.stdout.splitlines())
    assert [row["stop"] - row["start"] for row in rows] == [100_000] * len(rows)
    assert len(rows) == summary["decisions"] >= 10
    assert summary["duration_us"] >= 1_000_000
    assert re.fullmatch(r"(compiling.*\n)?listening to default, Ctrl-C ends\n", ear.stderr)


def test_what_was_learned_is_saved_and_gone_on_with(sound_server, tmp_path):  # noqa: F811
    model = tmp_path / "model.npz"
    small = ("--rate", "8000", "--set", "network.neurons=20", "--set", "hear.bands=16", "--for", "200ms", "--json")
    with listening(sound_server, *command("listen", *small, "--save", model)) as ear:
        assert ear.process.wait(60) == 0
    saved = ss.load(model)
    assert (saved.config.sensor.samplerate_hz, saved.config.hear.bands) == (8_000, 16)
    with listening(sound_server, *command("listen", "--model", model, "--for", "100ms", "--save", model)) as ear:
        assert ear.process.wait(60) == 0
    assert ss.load(model).config.sensor.samplerate_hz == 8_000
    line = command("listen", "--model", model, "--rate", "16000", "--for", "100ms")
    with listening(sound_server, *line, until="8,000 samples a second of sound, and this is 16,000") as ear:
        assert ear.process.wait(60) == 6


def test_a_config_may_name_the_microphone(sound_server, tmp_path):  # noqa: F811
    (tmp_path / "ear.toml").write_text(
        '[sensor]\nuri = "microphone://default?channels=2"\n[readout]\nwindows = "grid"\n'
    )
    line = command("listen", "--config", tmp_path / "ear.toml", "--for", "300ms", "--record", tmp_path / "r", "--json")
    with listening(sound_server, *line) as ear:
        assert ear.process.wait(60) == 0
    assert json.loads(ear.stdout)["decisions"] >= 3
    from test_microphone import sounds

    assert {part.samples.shape[1] for part in sounds(tmp_path / "r")} == {2}


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--for", "soon"], "soon"),
        (["--rate", "7000"], "samplerate_hz"),
        (["--record", "/nowhere/x"], "no such folder"),
        (["--set", "readout.windows=sometimes"], "sometimes"),
    ],
)
def test_bad_options_are_told_before_anything_begins(args, text, sound_server):  # noqa: F811
    done = subprocess.run(command("listen", *args), env=sound_server.env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert text in done.stderr
    assert "listening" not in done.stderr


def test_mic_is_listen():
    assert spikestream("mic", "--help").stdout == spikestream("listen", "--help").stdout
