"""A live microphone: how long sound takes from PortAudio's callback to the published spike, and what that costs.

    python benchmarks/live.py [--quick]

A PulseAudio server without hardware plays speech-like noise into a null sink; ``spikestream listen`` records its
monitor at 16 kHz in blocks of 10 ms, runs cochlea (64 bands, three fibres), network and readout, and publishes to a
subscriber in another process. The share of a core is CPU time over wall time of that whole process, from the third
second on. Needs pulseaudio, pulseaudio-utils and libasound2-plugins.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from common import finish, table

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


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def listen(folder: Path, env: dict[str, str], seconds: float, *more: str) -> dict[str, float]:
    """Listen for so long; return the percentiles of the latency in ms and the share of a core."""
    url, spikestream = f"unix://{folder}/s", [sys.executable, "-m", "spikestream"]
    heard = [*spikestream, "listen", "--json", "--for", f"{seconds:g}s", "--publish", url, *more]
    with (folder / "err").open("w") as err:
        ear = subprocess.Popen(heard, env=env, stdout=subprocess.PIPE, stderr=err, text=True)
    while "listening to" not in (folder / "err").read_text():
        if ear.poll() is not None:
            raise SystemExit((folder / "err").read_text())
        time.sleep(0.05)
    reader = subprocess.Popen([*spikestream, "subscribe", url, "--summary"], env=env, stdout=subprocess.DEVNULL)
    player = subprocess.Popen(["paplay", folder / "sound.wav"], env=env)
    time.sleep(SETTLE_S)
    begun, used = time.monotonic(), cpu_s(ear.pid)
    time.sleep(seconds - 2 * SETTLE_S)
    share = (cpu_s(ear.pid) - used) / (time.monotonic() - begun)
    summary = json.loads(ear.communicate()[0])
    reader.wait()
    player.kill()
    player.wait()
    return {**summary["latency_ms"], "core_percent": 100 * share, "spikes_out": summary["spikes_out"]}


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
            found = listen(folder, env, seconds)
        finally:
            server.kill()
            server.wait()
    rows = [["latency p50", "latency p99", "share of a core"]]
    rows.append([f"{found['p50']:.2f} ms", f"{found['p99']:.2f} ms", f"{found['core_percent']:.2f} %"])
    print(f"{seconds:g} s of live sound in blocks of 10 ms\n\n{table(rows)}\n")
    figures = {
        "live_latency_p50_ms": found["p50"],
        "live_15_ms_over_p99": 15 / found["p99"],
        "live_3_percent_over_core_share": 3 / found["core_percent"],
    }
    finish(figures, {"live_15_ms_over_p99": 1.0, "live_3_percent_over_core_share": 1.0})


if __name__ == "__main__":
    main()
