"""Which format a file is: told by its first bytes, by its suffix only where bytes cannot tell."""

from __future__ import annotations

import os
import re
import shlex
import zlib
from collections.abc import Iterator

from spikestream.errors import PluginError, RecordingError
from spikestream.formats.base import Format, no_magic
from spikestream.registry import found, loader

OWN = "spikestream"
RECORD = b"\xa2op\xa5hello"
LFS = b"version https://git-lfs.github.com/spec/"
STDIN = "standard input"
PLAYED = "spikestream replay FILE\n  or:  ss.sounds(path) and ss.info(path), in Python"
EVENTLESS = "spikestream formats"
ELSEWHERE = "convert it to .aedat4 with a program that reads it, or install a plugin that does"
FOREIGN = (
    (rb"PK\x03\x04", "a ZIP archive", "unzip FILE"),
    (rb".{257}ustar", "a tar archive", "tar xf FILE"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "7z x FILE"),
    (rb"Rar!\x1a\x07", "a RAR archive", "unrar x FILE"),
    (rb"MATLAB ", "a MATLAB file of another version than 5", ELSEWHERE),
    (rb"#ROSBAG V", "a ROS 1 bag of another format than 2.0", ELSEWHERE),
    (rb"RIFF.{4}WAVE", "sound (WAV)", PLAYED),
    (rb"fLaC", "sound (FLAC)", PLAYED),
    (rb"OggS", "sound (Ogg)", PLAYED),
    (rb"ID3", "sound (MP3)", PLAYED),
    (rb"RIFF.{4}AVI ", "a film (AVI)", EVENTLESS),
    (rb".{4}ftyp", "a film or a picture (MP4)", EVENTLESS),
    (rb"\x1a\x45\xdf\xa3", "a film (Matroska)", EVENTLESS),
    (rb"\x89PNG\r\n\x1a\n", "a picture (PNG)", EVENTLESS),
    (rb"\xff\xd8\xff[\xc0-\xfe]", "a picture (JPEG)", EVENTLESS),
    (rb"GIF8[79]a", "a picture (GIF)", EVENTLESS),
    (rb"%PDF-", "a document (PDF)", EVENTLESS),
)
"""What other known files start with, and what to do. Formats are asked first, so a plugin may read them."""
PACKED = (
    (rb"\x1f\x8b\x08", "gzip", "gunzip"),
    (rb"BZh[1-9]1AY&SY", "bzip2", "bunzip2"),
    (rb"\x28\xb5\x2f\xfd", "Zstandard", "unzstd"),
    (rb"\xfd7zXZ\0", "xz", "unxz"),
    (rb"\x04\x22\x4d\x18", "LZ4", "unlz4"),
)
PICKLE = re.compile(rb"\x80[\x02-\x05][\x95}\](c]")
TAR = re.compile(r"\.(tar\.\w+|t[gbx]z2?|tzst)", re.IGNORECASE)
IDX = re.compile(rb"\0\0\x08[\x01-\x04]\0")
"""What MNIST and its relatives begin with: bytes, in up to four dimensions, fewer than 2^24."""
PERCENT = "a recording of Prophesee's whose header names no encoding that is read here"
TEXT_ENOUGH = 64
TAR_ENOUGH = 512


def sniff(head: bytes, name: str) -> str:
    """Return the registered name of the format that ``head``, the first bytes (up to 4 KiB) of file ``name``, is in.

    Raises `RecordingError` for an empty file, a Git-LFS pointer, a web page, a known format that nothing here reads,
    and for anything else; it says what the file is, and what to do.
    """
    _refuse_no_recording(head, name)
    formats: list[Format] = []
    broken: list[str] = []
    for known in _known(broken):
        formats.append(known)
        if known.sniff(head):
            return known.name
    _refuse_foreign(head, name)
    if not (named := _by_suffix(head, name, formats)):
        _refuse_images(head, name)
        if PICKLE.match(head):
            what = "this is a pickle of Python's, which is not loaded: it may do anything"
            remedy = "in Python, numpy.savez('events.npz', t=t, x=x, y=y, p=p) of what is in it"
            raise RecordingError(what, file=name, remedy=remedy)
        raise _unknown(head, name, formats, broken)
    return named


