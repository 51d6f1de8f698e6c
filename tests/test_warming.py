"""What is loaded before a sensor begins: Numba itself says whether a batch has had to wait for a kernel."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from cli import LOOKS, PATIENCE_S, ROOT

LOADED = """
import asyncio, json, sys
from numba.core.dispatcher import Dispatcher
from spikestream.checkpoint import state_sha256
from spikestream.config import read_config
from spikestream.service.job import Job
from spikestream.service.session import Session, warm_up

def loaded():
    rooms = [(name, room) for name, room in list(sys.modules.items()) if name.startswith("spikestream")]
    made = [(f"{name}.{key}", one) for name, room in rooms for key, one in list(vars(room).items())]
    return {name: len(one.overloads) for name, one in made if isinstance(one, Dispatcher)}

async def first(session):
    async for batch in session.sensor.batches():
        session.pipeline(batch)
        if session.pipeline.made[session.senses]:
            break

sets = ["publish.urls=[]", "checkpoint.path=", f"sensor.uri={json.dumps(sys.argv[2])}", "filter=[{kind='refractory'}]"]
session = Session(Job(read_config(sys.argv[1], sets)))
fresh, nothing = state_sha256(session.pipeline), loaded()
warm_up(session)
same, warm = state_sha256(session.pipeline) == fresh and not session.pipeline.taken, loaded()
asyncio.run(first(session))
late = {name: count for name, count in loaded().items() if count != warm.get(name)}
print(json.dumps({"same": same, "late": late, "warmed": warm != nothing}))
"""


@pytest.mark.parametrize("config", ["daemon", "digits_maps"])
def test_no_batch_waits_for_a_kernel(config):
    command = [sys.executable, "-c", LOADED, ROOT / "config" / f"{config}.toml", LOOKS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.stdout, done.stderr[-2000:]
    assert json.loads(done.stdout) == {"same": True, "late": {}, "warmed": True}
