"""Models on disk: restored bit for bit, written whole or not at all, and never believed when they are damaged."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from fuzz import mutations
from hypothesis import given, settings
from hypothesis import strategies as st
from small import SIZE, commands_at, events, fed, noise, pieces, pipeline, rows_of, same_state, total

from spikestream import __version__, checkpoint
from spikestream.batch import Label, Setting, Window, no_events
from spikestream.checkpoint import arrays, config_of, digest, load, save, state_sha256, transfer
from spikestream.config import from_tables
from spikestream.errors import ModelError
from spikestream.files import generations
from spikestream.pipeline import Pipeline

STREAM = noise(1_000_000, 1_120_000)
TAUGHT = [
    Label(1_000_000 + t, 990_000 + t, 1_000_000 + t, "ab"[t // 10_000 % 2]) for t in range(10_000, 110_001, 10_000)
]
LEARNED = {"network": ("weights", "theta", "wins"), "readout": ("labels", "votes", "seen")}


def trained(stop=1_063_700, **sections):
    """Return a pipeline that stopped inside a tick, inside a window, with spikes and a label waiting."""
    made = pipeline(**sections)
    first, _ = pieces(STREAM, [stop])
    fed(made, [first], [*(label for label in TAUGHT if label.t < stop), Label(stop, 0, stop - 12_000, "waits")])
    return made


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.npz"
    save(path, trained())
    return path


# There and back


def test_the_saved_moment_is_a_hard_one():
    state = arrays(trained())
    assert len(state["network/held_t"]) > 0
    assert state["readout/counts"].sum() > 0
    assert list(state["readout/waiting_labels"]) == ["waits"]
    assert len(state["readout/past"]) == 3
    assert len(state["readout/labels"]) == 2
    assert state["filter/0.refractory.last"].max() > 1_063_000


def test_a_saved_pipeline_goes_on_as_if_nothing_had_happened(model):
    straight, restored = trained(), load(model)
    assert same_state(straight, restored)
    assert restored.now == 1_063_700
    assert restored.config == straight.config == config_of(model)
    _, rest = pieces(STREAM, [1_063_700])
    later = [label for label in TAUGHT if label.t > 1_063_700]
    assert fed(restored, pieces(rest, [1_080_001]), later) == fed(straight, pieces(rest, [1_080_001]), later)
    assert state_sha256(restored) == state_sha256(straight)
    assert [str(hop) for hop in restored.hops() if hop.missing()] == []


@given(
    st.integers(1_000_001, 1_119_999),
    commands_at(1_000_000, 1_120_000),
    st.sampled_from(["grid", "marked"]),
    st.sampled_from([0, 400, 30_000]),
)
@settings(deadline=None, max_examples=80)
def test_it_may_be_saved_at_any_time(tmp_path_factory, at, commands, windows, gap):
    path = tmp_path_factory.getbasetemp() / "any.npz"
    straight = pipeline(readout={"windows": windows})
    first, rest = pieces(STREAM, [at])
    _, rest = pieces(rest, [min(rest.start + gap, rest.stop)])
    fed(straight, [first], [command for command in commands if command.t <= at])
    save(path, straight)
    restored = load(path)
    assert same_state(straight, restored)
    later = [command for command in commands if command.t > at]
    assert total(fed(restored, [rest], later)) == total(fed(straight, [rest], later))
    assert same_state(straight, restored)
    assert [str(hop) for hop in restored.hops() if hop.missing()] == []


def test_a_pipeline_that_never_ran_may_be_saved_too(tmp_path):
    save(tmp_path / "m", pipeline())
    restored = load(tmp_path / "m")
    assert restored.now is None
    assert fed(restored, [STREAM]) == fed(pipeline(), [STREAM])


def test_saving_changes_nothing(tmp_path):
    made = trained()
    before = state_sha256(made)
    save(tmp_path / "m", made)
    assert state_sha256(made) == before


def test_only_a_pipeline_with_a_configuration_can_be_saved(tmp_path):
    with pytest.raises(ModelError, match="built from a configuration"):
        save(tmp_path / "m", Pipeline(pipeline().stages))
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_plain_arrays_and_a_text(model):
    with zipfile.ZipFile(model) as archive:
        entries = archive.infolist()
        assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
        assert all(archive.read(entry)[:2] != b"\x80\x04" for entry in entries)
    with np.load(model, allow_pickle=False) as file:
        meta = json.loads(str(file["meta"]))
        assert set(file.files) == {"meta", *arrays(trained())}
    assert (meta["format"], meta["spikestream"], meta["now"]) == (1, __version__, 1_063_700)
    assert from_tables(meta["config"]) == trained().config
    assert meta["sha256"] == state_sha256(trained())


# The digest

ARRAYS = {"b/x": np.arange(6, dtype=np.int64), "a/y": np.ones((2, 3), np.float32), "a/z": np.array(True)}


def test_the_digest_is_the_documented_one():
    from hashlib import sha256

    text = b"a/y <f4 (2, 3)\n" + b"\0\0\x80\x3f" * 6 + b"a/z |b1 ()\n\x01" + b"b/x <i8 (6,)\n"
    text += b"".join(n.to_bytes(8, "little") for n in range(6))
    assert digest(ARRAYS) == sha256(text).hexdigest()


def test_the_digest_does_not_depend_on_the_order_of_names_or_memory():
    assert digest(dict(reversed(ARRAYS.items()))) == digest(ARRAYS)
    table = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert digest({"a": np.asfortranarray(table)}) == digest({"a": table}) == digest({"a": np.tile(table, 2)[:, :3]})


@pytest.mark.parametrize(
    "changed",
    [
        {"b/x": np.arange(6, dtype=np.uint64)},
        {"b/x": np.arange(6, dtype=">i8")},
        {"b/x": np.arange(6, dtype=np.int64).reshape(2, 3)},
        {"b/x": np.arange(6, dtype=np.int64).reshape(6, 1)},
        {"b/x": np.array([0, 1, 2, 3, 4, 6])},
        {"a/y": np.full((2, 3), np.nextafter(np.float32(1), np.float32(2)))},
        {"a/z": np.array([True])},
        {"a/new": np.zeros(0)},
    ],
)
def test_the_digest_sees_every_difference(changed):
    assert digest({**ARRAYS, **changed}) != digest(ARRAYS)
    name = next(iter(ARRAYS))
    assert digest({"b/w" if key == name else key: value for key, value in ARRAYS.items()}) != digest(ARRAYS)


# Whole or not at all


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("breaks", ["replace", "fsync"])
@pytest.mark.parametrize("there", [True, False])
def test_a_save_that_fails_leaves_the_old_model_and_nothing_else(breaks, there, tmp_path, monkeypatch):
    path = tmp_path / "m"
    if there:
        save(path, trained(1_050_000))
    before = path.read_bytes() if there else None
    monkeypatch.setattr(os, breaks, full)
    with pytest.raises(ModelError, match=r"cannot write the model .*: No space left on device"):
        save(path, trained())
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == ([path] if there else [])
    assert not there or path.read_bytes() == before


def test_a_save_that_is_interrupted_leaves_the_old_model_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "m"
    save(path, trained(1_050_000))
    before = path.read_bytes()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(path, trained())
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


def test_a_model_is_replaced(tmp_path):
    path = tmp_path / "m"
    save(path, trained(1_050_000))
    save(path, trained())
    assert list(tmp_path.iterdir()) == [path]
    assert load(path).now == 1_063_700


@pytest.mark.parametrize("name", ["missing/m", "file/m"])
def test_a_place_nothing_can_be_written_to_is_named(name, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="cannot write the model"):
        save(tmp_path / name, trained())


def test_a_folder_is_no_place_for_a_model(tmp_path):
    (tmp_path / "m").mkdir()
    with pytest.raises(ModelError, match="cannot write the model"):
        save(tmp_path / "m", trained())
    assert list(tmp_path.iterdir()) == [tmp_path / "m"]


KILLS = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from small import noise, pipeline
from spikestream.checkpoint import load, save

def saves(told):
    made = pipeline(network={"neurons": 2_000})
    for n in range(1_000_000):
        made(noise(1_000 * n, 1_000 * n + 1_000, seed=n % 5, rate_hz=20_000))
        save(sys.argv[1], made)
        os.write(told, made.now.to_bytes(8, "little"))

pipeline(network={"neurons": 2_000})(noise(0, 1_000))  # kernels are loaded once, for all that are killed

for round in range(20):
    heard, told = os.pipe()
    child = os.fork()
    if not child:
        saves(told)
    os.close(told)
    for _ in range(1 + round % 4):
        said = os.read(heard, 8)
    for _ in range(round * 20_000):
        pass  # the next save is under way: how far differs from round to round, and no clock says so
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    while more := os.read(heard, 8):
        said = more
    os.close(heard)
    said = int.from_bytes(said, "little")
    # What is there is the last model it told of, or the one it had no time to tell of.
    assert load(sys.argv[1]).now in (said, said + 1_000)
print("20 models loaded")
"""


