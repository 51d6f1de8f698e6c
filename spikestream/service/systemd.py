"""What a service manager is told, and asks to be told: ready, reloading, stopping, a word on how it goes, still alive.

The protocol is that of sd_notify(3): datagrams of ``KEY=VALUE`` lines to the socket that ``NOTIFY_SOCKET`` names. Where
it names none, nothing happens.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

log = logging.getLogger(__name__)

WAYS = 2
"""An alive is sent so many times within the interval after which the manager would give us up."""


class Manager:
    """The service manager that started this process, if any; ``environment`` is the process's own."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog_s = _watchdog_s(environment)

    def ready(self, status: str = "") -> None:
        """Say that everything listens and runs."""
        self._tell("READY=1", status)

    def reloading(self) -> None:
        """Say that the configuration is being read again; `ready` ends that."""
        self._tell("RELOADING=1", monotonic=True)

    def stopping(self, status: str = "") -> None:
        """Say that the end has begun."""
        self._tell("STOPPING=1", status)

    def status(self, text: str) -> None:
        """Tell people how it goes."""
        self._tell("", text)

    async def watch(self, alive: Callable[[], bool]) -> None:
        """Say that we are alive for as long as ``alive()`` holds, as often as the manager wants; where not, return."""
        while self.watchdog_s:
            if alive():
                self._tell("WATCHDOG=1")
            else:
                log.error("no progress: the service manager is not told that all is well")
            await asyncio.sleep(self.watchdog_s / WAYS)

    def _tell(self, state: str, status: str = "", monotonic: bool = False) -> None:
        if not self._address:
            return
        lines = [state] if state else []
        if status:
            lines.append("STATUS=" + " ".join(status.split()))
        if monotonic:
            lines.append(f"MONOTONIC_USEC={time.monotonic_ns() // 1_000}")
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # A queue of datagrams holds about ten, and a manager that reads none must not stop the loop: never wait.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sending:
            sending.sendto("\n".join(lines).encode(), address)


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """Return after how many seconds of silence the manager gives this process up, 0 for never."""
    wanted, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    meant = not pid or pid == str(os.getpid())
    return int(wanted) / 1e6 if meant and wanted.isascii() and wanted.isdigit() else 0.0
