"""AEDAT 2.0 (jAER): a text header that names the camera, then records of 8 bytes whose layout the camera decides.

A DVS128's polarity is read as jAER does, bit 0 = 0 is ON; iniVation's page on AEDAT 1 says the reverse, and no
recording is known that settles it: ``polarity="inivation"`` reads and writes it that way. Sources: iniVation's AEDAT
page; jAER's AEFileInputStream, DVS128, DVS640 and DavisChip.
"""

from __future__ import annotations

from spikestream.formats.aedat2.decoder import Decoder
from spikestream.formats.aedat2.encoder import Encoder
from spikestream.formats.aedat2.header import MAGIC
from spikestream.formats.base import Format

OPTIONS = {"polarity": "which value of bit 0 is ON for a DVS128: 'jaer' (0, default) or 'inivation' (1)"}


def sniff(head: bytes) -> bool:
    """Return whether a file starts as AEDAT 2.0 does."""
    return head.startswith(MAGIC)


FORMAT = Format("aedat2", "AEDAT 2.0 (jAER)", (".aedat", ".aedat2"), sniff, Decoder, Encoder, OPTIONS)