def test_a_killed_process_leaves_a_model_that_loads(tmp_path):
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", KILLS, tmp_path / "m", here], capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "20 models loaded\n", done.stderr


# Damaged and foreign


def told(path):
    """Return what a model says, None where it is refused; any other error than ours gets out."""
    refusal = None
    try:
        restored = load(path)
    except ModelError as error:
        refusal = error
    if refusal is None:
        return state_sha256(restored), restored.now, restored.config
    assert refusal.exit_code == 6
    assert str(path) in str(refusal)
    return None


def changes(good, n):
    """Yield copies of a file with one byte changed anywhere, evenly spread."""
    rng = np.random.default_rng(0)
    for at in rng.permutation(len(good))[:n]:
        bad = bytearray(good)
        bad[at] ^= int(rng.integers(1, 256))
        yield bytes(bad)


def test_a_changed_byte_is_found_or_harmless(model, tmp_path):
    good, path, refused = model.read_bytes(), tmp_path / "m", 0
    expected = told(model)
    for bad in changes(good, 2_000):
        path.write_bytes(bad)
        got = told(path)
        refused += got is None
        assert got in (None, expected)  # dates and such of a zip archive may be anything
    assert refused > 1_000


def test_every_byte_of_every_array_is_guarded(model, tmp_path):
    good, path = model.read_bytes(), tmp_path / "m"
    with zipfile.ZipFile(model) as archive:
        spans = [(entry.header_offset + 30 + len(entry.filename), entry.file_size) for entry in archive.infolist()]
    rng = np.random.default_rng(1)
    for start, size in spans:
        for at in rng.integers(0, size, 5):
            bad = bytearray(good)
            bad[start + 20 + int(at)] ^= 0x10
            path.write_bytes(bad)
            if good[start + 20 + int(at)] != 0x20:  # the padding of an array's header
                assert told(path) is None


