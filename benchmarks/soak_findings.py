"""What soak.py finds: what it has seen, what of it must not be, and how that is told."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soak_daemon import PERIODS_US
from soak_subscribers import SPIKES, Topic

from spikestream import checkpoint
from spikestream.errors import ClientError
from spikestream.log.segment import bytes_of, listed, opened
from spikestream.wire import BYE, ClientSession

WARM_CYCLES, WARM_SHARE = 2, 10
"""Cycles until it is warm, or this part of them if that is more: rings, logs and accounts of who has gone fill up."""
TOLD = 12
FLAT = 1.05
CROWD = 8
"""Descriptors and tasks that subscribers who come and go may account for: one that is being cut is gone at one end."""
POOL = min(32, (os.cpu_count() or 1) + 4)
"""Threads that the event loop keeps for what may block: they come one by one, as they are needed."""
MOST_WRONG = 100


@dataclass
class Look:
    """What a cycle's quiet seconds showed."""

    memory: float
    own_memory: float
    """Of it what is not of files: code that is mapped comes when it is run, and goes as the kernel likes."""
    threads: int
    tasks: int
    descriptors: int


@dataclass
class Findings:
    """What was seen; ``wrong`` says what must not be."""

    faults: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    received: int = 0
    rows: int = 0
    missing: int = 0
    looks: list[Look] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def add(self, what: str) -> None:
        """Take note of what must not be; a hundred of it are enough."""
        if len(self.wrong) < MOST_WRONG:
            self.wrong.append(what)


def judge(findings: Findings) -> dict[str, Any]:
    """Return how far memory, threads, tasks and descriptors have grown since it was warm, and say where too far."""
    crowded = findings.looks[1:-1]
    since = crowded[min(max(WARM_CYCLES, len(crowded) // WARM_SHARE), len(crowded) - 1) :]
    warm = since[0]
    grown_to = max(look.memory for look in since) / warm.memory
    if grown_to > FLAT:
        memory = [round(look.memory / 1e6, 1) for look in findings.looks]
        findings.add(f"memory has grown to {grown_to:.3f} of what it was, MB: {memory}")
    more: dict[str, int] = {}
    for name, alone, among in (("threads", POOL, POOL), ("tasks", 0, CROWD), ("descriptors", 0, CROWD)):
        seen = [getattr(look, name) for look in findings.looks]
        more[name] = seen[-1] - seen[0]
        if more[name] > alone or max(seen) - seen[0] > among:
            findings.add(f"{name} grow: {seen}, the first and the last without subscribers")
    told = [crowded[at * (len(crowded) - 1) // max(1, TOLD - 1)] for at in range(TOLD)]
    return {
        "memory_mb": [round(look.memory / 1e6, 1) for look in told],
        "of_its_own_mb": [round(look.own_memory / 1e6, 1) for look in told],
        "memory_grown_to": round(grown_to, 4),
        "more": more,
    }


def look_at_disk(folder: Path, topics: Mapping[str, Topic], findings: Findings) -> None:
    """Compare what the one who stayed has, from the first number to the last, with what is on the disk."""
    segment, file = opened(listed(folder / "log")[-1])
    file.close()
    ends = {topic: one.next for topic, one in topics.items()}
    if ends != segment.next:
        findings.add(f"the witness and the log ended with different numbers: {ends}, {segment.next}")
    for topic, one in topics.items():
        if one.first or one.messages + one.missing != one.next:
            findings.add(f"{topic}: the witness has {one}")
    for name in PERIODS_US:
        now, last = checkpoint.marks_of(folder / f"{name}.npz")["now"], topics[f"{name}.{SPIKES}"].t1
        if last != now:
            findings.add(f"{name}: the witness has the stream to {last}, saved is {now}")
    session = ClientSession()
    session.subscribe([">"])
    try:
        for data in (data for path in listed(folder / "log") for data in bytes_of(path) if data != BYE):
            list(session.receive(data))
    except ClientError as error:
        findings.add(f"the log cannot be read: {error}")
    if odd := [str(path) for path in folder.rglob("*") if path.suffix == ".bad" or ".tmp-" in path.name]:
        findings.add(f"left behind: {odd}")
