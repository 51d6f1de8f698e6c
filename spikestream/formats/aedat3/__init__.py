"""AEDAT 3.1 and 3.0 (cAER, jAER): text lines, then packets of which those with polarity events are read.

Sources: iniVation's page on AEDAT 3, libcaer's headers.
"""

from __future__ import annotations

from spikestream.formats.aedat3.decoder import Decoder
from spikestream.formats.aedat3.encoder import Encoder
from spikestream.formats.aedat3.header import LAYOUTS
from spikestream.formats.base import Format

__all__ = ["FORMAT", "Decoder", "Encoder"]

FORMAT = Format(
    name="aedat3",
    title="AEDAT 3.1 and 3.0 (cAER)",
    suffixes=(".aedat3",),
    sniff=lambda head: head.startswith(tuple(b"#!AER-DAT" + version for version in LAYOUTS)),
    decoder=Decoder,
    encoder=Encoder,
    options={"stream": "reading: number of the source, where there are several"},
)
