"""Machines that do not make it easy: no home, no room, no stderr, odd encodings, damaged caches, impatient users."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest
from cli import LOOKS, PATIENCE_S, command, spikestream, start

PLAY = ("replay", LOOKS, "--to", "1s", "--speed", "max", "--set", "network.neurons=5", "--json")
TINY = "from spikestream.kernels import CACHE, refractory as r; import numpy as np; t = np.zeros(1, np.int64); "
TINY += "r.run(r.design(r.Params(), (1, 1)), r.init((1, 1)), t, t, t, np.zeros(1, bool)); print(CACHE)"


def python(code, **env):
    unset = {key for key, value in env.items() if value is None}
    full = {**os.environ, **{key: value for key, value in env.items() if value is not None}}
    full = {key: value for key, value in full.items() if key not in unset}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=full, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return done


# The kernel cache.


def test_a_cache_that_cannot_be_written_gives_way_to_one_below_the_temporary_folder(tmp_path):
    (tmp_path / "file").touch()
    done = python(TINY, SPIKESTREAM_CACHE=str(tmp_path / "file" / "x"), TMPDIR=str(tmp_path))
    assert done.stdout.startswith(f"{tmp_path}/spikestream-{os.getuid()}/kernels/")
    assert "the usual place cannot be written" in done.stderr
    again = python(TINY, SPIKESTREAM_CACHE=str(tmp_path / "file" / "x"), TMPDIR=str(tmp_path))
    assert again.stdout == done.stdout


def test_a_folder_that_somebody_else_may_write_to_is_not_used(tmp_path):
    (tmp_path / "file").touch()
    planted = tmp_path / f"spikestream-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    done = python(TINY, SPIKESTREAM_CACHE=str(tmp_path / "file" / "x"), TMPDIR=str(tmp_path))
    assert not done.stdout.startswith(str(planted))


def test_a_user_without_a_home_is_no_reason_not_to_run():
    code = "import os, pwd\ndef nobody(uid): raise KeyError(uid)\npwd.getpwuid = nobody\n" + TINY
    for home in (None, "/proc/nonexistent"):
        python(code, HOME=home, XDG_CACHE_HOME=None, SPIKESTREAM_CACHE=None)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A cache that holds one compiled kernel."""
    folder = tmp_path_factory.mktemp("kept")
    python(TINY, SPIKESTREAM_CACHE=str(folder))
    return folder


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_damaged_cache_is_compiled_anew(suffix, kept, tmp_path):
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    files = [path for path in tmp_path.rglob(f"*{suffix}") if "refractory" in path.name]
    assert files
    for path in files:
        path.write_bytes(path.read_bytes()[:100])
    python(TINY, SPIKESTREAM_CACHE=str(tmp_path))
    python(TINY, SPIKESTREAM_CACHE=str(tmp_path))
    assert all(path.stat().st_size > 100 for path in files if path.exists())


def test_machine_code_with_a_hole_is_not_run(kept, tmp_path):
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    (code,) = [path for path in tmp_path.rglob("*.nbc") if "refractory.run" in path.name]
    whole, page = bytearray(code.read_bytes()), slice(4_096, 8_192)
    whole[page] = bytes(4_096)  # of machine code: what is around it can still be read
    code.write_bytes(whole)
    for _ in range(2):
        python(TINY, SPIKESTREAM_CACHE=str(tmp_path))
    assert any(path.read_bytes()[page].strip(b"\0") for path in tmp_path.rglob("refractory.run*.nbc"))


# The standard streams.


