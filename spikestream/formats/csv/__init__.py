"""Events as text, a row each: CSV, and what is separated by white space; any order of columns, any unit of time.

A row has t, x, y and p, and perhaps more. Lines that start with '#' or '%' are comments. Sources: faery's CSV, whose
header tells the size of the sensor; the texts of the Robotics and Perception Group, ``t x y p`` in s, perhaps below a
line with width and height.
"""

from __future__ import annotations

import shlex

from spikestream.formats.base import Format
from spikestream.formats.csv.columns import cells, is_row, say_order, separator_of, written_otherwise
from spikestream.formats.csv.decoder import Decoder
from spikestream.formats.csv.encoder import Encoder
from spikestream.formats.csv.head import COMMENTS, ROWS, looks_like, wide, with_lf

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
    file = shlex.quote(name)
    if head.startswith(LABELS):
        return f"these are the labels of a recording: spikestream replay RECORDING --labels {file}"
    text = with_lf(head)
    lines = text.decode("utf-8", "replace").split("\n", 2)[:2]  # the first may be a header
    for why, remedy in (wide(head), *(written_otherwise(line.strip()) for line in lines)):
        if why:
            return f"a table of events? {why[0].upper()}{why[1:]}: {remedy.replace('FILE', file)}"
    whole = text.rpartition(b"\n")[0] or text  # the last line may be cut
    lines = [line.strip() for line in whole.decode("utf-8", "replace").split("\n")[:ROWS]]
    lines = [line for line in lines if line and not line.startswith(COMMENTS)] or [""]
    rows = [cells(line, separator_of(line)) for line in lines if is_row(line)]
    said = say_order("" if is_row(lines[0]) else lines[0], rows)
    if not said:
        columns = len(cells(lines[0], separator_of(lines[0])))
        return f"a table of events? It has to have four columns, t, x, y and p, and has {columns}"
    return f"a table of events? Say what its columns are: spikestream info {file} --format csv {said}"


FORMAT = Format("csv", "CSV and text", SUFFIXES, looks_like, Decoder, Encoder, OPTIONS, hint=hint)
