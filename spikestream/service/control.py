"""Control: what may be asked of running pipelines, each request fulfilled by a clerk of the desk (docs/control.md).

Law: whatever changes a pipeline is a command with a stream time, so that a record of the run repeats it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikestream import checkpoint
from spikestream.batch import Setting
from spikestream.errors import ConfigError, ModelError
from spikestream.pipeline import ENABLED
from spikestream.service.asked import Asked, below, refusal
from spikestream.service.desk import Desk
from spikestream.service.hub import Hub
from spikestream.service.lane import Lane
from spikestream.service.status import lane_status, outputs, subscribers
from spikestream.stages.filters import Filters
from spikestream.wire import MAX_FRAME_EVER, Refusal

MODEL = ".npz"
"""So that no request writes over what is no model."""
MOST_WAITING = 1_024
"""Commands that may wait for a sensor to go on."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What control works on: ``lanes`` returns the pipelines by name, ``facts`` what the process has to tell."""

    hub: Hub
    lanes: Callable[[], Mapping[str, Lane]]
    folder: str = ""
    facts: Callable[[], Mapping[str, Any]] = dict


class Control:
    """Puts a clerk for each request on the desk."""

    def __init__(self, desk: Desk, scene: Scene) -> None:
        self._scene = scene
        for clerk in (self.teach, self.status, self.pipelines, self.get, self.set, self.learn):
            desk.add(clerk.__name__, clerk)
        for clerk in (self.save, self.load, self.pause, self.resume, self.weights):
            desk.add(clerk.__name__, clerk)

    async def teach(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Teach a pipeline (docs/teaching.md)."""
        return await self._named(fields.get("pipeline", "main")).teacher(fields)

    async def status(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return everything there is to know, of all pipelines or of one."""
        asked = Asked(fields)
        one = asked.text("pipeline", "")
        asked.end()
        lanes = {one: self._named(one)} if one else self._scene.lanes()
        told = {name: await lane_status(lane) for name, lane in lanes.items()}
        hub = self._scene.hub
        return {**self._scene.facts(), "pipelines": told, "outputs": outputs(hub), "subscribers": subscribers(hub)}

    async def pipelines(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the pipelines there are, each with its state and sensor, and the sizes of its events."""
        Asked(fields).end()
        return {"pipelines": {name: _told(lane) for name, lane in self._scene.lanes().items()}}

    async def get(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the settings that may be changed, or one of them, as they are now."""
        asked = Asked(fields)
        lane, key = self._lane(asked), asked.text("key", "")
        asked.end()
        settings = dict(lane.pipeline.settings)
        if key and key not in settings:
            raise Refusal("value", f"'{key}' is no setting that can be changed; there are: {', '.join(settings)}")
        chosen = {key: settings[key]} if key else settings
        return {"pipeline": lane.name, "settings": {name: _plain(value) for name, value in chosen.items()}}

    async def set(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change a setting, from the stream time on that is returned."""
        asked = Asked(fields)
        lane, key, value = self._lane(asked), asked.text("key"), asked.value("value")
        asked.end()
        return await self._change(lane, key, value)

    async def learn(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Turn learning on or off."""
        asked = Asked(fields)
        lane, on = self._lane(asked), asked.flag("on")
        asked.end()
        return await self._change(lane, ENABLED, on)

    async def save(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Save a model, to where the pipeline saves its own or to a file in the folder of control."""
        asked = Asked(fields)
        lane, file = self._lane(asked), asked.text("file", "")
        asked.end()
        if file and not file.endswith(MODEL):
            raise Refusal("value", f"a model is saved to a file that ends in {MODEL}")
        path = below(self._scene.folder, file) if file else lane.job.save
        if not path:
            raise Refusal("folder", "this pipeline saves nowhere: checkpoint.path is not set")
        if lane.pipeline.now is None:
            raise Refusal("early", "nothing has been heard yet: there is nothing to be saved")
        if path == lane.job.save and not lane.keeper.ours:
            raise Refusal("busy", "another process has the stream, and saves there")
        await lane.engine.between(lambda: _save(lane, path))
        return {"pipeline": lane.name, "path": path, "bytes": os.path.getsize(path), "t": lane.pipeline.now}

    async def load(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give a pipeline what a saved model has learned."""
        asked = Asked(fields)
        lane, file = self._lane(asked), asked.text("file", "")
        asked.end()
        path = below(self._scene.folder, file) if file else lane.job.save
        if not path or not Path(path).is_file():
            raise Refusal("folder", f"there is no saved model at {path or 'checkpoint.path, which is not set'}")
        if lane.recorder is not None:
            raise Refusal("busy", "a record of this run is being made, and would not repeat it")
        await lane.engine.between(lambda: _load(lane, path))
        return {"pipeline": lane.name, "path": path, "t": lane.pipeline.now or 0}

    async def pause(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Take nothing more from the sensor."""
        return self._held(fields, hold=True)

    async def resume(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Go on after a pause."""
        return self._held(fields, hold=False)

    async def weights(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the weights of a pipeline's network as they are now."""
        asked = Asked(fields)
        lane = self._lane(asked)
        asked.end()
        network: Any = lane.pipeline.stages.get("network")
        if network is None:
            raise Refusal("value", f"pipeline '{lane.name}' has no network")
        made: list[Any] = []
        await lane.engine.between(lambda: made.append((network.weights, lane.pipeline.now or 0)))
        weights, t = np.ascontiguousarray(made[0][0]), made[0][1]
        if weights.nbytes > MAX_FRAME_EVER // 2:
            raise Refusal("full", f"{weights.nbytes:,} bytes of weights are too many for a message: save the model")
        head = {"pipeline": lane.name, "t": t, "shape": list(weights.shape), "dtype": weights.dtype.str}
        return {**head, "d": weights.tobytes()}

    def _held(self, fields: Mapping[str, Any], hold: bool) -> Mapping[str, Any]:
        asked = Asked(fields)
        lane = self._lane(asked)
        asked.end()
        lane.hold(hold)
        return {"pipeline": lane.name, "state": lane.state, "t": lane.engine.reached or 0}

    async def _change(self, lane: Lane, key: str, value: bool | int | float | str) -> Mapping[str, Any]:
        """Let a setting be in force from now on; raises `Refusal` where it cannot be."""
        engine = lane.engine
        waiting = [one for one in engine.commands_left() if isinstance(one, Setting)]
        if len(waiting) >= MOST_WAITING:
            raise Refusal("busy", "the sensor is silent, and too many settings wait for it")
        made: list[Setting] = []

        def check() -> None:
            made.append(Setting(engine.reached or 0, key, value))
            lane.pipeline.check(*waiting, made[0])

        try:
            await engine.between(check)
        except ConfigError as error:
            raise refusal(error) from error
        engine.command(made[0])
        lane.changed[key] = value
        return {"pipeline": lane.name, "key": key, "value": value, "t": made[0].t}

    def _lane(self, asked: Asked) -> Lane:
        """Return the pipeline that is meant, which need not be named where there is only one."""
        name, lanes = asked.text("pipeline", ""), self._scene.lanes()
        if not name and len(lanes) == 1:
            return next(iter(lanes.values()))
        if not name:
            raise Refusal("pipeline", f"which pipeline? there are: {', '.join(lanes) or 'none'}")
        return self._named(name)

    def _named(self, name: object) -> Lane:
        """Return the pipeline of that name; raises `Refusal`."""
        lanes = self._scene.lanes()
        if type(name) is not str:
            raise Refusal("value", "a pipeline is named by a text")
        if name not in lanes:
            known = ", ".join(f"'{one}'" for one in lanes)
            raise Refusal("pipeline", f"there is no pipeline '{name:.80}', only {known or 'none'}")
        return lanes[name]


def _save(lane: Lane, path: str) -> None:
    if not lane.engine.sound:
        raise ModelError("a stage has failed in the middle of a batch: there is nothing to be saved")
    lane.keeper.moment().write(path)


def _load(lane: Lane, path: str) -> None:
    """Give the pipeline what a model has learned, or leave it as it was; raises `ModelError`."""
    before = {name: stage.state() for name, stage in lane.pipeline.stages.items()}
    try:
        checkpoint.transfer(path, lane.pipeline)
    except BaseException:
        for name, stage in lane.pipeline.stages.items():
            stage.restore(before[name])
        raise


def _told(lane: Lane) -> Mapping[str, Any]:
    """Return what a pipeline is, and the size, by stage, of events that it publishes, before there are any."""
    stages = lane.pipeline.stages.items()
    sizes = {name: list(stage.size) for name, stage in stages if isinstance(stage, Filters)}
    return {"state": lane.state, "sensor": lane.uri, "sizes": sizes}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
