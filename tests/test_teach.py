"""`spikestream teach` and a daemon in a process of its own: a new class is known ten seconds later."""

from __future__ import annotations

import json
import signal
from collections import Counter

import pytest
from cli import LOOKS, PATIENCE_S, start
from inprocess import called

from spikestream.batch import Label
from spikestream.client import Client
from spikestream.files.labels import read_labels
from spikestream.sensors.record import Record

NEW, EXAMPLES = "a", 20
OLD_US, NEW_US, END_US = 24_000_000, 36_000_000, 52_000_000
"""Up to when the others are taught, then the new one, and up to when what was learned is measured."""
CONFIG = """
[sensor]
uri = "{looks}"
speed = "3"
[readout]
kind = "classifier"
[classifier]
reset = true
replays = 12
rate = 1e-3
[publish]
urls = ["{url}"]
pipeline = "eye"
"""


@pytest.fixture
def daemon(tmp_path):
    """Give the URL of a daemon that looks at things of four kinds, and the process."""
    url = f"unix://{tmp_path}/s"
    (tmp_path / "d.toml").write_text(CONFIG.format(looks=LOOKS, url=url))
    with start("run", tmp_path / "d.toml", "--record", tmp_path / "r") as process:
        try:
            for line in process.stderr:
                if line == "running\n":
                    break
            yield url, process
        finally:
            process.kill()


def follow(client, truth, taught):
    """Teach as the stream goes by, then measure: return {(label, what it was called): count}."""
    answers: Counter[tuple[str, str | None]] = Counter()
    for message in client:
        for row in message.data:
            label = truth.get((row.start, row.stop))
            if label is None:
                continue
            if row.start >= NEW_US:
                answers[label, row.label] += 1
            elif (row.start < OLD_US) is (label != NEW) and (label != NEW or len(taught) < EXAMPLES):
                came = client.teach(label, window=(row.start, row.stop), pipeline="eye")
                if label == NEW and came.windows:
                    taught.append(message.published_ns)
        if message.stop >= END_US:
            return answers
    raise AssertionError("the daemon ended")


def test_twenty_examples_over_the_socket_teach_a_new_class_and_spoil_nothing(daemon, tmp_path):
    url, process = daemon
    truth = {(row.start, row.stop): row.label for row in read_labels(LOOKS.with_suffix(".csv"))}
    taught: list[int] = []
    with Client(url, ["eye.readout.decisions"]) as client:
        answers = follow(client, truth, taught)
    assert len(taught) == EXAMPLES
    assert taught[-1] - taught[0] < 10 * 10**9
    shown = Counter(kind for (kind, _), count in answers.items() for _ in range(count))
    right = {kind: answers[kind, kind] / shown[kind] for kind in "abcd"}
    called_new = sum(count for (kind, said), count in answers.items() if kind != NEW and said == NEW)
    assert right[NEW] > 0.8, answers
    assert called_new / (shown.total() - shown[NEW]) <= 0.05, answers
    assert min(right.values()) > 0.8, answers

    told = json.loads(called("teach", "eye", "--label", "zebra", "--for", "1s", "--url", url, "--json").stdout)
    assert told["windows"] in (9, 10)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    given = [command.label for command in Record(str(tmp_path / "r")).commands if isinstance(command, Label)]
    assert (given.count(NEW), given.count("zebra")) == (EXAMPLES, 1)
