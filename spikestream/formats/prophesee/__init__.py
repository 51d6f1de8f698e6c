"""Prophesee's recordings: RAW in the encodings EVT 2.0, 2.1 and 3.0, and DAT; all with a header of ``% key value``.

Origin top left, as stored. Sources: Prophesee's pages on the encodings; OpenEB's decoders (see the kernels). No real
recording in EVT 2.1 was available: its order of halves and masks is checked against other programs only.
"""

from __future__ import annotations

from collections.abc import Callable

from spikestream.errors import RecordingError
from spikestream.formats.base import Format
from spikestream.formats.prophesee import dat, encoder, evt
from spikestream.formats.prophesee.header import Header


def _sniff(encoding: str) -> Callable[[bytes], bool]:
    def starts(head: bytes) -> bool:
        header = Header()
        try:
            header.feed(memoryview(head))
        except RecordingError:
            return False
        # DAT without a line that names it still says behind the header what its records are, as evio writes it.
        told = header.encoding() or ("dat" if header.bare() and head[header.length :].startswith(dat.STARTS) else "")
        return header.length > 0 and told == encoding

    return starts


EVT2 = Format("evt2", "Prophesee RAW, EVT 2.0", (".raw",), _sniff("evt2"), evt.Evt2, encoder.Evt2)
EVT21 = Format("evt21", "Prophesee RAW, EVT 2.1", (".raw",), _sniff("evt21"), evt.Evt21)
EVT3 = Format("evt3", "Prophesee RAW, EVT 3.0", (".raw",), _sniff("evt3"), evt.Evt3, encoder.Evt3)
DAT = Format("dat", "Prophesee DAT", (".dat",), _sniff("dat"), dat.Decoder, dat.Encoder)
