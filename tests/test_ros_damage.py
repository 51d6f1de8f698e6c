"""Damaged and hostile recordings of ROS: bags, MCAP and SQLite, and what is in their chunks."""

from __future__ import annotations

import bz2
import re
import sqlite3
import tracemalloc
from pathlib import Path
from random import Random

import lz4.frame
import pytest
import zstandard
from fuzz import drain, mutations, taken
from goodfiles import GOOD
from mcap.writer import CompressionType
from plainformat import error_of
from test_ros import PACKET, mcap

from spikestream.errors import RecordingError
from spikestream.files.containers import db3
from spikestream.files.reader import Reader
from spikestream.formats.ros import BAG, MCAP


def database(path: Path, *statements: str) -> Path:
    with sqlite3.connect(path) as made:
        for statement in statements:
            made.execute(statement)
    made.close()
    return path


TOPICS = "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT)"
MESSAGES = "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB)"
TOPIC = f"INSERT INTO topics VALUES(1, '/e', '{PACKET}', 'cdr')"
ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)"


@pytest.mark.parametrize(
    ("statements", "what"),
    [
        (["CREATE TABLE songs(name)"], "no bag of ROS 2"),
        (
            [TOPICS, f"CREATE VIEW messages AS {ENDLESS} SELECT n AS id, 1 AS topic_id, 0 AS data FROM r"],
            "no bag of ROS 2",
        ),
        ([TOPICS, MESSAGES, TOPIC, "INSERT INTO messages VALUES(1, 1, 1, 'text')"], "a message is damaged"),
        ([TOPICS, MESSAGES, TOPIC, "INSERT INTO messages VALUES(1, 1, 1, X'00')"], "a message is no plain CDR"),
        ([TOPICS, MESSAGES, "INSERT INTO topics VALUES(1, 2, 3, 4)"], None),
        ([TOPICS, MESSAGES, TOPIC.replace("'cdr'", "'json'")], "are in 'json'"),
        ([TOPICS, MESSAGES, TOPIC.replace("'/e'", "X'0102'")], "a topic is none"),
    ],
)
def test_databases_that_are_no_bags(tmp_path, statements, what):
    said = error_of(database(tmp_path / "a.db3", *statements))
    assert re.search(what or "no topic holds events", said)


def test_a_message_of_any_length_is_not_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(db3, "MOST", 1_000)
    path = database(tmp_path / "a.db3", TOPICS, MESSAGES, TOPIC, "INSERT INTO messages VALUES(1, 1, 1, zeroblob(2000))")
    assert "too big" in error_of(path)


@pytest.mark.parametrize("format", [BAG, MCAP], ids=lambda one: one.name)
def test_mutated_files_raise_only_recording_errors(format):
    for number, good in enumerate(GOOD[format.name].files()):
        rng = Random(number)
        counts = [drain(format.decoder, data, rng) for data in mutations(good, 1_300, number)]
        assert sum(count > 0 for count in counts) > 0
        assert max(counts) < 100_000


@pytest.mark.parametrize("packing", ["lz4", "zstd", "bz2"])
def test_what_chunks_hold_is_mutated_before_they_are_packed(packing):
    pack = {"lz4": lz4.frame.compress, "zstd": zstandard.compress, "bz2": bz2.compress}[packing]
    plain = mcap(CompressionType.NONE)
    start = plain.index(b"\x06", 8)
    size = int.from_bytes(plain[start + 1 : start + 9], "little")
    inner = plain[start + 9 + 40 : start + 9 + size]
    rng = Random(2)
    for bad in mutations(inner, 300, seed=3):
        packed = pack(bad)
        chunk = (
            bytes(28)
            + len(packing).to_bytes(4, "little")
            + packing.encode()
            + len(packed).to_bytes(8, "little")
            + packed
        )
        drain(MCAP.decoder, plain[:start] + b"\x06" + len(chunk).to_bytes(8, "little") + chunk, rng)


def test_a_bomb_of_small_records_has_an_end():
    bomb = zstandard.compress((b"\x09" + bytes(8)) * (1 << 22))  # records that are not looked at
    head = bytes(28) + b"\4\0\0\0zstd" + len(bomb).to_bytes(8, "little")
    chunk = b"\x06" + (len(head) + len(bomb)).to_bytes(8, "little") + head + bomb
    rows, error = taken(MCAP.decoder().feed(memoryview(b"\x89MCAP0\r\n" + chunk)))
    assert (rows, "a chunk unpacks to more" in error) == ([], True)


@pytest.mark.parametrize("name", [b"/" * 300, b""])
def test_names_without_end_are_refused(name):
    def record(op: int, number: int) -> bytes:
        rows = [b"op=" + bytes([op]), b"conn=" + number.to_bytes(4, "little"), b"topic=" + (name or b"/%d" % number)]
        head = b"".join(len(row).to_bytes(4, "little") + row for row in rows)
        body = b"type=a/B"
        inner = len(body).to_bytes(4, "little") + body
        return len(head).to_bytes(4, "little") + head + len(inner).to_bytes(4, "little") + inner

    data = b"#ROSBAG V2.0\n" + b"".join(record(7, number) for number in range(1 if name else 5_000))
    rows, error = taken(BAG.decoder().feed(memoryview(data)))
    assert (rows, "names too many topics, or too long ones" in error) == ([], True)


def test_a_bomb_is_unpacked_piece_by_piece_and_refused():
    bomb = zstandard.compress(b"\x05" + (1 << 40).to_bytes(8, "little") + bytes(1 << 28))
    head = bytes(28) + b"\4\0\0\0zstd" + len(bomb).to_bytes(8, "little")
    chunk = b"\x06" + (len(head) + len(bomb)).to_bytes(8, "little") + head + bomb
    tracemalloc.start()
    with pytest.raises(RecordingError, match=r"a record has 1,099,511,627,776 bytes"):
        list(MCAP.decoder().feed(memoryview(b"\x89MCAP0\r\n" + chunk)))
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("number", range(2))
def test_mutated_databases_raise_only_recording_errors(tmp_path, number):
    bad, refused = tmp_path / "bad", 0
    for data in mutations(GOOD["db3"].files()[number], 1_000, number):
        bad.write_bytes(data)
        try:
            with Reader(bad, format="db3", time="keep") as reader:
                list(reader)
        except RecordingError:
            refused += 1
    assert 100 < refused < 1_000
