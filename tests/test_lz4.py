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


def xxh32(data: bytes) -> int:
    """XXH32 of fewer than 16 bytes, by its specification."""
    a, b, c, d, e = 2_654_435_761, 2_246_822_519, 3_266_489_917, 668_265_263, 374_761_393
    h, whole = e + len(data), len(data) // 4 * 4
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        h = h + word * c & 0xFFFFFFFF
        h = (h << 17 | h >> 15) * d & 0xFFFFFFFF
    for byte in data[whole:]:
        h = h + byte * e & 0xFFFFFFFF
        h = (h << 11 | h >> 21) * a & 0xFFFFFFFF
    h = (h ^ h >> 15) * b & 0xFFFFFFFF
    h = (h ^ h >> 13) * c & 0xFFFFFFFF
    return h ^ h >> 16


def framed(*blocks: bytes, flags: int = 0x60, block: int = 0x40, size: bytes = b"") -> bytes:
    """A frame with a right checksum of its header: independent blocks of up to 64 KiB, if nothing else is said."""
    header = bytes([flags, block]) + size
    packed = b"".join(struct.pack("<I", len(one)) + one for one in blocks)
    return b"\x04\x22\x4d\x18" + header + bytes([xxh32(header) >> 8 & 255]) + packed + bytes(4)


def by_library(packed: bytes) -> bytes | None:
    library = lz4.frame.LZ4FrameDecompressor()
    try:
        plain = library.decompress(packed)
    except RuntimeError:
        return None
    return plain if library.eof and not library.unused_data else None


def sequence(literals: bytes, offset: int = 0, match: int = 0) -> bytes:
    """Literals and then a match of at least 4 bytes, none where it is the last of its block."""
    lengths = [len(literals), match - 4 if match else 0]
    more = [b"" if n < 15 else b"\xff" * ((n - 15) // 255) + bytes([(n - 15) % 255]) for n in lengths]
    token = bytes([min(lengths[0], 15) << 4 | min(lengths[1], 15)])
    return token + more[0] + literals + (struct.pack("<H", offset) + more[1] if match else b"")


def test_headers_of_every_kind():
    body = sequence(b"0123456789")
    taken = 0
    for flags in range(256):
        for block in range(256):
            size = struct.pack("<Q", 10) if flags & 8 else b""
            packed = framed(body, flags=flags, block=block, size=size)
            if flags & 0x10 or flags & 4:
                packed = packed[:-4] + struct.pack("<I", xxh32(body)) * (flags >> 4 & 1) + bytes(4)
                packed += struct.pack("<I", xxh32(b"0123456789")) * (flags >> 2 & 1)
            ours = unpacked(packed, 100)
            if ours is not None:
                taken += 1
                assert ours == by_library(packed) == b"0123456789"
    assert taken == 2 * 2 * 2 * 2 * 4  # linked, checksum of blocks, size, checksum of the content; sizes of blocks


def test_a_match_does_not_reach_into_a_block_that_stands_for_itself():
    first, second = sequence(b"0123456789"), sequence(b"a", 5, 8) + sequence(b"0123456789")
    linked = framed(first, second, flags=0x40)
    assert unpacked(linked, 100) == by_library(linked) == b"0123456789a6789a6780123456789"
    assert unpacked(framed(first, second), 100) is None


def test_a_block_is_not_larger_than_the_header_says():
    for n in (65_536, 65_537):
        packed = framed(bytes(n))
        at = packed.index(struct.pack("<I", n))
        packed = packed[: at + 3] + bytes([packed[at + 3] | 0x80]) + packed[at + 4 :]
        assert (unpacked(packed, 100_000) is None) == (by_library(packed) is None) == (n > 65_536)
    for n in (65_000, 65_536):  # as literals they take 255 bytes more, and a few
        packed = framed(sequence(bytes(n)))
        assert (unpacked(packed, 100_000) is None) == (by_library(packed) is None) == (n == 65_536)


def test_how_a_block_may_end():
    taken = 0
    for total in range(65_516, 65_540):
        for near in (4, 5, 8, 12):
            for last in range(14):
                start = sequence(b"01234567", 8, total - 8 - 2 - near - last) + sequence(b"ab", 7, near)
                packed = framed(start + sequence(b"abcdefghijklmn"[:last]))
                ours = unpacked(packed, 100_000)
                if ours is not None:
                    taken += 1
                    assert ours == by_library(packed), (total, near, last)
    assert taken > 200


def test_unusual_frames_are_left_to_the_library():
    plain = bytes(1_000)
    made = lz4.frame.compress(plain)
    skipped = struct.pack("<II", 0x184D2A50, 4) + b"note"
    for packed in (made + b"\0", made + made, skipped + made, made[:-1], made[:7], b"", bytes(40)):
        assert unpacked(packed, 5_000) is None


def test_a_run_ends_with_the_first_packet_that_is_not_as_it_should_be():
    bodies = [records(i, 400, 20) for i in range(6)]
    good = [lz4.frame.compress(body, content_checksum=True) for body in bodies]
    packed = [struct.pack("<ii", 7, len(one)) + one for one in good]
    other, minus = struct.pack("<ii", 8, len(good[3])) + good[3], struct.pack("<ii", 7, -1) + good[3]
    broken = packed[3][:-1] + bytes([packed[3][-1] ^ 1])
    for last in (other, minus, broken, packed[3][:-1], packed[3][:6], b""):
        data = np.frombuffer(b"".join([*packed[:3], last]), np.uint8)
        plain, ends = np.zeros(100_000, np.uint8), np.zeros(8, np.int64)
        count, filled = packets(data, eights(data), 7, 8, plain, eights(plain), ends)
        assert ends[:count].tolist() == np.cumsum([len(one) for one in packed[:3]]).tolist()
        told = [struct.pack("<ii", 7, len(body)) + body for body in bodies[:3]]
        assert plain[:filled].tobytes() == b"".join(told)
    data = np.frombuffer(b"".join(packed), np.uint8)
    assert packets(data, eights(data), 7, 2, plain, eights(plain), ends)[0] == 2
    small = np.zeros(len(bodies[0]) + len(bodies[1]), np.uint8)
    assert packets(data, eights(data), 7, 8, small, eights(small), ends)[0] < 2
