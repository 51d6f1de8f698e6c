"""LZ4 frames unpacked by the kernel: what the library packs, and nothing that it refuses."""

from __future__ import annotations

import struct

import lz4.frame
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikestream.kernels.lz4 import REFUSED, SLACK, frame, packets

BLOCKS = (lz4.frame.BLOCKSIZE_MAX64KB, lz4.frame.BLOCKSIZE_MAX256KB, lz4.frame.BLOCKSIZE_MAX1MB)
OPTIONS = {
    "block_size": st.sampled_from(BLOCKS),
    "block_linked": st.booleans(),
    "compression_level": st.sampled_from([-5, 0, 3, 9, 16]),
    "content_checksum": st.booleans(),
    "block_checksum": st.booleans(),
    "store_size": st.booleans(),
}


def eights(data: np.ndarray) -> np.ndarray:
    return np.ndarray(max(0, len(data) - 7), "<u8", data, strides=(1,))


def unpacked(packed: bytes, room: int, begin: int = 0) -> bytes | None:
    """What the kernel makes of a frame in memory for so many bytes, None where it refuses."""
    data, plain = np.frombuffer(packed, np.uint8), np.full(begin + room + SLACK, 0xEE, np.uint8)
    end = frame(data, eights(data), 0, len(data), plain, eights(plain), begin)
    assert (plain[:begin] == 0xEE).all()
    return None if end == REFUSED else plain[begin:end].tobytes()


def records(seed: int, count: int, alike: int) -> bytes:
    """Bytes as of events: records of ``alike`` values repeated with others between, in steps of 1 to 16 bytes."""
    rng = np.random.default_rng(seed)
    made = np.zeros((count, int(rng.integers(1, 17))), np.uint8)
    made[:, 0] = rng.integers(0, alike, count)
    made[:, -1] = np.arange(count) // 7
    return made.tobytes()


@settings(deadline=None)  # the first case compiles
@given(st.data(), st.integers(0, 9_999), st.integers(1, 9_000), st.integers(1, 256))
def test_what_the_library_packs(data, seed, count, alike):
    plain = records(seed, count, alike)
    packed = lz4.frame.compress(plain, **{name: data.draw(values) for name, values in OPTIONS.items()})
    assert unpacked(packed, len(plain) + (1 << 10), begin=seed % 9) == plain


def test_blocks_linked_over_more_than_their_window():
    rng = np.random.default_rng(1)
    piece = rng.integers(0, 256, 50_000, np.uint8).tobytes()
    plain = piece * 5 + bytes(200_000) + piece
    for linked in (True, False):
        packed = lz4.frame.compress(plain, block_size=BLOCKS[0], block_linked=linked, content_checksum=True)
        assert unpacked(packed, len(plain) + 16) == plain


def test_only_where_there_is_room():
    plain = records(1, 5_000, 200)
    packed = lz4.frame.compress(plain)
    assert unpacked(packed, len(plain)) == plain
    assert unpacked(packed, len(plain) - 1) is None


@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.parametrize("checked", [True, False])
def test_no_damage_that_the_library_sees_is_taken(linked, checked):
    rng = np.random.default_rng(2)
    plain = records(3, 600, 9) + rng.integers(0, 256, 100, np.uint8).tobytes()
    made = lz4.frame.compress(plain, block_linked=linked, content_checksum=checked, block_checksum=checked)
    taken = refused = 0
    for _ in range(20_000):
        broken = bytearray(made)
        for _ in range(rng.integers(1, 4)):
            broken[rng.integers(len(broken))] = rng.integers(256)
        broken = broken[: rng.integers(len(broken))] if rng.random() < 0.1 else broken
        ours = unpacked(bytes(broken), len(plain) + 64)
        taken, refused = taken + (ours is not None), refused + (ours is None)
        if ours is not None:
            theirs = lz4.frame.LZ4FrameDecompressor()
            assert theirs.decompress(bytes(broken)) == ours
            assert theirs.eof
            assert not theirs.unused_data
    assert taken > (10 if checked else 1_000)
    assert refused > 1_000


def test_unusual_frames_are_left_to_the_library():
    plain = bytes(1_000)
    made = lz4.frame.compress(plain)
    skipped = struct.pack("<II", 0x184D2A50, 4) + b"note"
    for packed in (made + b"\0", made + made, skipped + made, made[:-1], made[:7], b"", bytes(40)):
        assert unpacked(packed, 5_000) is None


def test_a_run_ends_with_the_first_packet_that_is_not_as_it_should_be():
    bodies = [records(i, 400, 20) for i in range(6)]
    good = [lz4.frame.compress(struct.pack("<I", len(body)) + body, content_checksum=True) for body in bodies]
    lies = lz4.frame.compress(struct.pack("<I", 5) + bodies[0])
    packed = [struct.pack("<ii", 7, len(one)) + one for one in good]
    other, lying = struct.pack("<ii", 8, len(good[3])) + good[3], struct.pack("<ii", 7, len(lies)) + lies
    minus = struct.pack("<ii", 7, -1) + good[3]
    for last in (other, lying, minus, packed[3][:-1], packed[3][:6], b""):
        data = np.frombuffer(b"".join([*packed[:3], last]), np.uint8)
        plain, ends = np.zeros(100_000, np.uint8), np.zeros(8, np.int64)
        count, filled = packets(data, eights(data), 7, 8, plain, eights(plain), ends)
        assert ends[:count].tolist() == np.cumsum([len(one) for one in packed[:3]]).tolist()
        told = [struct.pack("<iiI", 7, len(body) + 4, len(body)) + body for body in bodies[:3]]
        assert plain[:filled].tobytes() == b"".join(told)
    data = np.frombuffer(b"".join(packed), np.uint8)
    assert packets(data, eights(data), 7, 2, plain, eights(plain), ends)[0] == 2
    small = np.zeros(len(bodies[0]) + len(bodies[1]), np.uint8)
    assert packets(data, eights(data), 7, 8, small, eights(small), ends)[0] < 2
