"""A daemon on live sensors of others: a peer that is killed and comes back, and one spikestream behind another."""

from __future__ import annotations

import signal
import subprocess
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
from cli import command
from live_cases import free_port, stream_of
from test_dv import sending

import spikestream as ss

PIPELINE = "filter = []\n[network]\nneurons = 5\n[restart]\nbase_s = 0.05\ncap_s = 0.2\n"


@contextmanager
def daemon(folder, uri, url, name="d"):
    """Run a daemon until it is told to end, which it does well; what it printed is in what is yielded."""
    (folder / f"{name}.toml").write_text(f'{PIPELINE}[sensor]\nuri = "{uri}"\n[publish]\nurls = ["{url}"]\n')
    run = command("run", folder / f"{name}.toml")
    told: list[str] = []
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert "publishing" in process.stderr.readline()
            yield told
            process.send_signal(signal.SIGTERM)
            told += process.communicate(timeout=60)
            assert process.returncode == 0
        finally:
            process.kill()


class Taken:
    """What a subscriber has got."""

    def __init__(self, url):
        self.client = ss.Client(url, ["main.filter.events"], since="all")
        self.messages = []

    def until(self, done):
        while not done():
            message = next(self.client)
            assert not message.lost
            self.messages.append(message)

    @property
    def rows(self):
        return sum(message.n for message in self.messages)

    @property
    def t(self):
        return np.concatenate([message.data["t"] for message in self.messages])

    @property
    def gaps(self):
        return [(a.stop, b.start) for a, b in pairwise(self.messages) if a.stop < b.start]


# The senders keep a pace of sorts on a machine that has other things to do: hence the patience with what is late.


def test_a_sender_of_dv_is_killed_and_comes_back_and_the_pipeline_goes_on_after_a_gap(tmp_path):
    events, port, url = stream_of(40_000), free_port(), f"unix://{tmp_path}/s"
    with (
        sending(events, tmp_path, port) as first,
        daemon(tmp_path, f"dv://127.0.0.1:{port}?slack_us=5000000", url) as told,
    ):
        taken = Taken(url)
        taken.until(lambda: taken.rows > 2_000)
        first.kill()
        first.wait()
        with sending(events, tmp_path, port):
            taken.until(lambda: taken.gaps)
            before = sum(message.n for message in taken.messages if message.stop <= taken.gaps[0][0])
            taken.until(lambda: taken.rows > before + 2_000)
        taken.client.close()
    assert len(taken.gaps) == 1
    assert taken.t[:before].tolist() == events["t"][:before].tolist()
    again = taken.t[before:]
    by = int(again[0] - events["t"][0])
    assert by % 1_000_000 == 0  # the clock begins anew, and is moved by whole seconds
    assert (again - by).tolist() == events["t"][: len(again)].tolist()
    assert "decoder to sensor" in told[1]
    assert "MISSING" not in told[1]


def test_one_spikestream_behind_another_gets_its_events(tmp_path):
    events, port, middle = stream_of(400_000), free_port(), f"unix://{tmp_path}/a"
    with (
        sending(events, tmp_path, port),
        daemon(tmp_path, f"{middle}?size=320x240", f"unix://{tmp_path}/b", "second") as told,  # it waits for the other
        daemon(tmp_path, f"dv://127.0.0.1:{port}?slack_us=5000000", middle),
    ):
        taken = Taken(f"unix://{tmp_path}/b")
        taken.until(lambda: taken.rows > 2_000)
        taken.client.close()
    first = int(np.searchsorted(events["t"], taken.t[0]))
    assert taken.t.tolist() == events["t"][first : first + taken.rows].tolist()
    assert taken.gaps == []
    assert "publisher to sensor" in told[1]
    assert "MISSING" not in told[1]
