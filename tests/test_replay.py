"""`spikestream replay` and `run` as their users call them: whole processes, real files, real sockets."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys

import numpy as np
import pytest
from cli import LABELS, LOOKS, PATIENCE_S, command, replay_json, spikestream, start

import spikestream as ss

KEYS = {
    "events_in", "events_filtered", "events_dropped", "spikes_out", "decisions", "accuracy", "prequential_accuracy",
    "chance", "baseline_accuracy", "realtime_factor", "latency_ms", "duration_us", "state_sha256", "output_sha256",
}  # fmt: skip
REAL = {
    "aedat2/davis240c_boxes.aedat": 162_771,
    "aedat4/dvxplorer.aedat4": 111_954,
    "aedat4/davis346.aedat4": 6_676,
    "bin/nmnist.bin": 4_325,
}


PART = (LOOKS, "--labels", LABELS, "--from", "34s", "--to", "46s")
"""The end of what is taught and the beginning of what is held out."""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Where the model of the whole recording is, once `whole` has been made."""
    return tmp_path_factory.mktemp("model") / "model.npz"


@pytest.fixture(scope="module")
def whole(model):
    return replay_json(LOOKS, "--labels", LABELS, "--speed", "max", "--save", model)


@pytest.fixture(scope="module")
def part():
    return replay_json(*PART, "--speed", "max")


def test_json_has_the_documented_keys_and_nothing_else(whole):
    assert set(whole) == KEYS
    assert set(whole["latency_ms"]) == {"p50", "p99"}
    assert whole["events_in"] == json.loads(LOOKS.with_name("looks.aedat4.json").read_text())["events"]
    assert whole["decisions"] == 560
    assert whole["duration_us"] == 56_000_000


@pytest.mark.parametrize(
    "args",
    [
        ["--speed", "50"],
        ["--speed", "max", "--set", "batch.length_us=3300"],
        ["--speed", "max", "--set", "batch.length_us=7000"],
        ["--speed", "max", "--set", "batch.length_us=10000000"],
    ],
    ids=" ".join,
)
def test_the_result_depends_neither_on_pace_nor_on_batches(part, args):
    again = replay_json(*PART, *args)
    same = KEYS - {"realtime_factor", "latency_ms"}
    assert {key: again[key] for key in same} == {key: part[key] for key in same}
    assert again["accuracy"] is not None


def test_another_seed_gives_another_result(part):
    other = replay_json(*PART, "--speed", "max", "--set", "network.seed=1")
    assert other["output_sha256"] != part["output_sha256"]
    assert other["state_sha256"] != part["state_sha256"]


def test_from_and_to_select_by_time_since_the_first_event():
    some = replay_json(LOOKS, "--speed", "max", "--from", "1s", "--to", "1.5s")
    events = ss.read(LOOKS).data["t"]
    first = events[0]
    assert some["events_in"] == np.count_nonzero((events >= first + 1_000_000) & (events < first + 1_500_000))
    assert some["duration_us"] in (500_000, 501_000)


def test_filters_are_counted_and_change_the_result():
    some = ["--speed", "max", "--to", "3s"]
    plain, filtered = replay_json(LOOKS, *some), replay_json(LOOKS, *some, "--filter", "polarity:keep=on")
    on = np.count_nonzero(ss.read(LOOKS).data["p"][: plain["events_in"]])
    assert plain["events_filtered"] == 0
    assert filtered["events_filtered"] == plain["events_in"] - on


def test_wrapped_time_and_hot_pixels_replay():
    for name in ("wrap.aedat", "noisy_hot.aedat3"):
        sidecar = json.loads(LOOKS.with_name(f"{name}.json").read_text())
        made = replay_json(LOOKS.with_name(name), "--speed", "max")
        assert made["events_in"] == sidecar["events"], name
        assert made["spikes_out"] > 0, name
    assert sidecar["first_t"] < 2**31


def test_a_saved_model_classifies_without_learning(whole, model):
    assert whole["accuracy"] > 0.9
    frozen = replay_json(LOOKS, "--from", "38s", "--labels", LABELS, "--speed", "max", "--model", model, "--no-learn")
    assert frozen["accuracy"] > 0.9
    assert frozen["prequential_accuracy"] is None
    done = spikestream("replay", LOOKS, "--speed", "max", "--model", model, "--set", "network.neurons=50", code=6)
    assert "does not fit" in done.stderr


