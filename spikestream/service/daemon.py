"""A daemon: many pipelines on one hub and one desk, each with a supervisor of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any

from spikestream import __version__
from spikestream.config import OF_THE_DAEMON, Config, parsed_toml, pipeline_of, read_toml
from spikestream.errors import ConfigError, SpikestreamError
from spikestream.security import read_token
from spikestream.service.adding import confined
from spikestream.service.asked import Asked, below, refusal
from spikestream.service.control import Control, Scene
from spikestream.service.defaults import base_of
from spikestream.service.ending import taken
from spikestream.service.job import Job, daemon_job
from spikestream.service.lane import Lane
from spikestream.service.loop import Stall
from spikestream.service.session import PATIENCE_S, open_hub
from spikestream.service.supervisor import Supervisor
from spikestream.service.warming import warm_up
from spikestream.wire import Refusal

if TYPE_CHECKING:
    from spikestream.service.http import Http

MOST_PIPELINES = 64


class Daemon:
    """Pipelines by name, all opened; `run` publishes them until all have ended or `stop` is called.

    ``jobs`` have one section publish in common. Raises whatever opening them raises.
    """

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        check_together(jobs)
        self.config = next(iter(jobs.values())).config
        self.hub, self.desk = open_hub(self.config, blocking=False, logged=True)
        self.supervisors = {name: Supervisor(job, self.hub) for name, job in jobs.items()}
        self.http = self._open_http()
        self.started = asyncio.Event()
        self.stall = Stall()
        self._began = monotonic()
        self._adding: set[str] = set()
        self._changing = 0
        self._reached: dict[str, int] = {}
        self.stopping = False
        self._lives: dict[str, asyncio.Task[BaseException | None]] = {}
        self._news = asyncio.Event()
        self.control = Control(self.desk, Scene(self.hub, self.lanes, self.config.control.folder, self.facts))
        self.desk.add("add", self.add)
        self.desk.add("remove", self.remove)

    def _open_http(self) -> Http | None:
        url, token_file = self.config.http.url, self.config.publish.token_file
        if not url:
            return None
        from spikestream.service.http import Http  # aiohttp takes half a second, and most daemons do without

        return Http(self, url, read_token(token_file) if token_file else "")

    def lanes(self) -> dict[str, Lane]:
        """Return the pipelines there are by name."""
        return {name: one.lane for name, one in self.supervisors.items()}

    def facts(self) -> dict[str, Any]:
        """Return what there is to tell of the process."""
        up_s = monotonic() - self._began
        head = {"srv": f"spikestream/{__version__}", "now_ns": time_ns(), "up_s": round(up_s, 3)}
        return {**head, "memory_bytes": memory_bytes(), "loop_stall_ms": self.stall.worst_ms, **counts()}

    async def run(self) -> None:
        """Publish, run all pipelines to their ends, drain; every end is tried, and the first error raised."""
        await self.hub.start()
        if self.http is not None:
            try:
                await self.http.start()
            except BaseException:
                await self.hub.aclose()
                raise
        looking = asyncio.get_running_loop().create_task(self.stall.run())
        for name in self.supervisors:
            self.begin(name)
        self.started.set()
        error: BaseException | None = None
        try:
            await self._all_ended()
        except BaseException as cut_short:
            self.stop()
            error = cut_short
        ends = [self._wait, self._part, self.desk.aclose, lambda: self.hub.drain(PATIENCE_S), self.hub.aclose]
        late = await taken(ends)
        looking.cancel()
        if first := next((end for life in self._lives.values() if (end := _end_of(life)) is not None), error or late):
            raise first

    def begin(self, name: str) -> None:
        """Let a pipeline live, on the loop."""
        if self.stopping:
            self.supervisors[name].stop()
        life = asyncio.get_running_loop().create_task(self.supervisors[name].run(), name=name)
        self._lives[name] = life
        life.add_done_callback(lambda _: self._news.set())

    def stop(self) -> None:
        """Take nothing more from any sensor."""
        self.stopping = True
        for supervisor in self.supervisors.values():
            supervisor.stop()
        self._news.set()

    async def add(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Fulfil a request to add a pipeline, and let it live; raises `Refusal` where it cannot be."""
        asked = Asked(fields)
        name, file, text = asked.text("name"), asked.text("file", ""), asked.lines("toml")
        asked.end()
        if self.stopping:
            raise Refusal("over", "the daemon is at its end")
        if bool(file) == bool(text):
            raise Refusal("value", "a pipeline is added by either 'file' or 'toml'")
        if name in self.supervisors or name in self._adding:
            raise Refusal("pipeline", f"there is a pipeline '{name:.80}' already")
        if len(self.supervisors) + len(self._adding) >= MOST_PIPELINES:
            raise Refusal("full", f"there are {MOST_PIPELINES} pipelines already")
        self._adding.add(name)
        try:
            self.supervisors[name] = await asyncio.to_thread(self._open, name, file, text)
        except ConfigError as error:
            raise refusal(error) from error
        finally:
            self._adding.discard(name)
        self.begin(name)
        return {"pipeline": name, "sensor": self.supervisors[name].lane.uri}

    def _open(self, name: str, file: str, text: str) -> Supervisor:
        """Open one more pipeline, from a TOML file in the folder of control or a text; call it in a thread."""
        folder = self.config.control.folder
        path = below(folder, file) if file else below(folder, "text")
        tables = read_toml(path) if file else confined(parsed_toml(text), folder)
        job = daemon_job(pipeline_of(name, tables, base_of, self.config))
        check_together({**{other: one.job for other, one in self.supervisors.items()}, name: job})
        return self._opened(job)

    async def remove(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Fulfil a request to end a pipeline and forget it."""
        asked = Asked(fields)
        name = asked.text("pipeline")
        asked.end()
        if name not in self._lives:
            raise Refusal("pipeline", f"there is no pipeline '{name:.80}', only {', '.join(self.supervisors)}")
        supervisor = await self._end(name)
        return {"pipeline": name, "state": supervisor.state, "problems": supervisor.lane.problems()}

    async def _end(self, name: str) -> Supervisor:
        """Stop a pipeline, wait until it has run what was taken and saved, forget it, and return what it was."""
        supervisor, life = self.supervisors[name], self._lives[name]
        supervisor.stop()
        await asyncio.wait([life])
        self.supervisors.pop(name, None)
        self._lives.pop(name, None)
        return supervisor

    async def reload(self, configs: Mapping[str, Config]) -> list[str]:
        """Make the pipelines those of ``configs``: end, begin anew or add what differs; return a line for each change.

        One whose configuration is the same goes on undisturbed. One that cannot be opened is told of and goes on as it
        was. What pipelines have in common (publish, http, log, control) stays as it is until the next start.
        """
        said = []
        wanted = {name: replace(one, **_common(self.config, name)) for name, one in configs.items()}
        name, config = next(iter(configs.items()))
        if other := [key for key, kept in _common(self.config, name).items() if getattr(config, key) != kept]:
            said.append(f"not changed before the next start: {', '.join(f'[{key}]' for key in other)}")
        self._changing += 1
        try:
            for name in [name for name in self.supervisors if name not in wanted]:
                await self._end(name)
                said.append(f"{name} has ended")
            for name, config in wanted.items():
                if name not in self.supervisors or self.supervisors[name].job.config != config:
                    said.append(await self._renew(name, config))
        finally:
            self._changing -= 1
            self._news.set()
        return said

    async def _renew(self, name: str, config: Config) -> str:
        """Begin a pipeline with another configuration than it had, if it had any; return what came of it."""
        before = (await self._end(name)).job if name in self.supervisors else None
        try:
            made = await asyncio.to_thread(self._opened, daemon_job(config))
            told = f"{name} goes on with what is new" if before else f"{name} has begun"
        except SpikestreamError as error:
            if before is None:
                return f"{name} cannot begin: {error}"
            made = await asyncio.to_thread(self._opened, daemon_job(before.config))
            told = f"{name} goes on as it was, for what is new cannot be: {error}"
        self.supervisors[name] = made
        self.begin(name)
        return told

    def _opened(self, job: Job) -> Supervisor:
        made = Supervisor(job, self.hub)
        warm_up(made.lane)
        return made

    def alive(self) -> bool:
        """Return whether batches go through: false where some wait and none was run since the last call."""
        engines = {name: one.lane.engine for name, one in self.supervisors.items() if one.lane.state == "running"}
        reached = {name: engine.progress.stop for name, engine in engines.items() if engine.channel.waiting}
        stuck = [name for name in reached if self._reached.get(name) == reached[name]]
        self._reached = reached
        return not stuck

    async def _all_ended(self) -> None:
        """Return when every pipeline there is has ended; where there is none, wait for one to be added."""
        while not self.stopping and not self._over():
            self._news.clear()
            await self._news.wait()

    def _over(self) -> bool:
        """Return whether there were pipelines, and all have ended by themselves."""
        ended = bool(self.supervisors) and all(life.done() for life in self._lives.values())
        return ended and not self._changing

    async def _part(self) -> None:
        if self.http is not None:
            await self.http.aclose()

    async def _wait(self) -> None:
        if not self._lives:
            return
        try:
            await asyncio.wait(self._lives.values())
        except asyncio.CancelledError:  # a second signal: they end at once, too, before they are asked how
            for life in self._lives.values():
                life.cancel()
            await asyncio.wait(self._lives.values())
            raise

    def problems(self) -> list[str]:
        """Return one line for every hop of any ledger that does not close."""
        return [f"{name}: {line}" for name, one in self.supervisors.items() for line in one.lane.problems()]


def counts() -> dict[str, int]:
    """Return how many tasks, threads and descriptors this process has, on the loop; what the system hides is 0."""
    try:
        descriptors = len(os.listdir("/proc/self/fd")) - 1  # the folder itself is open while it is read
    except OSError:
        descriptors = 0
    return {"tasks": len(asyncio.all_tasks()), "threads": threading.active_count(), "descriptors": descriptors}


def memory_bytes() -> int:
    """Return the resident memory of this process, 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def check_together(jobs: Mapping[str, Job]) -> None:
    """Raise `ConfigError` where two pipelines would write to one file."""
    written: dict[str, str] = {}
    for name, job in jobs.items():
        for path in (job.save, job.record):
            place = os.path.realpath(path) if path else ""
            if place in written:
                text = f"pipelines {written[place]} and {name} would both write to {path}"
                raise ConfigError(text, key=f"pipelines.{name}.checkpoint.path", value=path)
            if place:
                written[place] = name


def _common(config: Config, name: str) -> dict[str, Any]:
    """Return the sections that all pipelines have in common, as the one of this name has them."""
    sections = {section: getattr(config, section) for section in OF_THE_DAEMON}
    return sections | {"publish": replace(config.publish, pipeline=name)}


def _end_of(life: asyncio.Task[Any]) -> BaseException | None:
    """Return what a life ended with, None for nothing bad."""
    if life.cancelled():
        return asyncio.CancelledError()
    error: BaseException | None = life.exception() or life.result()
    return error
