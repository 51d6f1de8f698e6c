"""A daemon for two hours under load and under blows: nothing leaks, nothing grows, no number is wrong at either end.

    python benchmarks/soak.py [--minutes 120] [--seed 0] [--keep FOLDER]

`spikestream run` in a process of its own takes 200,000 events a second from three sensors. Every second a subscriber
comes and another leaves: of every policy, with credit, with rates, from the past, without a word. Every 15 seconds a
sensor dies and comes back, the disk is full for a while, and the wall clock jumps by an hour or more, there and back;
some subscribers stall all the time. In the quiet seconds after that memory, threads, tasks and descriptors are looked
at. Every subscriber counts for itself (soak_subscribers.py), and when it has gone its account must be the daemon's.
Exits with 1 where anything was not so.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import select
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from soak_daemon import END_S, PERIODS_US, Daemon
from soak_findings import Findings, Look, judge, look_at_disk
from soak_subscribers import Subscriber, Wrong

HABITS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("read", {"policy": "drop_oldest"}),
    ("read", {"policy": "latest", "topics": ["*.address.spikes", "*.readout.decisions"]}),
    ("stall", {"policy": "drop_oldest"}),
    ("stall", {"policy": "latest"}),
    ("stall", {"policy": "disconnect", "topics": ["left.>"]}),
    ("stall", {"policy": "drop_oldest", "credit": 16}),
    ("read", {"policy": "latest", "credit": 3, "topics": ["right.>"]}),
    ("read", {"policy": "drop_oldest", "max_rate": 10}),
    ("read", {"policy": "drop_oldest", "decimate": 8, "max_bytes": 200_000}),
    ("read", {"policy": "disconnect", "since": "all"}),
    ("vanish", {"policy": "drop_oldest"}),
    ("read", {"policy": "block", "topics": ["far.>"]}),
)
"""What subscribers do, and on what terms; a daemon of live sensors has no policy block, and must say so."""
STAY_S = 8.0
CYCLE_S, QUIET_S, LOOK_S = 15.0, 4.0, 0.5
ALONE_S = 3.0


class Soak:
    """The daemon, its subscribers, and the one among them that stays from the first number to the last."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.daemon, self.chance, self.findings = Daemon(folder), random.Random(seed), Findings()
        self._numbers = iter(range(1 << 30))
        self.witness = self._come("read", {"since": "all"})
        self.guests: list[Subscriber] = []
        self._gone: list[Subscriber] = []
        self._next_guest = math.inf

    def run(self, seconds: float) -> Findings:
        """Run for so long, and end."""
        until = time.monotonic() + seconds
        self._go_on(ALONE_S)
        self.findings.looks.append(self._alone())
        self._next_guest = time.monotonic()
        while time.monotonic() + CYCLE_S <= until or len(self.findings.looks) < 2:
            self._cycle()
        self._end()
        return self.findings

    def _cycle(self) -> None:
        """Do everything that is done to it once, and look at it afterwards."""
        began, daemon = time.monotonic(), self.daemon
        victim = self.chance.choice(list(PERIODS_US))
        before = daemon.metrics()[f'spikestream_restarts_total{{pipeline="{victim}"}}']
        blows = [
            (0.5, lambda: daemon.let_die(victim)),
            (1.5, lambda: daemon.shift(self.chance.uniform(3_600, 90_000))),
            (2.5, lambda: daemon.revive(victim)),
            (5.0, lambda: daemon.fill_disk(True)),
            (6.5, lambda: daemon.shift(-self.chance.uniform(3_600, 90_000))),
            (8.0, lambda: daemon.fill_disk(False)),
            (9.0, lambda: daemon.shift(0)),
        ]
        for after_s, blow in blows:
            self._go_on(began + after_s - time.monotonic())
            blow()
        self.findings.faults.update(sensor=1, disk=1, clock=3)
        self._go_on(began + CYCLE_S - QUIET_S - time.monotonic())
        self.findings.looks.append(self._look(began + CYCLE_S))
        self._check(daemon.metrics(), victim, before)

    def _alone(self) -> Look:
        """Look at the daemon while the witness is its only subscriber."""
        return self._look(time.monotonic() + ALONE_S)

    def _look(self, until: float) -> Look:
        """Look again and again until then: while a model is saved there is a file more, and a task that waits less."""
        daemon, looks = self.daemon, []
        while not looks or time.monotonic() < until:
            self._go_on(LOOK_S)
            memory, threads, descriptors = daemon.memory(), daemon.threads(), daemon.descriptors() - len(self._open())
            # Asked for last: the connection it takes is open at the other end for a moment longer.
            looks.append((memory, threads, int(daemon.metrics()["spikestream_tasks"]), descriptors))
        taken, threads_seen, tasks, descriptors_seen = zip(*looks, strict=True)
        memory, of_its_own = (median(bytes_) for bytes_ in zip(*taken, strict=True))
        return Look(memory, of_its_own, min(threads_seen), max(tasks), min(descriptors_seen))

    def _check(self, metrics: dict[str, float], victim: str, before: float) -> None:
        """Say what the daemon's own figures show that must not be."""
        for name, value in metrics.items():
            if name.startswith("spikestream_hop_missing") and value:
                self.findings.add(f"the ledger does not close: {name} {value}")
            if name.startswith("spikestream_up") and not value:
                self.findings.add(f"after a quiet time a sensor is still down: {name}")
        if metrics[f'spikestream_restarts_total{{pipeline="{victim}"}}'] <= before:
            self.findings.add(f"the sensor of {victim} has died, and nobody noticed")

    # Subscribers.

    def _come(self, habit: str, sub: dict[str, Any]) -> Subscriber:
        number = next(self._numbers)
        urls = self.daemon.urls
        return Subscriber(urls[number % len(urls)], f"soak-{number}", sub, PERIODS_US, habit)

    def _open(self) -> list[Subscriber]:
        return [one for one in (self.witness, *self.guests, *self._gone) if not one.ended]

    def _go_on(self, seconds: float) -> None:
        """Read along for so long, while subscribers come and go."""
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            if now >= self._next_guest:
                self._next_guest = max(self._next_guest + 1.0, now)
                self._change(now)
            self._read(min(until, self._next_guest) - now)

    def _change(self, now: float) -> None:
        """Let a subscriber come, those whose time is over leave, and compare the accounts of those that have gone."""
        self.guests.append(self._come(*self.chance.choice(HABITS)))
        for one in [one for one in self.guests if one.ended or now - one.since > STAY_S]:
            self.guests.remove(one)
            self._gone.append(one)
            if not one.ended:
                (one.vanish if one.habit == "vanish" else one.leave)()
        self._compare()

    def _read(self, seconds: float) -> None:
        now = time.monotonic()
        for guest in self.guests:
            guest.live(now, self.chance)
        hearing = [one for one in self._open() if now >= one.deaf_until]
        # A moment's sleep first: a hundred small reads a second cost more than ten larger ones.
        time.sleep(min(0.03, max(0.0, seconds)))
        for one in select.select(hearing, [], [], min(0.2, max(0.0, seconds - 0.03)))[0]:
            try:
                one.read()
            except Wrong as wrong:
                self.findings.add(f"{one.name} ({one.habit}): {wrong}")
                one.vanish()
        self.daemon.listen()
        if self.daemon.process.poll() is not None:
            raise SystemExit(f"the daemon has ended by itself: {self.daemon.said[-2000:]}")

    def _compare(self) -> None:
        """Compare the accounts of those that have gone with those that the daemon kept of them."""
        ended = [one for one in self._gone if one.ended]
        if not ended:
            return
        told = {one["client"]: one for one in self.daemon.status()["subscribers"]}
        for one in ended:
            self._gone.remove(one)
            self.findings.ends[one.ended] += 1
            self._agree(one, told.get(one.name))

    def _agree(self, one: Subscriber, told: dict[str, Any] | None) -> None:
        ours = one.account.sums()
        self.findings.received += ours["sent"]
        self.findings.rows += ours["rows"]
        self.findings.missing += ours["dropped"]
        terms = one.terms
        if terms["policy"] == "block":
            if one.ended != "policy":
                self.findings.add(f"{one.name} asked a live daemon to wait for it and heard: {one.ended}")
            return
        if told is None:
            if any(ours.values()):
                self.findings.add(f"{one.name}: the daemon knows nothing of it, it has {ours}")
            return
        self.findings.compared += 1
        theirs = {key: told[key] for key in ours}
        if told["missing"]:
            self.findings.add(f"{one.name}: the daemon's own account does not close: {told}")
        if one.ended == "cut":  # of what was on its way to who has gone nobody knows what the kernel had handed over
            same = ours["sent"] + ours["dropped"] <= theirs["sent"] + theirs["dropped"]
        else:
            same = ours == theirs and not told["waiting"]
        if not same:
            self.findings.add(f"{one.name} ({one.habit}, {terms}, {one.ended}): it has {ours}, the daemon says {told}")
        if one.ended not in ("bye", "cut") and (one.ended, terms["policy"]) != ("slow", "disconnect"):
            self.findings.add(f"{one.name} ({terms}) was cut: {one.ended}")

    # The end.

    def _end(self) -> None:
        """Let all leave but the witness, end the daemon, and look at what it left and at what the witness has."""
        for one in self.guests:
            one.leave()
        self._gone += self.guests
        self.guests = []
        self._next_guest = math.inf
        self._go_on(1.0)
        self._compare()
        self.findings.looks.append(self._alone())
        self.cpu_s = self.daemon.cpu_s()
        self.daemon.end()
        until = time.monotonic() + END_S
        while (code := self.daemon.process.poll()) is None and time.monotonic() < until:
            if select.select(self._open(), [], [], 0.1)[0]:
                self.witness.read()
            self.daemon.listen()  # a log that nobody reads would keep it from ending
        self.daemon.listen()
        said = self.daemon.said
        (self.daemon.folder / "said").write_text(said)
        if code != 0 or self.witness.ended != "bye" or "MISSING" in said or "Traceback" in said:
            self.findings.add(f"exit code {code}, the witness heard {self.witness.ended}: {said[-3000:]}")
        look_at_disk(self.daemon.folder, self.witness.account.topics, self.findings)


