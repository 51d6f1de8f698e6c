"""AEDAT 4 (DV): FlatBuffers in LZ4 or Zstandard packets of several streams, of which one event stream is read.

Sources: iniVation's page on AEDAT 4, the FlatBuffers documentation, recordings by DV and dv-processing.
"""

from __future__ import annotations

from spikestream.formats.aedat4.decoder import Decoder
from spikestream.formats.aedat4.encoder import Encoder
from spikestream.formats.aedat4.header import MAGIC
from spikestream.formats.aedat4.table import table_summary
from spikestream.formats.base import Format

__all__ = ["FORMAT", "Decoder", "Encoder", "table_summary"]

FORMAT = Format(
    name="aedat4",
    title="AEDAT 4.0 (DV)",
    suffixes=(".aedat4",),
    sniff=lambda head: head.startswith(MAGIC),
    decoder=Decoder,
    encoder=Encoder,
    options={
        "stream": "reading: number or name of the event stream, where there are several",
        "compression": "writing: lz4 (default), zstd or none",
    },
)
