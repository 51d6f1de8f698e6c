"""AEDAT 2.0 and 1.0 (jAER): a text header that names the camera, then records whose layout the camera decides.

Version 2.0 has records of 8 bytes; 1.0 has 6, a DVS128 behind them, and perhaps neither a header nor a version in it. A
DVS128's polarity is read as jAER does, bit 0 = 0 is ON; iniVation's page on AEDAT 1 says the reverse, and no
recording is known that settles it: ``polarity="inivation"`` reads and writes it that way. Sources: iniVation's AEDAT
page; jAER's AEFileInputStream, DVS128, DVS640 and DavisChip.
"""

from __future__ import annotations

import re

from spikestream.formats.aedat2.decoder import Decoder, EarlyDecoder
from spikestream.formats.aedat2.encoder import Encoder
from spikestream.formats.aedat2.header import V1, V2
from spikestream.formats.base import Format

OPTIONS = {"polarity": "which value of bit 0 is ON for a DVS128: 'jaer' (0, default) or 'inivation' (1)"}

UNNAMED = re.compile(rb"(?!#!|#ROSBAG)#[\t -~]{4,}\r?\n(#[^\n]*\n)*+(?s:.{0,23}?)[\0-\x08\x0b\x0c\x0e-\x1f]")
"""Lines of a header, the first one text, and behind them four records of 6 bytes with a control character in them."""


def sniff(head: bytes) -> bool:
    """Return whether a file starts as AEDAT 2.0 does."""
    return head.startswith(V2.magic)


def sniff_early(head: bytes) -> bool:
    """Return whether a file starts as AEDAT 1.0 does: a header that says so, or that names no format, then no text."""
    return head.startswith(V1.magic) or UNNAMED.match(head) is not None


def hint_early(head: bytes, name: str) -> str:
    """Return that a file without a header may be AEDAT 1.0, where its name is one of such files."""
    what = f"without a header it may be AEDAT 1.0 of a DVS128: spikestream info {name} --format aedat1 --sensor dvs128"
    return what if name.lower().endswith(".aedat") else ""


FORMAT = Format("aedat2", "AEDAT 2.0 (jAER)", (".aedat", ".aedat2"), sniff, Decoder, Encoder, OPTIONS)
AEDAT1 = Format("aedat1", "AEDAT 1.0 (jAER)", (), sniff_early, EarlyDecoder, options=OPTIONS, hint=hint_early)
