"""Kills the daemon at random moments, again and again, and looks at what it left: files, numbers, learning.

    python benchmarks/torture.py [--kills 200] [--terms 50] [--seed 0] [--keep FOLDER]

Each life is a process of its own that runs `spikestream run` under load: it learns, saves every tenth of a second,
logs everything it publishes, and records what it is given, while a subscriber reads along. After a ``kill -9`` every
file must be whole, the next start must not refuse, no number may be given twice, and no more learning be lost than the
interval. After a SIGTERM the subscriber must have had every message of every batch that was taken. Exits with 1 where
it was not so.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import numpy as np

from spikestream import checkpoint
from spikestream.batch import EVENT, Events
from spikestream.cli import main as command
from spikestream.errors import ClientError, ModelError, RecordingError
from spikestream.files.generations import versions
from spikestream.files.write import write
from spikestream.log.segment import bytes_of, listed, opened
from spikestream.sensors.record import Record
from spikestream.wire import BYE, ClientSession, Message

SIDE, RATE_HZ, BATCH_US = 32, 50_000, 10_000
EVERY_S = 0.1
SLACK_S = 1.5
"""What a save and a busy machine may take on top of the interval."""
PATIENCE_S = 60.0
SPIKES = "main.network.spikes"
CONFIG = """
filter = []
[sensor]
uri = "{folder}/load.aedat4"
[network]
neurons = 200
[readout]
window_us = 50_000
[publish]
urls = ["unix://{folder}/s.sock"]
[checkpoint]
path = "{folder}/model.npz"
every_s = {every_s}
[log]
path = "{folder}/log"
kinds = ["events", "spikes", "decisions", "stats", "gap"]
max_bytes = 16_777_216
segment_bytes = 1_048_576
sync_s = 0.1
"""


@dataclass
class Findings:
    """What was seen over all lives; ``wrong`` says what must not be."""

    lives: int = 0
    connected: int = 0
    judged: int = 0
    worst_loss_s: float = 0.0
    received: int = 0
    wrong: list[str] = field(default_factory=list)
    last: dict[str, int] = field(default_factory=dict)


class Life:
    """A daemon in a process of its own, and a subscriber to all it publishes."""

    def __init__(self, folder: Path, findings: Findings) -> None:
        self.folder, self.findings = folder, findings
        self.session = ClientSession("torture")
        self.session.subscribe(["main.>"])
        self.spans: list[tuple[int, int]] = []
        self.first: dict[str, int] = {}
        self.socket: socket.socket | None = None
        findings.lives += 1
        self.pid = os.fork()
        if not self.pid:
            _be_daemon(folder)

    def read(self, seconds: float) -> None:
        """Read along for so long, or to the end of the connection."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.socket is None:
                self._connect()
                if self.socket is None:
                    time.sleep(min(left, 0.01))
                    continue
            if select.select([self.socket], [], [], left)[0] and not self._receive():
                return

    def listen(self) -> None:
        """Return when the first message has come."""
        until = time.monotonic() + PATIENCE_S
        while not self.spans and time.monotonic() < until:
            self.read(0.02)

    def end(self, number: signal.Signals) -> int:
        """Send the signal, read what still comes, and return the exit code, negative for a signal."""
        died = os.waitpid(self.pid, os.WNOHANG)
        if died[0]:
            self.wrong(f"a daemon ended by itself: {self.told()[-800:]}")
            return os.waitstatus_to_exitcode(died[1])
        os.kill(self.pid, number)
        self.read(PATIENCE_S if self.socket is not None else 0)
        if self.socket is not None:
            self.socket.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def told(self) -> str:
        """Return what the daemon said on stderr."""
        return (self.folder / "stderr").read_text(errors="replace")

    def wrong(self, what: str) -> None:
        """Note what must not be."""
        self.findings.wrong.append(f"life {self.findings.lives}: {what}")

    def _connect(self) -> None:
        made = socket.socket(socket.AF_UNIX)
        try:
            made.connect(str(self.folder / "s.sock"))
        except OSError:
            made.close()
            return
        self.socket = made
        self.findings.connected += 1

    def _receive(self) -> bool:
        assert self.socket is not None
        try:
            data = self.socket.recv(1 << 20)
            if not data:
                return False
            for event in self.session.receive(data):
                if isinstance(event, Message):
                    self._take(event)
            self.socket.sendall(self.session.to_send())
        except OSError:
            return False
        except ClientError as error:
            self.wrong(f"the subscriber: {error.what}")
            return False
        return True

    def _take(self, message: Message) -> None:
        self.findings.received += 1
        self.first.setdefault(message.topic, message.seq)
        if message.topic == SPIKES:
            self.spans.append((message.start, message.stop))


