"""The service manager: what it is told, what it hands over, and that it can stop nothing; its own programs judge it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli import ROOT
from hubtools import run

from spikestream.outputs.inherited import handed_over
from spikestream.service.systemd import Manager

UNITS = ROOT / "config" / "systemd"


@pytest.fixture
def manager(tmp_path):
    """Return a socket that datagrams come to, as a service manager has it, and the environment that names it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        yield listening, {"NOTIFY_SOCKET": str(tmp_path / "notify")}


def test_it_is_told_what_goes_on(manager):
    listening, environment = manager
    told = Manager(environment)
    told.ready("2 pipelines\nrun")
    told.status("fine")
    before = time.monotonic_ns() // 1_000
    told.reloading()
    told.stopping()
    datagrams = [listening.recv(4096).decode() for _ in range(4)]
    assert datagrams[0] == "READY=1\nSTATUS=2 pipelines run"
    assert datagrams[1] == "STATUS=fine"
    state, _, monotonic = datagrams[2].partition("\nMONOTONIC_USEC=")
    assert state == "RELOADING=1"
    assert before <= int(monotonic) <= time.monotonic_ns() // 1_000
    assert datagrams[3] == "STOPPING=1"


def test_an_abstract_address_is_one_too():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0spikestream-test-notify")
        Manager({"NOTIFY_SOCKET": "@spikestream-test-notify"}).ready()
        assert listening.recv(4096) == b"READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/no/such/socket"}], ids=["none", "gone"])
def test_without_a_manager_nothing_happens(environment):
    Manager(environment).ready()
    run(Manager(environment).watch(lambda: True))


def test_a_manager_that_reads_nothing_stops_nobody(manager):
    listening, environment = manager
    told = Manager(environment)
    for number in range(10_000):  # far more than any queue holds: one that waited would hang here
        told.status(str(number))
    assert listening.recv(4096) == b"STATUS=0"


def test_it_hears_that_all_is_well_only_as_long_as_it_is(manager):
    listening, environment = manager
    told = Manager(environment | {"WATCHDOG_USEC": "40000", "WATCHDOG_PID": str(os.getpid())})
    answers = iter([True, True, False, False, True])

    async def work():
        watching = asyncio.create_task(told.watch(lambda: next(answers, False)))
        await asyncio.sleep(0.5)
        watching.cancel()

    run(work())
    listening.setblocking(False)
    heard = []
    while True:
        try:
            heard.append(listening.recv(64))
        except BlockingIOError:
            break
    assert heard == [b"WATCHDOG=1"] * 3


@pytest.mark.parametrize(
    "environment",
    [{"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": ""}, {}],
)
def test_a_watchdog_of_somebody_else_or_of_nonsense_is_none(environment):
    assert Manager(environment).watchdog_s == 0


TAKE = """
from spikestream.outputs.inherited import handed_over
for name, one in handed_over().items():
    print(name, one.getsockname()[1], one.get_inheritable())
"""


def test_sockets_are_taken_from_systemd_itself(tmp_path):
    """`systemd-socket-activate` listens, and starts the program when the first client comes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--fdname=wire", sys.executable, "-c", TAKE]
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH", "HOME") if key in os.environ}
    passed = [f"--setenv={key}={value}" for key, value in kept.items()]
    started = subprocess.Popen([command[0], *passed, *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _ in range(500):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.01)
    out, err = started.communicate(timeout=60)
    assert out.decode().split() == ["wire", str(port), "False"], err.decode()


def test_sockets_for_another_process_are_left_alone():
    assert handed_over({"LISTEN_FDS": "1", "LISTEN_PID": "1"}) == {}
    assert handed_over({"LISTEN_FDS": "many", "LISTEN_PID": str(os.getpid())}) == {}


@pytest.mark.parametrize("name", ["spikestream.service", "spikestream.socket"])
def test_systemd_finds_no_fault_with_the_units(name):
    found = subprocess.run(
        ["systemd-analyze", "verify", str(UNITS / name)], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr) == (0, "")


def test_systemd_finds_fault_with_a_unit_that_has_one(tmp_path):
    broken = tmp_path / "spikestream.service"
    shutil.copy(UNITS / "spikestream.service", broken)
    broken.write_text(broken.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    found = subprocess.run(["systemd-analyze", "verify", str(broken)], capture_output=True, text=True, check=False)
    assert "WatchdogSecs" in found.stderr


def test_the_service_may_not_do_much():
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(UNITS / "spikestream.service")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-300:]


def test_the_page_names_the_units():
    page = (ROOT / "docs" / "operation.md").read_text(encoding="utf-8")
    assert all(f"config/systemd/{path.name}" in page for path in sorted(Path(UNITS).iterdir()))
