"""A daemon as its operator has it: a service manager above it, a configuration that changes, a log for programs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from datetime import datetime

import pytest
from cli import PATIENCE_S, command
from daemon_cases import job, plugin, steered, until
from hubtools import run

from spikestream.client import Client

__all__ = ["plugin"]

CONFIG = """
[sensor]
uri = "blinker://?hz=50"
[network]
neurons = 4
[publish]
urls = ["{url}"]
[pipelines.left]
[pipelines.right.network]
seed = 1
"""


@contextmanager
def daemon(tmp_path, text, *options, url="", **popen):
    """Run `spikestream run` on this configuration; yield the process, its file, and what it has told its manager."""
    path = tmp_path / "daemon.toml"
    path.write_text(text.format(url=url or f"unix://{tmp_path}/wire"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, open(tmp_path / "log", "w") as log:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_S)
        env = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), **popen}
        process = subprocess.Popen(command("run", path, *options), stdout=subprocess.PIPE, stderr=log, env=env)
        try:
            yield process, path, manager
        finally:
            process.kill()
            process.wait()


def told(manager, wanted):
    """Return what the manager is told once it is told this."""
    while wanted not in (text := manager.recv(4096).decode()):
        pass
    return text


def pipelines(tmp_path):
    with Client(f"unix://{tmp_path}/wire", ()) as client:
        return client.request("pipelines")["pipelines"]


def test_the_manager_hears_when_it_is_ready_reloads_and_stops(tmp_path):
    with daemon(tmp_path, CONFIG, WATCHDOG_USEC="200000") as (process, path, manager):
        assert told(manager, "READY=1") == "READY=1\nSTATUS=running left, right"
        assert set(pipelines(tmp_path)) == {"left", "right"}
        told(manager, "WATCHDOG=1")
        path.write_text(path.read_text().replace("[pipelines.right.network]", "[pipelines.third.network]"))
        process.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in told(manager, "RELOADING=1")
        told(manager, "READY=1")
        assert set(pipelines(tmp_path)) == {"left", "third"}
        process.send_signal(signal.SIGTERM)
        told(manager, "STOPPING=1")
        assert process.wait(PATIENCE_S) == 0
    log = (tmp_path / "log").read_text()
    assert "reload: right has ended" in log
    assert "reload: third has begun" in log


def test_a_configuration_that_makes_no_sense_changes_nothing(tmp_path):
    with daemon(tmp_path, CONFIG) as (process, path, manager):
        told(manager, "READY=1")
        good = path.read_text()
        for wrong in ("[sensor", good + "[network]\n", good.replace("neurons", "neurone")):
            path.write_text(wrong)
            process.send_signal(signal.SIGHUP)
            told(manager, "RELOADING=1")
            told(manager, "READY=1")
            assert {one["state"] for one in pipelines(tmp_path).values()} == {"running"}
        path.write_text(good)
        process.send_signal(signal.SIGHUP)
        told(manager, "READY=1")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    log = (tmp_path / "log").read_text()
    assert log.count("reload: everything stays as it is: ") == 3
    assert "unknown key 'network.neurone'" in log
    assert "reload: nothing has changed" in log


def test_the_log_is_json_for_programs_that_collect_it(tmp_path):
    with daemon(tmp_path, CONFIG, "--log", "json") as (process, path, manager):
        told(manager, "READY=1")
        path.write_text("nonsense")
        process.send_signal(signal.SIGHUP)
        told(manager, "RELOADING=1")
        told(manager, "READY=1")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert all(set(line) == {"time", "level", "logger", "message"} for line in lines)
    assert all(datetime.fromisoformat(line["time"]).utcoffset().total_seconds() == 0 for line in lines)
    assert "running left, right" in [line["message"] for line in lines if line["level"] == "info"]
    (error,) = [line for line in lines if line["level"] == "error"]
    assert error["message"].startswith("reload: everything stays as it is: ")


def test_who_connects_before_it_is_started_misses_nothing(tmp_path):
    """`systemd-socket-activate` listens; who connects first starts the daemon, and may have all of it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = tmp_path / "daemon.toml"
    path.write_text(CONFIG.format(url="inherited://wire") + "[batch]\nlength_us = 50_000\n")
    env = [
        f"--setenv={key}={value}"
        for key, value in os.environ.items()
        if key.startswith(("PYTHON", "SPIKE", "HOME", "PATH"))
    ]
    activate = ["systemd-socket-activate", *env, f"--listen=127.0.0.1:{port}", "--fdname=wire"]
    process = subprocess.Popen([*activate, *command("run", path)], stderr=subprocess.PIPE, text=True)
    try:
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            with socket.socket() as early:
                early.settimeout(PATIENCE_S)
                if early.connect_ex(("127.0.0.1", port)) == 0:
                    assert early.recv(4)  # it has been started, and greets
                    break
            time.sleep(0.02)
        numbers = {}
        with Client(f"tcp://127.0.0.1:{port}", ["*.network.spikes"], since="all") as client:
            for message in client:
                assert message.seq == numbers.get(message.topic, -1) + 1
                numbers[message.topic] = message.seq
                if min(numbers.values()) > 20 and len(numbers) == 2:
                    break
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_socket_that_is_open_to_others_wants_a_token(tmp_path):
    path = tmp_path / "daemon.toml"
    path.write_text(CONFIG.format(url="inherited://wire"))
    code = "import os, socket, sys; s = socket.create_server(('0.0.0.0', 0)); os.dup2(s.fileno(), 3); s.detach()\n"
    code += "os.set_inheritable(3, True)\n"
    code += "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='wire')\n"
    code += f"os.execv(sys.executable, {command('run', path)!r})"
    done = subprocess.run([*command()[:1], "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2
    assert "it needs a token" in done.stderr


def test_without_a_manager_an_inherited_socket_is_a_clear_error(tmp_path):
    path = tmp_path / "daemon.toml"
    path.write_text(CONFIG.format(url="inherited://wire"))
    done = subprocess.run(command("run", path), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 5
    assert "no socket 'wire' was handed over" in done.stderr


def test_what_has_not_changed_goes_on_undisturbed(plugin, tmp_path):
    async def work():
        async with steered(plugin, tmp_path, "left", "right") as made:
            await made.step(3, "left")
            await made.step(3, "right")
            kept, supervisor = made.lane("left").engine, made.daemon.supervisors["right"]
            configs = {name: one.job.config for name, one in made.daemon.supervisors.items()}
            configs["right"] = job("right", "steps://again").config
            said = await made.daemon.reload(configs)
            assert made.lane("left").engine is kept
            assert made.daemon.supervisors["right"] is not supervisor
            made.give("left")
            await until(lambda: made.lane("left").engine.progress.stop == 40_000)
            return said

    (line,) = [line for line in run(work()) if "before the next start" not in line]
    assert line == "right goes on with what is new"


def test_what_cannot_be_opened_goes_on_as_it_was(plugin, tmp_path):
    async def work():
        async with steered(plugin, tmp_path, "main") as made:
            await made.step(2)
            config = made.daemon.supervisors["main"].job.config
            said = await made.daemon.reload({"main": job("main", tmp_path / "gone.aedat4").config})
            assert made.daemon.supervisors["main"].job.config == config
            assert not made.daemon.stopping
            await until(lambda: made.daemon.supervisors["main"].up)
            return said

    told = [line for line in run(work()) if "before the next start" not in line]
    assert len(told) == 1
    assert told[0].startswith("main goes on as it was, for what is new cannot be: ")


def test_a_pipeline_that_stands_still_with_work_to_do_is_no_life(plugin, tmp_path):
    async def work():
        async with steered(plugin, tmp_path, "main") as made:
            await made.step(2)
            assert made.daemon.alive()
            assert made.daemon.alive()  # with nothing to do it may wait for ever
            with made.lane().engine._stillness.alone():  # as a stage that hangs would
                for _ in range(3):
                    made.give()
                await until(lambda: made.lane().engine.channel.waiting)
                made.daemon.alive()
                assert not made.daemon.alive()
            await until(lambda: made.lane().engine.progress.stop == 50_000)
            assert made.daemon.alive()

    run(work())


@pytest.mark.parametrize("urls", [("inherited://",), ("inherited://wire?x=1",)])
def test_a_name_that_is_none_is_refused(tmp_path, urls):
    path = tmp_path / "daemon.toml"
    path.write_text(CONFIG.format(url=urls[0]))
    done = subprocess.run(command("run", path), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode in (2, 5)