def test_mutations_are_found_or_harmless(model, tmp_path):
    path, expected = tmp_path / "m", told(model)
    for bad in mutations(model.read_bytes(), 1_000, seed=7):
        path.write_bytes(bad)
        assert told(path) in (None, expected)


def test_a_truncated_model_is_refused(model, tmp_path):
    good, path = model.read_bytes(), tmp_path / "m"
    for length in [*range(0, len(good), 61), len(good) - 1, len(good) - 20]:
        path.write_bytes(good[:length])
        assert told(path) is None


class Trap:
    """What a pickle would run."""

    def __reduce__(self):
        return os.mkdir, (str(Trap.folder),)


def npz(path, meta=None, **extra):
    """Write a model by hand: the real one's arrays and meta, with some of it changed."""
    made = trained()
    state = {**arrays(made), **extra}
    state = {key: value for key, value in state.items() if value is not None}
    plain = {key: value for key, value in state.items() if not np.asarray(value).dtype.hasobject}
    own = {"format": 1, "config": dict(checkpoint.to_tables(made.config)), "now": made.now, "sha256": digest(plain)}
    with path.open("wb") as file:
        np.savez(file, meta=np.array(json.dumps({**own, **(meta or {})})), **state)
    return path


def test_a_model_made_by_hand_is_taken(tmp_path):
    assert told(npz(tmp_path / "m")) == (state_sha256(trained()), 1_063_700, trained().config)


