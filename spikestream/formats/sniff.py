"""Which format a file is: told by its first bytes, by its suffix only where bytes cannot tell."""

from __future__ import annotations

import re

from spikestream.errors import PluginError, RecordingError
from spikestream.formats.base import Format, no_magic
from spikestream.registry import found, loader

OWN = "spikestream"
RECORD = b"\xa2op\xa5hello"
LFS = b"version https://git-lfs.github.com/spec/"
FOREIGN = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"MATLAB ", "a MATLAB file of another version than 5"),
    (b"#ROSBAG V", "a ROS 1 bag of another format than 2.0"),
    (b"RIFF", "sound or a film (RIFF)"),
    (b"fLaC", "sound (FLAC)"),
    (b"OggS", "sound (Ogg)"),
)
"""What other known files start with. Formats are asked first, so a plugin may read them."""
PACKED = (
    (b"\x1f\x8b\x08", "gzip", "gunzip"),
    (b"\x28\xb5\x2f\xfd", "Zstandard", "unzstd"),
    (b"\xfd7zXZ\0", "xz", "unxz"),
    (b"\x04\x22\x4d\x18", "LZ4", "unlz4"),
)
PERCENT = "a recording of Prophesee's whose header names no encoding that is read here"
TEXT_ENOUGH = 64


def sniff(head: bytes, name: str) -> str:
    """Return the registered name of the format that ``head``, the first bytes (up to 4 KiB) of file ``name``, is in.

    Raises `RecordingError` for an empty file, a Git-LFS pointer, a web page, a known format that nothing here reads,
    and for anything else; it says what the file is, and what to do.
    """
    _refuse_no_recording(head, name)
    formats: list[Format] = []
    broken = []
    load = loader("formats")
    for known in _names():
        try:
            formats.append(load(known))
        except PluginError as error:
            broken.append(error.what)
            continue
        if formats[-1].sniff(head):
            return formats[-1].name
    _refuse_foreign(head, name)
    if not (named := _by_suffix(head, name, formats)):
        raise _unknown(head, name, formats, broken)
    return named


def _names() -> list[str]:
    """Return the names of all formats, ours first: most files then load no plugin."""
    points = sorted(found("formats"), key=lambda point: point.distribution != OWN)
    return list(dict.fromkeys(point.name for point in points))


def _refuse_no_recording(head: bytes, name: str) -> None:
    if not head:
        raise RecordingError("the file is empty", file=name, found="0 bytes", remedy="copy or record it again")
    if head.startswith(LFS):
        why = f"this is a Git-LFS pointer ({len(head)} bytes), not the recording"
        raise _not_known(head, name, f"git lfs pull --include {name}", why)
    if RECORD in head[:32]:
        remedy = f"spikestream replay {name} runs a record again, convert {name} sound.wav takes the sound out of it"
        raise RecordingError("this is the record of a run, or a segment of its log", file=name, remedy=remedy)
    if head[:64].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise _not_known(head, name, "download it again", "this is a web page, not the recording")


def _refuse_foreign(head: bytes, name: str) -> None:
    for magic, title, command in PACKED:
        if head.startswith(magic):
            remedy = f"unpack it first, {command} {name}, or read what comes: {command} < {name} | spikestream info -"
            raise RecordingError(f"this is packed with {title}", file=name, remedy=remedy)
    foreign = _foreign(head, name)
    if foreign.startswith("sound"):
        remedy = "spikestream replay FILE plays it; in Python, ss.sounds(path) and ss.info(path)"
        raise RecordingError(f"this is {foreign}, which holds no events", file=name, remedy=remedy)
    if foreign:
        remedy = "convert it to .aedat4 with a program that reads it, or install a plugin that does"
        raise RecordingError(f"this is {foreign}, which is not read here", file=name, remedy=remedy)


def _foreign(head: bytes, name: str) -> str:
    """Return what a file is that some other program reads, "" where that is not known."""
    version = re.match(rb"#!AER-DAT(\d+\.\d+)", head)
    if version:
        return f"AEDAT {version[1].decode()}"
    if re.match(rb"% [ -~]+\r?\n", head):  # a .bin may start with "% " too: x = 37, y = 32
        return PERCENT
    return next((title for magic, title in FOREIGN if head.startswith(magic)), "")


def _by_suffix(head: bytes, name: str, formats: list[Format]) -> str:
    """Return the format of this suffix that no content can tell, "" where there is none, or several, or plain text."""
    plain = len(head) >= TEXT_ENOUGH and all(0x20 <= byte < 0x7F or byte in b"\t\r\n" for byte in head)
    named = [known.name for known in formats if known.sniff is no_magic and name.lower().endswith(known.suffixes)]
    return named[0] if len(named) == 1 and not plain else ""


def _not_known(head: bytes, name: str, remedy: str, why: str, *details: str) -> RecordingError:
    first = f"first bytes: {_show(head)}" + (f"  -> {why}" if why else "")
    return RecordingError("not an event file I know", file=name, details=[first, *details], remedy=remedy)


def _unknown(head: bytes, name: str, formats: list[Format], broken: list[str]) -> RecordingError:
    titles = "known here: " + ", ".join(sorted(known.title for known in formats))
    hint = [text for known in formats if known.hint is not None and (text := known.hint(head, name))]
    remedy = "--format " + "|".join(sorted(known.name for known in formats)) + ", if you know what it is"
    return _not_known(head, name, remedy, "", titles, *hint, *broken)


def _show(head: bytes) -> str:
    line = head[:64].strip().split(b"\n")[0].rstrip()
    if line and all(0x20 <= byte < 0x7F for byte in line):
        return f'"{line.decode("ascii")}"'
    return head[:16].hex(" ")