def test_no_learn_leaves_everything_alone():
    one = replay_json(LOOKS, "--to", "2s", "--speed", "max", "--no-learn", "--labels", LABELS)
    assert one["accuracy"] == 0  # nobody ever earned a label
    assert one["prequential_accuracy"] is None


def test_a_record_replays_to_the_identical_result(tmp_path):
    record = tmp_path / "run.ssr"
    some = ["--labels", LABELS, "--speed", "max", "--to", "20s"]
    first = replay_json(
        LOOKS, *some, "--record", record, "--filter", "refractory:period_ms=1", "--set", "network.seed=3"
    )
    again = replay_json(record, "--speed", "max")
    same = ("events_in", "events_filtered", "spikes_out", "decisions", "state_sha256", "output_sha256")
    assert {key: again[key] for key in same} == {key: first[key] for key in same}
    assert first["decisions"] >= 199


def test_jsonl_gives_every_decision_and_the_summary_last():
    lines = spikestream(
        "replay", LOOKS, "--labels", LABELS, "--speed", "max", "--to", "3s", "--jsonl"
    ).stdout.splitlines()
    *decisions, summary = [json.loads(line) for line in lines]
    assert len(decisions) == summary["decisions"] == 30
    assert set(decisions[0]) == {"start", "stop", "label", "confidence", "scores", "evidence"}


def test_a_damaged_recording_is_replayed_up_to_the_damage(tmp_path):
    cut = tmp_path / "cut.aedat"
    whole = LOOKS.with_name("wrap.aedat").read_bytes()
    cut.write_bytes(whole[:-3])
    done = spikestream("replay", cut, "--speed", "max", code=3)
    sidecar = json.loads(LOOKS.with_name("wrap.aedat.json").read_text())
    assert f"{sidecar['events'] - 1:,} sent" in done.stdout
    assert done.stderr.count("error: ") == 1


def subscribed(url, *topics):
    wanted = [part for topic in topics for part in ("--topic", topic)]
    return start("subscribe", url, "--wait", "60s", "--jsonl", *wanted)


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_recordings_replay_and_a_subscriber_gets_exactly_what_was_published(name, data, tmp_path):
    url, copy = f"unix://{tmp_path}/s.sock", tmp_path / "published"
    with (tmp_path / "heard").open("w+") as out:
        with subprocess.Popen(command("subscribe", url, "--wait", "60s", "--jsonl"), stdout=out) as listener:
            publish = ["--publish", url, "--publish", f"file://{copy}", "--wait-subscribers", "1"]
            made = replay_json(data / "events" / name, "--speed", "max", *publish)
        out.seek(0)
        heard = [json.loads(line) for line in out]
    assert listener.returncode == 0
    assert made["events_in"] == REAL[name]
    assert made["spikes_out"] > 0
    assert heard == [published for published in as_published(copy) if published["kind"] != "gap"]
    assert sum(m["n"] for m in heard if m["topic"] == "main.filter.events") == REAL[name]
    assert sum(m["n"] for m in heard if m["topic"] == "main.network.spikes") == made["spikes_out"]


def as_published(path):
    """Decode a file of frames with msgpack alone, and put it as `subscribe --jsonl` does."""
    import msgpack

    raw, at, rows = path.read_bytes(), 0, []
    while (size := struct.unpack_from("<I", raw, at)[0]) != 0:
        message = msgpack.unpackb(raw[at + 4 : at + 4 + size])
        at += 4 + size
        if "k" not in message:
            continue
        body = message.get("d")
        if message["k"] == "events":
            body = [[*row] for row in struct.iter_unpack("<qHH?", body)]
        elif message["k"] == "spikes":
            body = [[*row] for row in struct.iter_unpack("<qi", body)]
        head = {"topic": message["c"], "kind": message["k"], "seq": message["s"], "start": message["t0"]}
        head |= {"stop": message["t1"], "n": message["n"], "published_ns": message["t"]}
        head |= {"at": message["at"]} if "at" in message else {}
        rows.append(head | {"data": body})
    return rows


def test_a_slow_subscriber_that_asks_to_block_gets_everything(tmp_path):
    url = f"unix://{tmp_path}/s.sock"
    with start("subscribe", url, "--wait", "60s", "--policy", "block", "--summary") as listener:
        made = replay_json(LOOKS, "--speed", "max", "--publish", url, "--wait-subscribers", "1", "--strict")
        received = listener.communicate(timeout=PATIENCE_S)[0]
    assert f"main.filter.events: 5,600 messages, {made['events_in']:,} rows\n" in received


