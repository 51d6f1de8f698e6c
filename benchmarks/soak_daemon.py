"""The daemon of soak.py in a process of its own, what is done to it, and what its operator sees of it."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PERIODS_US = {"left": 10, "right": 20, "far": 20}
"""By pipeline, µs of stream time between two events: 200,000 a second together."""
CONFIG = """
filter = []
[network]
neurons = 32
[readout]
window_us = 100_000
[publish]
urls = ["unix://{folder}/s.sock", "tcp://127.0.0.1:0"]
queue_bytes = 262_144
ring_bytes = 65_536
[log]
path = "{folder}/log"
kinds = ["spikes", "decisions", "stats", "gap"]
topics = ["*.network.*", "*.readout.*", "*.engine.*", "*.sensor.*"]
max_bytes = 4_194_304
segment_bytes = 262_144
max_age_s = 3_600.0
sync_s = 0.5
[restart]
base_s = 0.1
cap_s = 0.5
[http]
url = "http://127.0.0.1:0"
"""
PIPELINE = """
[pipelines.{name}.sensor]
uri = "steady://{folder}/{name}.dead?period_us={period}"
[pipelines.{name}.checkpoint]
path = "{folder}/{name}.npz"
every_s = 2.0
"""
START_S, END_S = 120.0, 60.0


class Daemon:
    """`spikestream run` as a process, and the files by which it is made to suffer."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said, self.shift_ns = folder, "", 0
        self.clock = folder / "clock"
        self.clock.write_bytes(bytes(8))
        path, env = self._prepare()
        command = [sys.executable, "-m", "spikestream", "run", str(path)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=env)
        assert self.process.stderr is not None
        self._errors = self.process.stderr
        fcntl.fcntl(self._errors, fcntl.F_SETFL, os.O_NONBLOCK)
        until = time.monotonic() + START_S
        while "\nrunning left" not in self.said:
            if time.monotonic() > until or self.process.poll() is not None:
                raise SystemExit(f"the daemon does not start: {self.said}")
            time.sleep(0.02)
            self.listen()
        self.urls = re.findall(r"publishing at ((?:unix|tcp)://\S+)", self.said)
        (self._http,) = re.findall(r"at http://(\S+)", self.said)

    def _prepare(self) -> tuple[Path, dict[str, str]]:
        """Write the configuration, and build what is loaded into the process: the plugin, and the clock."""
        text = CONFIG + "".join(
            PIPELINE.format(folder="{folder}", name=name, period=period) for name, period in PERIODS_US.items()
        )
        path = self.folder / "soak.toml"
        path.write_text(text.format(folder=self.folder))
        meta = self.folder / "plugin" / "soak-1.0.dist-info"
        meta.mkdir(parents=True)
        (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: soak\nVersion: 1.0\n")
        (meta / "entry_points.txt").write_text("[spikestream.sensors]\nsteady = soak_sensor:Steady\n")
        shim = self.folder / "clock.so"
        compiler = ["gcc", "-shared", "-fPIC", "-O2", "-o", str(shim), str(HERE / "soak_clock.c"), "-ldl"]
        try:
            subprocess.run(compiler, check=True)
        except FileNotFoundError:
            raise SystemExit("the clock is made to jump by a few lines of C: install gcc") from None
        places = [str(meta.parent), str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
        env = {"PYTHONPATH": os.pathsep.join(filter(None, places)), "LD_PRELOAD": str(shim)}
        return path, {**os.environ, **env, "SOAK_CLOCK": str(self.clock)}

    # What is done to it.

    def let_die(self, pipeline: str) -> None:
        """Let a sensor fail, and every try to open it, until `revive`."""
        (self.folder / f"{pipeline}.dead").touch()

    def revive(self, pipeline: str) -> None:
        """Let it be opened again."""
        (self.folder / f"{pipeline}.dead").unlink()

    def shift(self, seconds: float) -> None:
        """Let its wall clock jump to so many seconds off the real one."""
        self.shift_ns = round(seconds * 1e9)
        with self.clock.open("r+b") as file:  # cut to nothing, even for a moment, it would kill who has it mapped
            file.write(struct.pack("=q", self.shift_ns))

    def fill_disk(self, full: bool) -> None:
        """Let no file of it grow, whatever it writes: as on a full disk, but that the kernel says "File too large"."""
        hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (0 if full else hard, hard))

    def end(self) -> None:
        """Tell it to end."""
        self.process.send_signal(signal.SIGTERM)

    # What is seen of it.

    def listen(self) -> None:
        """Take what it has logged."""
        while data := self._errors.read():
            self.said += data.decode(errors="replace")

    def get(self, path: str) -> bytes:
        """Return what is answered over HTTP."""
        line = http.client.HTTPConnection(self._http, timeout=START_S)
        try:
            line.request("GET", path)
            return line.getresponse().read()
        finally:
            line.close()

    def status(self) -> dict[str, Any]:
        """Return what `spikestream status` is told."""
        told: dict[str, Any] = json.loads(self.get("/status"))["d"]
        return told

    def metrics(self) -> dict[str, float]:
        """Return every sample of /metrics."""
        lines = [line.rpartition(" ") for line in self.get("/metrics").decode().splitlines() if line[0] != "#"]
        return {name: float(value) for name, _, value in lines}

    def memory(self) -> tuple[int, int]:
        """Return its resident memory as the kernel tells it, bytes: all of it, and what is not of files."""
        resident, of_files = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1:3]
        page = resource.getpagesize()
        return int(resident) * page, (int(resident) - int(of_files)) * page

    def threads(self) -> int:
        """Return how many threads it has."""
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def descriptors(self) -> int:
        """Return how many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_s(self) -> float:
        """Return the CPU seconds it has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
