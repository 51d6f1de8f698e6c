"""``spikestream run``: a configuration as a daemon, until it is told to stop or its sensors end."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import TYPE_CHECKING

from spikestream.cli.base import INTERRUPTED, Console, add_quiet, run_until_signalled
from spikestream.cli.base.report import say_if_cold, say_if_compiled
from spikestream.errors import ConfigError, SpikestreamError

if TYPE_CHECKING:
    import asyncio

    from spikestream.config import Config
    from spikestream.service.daemon import Daemon
    from spikestream.service.systemd import Manager

log = logging.getLogger(__name__)


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(
        prog="spikestream run",
        description=__doc__,
        epilog="SIGTERM: stop the sensors, run and publish what was taken, save the checkpoints, exit 0. "
        "SIGHUP: read CONFIG again, and change what has changed.",
    )
    made.add_argument("config", metavar="CONFIG", help="TOML configuration; sensor.uri names the sensor")
    made.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE", help="change one key")
    made.add_argument("--record", metavar="PATH", help="record what the only pipeline is given; FOLDER/: in segments")
    made.add_argument("--log", choices=("text", "json"), default="text", help="how the log on stderr is written")
    add_quiet(made)
    return made


class Logged(Console):
    """A console whose words go into the log, in the form that this has."""

    def log(self, text: str) -> None:
        """Tell something that is not data."""
        log.info("%s", text)


def run(options: argparse.Namespace) -> int:
    """Run the daemon and return the exit code: 0 after SIGTERM or the end of the sensors."""
    from spikestream.service.logs import set_up
    from spikestream.service.systemd import Manager

    set_up(options.log, sys.stderr, options.quiet)
    console = Logged(options.quiet)
    try:
        daemon, manager = _opened(options, console), Manager()
    except SpikestreamError as error:
        if (not error.remedy or error.remedy.startswith("ls ")) and _misses_relative(f"{error}"):
            where = f"now {os.getcwd()}: start it in another, or name whole paths"
            error.remedy = f"paths of a configuration are relative to the working folder, {where}"
        raise

    def stop() -> None:
        manager.stopping("handing over what was taken")
        daemon.stop()

    reload = Reload(options, daemon, manager)
    signalled = run_until_signalled(_run(daemon, console, manager), stop, reload)
    for name, supervisor in daemon.supervisors.items():
        for hop in supervisor.lane.hops():
            console.log(f"{hop}" if len(daemon.supervisors) == 1 else f"{name}: {hop}")
    if problems := daemon.problems():
        raise SpikestreamError("the ledger does not close: events were lost without a reason", details=problems)
    return INTERRUPTED if signalled == 2 else 0


class Reload:
    """What SIGHUP does: the configuration is read again, and where it makes no sense everything stays as it is."""

    def __init__(self, options: argparse.Namespace, daemon: Daemon, manager: Manager) -> None:
        self._options, self._daemon, self._manager = options, daemon, manager
        self._under_way: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        """Begin, on the loop; what comes while one is under way is done after it."""
        import asyncio

        self._under_way = asyncio.get_running_loop().create_task(self._reload(self._under_way))

    async def _reload(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await before
        self._manager.reloading()
        try:
            for line in await self._daemon.reload(_configs(self._options)) or ["nothing has changed"]:
                log.info("reload: %s", line)
        except SpikestreamError as error:
            log.error("reload: everything stays as it is: %s", error)
        finally:
            self._manager.ready()


def _configs(options: argparse.Namespace) -> dict[str, Config]:
    """Return the configurations of all pipelines, as the options say."""
    from spikestream.config import read_pipelines
    from spikestream.service.defaults import base_of

    return read_pipelines(options.config, options.sets, base_of)


def _opened(options: argparse.Namespace, console: Console) -> Daemon:
    """Return the daemon of a configuration, its kernels ready."""
    from spikestream.service.daemon import Daemon
    from spikestream.service.job import daemon_job
    from spikestream.service.warming import warm_up

    configs = _configs(options)
    record = options.record or ""
    if record and len(configs) > 1:
        raise ConfigError("a record is of one pipeline", key="--record", value=record, allowed=", ".join(configs))
    for config in configs.values():
        say_if_compiled(console, config)
    jobs = {name: daemon_job(config, record) for name, config in configs.items()}
    for job in jobs.values():
        if job.model:
            console.log(f"goes on with what {job.model} has learned")
    daemon = Daemon(jobs)
    for supervisor in daemon.supervisors.values():
        say_if_cold(console, supervisor.lane)
        warm_up(supervisor.lane)
    return daemon


def _misses_relative(said: str) -> bool:
    """Return whether an error says that a file is missing whose path does not begin at the root."""
    first = said.partition("\n")[0]
    return "no such f" in first.lower() and not any(word.strip("'\"").startswith("/") for word in first.split())


async def _run(daemon: Daemon, console: Console, manager: Manager) -> None:
    """Run a daemon, say where it publishes once that is known, and tell the service manager how it goes."""
    import asyncio

    running = asyncio.create_task(daemon.run())
    starting = asyncio.create_task(daemon.started.wait())
    await asyncio.wait([starting, running], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():  # an output could not start
        starting.cancel()
        await running
    for output in daemon.hub.outputs:
        console.log(f"publishing at {output.url}")
    if daemon.http is not None:
        console.log(f"health, metrics and control at {daemon.http.url}")
    names = ", ".join(daemon.supervisors)
    console.log(f"running {names}" if len(daemon.supervisors) > 1 else "running")
    manager.ready(f"running {names}")
    watching = asyncio.create_task(manager.watch(daemon.alive))
    try:
        await running
    finally:
        watching.cancel()