def test_objects_are_never_unpickled(tmp_path):
    Trap.folder = tmp_path / "sprung"
    assert told(npz(tmp_path / "m", trap=np.array([Trap()], object))) is None
    assert told(npz(tmp_path / "m", **{"network/weights": np.array([Trap()], object)})) is None
    (tmp_path / "m").write_bytes(pickle.dumps(Trap()))
    assert told(tmp_path / "m") is None
    assert not Trap.folder.exists()


@pytest.mark.parametrize(
    "meta",
    [
        {"format": 2},
        {"format": None},
        {"format": "1"},
        {"sha256": "0" * 64},
        {"sha256": None},
        {"now": "soon"},
        {"now": 1.5},
        {"now": True},
        {"now": 2**63},
        {"config": None},
        {"config": []},
        {"config": {}},
        {"config": {"netwrok": {}}},
        {"config": {"sensor": {"size": "4x4"}, "network": {"neurons": -1}}},
        {"config": {"sensor": {"size": "4x4"}, "network": {"neurons": 10**15}}},
        {"config": {"sensor": {"size": "4x4"}, "filter": [{"kind": "no"}]}},
        {"config": {"sensor": {"size": "5x4"}}},
    ],
)
def test_a_meta_that_makes_no_sense_is_refused(meta, tmp_path):
    assert told(npz(tmp_path / "m", meta)) is None


def test_another_format_is_told_by_its_number(tmp_path):
    with pytest.raises(ModelError, match="has model format 2, not 1"):
        load(npz(tmp_path / "m", {"format": 2}))


