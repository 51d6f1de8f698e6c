"""``spikestream run``: a configuration as a daemon, until it is told to stop or its sensor ends."""

from __future__ import annotations

import argparse
from pathlib import Path

from spikestream.cli.base import INTERRUPTED, Console, add_quiet, run_until_signalled
from spikestream.cli.base.report import say_if_cold, say_if_compiled
from spikestream.cli.base.settings import overlaid, tables_of_chip, tables_of_sensor


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(
        prog="spikestream run",
        description=__doc__,
        epilog="SIGTERM: stop the sensor, run and publish what was taken, save the checkpoint, exit 0.",
    )
    made.add_argument("config", metavar="CONFIG", help="TOML configuration; sensor.uri names the sensor")
    made.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE", help="change one key")
    made.add_argument("--record", metavar="FILE", help="record what the pipeline is given")
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Run the daemon and return the exit code: 0 after SIGTERM or the end of the sensor."""
    import asyncio

    from spikestream.config import read_config
    from spikestream.errors import SpikestreamError
    from spikestream.service.job import Job
    from spikestream.service.session import Session, warm_up

    console = Console(options.quiet)
    config = read_config(options.config, options.sets)
    base = overlaid(tables_of_sensor(config.sensor.uri), tables_of_chip(config.chip.model))
    config = read_config(options.config, options.sets, base=base)
    path = config.checkpoint.path
    known = path if path and Path(path).exists() else ""
    every_s = config.checkpoint.every_s
    record = options.record or ""
    say_if_compiled(console, config)
    session = Session(Job(config, model=known, save=path, save_every_s=every_s, record=record, blocking=False))
    if known:
        console.log(f"goes on with what {known} has learned")
    say_if_cold(console, session)
    warm_up(session)

    async def main() -> None:
        running = asyncio.create_task(session.run())
        starting = asyncio.create_task(session.started.wait())
        await asyncio.wait([starting, running], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():  # an output could not start
            starting.cancel()
            await running
        for output in session.hub.outputs:
            console.log(f"publishing at {output.url}")
        console.log("running")
        await running

    signalled = run_until_signalled(main(), session.stop)
    for hop in session.hops():
        console.log(f"{hop}")
    if problems := session.problems():
        raise SpikestreamError("the ledger does not close: events were lost without a reason", details=problems)
    return INTERRUPTED if signalled == 2 else 0