MEASURED = """
import resource, sys
from spikestream.cli import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


def peak_kib(path):
    args = ["replay", str(path), "--speed", "max", "--sensor", "dvs128", "--json", "--set", "network.neurons=10"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *args], capture_output=True, text=True, timeout=PATIENCE_S * 4
    )
    assert done.returncode == 0, done.stderr
    summary, peak = done.stdout.splitlines()
    return json.loads(summary)["events_in"], int(peak)


def test_memory_does_not_grow_with_the_recording(tmp_path):
    peaks = {}
    for millions in (2, 20):
        path = tmp_path / "long.aedat"
        with path.open("wb") as file:
            file.write(b"#!AER-DAT2.0\r\n# AEChip: ch.unizh.ini.jaer.chip.retina.DVS128\r\n#End Of ASCII Header\r\n")
            rng = np.random.default_rng(0)
            for million in range(millions):
                words = np.empty((1_000_000, 2), ">u4")
                words[:, 0] = rng.integers(0, 1 << 15, 1_000_000)
                words[:, 1] = million * 1_000_000 + np.arange(1_000_000)
                file.write(words.tobytes())
        events, peaks[millions] = peak_kib(path)
        assert events == millions * 1_000_000
        path.unlink()
    assert peaks[20] - peaks[2] < 32 * 1024


def config(tmp_path, url, speed):
    path = tmp_path / "daemon.toml"
    path.write_text(
        f'[sensor]\nuri = "{LOOKS}"\nspeed = "{speed}"\n[publish]\nurls = ["{url}"]\n'
        f'[checkpoint]\npath = "{tmp_path}/state.npz"\nevery_s = 0.2\n[network]\nneurons = 20\n'
    )
    return path


def test_run_drains_and_saves_on_sigterm_and_goes_on_from_there(tmp_path):
    url = f"unix://{tmp_path}/s.sock"
    for message in ("publishing at", "goes on with what"):
        with start("run", config(tmp_path, url, 1)) as daemon:
            seen = []
            while "running" not in (line := daemon.stderr.readline()):
                assert line, "the daemon ended before it ran"
                seen.append(line)
            assert any(message in line for line in seen)
            heard = [m for _, m in zip(range(40), ss.Client(url, ["main.filter.events"]), strict=False)]
            with subscribed(url, "decisions", "main.filter.events") as listener:
                first = listener.stdout.readline()
                daemon.send_signal(signal.SIGTERM)
                rest = listener.communicate(timeout=PATIENCE_S)[0]
                messages = [json.loads(line) for line in (first + rest).splitlines()]
            ledger = daemon.communicate(timeout=PATIENCE_S)[1]
        assert daemon.returncode == 0
        assert listener.returncode == 0
        assert "MISSING" not in ledger
        assert heard[-1].seq - heard[0].seq == 39
        assert [m["seq"] for m in messages if m["topic"].endswith("events")][-1] >= heard[-1].seq
        assert ss.load(tmp_path / "state.npz").now >= heard[-1].stop


def test_run_ends_when_an_output_cannot_start(tmp_path):
    done = spikestream("run", config(tmp_path, f"file://{tmp_path}/missing/x", "max"), code=3)
    assert "cannot be written" in done.stderr


def test_replay_interrupted_drains_saves_and_exits_with_130(tmp_path):
    url, model = f"unix://{tmp_path}/s.sock", tmp_path / "model.npz"
    with start("replay", LOOKS, "--speed", "1", "--publish", url, "--save", model) as player:
        with subscribed(url) as listener:
            listener.stdout.readline()
            player.send_signal(signal.SIGINT)
            listener.communicate(timeout=PATIENCE_S)
        out = player.communicate(timeout=PATIENCE_S)[0]
    assert player.returncode == 130
    assert "every hop closes" in out
    assert ss.load(model).now > 0


def test_strict_exits_with_7_when_a_filter_had_to_drop():
    args = ["replay", LOOKS, "--speed", "max", "--to", "2s", "--filter", "rate_limit:max_rate_hz=1000"]
    assert "dropped (rate_limit)" in spikestream(*args).stdout
    spikestream(*args, "--strict", code=7)


def test_stdin_is_a_recording_too():
    some = ("--speed", "max", "--to", "3s", "--json")
    with LOOKS.open("rb") as file:
        done = subprocess.run(command("replay", "-", *some), stdin=file, capture_output=True, text=True)
    assert json.loads(done.stdout)["events_in"] == replay_json(LOOKS, *some)["events_in"] > 0