@pytest.mark.parametrize(
    "changed",
    [
        {"network/weights": None},
        {"network/extra": np.zeros(3)},
        {"network/weights": np.zeros((32, 6), np.float32)},
        {"network/weights": np.zeros((32, 5), np.float64)},
        {"network/v": np.zeros((1, 5), np.float32)},
        {"readout/votes": np.zeros((2, 6))},
        {"readout/labels": np.zeros(2)},
        {"readout/labels": np.array(["a", "b", "c"])},
        {"readout/past_counts": np.zeros((1, 5), np.int64)},
        {"network/held_axon": np.array([0], np.int32)},
        {"filter/0.refractory.last": np.zeros(3, np.int64)},
        {"filter/0.refractory.last": None},
        {"filter/1.refractory.last": np.zeros(16, np.int64)},
        {"address/more": np.zeros(1)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(changed, tmp_path):
    assert told(npz(tmp_path / "m", **changed)) is None


def test_files_of_other_kinds_are_refused(tmp_path):
    path = tmp_path / "m"
    with path.open("wb") as file:
        np.savez(file, a=np.arange(3))
    assert told(path) is None
    with path.open("wb") as file:
        np.savez(file, meta=np.array("[1, 2]"))
    assert told(path) is None
    with path.open("wb") as file:
        np.save(file, np.arange(3))
    assert told(path) is None
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert told(path) is None
    for content in (b"", b"PK\x03\x04", b"#!AER-DAT2.0\r\n", b"hello" * 100, b"\x93NUMPY\x01\x00" + b"\xff" * 300):
        path.write_bytes(content)
        assert told(path) is None
    assert told(tmp_path) is None
    assert told(tmp_path / "missing") is None


def test_a_model_that_unpacks_to_more_than_it_is_is_refused(model, tmp_path):
    path = tmp_path / "m"
    with zipfile.ZipFile(model) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in archive.infolist():
            packed.writestr(entry.filename, archive.read(entry))
    with pytest.raises(ModelError) as caught:
        load(path)
    assert "unpack to more" in str(caught.value.__cause__)


def test_an_array_that_claims_more_than_memory_is_refused(tmp_path):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (10**15,)})
    with zipfile.ZipFile(npz(tmp_path / "m"), "a") as archive:
        archive.writestr("network/claims.npy", head.getvalue())
    assert told(tmp_path / "m") is None


# Only what was learned


def test_a_transfer_brings_what_was_learned_and_nothing_of_its_moment(model):
    old, new = trained(), pipeline(learn={"enabled": False})
    fresh = arrays(pipeline(learn={"enabled": False}))
    transfer(model, new)
    learned = {f"{stage}/{key}" for stage, keys in LEARNED.items() for key in keys}
    for key, value in arrays(new).items():
        expected = arrays(old)[key] if key in learned else fresh[key]
        assert (value.dtype, value.tobytes()) == (expected.dtype, expected.tobytes()), key
    assert new.now is None
    assert not new.stages["network"].learning
    assert new.config != old.config


def test_a_transferred_pipeline_recognises_what_it_learned_in_another_recording(model):
    elsewhere = noise(7_000_000_000, 7_000_050_000, seed=9)
    new, blank = pipeline(learn={"enabled": False}), pipeline(learn={"enabled": False})
    transfer(model, new)
    before = arrays(new)
    decided = [row for _, row in total(fed(new, [elsewhere]))["readout"]]
    assert {row.label for row in decided} <= {"a", "b"}
    assert {row.label for _, row in total(fed(blank, [elsewhere]))["readout"]} == {None}
    for stage, keys in LEARNED.items():
        for key in keys:
            assert np.array_equal(arrays(new)[f"{stage}/{key}"], before[f"{stage}/{key}"])
    assert [str(hop) for hop in new.hops() if hop.missing()] == []


@pytest.mark.parametrize(
    ("sections", "stage"),
    [
        ({"network": {"neurons": 6}}, "network"),
        ({"sensor": {"size": "5x4"}}, "network"),
        ({"filter": [{"kind": "downsample", "factor": 2}]}, "network"),
    ],
)
def test_a_model_of_another_shape_is_refused(sections, stage, model):
    new = pipeline(**sections)
    with pytest.raises(ModelError, match=f"does not fit: stage '{stage}'") as caught:
        transfer(model, new)
    assert (caught.value.exit_code, caught.value.remedy) == (
        6,
        "use the configuration and the sensor size it was trained with",
    )


@pytest.mark.parametrize("missing", ["network/theta", "readout/votes"])
def test_a_model_without_what_is_wanted_is_refused(missing, tmp_path):
    with pytest.raises(ModelError, match="does not fit"):
        transfer(npz(tmp_path / "m", **{missing: None}), pipeline())


def test_a_damaged_model_is_not_transferred(model, tmp_path):
    path = tmp_path / "m"
    path.write_bytes(model.read_bytes()[:-100])
    new = pipeline()
    before = state_sha256(new)
    for call in (lambda: transfer(path, new), lambda: config_of(path)):
        with pytest.raises(ModelError):
            call()
    assert state_sha256(new) == before


def test_a_window_a_setting_and_a_gap_wait_on_disk_too(tmp_path):
    made, twin = (pipeline(readout={"windows": "marked"}) for _ in range(2))
    for one in (made, twin):
        fed(
            one,
            [noise(0, 25_300)],
            [Window(20_000, 33_000), Setting(21_500, "learn.enabled", False), Label(25_300, 0, 1, "a")],
        )
    save(tmp_path / "m", made)
    after = load(tmp_path / "m")
    out = [rows_of(one(no_events(60_000, 61_000, SIZE))["readout"]) for one in (after, twin)]
    assert out[0] == out[1]
    assert len(out[0]) == 1
    with suppress(ModelError):
        after(events(61_000, 62_000, [(61_500, 1, 1, True)]))


# Versions that are kept


def stand(path):
    """Return when each version stood, by name."""
    return {one.name: load(one).now for one in generations.versions(path)}


def kept_thrice(path, stops=(1_010_000, 1_020_000, 1_030_000, 1_040_000)):
    for stop in stops:
        checkpoint.moment(trained(stop)).write(path, keep=3)


def test_the_last_versions_are_kept_the_newest_under_its_own_name(tmp_path):
    path = tmp_path / "m"
    kept_thrice(path)
    assert stand(path) == {"m": 1_040_000, "m.1": 1_030_000, "m.2": 1_020_000}
    assert sorted(one.name for one in tmp_path.iterdir()) == ["m", "m.1", "m.2"]
    save(path, trained(1_050_000))
    assert stand(path) == {"m": 1_050_000, "m.1": 1_030_000, "m.2": 1_020_000}
    assert checkpoint.newest(path) == str(path)


@pytest.mark.parametrize("name", ["notes.txt", "m.3", "m.10", "m.x", "m.01", "x.1"])
def test_a_file_that_is_none_of_its_versions_is_left_alone(name, tmp_path):
    (tmp_path / name).write_text("mine")
    kept_thrice(tmp_path / "m")
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("breaks", ["link", "replace"])
def test_a_version_that_cannot_be_kept_or_written_leaves_the_newest(breaks, tmp_path, monkeypatch):
    path = tmp_path / "m"
    kept_thrice(path, [1_010_000])
    monkeypatch.setattr(os, breaks, full)
    with suppress(ModelError):
        kept_thrice(path, [1_020_000])
    monkeypatch.undo()
    assert stand(path)["m"] == (1_020_000 if breaks == "link" else 1_010_000)
    assert not [one for one in tmp_path.iterdir() if ".tmp-" in one.name]


@pytest.mark.parametrize("damage", [b"", b"PK\3\4 nonsense", None])
def test_the_newest_that_is_whole_is_used_and_the_damaged_one_set_aside(damage, tmp_path, caplog):
    path = tmp_path / "m"
    kept_thrice(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert load(checkpoint.newest(path)).now == 1_030_000
    assert f"{path} is not a model of spikestream, or is damaged; it is kept as {path}.bad" in caplog.text
    assert f"goes on with the older {path}.1" in caplog.text
    kept_thrice(path, [1_050_000])
    assert stand(path) == {"m": 1_050_000, "m.1": 1_030_000, "m.2": 1_020_000}
    assert (tmp_path / "m.bad").exists()


def test_where_no_version_is_whole_nothing_is_moved_and_the_error_says_so(tmp_path):
    path = tmp_path / "m"
    kept_thrice(path, [1_010_000, 1_020_000])
    for version in generations.versions(path):
        version.write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="or is damaged, and no older one is whole") as caught:
        checkpoint.newest(path)
    assert "move" in caught.value.remedy
    assert sorted(one.name for one in tmp_path.iterdir()) == ["m", "m.1"]


def test_what_cannot_be_read_now_is_not_taken_for_damaged(tmp_path):
    kept_thrice(tmp_path / "m", [1_010_000, 1_020_000])
    (tmp_path / "m").unlink()
    (tmp_path / "m").mkdir()
    with pytest.raises(ModelError, match="it is a folder"):
        checkpoint.newest(tmp_path / "m")
    assert (tmp_path / "m").is_dir()


def test_without_the_newest_the_one_before_is_used_and_without_any_none(tmp_path):
    kept_thrice(tmp_path / "m", [1_010_000, 1_020_000])
    (tmp_path / "m").unlink()
    assert checkpoint.newest(tmp_path / "m") == f"{tmp_path}/m.1"
    assert checkpoint.newest(tmp_path / "x") == ""
    assert checkpoint.newest(tmp_path / "missing" / "x") == ""


def test_what_dead_processes_left_half_written_is_deleted_and_nothing_else(tmp_path, caplog):
    left = tmp_path / ".m.tmp-1-0123abcd"
    living, foreign = tmp_path / f".m.tmp-{os.getpid()}-89abcdef", tmp_path / ".m.tmp-x"
    for path in (left, living, foreign):
        path.write_bytes(b"half")
    with living.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert checkpoint.newest(tmp_path / "m") == ""
    assert (left.exists(), living.exists(), foreign.exists()) == (False, True, True)
    assert "1 half-written files" in caplog.text


def test_a_moment_is_not_changed_by_what_the_pipeline_does_next(tmp_path):
    made = trained(1_050_000)
    taken, before = checkpoint.moment(made, {"numbers": {"main.network.spikes": 7}}), state_sha256(made)
    fed(made, [pieces(STREAM, [1_050_000])[1]])
    assert state_sha256(made) != before
    taken.write(tmp_path / "m")
    assert state_sha256(load(tmp_path / "m")) == before
    assert checkpoint.marks_of(tmp_path / "m") == {"numbers": {"main.network.spikes": 7}, "now": 1_050_000}


def test_a_folder_that_cannot_be_looked_into_is_no_reason_to_begin_afresh(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ModelError, match=r"cannot look for .*Too many levels"):
        checkpoint.newest(tmp_path / "loop" / "model.npz")
    assert checkpoint.newest(tmp_path / "missing" / "model.npz") == ""