def run() -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", help="work in this folder, and leave what is there at the end")
    options = parser.parse_args()
    began = time.monotonic()
    with TemporaryDirectory() as temporary:
        folder = Path(options.keep or temporary)
        folder.mkdir(exist_ok=True)
        soak = Soak(folder, options.seed)
        try:
            findings = soak.run(options.minutes * 60)
        finally:
            soak.daemon.process.kill()
    grown = judge(findings)
    witness = soak.witness.account
    figures = {
        "minutes": round((time.monotonic() - began) / 60, 2),
        "events_per_s": round(sum(1e6 / period for period in PERIODS_US.values())),
        "faults": dict(findings.faults),
        "subscribers": sum(findings.ends.values()),
        "ends": dict(findings.ends),
        "accounts_compared": findings.compared,
        "messages_received": findings.received + witness.sums()["sent"],
        "rows_received": findings.rows + witness.sums()["rows"],
        "messages_lost_and_told": findings.missing + witness.sums()["dropped"],
        **grown,
        "cpu_s": {"daemon": round(soak.cpu_s, 1), "subscribers": round(time.process_time(), 1)},
        "wrong": findings.wrong,
    }
    print(json.dumps(figures))
    return 1 if findings.wrong else 0


if __name__ == "__main__":
    sys.exit(run())
