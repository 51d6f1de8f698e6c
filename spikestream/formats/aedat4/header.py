"""The header of an AEDAT 4 file: magic, the FlatBuffer ``IOHE``, and in it the streams as XML.

Fields of ``IOHE``: 0 compression i32, 1 position of the data table i64 (-1: none), 2 the XML. Source: iniVation's page
on AEDAT 4 and files written by DV.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from spikestream.errors import ConfigError, RecordingError, nearest
from spikestream.formats.aedat4 import flatbuffer
from spikestream.formats.aedat4.packing import NAMES, NUMBERS

MAGIC = b"#!AER-DAT4.0\r\n"
HEADER_LIMIT = 1 << 20
BY_EVUTILS = b'<node name="info"><node name="0">'
"""How the XML of evutils begins, which has no ``outInfo``; nor has its ``IOHE`` the identifier."""
TABLE_POSITION_AT = len(MAGIC) + 40
"""Where in the files written here the i64 position of the data table stands."""

BLANKS = 12
"""Before a line of the XML: at most 8 digits more, for sides of 1 that become 32,768, find room there."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream of a file: what it holds and who sent it."""

    id: int
    kind: str
    names: tuple[str, ...]
    size: tuple[int, int] | None
    source: str

    def __str__(self) -> str:
        return f"{self.id} ({', '.join(self.names)})" if self.names else str(self.id)


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says; ``end`` is the position of the data table, None where there is none."""

    compression: str
    end: int | None
    streams: dict[int, Stream]


def body_size(start: memoryview) -> int:
    """Return the bytes of ``IOHE`` from a file's first 18 bytes; raises `RecordingError`."""
    if start[: len(MAGIC)] != MAGIC:
        found = repr(bytes(start[: len(MAGIC)]))
        raise RecordingError("not an AEDAT 4 file", offset=0, expected=repr(MAGIC), found=found)
    size = flatbuffer.u32(start, len(MAGIC))
    if not flatbuffer.SMALLEST <= size <= HEADER_LIMIT:
        allowed = f"{flatbuffer.SMALLEST}..{HEADER_LIMIT:,} bytes"
        raise RecordingError("the header has an impossible size", offset=14, expected=allowed, found=f"{size:,}")
    return size


def parse(body: memoryview) -> Header:
    """Return what ``IOHE`` says; raises `RecordingError` where it is damaged or of an unknown compression."""
    if bytes(body[4:8]) != b"IOHE" and BY_EVUTILS in bytes(body):
        table = flatbuffer.table(body, flatbuffer.u32(body, 0))
    else:
        table = flatbuffer.root(body, b"IOHE")
    compression = flatbuffer.scalar(table, 0, "i", 0)
    if compression not in NAMES:
        raise RecordingError("the compression is unknown", expected="0..4", found=str(compression))
    position = flatbuffer.scalar(table, 1, "q", -1)
    at, length = flatbuffer.vector(table, 2, 1)
    try:
        xml = str(body[at : at + length], "utf-8")
    except UnicodeDecodeError as error:
        raise RecordingError("the header's XML is not UTF-8", details=[str(error)]) from error
    return Header(NAMES[compression], None if position < 0 else position, _streams(xml))


def choose(streams: dict[int, Stream], wanted: int | str | None) -> tuple[Stream, str]:
    """Return the event stream of that number or name, by default the first one, and a warning, "" where none is due.

    Raises `RecordingError` where there is no event stream, `ConfigError` where ``wanted`` is not exactly one of them.
    """
    events = [stream for stream in streams.values() if stream.kind == "EVTS"]
    if not events:
        kinds = ", ".join(sorted({stream.kind for stream in streams.values()}))
        raise RecordingError("the recording has no event stream", expected="EVTS", found=kinds or "no stream at all")
    if wanted is not None:
        return _named(events, str(wanted)), ""
    if len(events) == 1:
        return events[0], ""
    others = "; ".join(str(stream) for stream in events[1:])
    return events[0], f"{len(events)} event streams: read {events[0]}, left out {others}; choose with stream="