def _be_daemon(folder: Path) -> NoReturn:
    code = 1
    try:
        errors = os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(errors, 2)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        code = command(["run", str(folder / "d.toml"), "--record", f"{folder}/record/"])
    finally:
        sys.stderr.flush()
        os._exit(code)


def kill(life: Life, seconds: float, heard: bool) -> None:
    """One life that ends with ``kill -9`` after so many seconds, counted from its first message if ``heard``."""
    if heard:
        life.listen()
    life.read(seconds)
    code = life.end(signal.SIGKILL)
    if code not in (-signal.SIGKILL,):
        life.wrong(f"exit code {code} where it was to be killed")
    numbers_go_on(life)
    look_at_models(life)


def terminate(life: Life, seconds: float) -> None:
    """One life that ends with SIGTERM, so long after its subscriber has heard the first message."""
    life.listen()
    life.read(seconds)
    code = life.end(signal.SIGTERM)
    if code != 0 or not life.session.ended:
        life.wrong(f"exit code {code}, bye said: {life.session.ended}: {life.told()[-800:]}")
        return
    numbers_go_on(life)
    look_at_models(life)
    # What the pace holds has not been taken yet.
    ledger = [line for line in life.told().splitlines() if " sent, " in line and "sensor to pace" not in line]
    if not ledger or any(word in line for line in ledger for word in ("MISSING", " held", " dropped")):
        life.wrong(f"the ledger does not close: {ledger}")
    if missing := {topic: one.missing for topic, one in life.session.counts.items() if one.missing}:
        life.wrong(f"a reading subscriber lost {missing}")
    if any(a[1] != b[0] for a, b in zip(life.spans, life.spans[1:], strict=False)):
        life.wrong("the stream the subscriber got is not contiguous")
    now = checkpoint.marks_of(life.folder / "model.npz")["now"]
    if not life.spans or life.spans[-1][1] != now:
        life.wrong(f"the subscriber got the stream to {life.spans[-1:]}, it was run to {now}")
    segment, file = opened(listed(life.folder / "log")[-1])
    file.close()
    if behind := {
        t: (one.next, segment.next[t]) for t, one in life.session.counts.items() if one.next != segment.next[t]
    }:
        life.wrong(f"the subscriber and the log ended with different numbers: {behind}")


def numbers_go_on(life: Life) -> None:
    """No number is given twice, whatever was lost."""
    last = life.findings.last
    for topic, first in life.first.items():
        if first <= last.get(topic, -1):
            life.wrong(f"{topic}: number {first} was given again, after {last[topic]}")
    last |= {topic: one.next - 1 for topic, one in life.session.counts.items()}


def look_at_models(life: Life) -> None:
    """Every model is whole, and the newest has learned all but what the interval allows to be lost."""
    path = life.folder / "model.npz"
    for version in versions(path):
        try:
            checkpoint.contents(version)
        except ModelError as error:
            life.wrong(f"{error.what}")
    count = life.session.counts.get(SPIKES)
    if count is None or not path.exists():
        return
    first, end = life.first[SPIKES], count.next
    if (end - first) * BATCH_US / 1e6 <= EVERY_S + SLACK_S:
        return  # too short a life: it may not have come to save
    saved = checkpoint.marks_of(path)["numbers"].get(SPIKES, 0)
    loss_s = (end - saved) * BATCH_US / 1e6
    life.findings.judged += 1
    life.findings.worst_loss_s = max(life.findings.worst_loss_s, loss_s)
    if loss_s > EVERY_S + SLACK_S:
        life.wrong(f"{loss_s:.2f} s of learning were lost")


