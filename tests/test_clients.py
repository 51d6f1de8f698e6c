"""The clients in C and JavaScript: they read the bytes of docs/wire.md, damaged ones too, as msgpack and NumPy do."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import struct
import subprocess
from asyncio.subprocess import PIPE
from pathlib import Path

import msgpack
import numpy as np
import pytest
from fuzz import mutations
from hubtools import KIB, LOCAL, TOPIC, events, run, serving, tiny
from wirebytes import golden, put
from wirecases import DATA

from spikestream.errors import ClientError
from spikestream.outputs.tcp import Tcp
from spikestream.service.desk import Desk
from spikestream.service.hub import Hub
from spikestream.wire.frames import FROM_SERVER, MAX_FRAME_EVER, FrameReader, unpack
from spikestream.wire.incoming import decode

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-O1", "-g")
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
READERS = ("c", "javascript")
FROM_SERVERS = ("hello", "sub-answer", "sub-answer-since", "unsub", "pong", "ping-server", "bye", "error", "rep",
                "rep-refused", "events", "events-empty", "events-decimated", "spikes", "sound", "decisions",
                "decisions-at", "weights", "stats", "gap-sensor", "gap-slow", "gap-rate", "gap-log",
                "gap-reconnect")  # fmt: skip


@pytest.fixture(scope="module")
def readers(tmp_path_factory) -> dict[str, list[str]]:
    """Return the command of each reader, the one in C compiled with sanitizers."""
    for program, package in (("gcc", "gcc"), ("node", "nodejs")):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} here: apt install {package}")
    made = str(tmp_path_factory.mktemp("clients") / "vectors")
    subprocess.run(["gcc", *STRICT, *SANITIZE, "-o", made, str(HERE / "clients" / "vectors.c")], check=True)
    return {"c": [made], "javascript": ["node", str(HERE / "clients" / "vectors.mjs")]}


def read(command: list[str], frames: list[bytes]) -> list[str]:
    """Return what a reader makes of each frame."""
    records = b"".join(struct.pack("<I", len(one)) + one for one in frames)
    ended = subprocess.run(command, input=records, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()[-2000:]
    return ended.stdout.decode().splitlines()


def text(value: str | None) -> str:
    return "nil" if value is None else f"'{value.encode().hex()}"


def number(value: float) -> str:
    return struct.pack(">d", value).hex()


def plain(value) -> str:
    if value is None or isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return " ".join(["map", str(len(value)), *(f"{text(key)} {plain(one)}" for key, one in value.items())])
    if isinstance(value, list):
        return " ".join(["array", str(len(value)), *map(plain, value)])
    return number(value) if isinstance(value, float) else str(value).lower()


def rows(fields) -> list[str]:
    kind, data = fields["k"], fields.get("d")
    if kind == "events":
        table = np.frombuffer(data, np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")]))
        width, height = fields.get("size", (0, 0))
        return [f"size {width} {height}", *(f"| {t} {x} {y} {p}" for t, x, y, p in table.tolist())]
    if kind == "spikes":
        table = np.frombuffer(data, np.dtype([("t", "<i8"), ("axon", "<i4")]))
        return [f"| {t} {axon}" for t, axon in table.tolist()]
    if kind == "sound":
        return [f"channels {fields['channels']} |", *map(number, np.frombuffer(data, "<f4").tolist())]
    if kind == "decisions":
        return [
            " ".join(
                [
                    f"| {row['start']} {row['stop']} {text(row['label'])} {number(row['confidence'])}",
                    number(row["evidence"]),
                    *(f"{text(name)} {number(one)}" for name, one in row["scores"].items()),
                ]
            )
            for row in data
        ]
    if kind == "weights":
        values = np.frombuffer(data, np.dtype(fields["dtype"]).newbyteorder("<")).astype(float)
        head = [
            text(fields["layer"]),
            text(fields["dtype"]),
            str(fields["rev"]),
            "shape",
            *map(str, fields["shape"]),
            "|",
        ]
        return [*head, *map(number, values.tolist())]
    return [plain(data)] if kind == "stats" else [text(fields["why"])]


def meaning(frame: bytes) -> str:
    """Return what a frame means, read by msgpack and NumPy."""
    if len(frame) == 4:
        return "bye"
    fields = msgpack.unpackb(frame[4:])
    op = fields.get("op")
    if op == "hello":
        return f"hello {text(fields['srv'])} {text(fields['epoch'])} {fields['max_frame']}"
    if op == "error":
        return f"error {text(fields['code'])} {text(fields['what'])}"
    if op is not None:
        return f"control {text(op)}"
    if "from" in fields:
        return (
            f"lost {text(fields['c'])} {fields['from']} {fields['n']} {fields.get('rows', 'nil')} {text(fields['why'])}"
        )
    head = [fields[key] for key in ("s", "t", "t0", "t1", "n")]
    head += ["of", fields["of"]] if fields.get("of", fields["n"]) != fields["n"] else []
    known = fields["k"] in KNOWN
    return " ".join(
        [fields["k"] if known else "other", text(fields["c"]), *map(str, head), *(rows(fields) if known else [])]
    )


KNOWN = ("events", "spikes", "sound", "decisions", "weights", "stats", "gap")


def variants() -> list[bytes]:
    """Return frames that the specification has no bytes of: wide integers, float32, strange texts, an unknown kind."""
    base = {"c": "a.b.stats", "s": 2**32, "t": 2**63, "t0": -(2**53) + 1, "t1": 2**53 - 1, "n": 0}
    values = {
        "nil": None,
        "yes": True,
        "no": False,
        "float": 0.1,
        "deep": [[], {}, [{"ä€𝄞": -(2**31)}]],
        "low": -(2**15),
    }
    row = {"start": -1, "stop": 2, "label": '"\\\n', "confidence": 1, "scores": {"é": -0.5, "": 3}, "evidence": 1e300}
    made = [
        {"k": "stats", **base, "d": values | {f"bits{shift}": 2**shift - 1 for shift in range(1, 53)}},
        {"k": "decisions", **base, "n": 1, "d": [row]},
        {"k": "novel", **base, "d": [1, 2]},
        {"k": "sound", **base, "n": 2, "channels": 3, "d": np.arange(6, dtype="<f4").tobytes()},
        {"k": "spikes", **base, "n": 3, "d": b"".join(struct.pack("<qi", t, 2**31 - 1) for t in (-(2**52), -1, 2**52))},
        {"op": "sub", "id": 2**32 - 1, "unknown": {"key": [None]}},
        *(
            {"k": "weights", **base, "n": 6, "layer": "ä", "rev": 7, "shape": [1, 3, 2], "dtype": kind}
            | {"d": np.array([1, 0, 100, 7, 127, 3], np.dtype(kind).newbyteorder("<")).tobytes()}
            for kind in ("float32", "float64", "int8", "int16", "int32", "uint8")
        ),
        {"k": "weights", **base, "layer": "", "rev": 0, "shape": [0, 0], "dtype": "int8", "d": b""},
        {"k": "decisions", **base, "n": 1, "d": [row], "at": [0, 2**63 - 1]},
    ]
    return [put(one) for one in made]


@pytest.mark.parametrize("reader", READERS)
def test_it_reads_the_bytes_of_the_specification_as_msgpack_and_numpy_do(readers, reader):
    frames = [*(golden()[name] for name in FROM_SERVERS), *variants()]
    assert read(readers[reader], frames) == [meaning(frame) for frame in frames]


@pytest.mark.parametrize("reader", READERS)
def test_it_knows_when_a_frame_is_not_whole(readers, reader):
    frame = golden()["decisions"]
    assert read(readers[reader], [frame[:cut] for cut in range(len(frame))]) == ["again"] * len(frame)


def taken(frame: bytes) -> str:
    """Return whether our own client takes a frame: "good", "bad" or "again"."""
    try:
        payload = next(FrameReader(MAX_FRAME_EVER).feed(frame), None)
        if payload is None:
            return "again"
        fields = unpack(payload, FROM_SERVER) if payload else {"op": "bye"}
        if fields.get("op") is None:
            decode(fields)
        return "good"
    except ClientError:
        return "bad"


@pytest.mark.parametrize("reader", READERS)
def test_of_damaged_data_it_takes_what_our_own_client_takes(readers, reader):
    frames = []
    for seed, name in enumerate(name for name in FROM_SERVERS if b"\xa1k" in golden()[name][4:8]):
        payloads = mutations(golden()[name][4:], 600, seed)
        frames += [struct.pack("<I", len(payload)) + payload for payload in payloads]
    frames += mutations(golden()["events"], 200, 99)
    verdicts = read(readers[reader], frames)
    assert len(verdicts) == len(frames)
    differ = [
        (frame.hex(), verdict)
        for frame, verdict in zip(frames, verdicts, strict=True)
        if {"bad": "bad", "again": "again"}.get(verdict, "good") != taken(frame)
    ]
    assert not differ


@pytest.fixture(scope="module")
def programs(tmp_path_factory, readers) -> dict[str, list[str]]:
    """Return the command of each whole client; the one in C takes host and port, the other a URL."""
    made = str(tmp_path_factory.mktemp("programs") / "subscribe")
    subprocess.run(["gcc", *STRICT, *SANITIZE, "-o", made, str(ROOT / "clients" / "c" / "subscribe.c")], check=True)
    return {"c": [made], "javascript": ["node", str(ROOT / "clients" / "javascript" / "subscribe.mjs")]}


def place(reader: str, url: str) -> list[str]:
    return url.removeprefix("tcp://").split(":") if reader == "c" else [url]


async def listening(hub, command: list[str]) -> asyncio.subprocess.Process:
    """Start a client and return once it has subscribed."""
    due = hub.subscribers + 1  # counted before: it may have subscribed by the time that starting it is over
    client = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    await hub.wait_subscribers(due)
    return client


@pytest.mark.parametrize("reader", READERS)
def test_a_whole_client_prints_what_is_published_and_ends_with_the_bye(programs, reader):
    async def work():
        async with serving() as hub:
            client = await listening(hub, [*programs[reader], *place(reader, hub.outputs[0].url)])
            for start in range(0, 200_000, 40_000):  # frames of half a megabyte: larger than any buffer is at first
                hub.publish(TOPIC, events(start, 40_000))
            hub.publish("main.readout.decisions", DATA["decisions"][3])
            await hub.drain()
        return await client.communicate(), client.returncode

    (out, err), code = run(work())
    assert (code, err) == (0, b"")
    lines = out.decode().splitlines()
    if reader == "c":
        heads = [line for line in lines if line.startswith(TOPIC)]
        assert heads == [f"{TOPIC} {n}: 40000 rows of [{n * 40_000}, {(n + 1) * 40_000}) us" for n in range(5)]
        assert lines[-2:] == ["  0..30001 us: bar, 75 %", "  30000..40000 us: unknown, 0 %"]
        return
    messages = [json.loads(line) for line in lines]
    assert [(one["topic"], one["seq"], one["n"], one["stop"]) for one in messages[:5]] == [
        (TOPIC, n, 40_000, (n + 1) * 40_000) for n in range(5)
    ]
    assert [row["label"] for row in messages[5]["data"]] == ["bar", None]


@pytest.mark.parametrize("reader", READERS)
def test_a_whole_client_that_did_not_keep_up_is_told_of_what_it_lost(programs, reader):
    async def work():
        async with serving(Tcp(LOCAL, queue_bytes=64 * KIB)) as hub:
            client = await listening(hub, [*programs[reader], *place(reader, hub.outputs[0].url)])
            client.send_signal(signal.SIGSTOP)
            for start in range(0, 16_000_000, 40_000):
                hub.publish(TOPIC, events(start, 40_000))
                await asyncio.sleep(0)
            client.send_signal(signal.SIGCONT)
            await hub.drain()
        return await client.communicate(), client.returncode

    (out, err), code = run(work())
    assert (code, err) == (0, b"")
    if reader == "c":
        found = re.findall(
            rf"^{TOPIC} (\d+): (?:(\d+) messages with (\d+) rows were lost|40000 rows.*)$", out.decode(), re.M
        )
        numbers = [(int(seq), int(lost or 1), int(rows or 0)) for seq, lost, rows in found]
    else:
        messages = [json.loads(line) for line in out.decode().splitlines()]
        numbers = [(m["seq"], m["n"] if m["lost"] else 1, m["data"]["rows"] if m["lost"] else 0) for m in messages]
    due = 0
    for seq, span, rows in numbers:
        assert seq == due
        assert rows in (0, 40_000 * span)
        due += span
    assert due == 400
    assert any(rows for _, _, rows in numbers)


@pytest.mark.parametrize("reader", READERS)
def test_a_whole_client_says_why_it_could_not_go_on(programs, reader):
    refused = subprocess.run([*programs[reader], *place(reader, "tcp://127.0.0.1:1")], capture_output=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith(b"subscribe: there is no")

    async def work():
        async with serving() as hub:
            arguments = [*programs[reader], *place(reader, hub.outputs[0].url), "no/topic"]
            client = await asyncio.create_subprocess_exec(*arguments, stdout=PIPE, stderr=PIPE)
            return await client.communicate(), client.returncode

    (out, err), code = run(work())
    assert (code, out) == (1, b"")
    assert b"sub needs a list of topics" in err


SCRIPT = """
import { connect } from '%s'
const client = await connect('%s', { topics: [] })
console.log(JSON.stringify(await client.request('add', { a: 1, b: [2n, -3], text: 'ä'.repeat(300) })))
await client.request('nothing').catch((error) => console.log(error.name, error.code))
client.close()
"""


def test_javascript_makes_requests_and_is_told_what_came_of_them(readers):
    async def add(d):
        return {"sum": d["a"] + sum(d["b"]), "length": len(d["text"])}

    async def work():
        desk = Desk()
        desk.add("add", add)
        output = Tcp(LOCAL)
        hub = Hub([output], epoch="5eed", desk=desk)
        await hub.start()
        try:
            module = ROOT / "clients" / "javascript" / "spikestream.js"
            command = ["node", "--input-type=module", "-e", SCRIPT % (module, output.url)]
            client = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
            out, _ = await client.communicate()
            return out.decode()
        finally:
            await hub.aclose()

    assert run(work()).splitlines() == ['{"sum":0,"length":300}', "SpikestreamError do"]


CREDIT = """
import { connect } from '%s'
const client = await connect('%s', { topics: ['main.network.spikes'], since: 'all', credit: 3, policy: 'disconnect' })
let due = 0
for await (const message of client) {
  if (message.seq !== due++) throw new Error(`${message.seq} instead of ${due - 1}`)
  if (due === 400) break
}
console.log(due)
"""


def test_javascript_gives_credit_back_for_what_was_taken(readers):
    async def work():
        async with serving() as hub:
            for number in range(400):
                hub.publish("main.network.spikes", tiny(number))
            module = ROOT / "clients" / "javascript" / "spikestream.js"
            command = ["node", "--input-type=module", "-e", CREDIT % (module, hub.outputs[0].url)]
            client = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
            return await client.communicate()

    assert run(work()) == (b"400\n", b"")