def contradicts(head: bytes, format: Format) -> str:
    """Return what a file is by its first bytes alone where that is not this format, "" where it may be.

    What goes by no suffix and no first bytes may stand behind any header: sound of a NAS behind that of jAER. And a
    header of Prophesee's that names no encoding says nothing against one.
    """
    if format.sniff(head) or (format.sniff is no_magic and not format.suffixes):
        return ""
    told = next((known.title for known in _known([]) if known.sniff(head)), "")
    told = told or next((f"a file packed with {title}" for title, _ in _packed(head)), "")
    return told or _foreign(head)[0].replace(PERCENT, "")


def _known(broken: list[str]) -> Iterator[Format]:
    """Yield all formats, and add to ``broken`` what is wrong with those that do not load."""
    load = loader("formats")
    for name in _names():
        try:
            yield load(name)
        except PluginError as error:
            broken.append(error.what)


def _names() -> list[str]:
    """Return the names of all formats, ours first: most files then load no plugin."""
    points = sorted(found("formats"), key=lambda point: point.distribution != OWN)
    return list(dict.fromkeys(point.name for point in points))


def _refuse_no_recording(head: bytes, name: str) -> None:
    if not head:
        raise RecordingError("the file is empty", file=name, found="0 bytes", remedy="copy or record it again")
    if head.startswith(LFS):
        why = f"this is a Git-LFS pointer ({len(head)} bytes), not the recording"
        raise _not_known(head, name, f"git lfs pull --include {_file(name)}", why)
    if RECORD in head[:32]:
        file = _file(name)
        remedy = f"spikestream record {file} events.aedat4\n  or:  spikestream record {file} sound.wav, if it has sound"
        remedy += f"\n  or:  spikestream replay {file}, which runs it again"
        raise RecordingError("this is the record of a run, or a segment of its log", file=name, remedy=remedy)
    if head[:64].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise _not_known(head, name, "download it again", "this is a web page, not the recording")


def _refuse_foreign(head: bytes, name: str) -> None:
    for title, command in _packed(head):
        file = _file(name)
        _refuse_images(_unpacked(head), name)
        if TAR.search(name) or _foreign(_unpacked(head))[0] == "a tar archive":
            what, remedy = "a tar archive, packed with", f"tar xf {file}"
        else:
            what, remedy = "packed with", f"{command} < {file} | spikestream info -\n  or:  {command} {file}"
        raise RecordingError(f"this is {what} {title}", file=name, remedy=remedy)
    title, remedy = _foreign(head)
    if title:
        why = "which holds no events" if remedy in (PLAYED, EVENTLESS) else "which is not read here"
        raise RecordingError(f"this is {title}, {why}", file=name, remedy=remedy.replace("FILE", _file(name)))


def _refuse_images(head: bytes, name: str) -> None:
    if IDX.match(head):
        folder = os.path.dirname(os.path.abspath(name)) if name != STDIN else "/FOLDER"
        remedy = f"spikestream replay {shlex.quote(f'mnist://{folder}?take=100')} --speed max"
        what = "this is images or labels of a data set like MNIST, which goes by its folder"
        raise RecordingError(what, file=name, remedy=remedy)


def _file(name: str) -> str:
    """Return what a file is called in a command."""
    return "FILE" if name == STDIN else shlex.quote(name)


def _packed(head: bytes) -> list[tuple[str, str]]:
    """Return what a file is packed with, and the command that unpacks it, or nothing."""
    return [(title, command) for magic, title, command in PACKED if re.match(magic, head)]


def _unpacked(head: bytes) -> bytes:
    """Return the first bytes of what is packed with gzip, b"" where that is not to be known."""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, TAR_ENOUGH)
    except zlib.error:
        return b""


def _foreign(head: bytes) -> tuple[str, str]:
    """Return what a file is that some other program reads, and what to do; "" twice where that is not known."""
    version = re.match(rb"#!AER-DAT(\d+\.\d+)", head)
    if version:
        return f"AEDAT {version[1].decode()}", ELSEWHERE
    if re.match(rb"% [ -~]+\r?\n", head):  # a .bin may start with "% " too: x = 37, y = 32
        return PERCENT, ELSEWHERE
    found = ((title, remedy) for magic, title, remedy in FOREIGN if re.match(magic, head, re.DOTALL))
    return next(found, ("", ""))


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