def look_at_the_rest(folder: Path, findings: Findings) -> None:
    """Every segment of the log and every record can be read, and nothing was set aside or left half written."""
    odd = [path for path in folder.rglob("*") if path.suffix == ".bad" or ".tmp-" in path.name]
    if odd:
        findings.wrong.append(f"left behind: {odd}")
    session = ClientSession()
    session.subscribe(["main.>"])
    try:
        for path in listed(folder / "log"):
            for data in bytes_of(path):
                if data != BYE:
                    list(session.receive(data))
        for run in sorted((folder / "record").iterdir()):
            if holds_something(run):
                sum(1 for _ in Record(str(run))._messages())
    except (ClientError, RecordingError) as error:
        findings.wrong.append(f"reading: {error}")


def holds_something(run: Path) -> bool:
    """Return whether a record came to its first message: killed before that, it has a beginning and nothing else."""
    session = ClientSession()
    session.subscribe(["record.>"])
    frames = (data for path in listed(run) for data in bytes_of(path))
    return any(isinstance(event, Message) for data in frames for event in session.receive(data))


def load(folder: Path) -> None:
    """Write the recording that is played, and the configuration; load what a daemon loads, for all that are forked."""
    seconds, rng = 60, np.random.default_rng(0)
    data = np.zeros(seconds * RATE_HZ, EVENT)
    data["t"] = np.sort(rng.integers(0, seconds * 1_000_000, len(data)))
    data["x"], data["y"] = rng.integers(0, SIDE, (2, len(data)))
    write(folder / "load.aedat4", Events(0, seconds * 1_000_000, data, (SIDE, SIDE)))
    (folder / "d.toml").write_text(CONFIG.format(folder=folder, every_s=EVERY_S))
    from spikestream.config import read_config
    from spikestream.service.job import Job
    from spikestream.service.session import Session, warm_up

    session = Session(Job(read_config(folder / "d.toml", ["publish.urls=[]"])))
    warm_up(session)
    session.pipeline(Events(0, BATCH_US, data[: np.searchsorted(data["t"], BATCH_US)], (SIDE, SIDE)))


def torture(folder: Path, kills: int, terms: int, seed: int) -> Findings:
    """Run all lives, and return what was found."""
    chance, findings = random.Random(seed), Findings()
    load(folder)
    for number in range(kills):
        # Many die while they take up what the last one left; some live long enough to be judged by.
        heard, longest_s = number % 2 == 1, (EVERY_S + SLACK_S) * 2 if number % 10 == 9 else 0.4
        kill(Life(folder, findings), chance.uniform(longest_s - 0.4, longest_s), heard)
    for _ in range(terms):
        terminate(Life(folder, findings), chance.uniform(0.0, 0.3))
    if not terms:
        terminate(Life(folder, findings), 0.1)
    look_at_the_rest(folder, findings)
    return findings


def report(findings: Findings, kills: int, terms: int) -> dict[str, Any]:
    """Return the figures as one object."""
    return {
        "kills": kills,
        "terms": terms,
        "lives": findings.lives,
        "with_a_subscriber": findings.connected,
        "messages_received": findings.received,
        "judged_by_their_loss": findings.judged,
        "worst_loss_s": round(findings.worst_loss_s, 3),
        "interval_s": EVERY_S,
        "wrong": findings.wrong,
    }


def run() -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--terms", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", help="work in this folder, and leave what is there at the end")
    options = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = Path(options.keep or temporary)
        folder.mkdir(exist_ok=True)
        findings = torture(folder, options.kills, options.terms, options.seed)
    print(json.dumps(report(findings, options.kills, options.terms)))
    return 1 if findings.wrong else 0


if __name__ == "__main__":
    sys.exit(run())
