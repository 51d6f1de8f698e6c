"""Events as text, a row each: CSV, and what is separated by white space; any order of columns, any unit of time.

A row has t, x, y and p, and perhaps more. Lines that start with '#' or '%' are comments. Sources: faery's CSV, whose
header tells the size of the sensor; the texts of the Robotics and Perception Group, ``t x y p`` in s, perhaps below a
line with width and height.
"""

from __future__ import annotations

from spikestream.formats.base import Format
from spikestream.formats.csv.columns import written_otherwise
from spikestream.formats.csv.decoder import Decoder
from spikestream.formats.csv.encoder import Encoder
from spikestream.formats.csv.head import looks_like

__all__ = ["FORMAT", "Decoder", "Encoder"]

OPTIONS = {
    "order": "reading: what the columns are, such as xypt, _ for one to leave out",
    "unit": "reading: the unit of t: us, ms, s or ns",
}
LABELS = b"start_us,stop_us,label"
SUFFIXES = (".csv", ".txt")


def hint(head: bytes, name: str) -> str:
    """Return how to have a file read whose name is a table's: its numbers written otherwise, or its columns named."""
    if not name.lower().endswith(SUFFIXES):
        return ""
    if head.startswith(LABELS):
        return f"these are the labels of a recording: spikestream replay RECORDING --labels {name}"
    for line in head.decode("utf-8", "replace").split("\n", 2)[:2]:  # the first may be a header
        why, remedy = written_otherwise(line.strip())
        if not why:
            continue
        return f"a table of events? {why[0].upper()}{why[1:]}: {remedy.replace('FILE', name)}"
    how = f"spikestream info {name} --format csv --option order=txyp"
    return f"a table of events? Say what its columns are: {how}"


FORMAT = Format("csv", "CSV and text", SUFFIXES, looks_like, Decoder, Encoder, OPTIONS, hint=hint)