@pytest.mark.parametrize("closed", ["2>&-", "<&-", "2>&- <&-"])
def test_work_goes_on_without_stderr_and_stdin(closed, tmp_path):
    shell = " ".join(map(str, command(*PLAY, "--save", tmp_path / "m.npz")))
    done = subprocess.run(["sh", "-c", f"{shell} {closed}"], stdout=subprocess.PIPE, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0
    assert done.stdout.startswith("{")
    assert done.stdout.count("\n") == 1
    assert (tmp_path / "m.npz").exists()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_daemon_whose_log_nobody_reads_any_more_does_its_work(tmp_path, unbuffered):
    text = f'[sensor]\nuri = "{LOOKS}"\nspeed = "max"\n[checkpoint]\npath = "{tmp_path}/m.npz"\n'
    (tmp_path / "d.toml").write_text(text + "[network]\nneurons = 5\n")
    reading, writing = os.pipe()
    os.close(reading)
    env = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(
        command("run", tmp_path / "d.toml"), stderr=writing, stdout=subprocess.PIPE, env=env, timeout=PATIENCE_S
    )
    os.close(writing)
    assert (done.returncode, done.stdout) == (0, b"")
    assert (tmp_path / "m.npz").exists()


def test_an_error_without_stderr_keeps_its_exit_code():
    done = subprocess.run(["sh", "-c", " ".join(command("replay", "/no/such")) + " 2>&-"], stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (3, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("args", [["--help"], ["--version"], ["replay", "--help"], ["plugins"]])
def test_a_full_disk_behind_stdout_is_one_clear_error(args, unbuffered):
    env = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command(*args), stdout=full, stderr=subprocess.PIPE, text=True, env=env, timeout=PATIENCE_S
        )
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["error: cannot write to stdout: No space left on device"]


def test_any_text_can_be_printed_anywhere(tmp_path):
    name = os.fsencode(tmp_path) + b"/b\xffad \xc3\xa9.aedat4"
    shutil.copy(LOOKS, name)
    for encoding in ("ascii", "latin-1", "utf-8"):
        done = subprocess.run(
            [*(part.encode() for part in command("info", "--fast")), name, name + b"?"],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": encoding},
            timeout=PATIENCE_S,
        )
        assert done.returncode == 3
        assert b"Traceback" not in done.stderr
        assert b"AEDAT" in done.stdout


def test_too_few_files_may_be_opened_is_said_clearly():
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5)); "
    limited += f"from spikestream.cli import main; sys.exit(main({[str(part) for part in PLAY]!r}))"
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 1
    assert "error: [Errno 24] Too many open files" in done.stderr


# Impatience.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_starts_ends_it_without_a_traceback(number):
    code = "from spikestream.cli import main; import sys, os, signal\n"
    code += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job of a shell ignores it
    code += "class Slow:\n    def find_spec(self, name, path, target=None):\n"
    code += f"        if name == 'spikestream.cli.replay': os.kill(os.getpid(), {int(number)})\n"
    code += "sys.meta_path.insert(0, Slow())\nsys.exit(main(['replay', 'x']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == (130 if number == signal.SIGINT else -number)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["tcp://127.0.0.1:1", "--for", "1ms", "--wait", "200ms"], 5),
        (["tcp://127.0.0.1:1", "--for", "0s"], 2),
        (["tcp://127.0.0.1:1", "--for", "1us"], 2),
        (["tcp://127.0.0.1:1", "--for", "9999999h"], 2),
        (["tcp://127.0.0.1:1", "--wait", "9999999h"], 2),
        ([f"tcp://{'a' * 300}:1"], 5),
        (["tcp://..:1"], 5),
        (["tcp://a..b:1"], 5),
        (["unix:///" + "a" * 300], 5),
    ],
)
def test_subscribing_in_odd_ways_ends_in_one_clear_error(args, code):
    assert spikestream("subscribe", *args, code=code).stderr.startswith("error: ")


# Absurd figures.


@pytest.mark.parametrize("setting", ["network.tick_us=1000000000000000", "batch.length_us=9000000000000"])
def test_an_absurd_length_is_refused_with_what_is_allowed(setting):
    assert "allowed: " in spikestream("replay", LOOKS, "--set", setting, code=2).stderr


def test_labels_of_astronomic_length_are_refused(tmp_path):
    (tmp_path / "l.csv").write_text(f"start_us,stop_us,label\n0,{2**61},a\n")
    args = ("--labels", tmp_path / "l.csv", "--set", "readout.windows=grid")
    assert "more than 10,000,000 windows" in spikestream("replay", LOOKS, *args, code=2).stderr


@pytest.mark.parametrize("label", ["a" * 100_000, "a\0b", "a\x1bb", ""])
def test_a_label_that_cannot_be_printed_is_refused_with_its_line(label, tmp_path):
    (tmp_path / "l.csv").write_text(f"start_us,stop_us,label\n0,5,ok\n5,9,{label}\n")
    error = spikestream("replay", LOOKS, "--labels", tmp_path / "l.csv", code=3).stderr
    assert "line 3" in error
    assert len(error) < 2_000


# The demo.


def test_the_demo_does_without_a_socket_where_its_path_would_be_too_long(tmp_path):
    long = tmp_path / ("d" * 100)
    long.mkdir()
    with start("demo", env={**os.environ, "TMPDIR": str(long)}) as player:
        while "publishing" not in (line := player.stderr.readline()):
            assert line, "it ended before it published"
        player.send_signal(signal.SIGINT)
        player.communicate(timeout=PATIENCE_S)
    assert "tcp://127.0.0.1:" in line
    assert ":0;" not in line
    assert player.returncode == 130
    done = subprocess.run(["pgrep", "-f", f"subscribe {line.split(' at ')[1].split(';')[0]}"], capture_output=True)
    assert done.stdout == b""