def build(
    compression: str, size: tuple[int, int], source: str, first: tuple[int, int] | None = None, position: int = -1
) -> bytes:
    """Return a file's header for one event stream with number 0, and the position of the data table.

    It is as long as with the size it had at ``first``, which may have fewer digits: they take the place of blanks.
    """
    more = len("{}{}".format(*size)) - len("{}{}".format(*(first or size)))
    blanks = " " * (BLANKS - more)
    xml = _XML.format(escape(source), *size, compression=compression.upper(), blanks=blanks).encode()
    xml += bytes(4 - len(xml) % 4)  # FlatBuffers' strings end in a zero byte
    length = len(xml.rstrip(b"\0"))
    vtable = (10, 20, 4, 12, 8)
    fields = struct.pack("<ii I q I", 10, NUMBERS[compression], 12, position, length)
    body = struct.pack("<I4s6x5H", 24, b"IOHE", *vtable) + fields + xml
    return MAGIC + struct.pack("<I", len(body)) + body


def _named(events: Sequence[Stream], wanted: str) -> Stream:
    found = [stream for stream in events if wanted == str(stream.id)]
    found = found or [stream for stream in events if wanted in stream.names]
    if len(found) == 1:
        return found[0]
    what = f"'{wanted}' names {len(found)} of the event streams" if found else f"no event stream '{wanted}'"
    known = [name for stream in events for name in (str(stream.id), *stream.names)]
    allowed = "; ".join(str(stream) for stream in events)
    close = "" if found else nearest(wanted, known)
    raise ConfigError(what, key="stream", value=wanted, allowed=allowed, nearest=close)


def _streams(xml: str) -> dict[int, Stream]:
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise RecordingError("the header's XML declares entities, which no camera writes")
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise RecordingError("the header's XML is damaged", details=[str(error)]) from error
    info = next((node for node in root.iter("node") if node.get("name") == "outInfo"), None)
    if info is None and root.tag == "node":
        info = root
    found: dict[int, Stream] = {}
    for node in () if info is None else info.findall("node"):
        name = node.get("name", "")
        if name.isascii() and name.isdigit() and len(name) <= 9:
            found.setdefault(int(name), _stream(int(name), node))
    return found


def _stream(number: int, node: ElementTree.Element) -> Stream:
    about = _attributes(node)
    info = next((child for child in node.findall("node") if child.get("name") == "info"), None)
    inner = {} if info is None else _attributes(info)
    source = inner.get("source", "")
    names = (about.get("originalOutputName", ""), about.get("originalModuleName", ""), source)
    kind = about.get("typeIdentifier", "")
    return Stream(number, kind, tuple(dict.fromkeys(filter(None, names))), _size(inner) or _size(about), source)


def _attributes(node: ElementTree.Element) -> dict[str, str]:
    return {attr.get("key", ""): (attr.text or "").strip() for attr in node.findall("attr")}


def _size(info: dict[str, str]) -> tuple[int, int] | None:
    texts = [info.get(key, "") for key in ("sizeX", "sizeY")]
    if not all(text.isascii() and text.isdigit() and len(text) <= 5 for text in texts):
        return None
    width, height = (int(text) for text in texts)
    return (width, height) if width and height else None


_XML = """<dv version="2.0">
    <node name="outInfo" path="/mainloop/Recorder/outInfo/">
        <node name="0" path="/mainloop/Recorder/outInfo/0/">
            <attr key="compression" type="string">{compression}</attr>
            <attr key="originalModuleName" type="string">spikestream</attr>
            <attr key="originalOutputName" type="string">events</attr>
            <attr key="typeDescription" type="string">Array of events (polarity ON/OFF).</attr>
            <attr key="typeIdentifier" type="string">EVTS</attr>
            <node name="info" path="/mainloop/Recorder/outInfo/0/info/">
                <attr key="sizeX" type="int">{1}</attr>
                <attr key="sizeY" type="int">{2}</attr>
                <attr key="source" type="string">{0}</attr>
{blanks}</node>
        </node>
    </node>
</dv>
"""
