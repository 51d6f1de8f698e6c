"""A live microphone: how long sound takes from PortAudio's callback to the published spike, and what that costs.

    python benchmarks/live.py [--quick]

A PulseAudio server without hardware plays speech-like noise into a null sink; spikestream records its
monitor at 16 kHz in blocks of 10 ms, runs cochlea (64 bands, three fibres), network and readout, and publishes to a
subscriber in another process. The shares of a core are CPU time over wall time, of the cochlea and of the whole process
with PortAudio, network, voice activity and sockets. Needs pulseaudio, pulseaudio-utils and libasound2-plugins.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from common import finish, table

from spikestream.batch import Batch
from spikestream.config import from_tables
from spikestream.service.job import Job
from spikestream.service.session import Session, warm_up

RATE = 16_000
PROGRAMS = ("pulseaudio", "pactl", "paplay")
SETTLE_S = 2.0


def syllables(seconds: float) -> np.ndarray:
    """Return noise that swells four times a second, (n,) int16."""
    n = int(seconds * RATE)
    envelope = np.clip(np.sin(2 * np.pi * 4 * np.arange(n) / RATE), 0, 1)
    return np.rint(3_000 * np.random.default_rng(0).standard_normal(n).clip(-3, 3) * envelope).astype(np.int16)


def serve(folder: Path) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """Start a sound server of its own and return it with the environment in which programs find it."""
    (folder / "pa").mkdir(mode=0o700)
    env = {**os.environ, "HOME": str(folder), "PULSE_RUNTIME_PATH": f"{folder}/pa"}
    env["PULSE_SERVER"] = f"unix:{folder}/pa/native"
    load = [
        f"module-native-protocol-unix auth-anonymous=1 socket={folder}/pa/native",
        f"module-null-sink sink_name=mic rate={RATE} channels=1 format=s16le",
    ]
    options = ["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--log-target=stderr"]
    line = ["pulseaudio", *options, *(part for one in load for part in ("-L", one))]
    server = subprocess.Popen(line, env=env, stderr=subprocess.DEVNULL)
    while subprocess.run(["pactl", "info"], env=env, capture_output=True).returncode:
        time.sleep(0.1)
    for what, name in (("sink", "mic"), ("source", "mic.monitor")):
        subprocess.run(["pactl", f"set-default-{what}", name], env=env, check=True)
    return server, env


class Timed:
    """A stage, and the CPU seconds of its thread spent in it."""

    def __init__(self, stage: Any) -> None:
        self._stage, self.cpu_s = stage, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stage, name)

    def __call__(self, batch: Batch) -> Batch:
        begun = time.thread_time()
        made: Batch = self._stage(batch)
        self.cpu_s += time.thread_time() - begun
        return made


async def listen(url: str, sound: Path, seconds: float) -> dict[str, float]:
    """Listen for so long; return the percentiles of the latency in ms, and shares of a core in percent."""
    tables = {"sensor": {"uri": "microphone://"}, "readout": {"windows": "voice"}, "publish": {"urls": [url]}}
    session = Session(Job(from_tables(tables)))
    warm_up(session)
    ear = session.pipeline.stages["hear"] = Timed(session.pipeline.stages["hear"])
    running = asyncio.create_task(session.run())
    await session.started.wait()
    line = [sys.executable, "-m", "spikestream", "subscribe", url, "--summary"]
    reader = subprocess.Popen(line, stdout=subprocess.DEVNULL)
    while session.engine.progress.stop < SETTLE_S * 1e6:
        await asyncio.sleep(0.1)
    player = subprocess.Popen(["paplay", sound])
    begun, used, heard = time.monotonic(), time.process_time(), ear.cpu_s
    await asyncio.sleep(seconds)
    wall = time.monotonic() - begun
    whole, chain = (time.process_time() - used) / wall, (ear.cpu_s - heard) / wall
    session.stop()
    await running
    for process in (player, reader):
        process.kill()
        process.wait()
    if problems := session.problems():
        raise SystemExit("\n".join(problems))
    return {**session.summary()["latency_ms"], "chain_percent": 100 * chain, "process_percent": 100 * whole}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="8 seconds of sound instead of 30")
    seconds = 8.0 if parser.parse_args().quick else 30.0
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        print(f"not measured: {', '.join(missing)} missing: apt install pulseaudio pulseaudio-utils libasound2-plugins")
        finish({}, {})
        return
    with tempfile.TemporaryDirectory(prefix="ss-") as scratch:
        folder = Path(scratch)
        soundfile.write(folder / "sound.wav", syllables(seconds + 5), RATE)
        server, env = serve(folder)
        try:
            os.environ |= env
            found = asyncio.run(listen(f"unix://{folder}/s", folder / "sound.wav", seconds))
        finally:
            server.kill()
            server.wait()
    rows = [["latency p50", "latency p99", "cochlea", "whole process"]]
    shares = [f"{found[name]:.2f} % of a core" for name in ("chain_percent", "process_percent")]
    rows.append([f"{found['p50']:.2f} ms", f"{found['p99']:.2f} ms", *shares])
    print(f"{seconds:g} s of live sound in blocks of 10 ms\n\n{table(rows)}\n")
    figures = {
        "live_latency_p50_ms": found["p50"],
        "live_15_ms_over_p99": 15 / found["p99"],
        "live_3_percent_over_chain": 3 / found["chain_percent"],
        "live_process_percent": found["process_percent"],
    }
    finish(figures, {"live_15_ms_over_p99": 1.0, "live_3_percent_over_chain": 1.0})


if __name__ == "__main__":
    main()
