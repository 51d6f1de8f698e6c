"""Files that crash other people's decoders, or that they never return from: here they are read, or are one error.

They are read by way of the public functions, in a process that may not use its processor for long.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import aedat3_by_hand
import aedat4_by_hand as hand
import pytest

BODY = hand.event_body([(t, t % 9, t % 7, t % 2) for t in range(200)])
GOOD = hand.file([(0, BODY), (0, BODY)])
PACKED = hand.file([(0, BODY)] * 5, compression=1)


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def flipped(data: bytes, at: int) -> bytes:
    return changed(data, at, bytes([data[at] ^ 1 << at % 8]))


def cases() -> dict[str, bytes]:
    """Return files by name; the peer that each is fatal to stands in front."""
    made = {
        "expelliarmus hangs, 20 bytes.evt2": b"% evt 2.0 no line end"[:20],
        "expelliarmus hangs, 20 bytes.evt3": b"% evt 3.0 no line end"[:20],
        "expelliarmus hangs, 20 bytes.dat": b"% Version 2 no line end"[:20],
        "aedat and faery panic, a packet of no bytes.aedat4": GOOD + struct.pack("<ii", 0, 0) + BODY,
        "prototype ran for ever, a header without end.evt2": b"% evt 2.0",
        "prototype ran for ever, lines without end.evt3": b"% evt 3.0\n" + b"% a b\n" * 1_000 + b"% c",
        "prototype crashed, a product beyond 32 bits.aedat3": aedat3_by_hand.head()
        + aedat3_by_hand.packet(b"", size=1 << 16, number=1 << 16, valid=0)
        + bytes(64),
        "prototype crashed, a product of 0 in 32 bits.aedat3": aedat3_by_hand.head()
        + aedat3_by_hand.packet(bytes(8), size=8, number=1 << 29, valid=0),
    }
    made |= {
        f"aedat and faery panic, header byte {at}.aedat4": changed(GOOD, at, bytes([GOOD[at] ^ 0xFF]))
        for at in range(14, 80)
    }
    start = len(hand.file([], compression=1))
    made |= {
        f"dv-processing hangs, a bit of LZ4 at byte {at}.aedat4": flipped(PACKED, at)
        for at in range(start, start + 200, 3)
    }
    made |= {
        f"dv-processing crashes, an offset of {value:#x} at byte {at}.aedat4": hand.file(
            [(0, BODY), (0, changed(BODY, at, struct.pack("<I", value)))]
        )
        for at in (0, 4, 8, 12, 16)
        for value in (0x7FFFFFFF, 0x80000000, 0xFFFFFF00, 0x10000000)
    }
    return made


READ = """
import json, resource, sys
import spikestream as ss
from spikestream.errors import RecordingError
told = {}
def tell(what, run):
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 20, resource.RLIM_INFINITY))
    try:
        run()
        return ""
    except RecordingError as error:
        return error.what
for path in sys.argv[1:]:
    format = path.rpartition(".")[2]
    told[path] = [
        tell("read", lambda: ss.read(path, format=format)),
        tell("info", lambda: ss.info(path, format=format)),
        tell("fast", lambda: ss.info(path, format=format, scan=False)),
        tell("told by content", lambda: ss.info(path, scan=False)),
    ]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Return what reading each file says, "" where it is read whole."""
    folder = tmp_path_factory.mktemp("fatal")
    for name, data in cases().items():
        (folder / name).write_bytes(data)
    paths = sorted(map(str, folder.iterdir()))
    done = subprocess.run([sys.executable, "-c", READ, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {Path(path).name: said for path, said in json.loads(done.stdout).items()}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("expelliarmus hangs, 20 bytes.evt2", "ends inside its header"),
        ("expelliarmus hangs, 20 bytes.evt3", "ends inside its header"),
        ("expelliarmus hangs, 20 bytes.dat", "ends inside its header"),
        ("aedat and faery panic, a packet of no bytes.aedat4", "a packet of stream 0 has an impossible size"),
        ("prototype ran for ever, a header without end.evt2", "ends inside its header"),
        ("prototype ran for ever, lines without end.evt3", "ends inside its header"),
        ("prototype crashed, a product beyond 32 bits.aedat3", "impossible event layout"),
        ("prototype crashed, a product of 0 in 32 bits.aedat3", "cut inside a packet"),
    ],
)
def test_is_read_or_one_error(name: str, what: str, told: dict[str, list[str]]):
    assert what in told[name][0]
    assert bool(told[name][0]) == bool(what)


@pytest.mark.parametrize(
    ("peer", "what"),
    [
        ("aedat and faery panic, header byte", "header"),
        ("dv-processing hangs, a bit of LZ4", "is not the lz4 frame"),
        ("dv-processing crashes, an offset", "outside of its packet"),
    ],
)
def test_of_many_some_are_refused_and_all_are_answered(peer: str, what: str, told: dict[str, list[str]]):
    wanted = {name for name in cases() if name.startswith(peer)}
    answers = [told[name][0] for name in wanted]
    assert len(answers) >= 20
    assert sum(what in answer for answer in answers) > len(answers) // 4
