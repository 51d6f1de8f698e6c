"""The command line: quick to start, clear when it fails, quiet in a pipe."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from cli import LABELS, LOOKS, PATIENCE_S, command, spikestream
from inprocess import called

from spikestream.cli import VERBS

HEAVY = ("numpy", "numba", "asyncio", "aiohttp", "msgpack", "sounddevice", "lz4", "tonic")


def imported(*args: str) -> set[str]:
    code = (
        "import sys\nfrom spikestream.cli import main\nmain(sys.argv[1:])\n"
        "print('MODULES', *{name.partition('.')[0] for name in sys.modules})"
    )
    out = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=PATIENCE_S)
    return set(out.stdout.rpartition("MODULES")[2].split())


@pytest.mark.parametrize("args", [["--help"], ["--version"], *([verb, "--help"] for verb in VERBS)], ids=" ".join)
def test_help_and_version_import_nothing_heavy(args):
    assert not imported(*args) & set(HEAVY)


def test_the_import_test_bites():
    assert {"numpy", "msgpack"} <= imported("subscribe", "unix:///nowhere/at/all.sock")


def test_subscribe_and_info_fast_import_no_numba_and_no_aiohttp():
    for args in (["subscribe", "unix:///nowhere/at/all.sock"], ["info", "--fast", str(LOOKS)]):
        assert not imported(*args) & {"numba", "aiohttp", "sounddevice", "tonic"}, args


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, spikestream; print(*{n.partition('.')[0] for n in sys.modules})"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    assert "spikestream" in names
    assert not set(names) & set(HEAVY)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_its_name(verb):
    assert f"usage: spikestream {verb}" in spikestream(verb, "--help").stdout


def test_version_is_the_package_s():
    import spikestream as ss

    assert spikestream("--version").stdout == f"spikestream {ss.__version__}\n"


@pytest.mark.parametrize(
    ("args", "one", "other"),
    [
        (["replay", LOOKS, "--json", "--jsonl"], "--json", "--jsonl"),
        (["replay", LOOKS, "--learn", "--no-learn"], "--learn", "--no-learn"),
        (["replay", LOOKS, "--no-learn", "--learn"], "--learn", "--no-learn"),
        (["listen", "--json", "--jsonl"], "--json", "--jsonl"),
        (["listen", "--learn", "--no-learn"], "--learn", "--no-learn"),
        (["subscribe", "tcp://127.0.0.1:1", "--jsonl", "--summary"], "--jsonl", "--summary"),
        (["emulate", LOOKS, "--ticks", "0", "--for", "1s"], "--ticks", "--for"),
        (["emulate", LOOKS, "--input", LOOKS, "--poisson", "0"], "--input", "--poisson"),
    ],
    ids=lambda value: " ".join(map(str, value[:1] + value[2:])) if isinstance(value, list) else "",
)
def test_options_that_contradict_each_other_are_one_usage_error(args, one, other):
    done = spikestream(*args, code=2)
    assert done.stderr == f"error: {one} and {other} contradict each other\n  try: leave {one} or {other} out\n"
    assert not done.stdout


@pytest.mark.parametrize("given", [["--learn", "--learn"], ["--no-learn", "--no-learn"]])
def test_an_option_that_is_given_twice_contradicts_nothing(given):
    assert "no such file" in spikestream("replay", "nowhere.aedat4", *given, code=3).stderr


def test_no_verb_is_a_usage_error_on_stderr():
    done = spikestream(code=2)
    assert not done.stdout
    assert "usage: spikestream" in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["info", "--plto", "x"], "info has no option '--plto'\n  did you mean '--plot'?"),
        (["formats", "--jsno=3"], "formats has no option '--jsno'\n  did you mean '--json'?"),
        (["status", "--option", "unit=ms"], "status has no option '--option'\n"),
        (["convert", "a", "b", "c"], "convert takes no further 'c'\n  allowed: SRC OUT\n"),
        (["convert", "a"], "convert needs OUT\n"),
        (["convert", "a", "b", "--bands", "x"], "--bands: invalid int value: 'x'\n"),
        (["replay", "a", "--speed"], "--speed: expected one argument\n"),
        (["model", "shwo", "x"], "show: invalid choice: 'shwo'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_no_verb_understands_is_an_error_like_all_others(args, said):
    done = called(*args, code=2)
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.endswith(f"  try: spikestream {args[0]} --help\n")
    assert len(done.stderr.splitlines()) <= 3
    assert not done.stdout


def test_unknown_verb_names_the_nearest():
    done = spikestream("repaly", code=2)
    assert done.stderr == "error: unknown verb 'repaly'; did you mean 'replay'?\n  try: spikestream --help\n"


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["replay", "missing.aedat4"], 3, ["error: missing.aedat4: no such file"]),
        (["replay", LOOKS, "--set", "network.neuronz=5"], 2, ["unknown key 'network.neuronz'", "network.neuron"]),
        (["replay", LOOKS, "--set", "netwerk.neurons=5"], 2, ["unknown section 'netwerk'", "network"]),
        (["replay", LOOKS, "--set", "network.neurons=five"], 2, ["network.neurons", "five", "int"]),
        (["replay", LOOKS, "--filter", "refactory"], 2, ["refractory"]),
        (["replay", LOOKS, "--from", "5"], 2, ["'5' is not a duration", "200ms"]),
        (["replay", LOOKS, "--speed", "fast"], 2, ["fast"]),
        (["replay", LOOKS, "--model", LABELS], 6, ["not a model of spikestream"]),
        (["replay", LOOKS, "--labels", LOOKS], 3, ["cannot read the labels"]),
        (["replay", LOOKS, "--publish", "tcp://8.8.8.8:80"], 2, ["loopback"]),
        (["replay", LOOKS, "--publish", "carrier-pigeon://x"], 4, ["unknown output 'carrier-pigeon'"]),
        (["replay", "nosuchsensor://x"], 4, ["unknown sensor 'nosuchsensor'"]),
        (["run", "missing.toml"], 2, ["missing.toml"]),
        (["subscribe", "tcp://127.0.0.1:1"], 5, ["try:"]),
        (["subscribe", "tcp://127.0.0.1:1", "--topic", "decision"], 2, ["no topic is called 'decision'", "decisions"]),
        (["info", LABELS], 3, ["error: "]),
    ],
    ids=lambda value: " ".join(str(v) for v in value)[-40:] if isinstance(value, list) else str(value),
)
def test_bad_input_gets_one_clear_error_and_its_exit_code(args, code, words):
    done = spikestream(*args, code=code)
    assert done.stderr.count("error: ") == 1
    assert all(word in done.stderr for word in words), done.stderr


def test_git_lfs_pointer_is_named_as_one(tmp_path):
    pointer = tmp_path / "rec.aedat"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n")
    done = spikestream("replay", pointer, code=3)
    assert "Git-LFS pointer" in done.stderr
    assert "git lfs pull" in done.stderr


def test_info_as_json_tells_what_the_sidecar_tells():
    found = json.loads(spikestream("info", "--json", LOOKS).stdout)
    sidecar = json.loads(LOOKS.with_name("looks.aedat4.json").read_text())
    assert {key: found[key] for key in ("events", "first_t", "last_t", "size")} == {
        key: sidecar[key] for key in ("events", "first_t", "last_t", "size")
    }


def test_info_check_exits_with_3_for_hot_pixels():
    spikestream("info", "--check", LOOKS)
    spikestream("info", "--check", LOOKS.with_name("noisy_hot.aedat3"), code=3)


def test_info_goes_on_after_a_file_it_cannot_read(tmp_path):
    empty = tmp_path / "empty.aedat"
    empty.touch()
    done = spikestream("info", empty, LOOKS, code=3)
    assert "the file is empty" in done.stderr
    assert "looks.aedat4" in done.stdout


def test_plugins_lists_what_is_built_in():
    rows = json.loads(spikestream("plugins", "--json").stdout)
    assert {"aedat2", "aedat3", "aedat4", "bin"} <= {row["name"] for row in rows if row["group"] == "formats"}


def test_a_pipe_into_head_ends_quietly(tmp_path):
    line = " ".join(command("replay", LOOKS, "--speed", "max")) + " 2>stderr | head -2"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=PATIENCE_S, cwd=tmp_path)
    assert done.stdout.count("\n") == 2
    assert "Traceback" not in (tmp_path / "stderr").read_text()
    assert "Broken" not in (tmp_path / "stderr").read_text()


def test_a_closed_stdout_is_no_error(tmp_path):
    saved = tmp_path / "model.npz"
    line = " ".join(command("replay", LOOKS, "--to", "1s", "--speed", "max", "--save", saved)) + " >&-"
    done = subprocess.run(["bash", "-c", line], stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert saved.exists()


def test_stderr_has_no_progress_without_a_terminal():
    assert "\r" not in spikestream("replay", LOOKS, "--to", "2s", "--speed", "max").stderr
