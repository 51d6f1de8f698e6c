"""``spikestream formats``: what recordings can be read and written, and why one cannot be."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from spikestream.cli.base import Console, add_quiet

if TYPE_CHECKING:
    from spikestream.registry import Found


@dataclass(frozen=True, slots=True)
class Row:
    """A format: ``streams`` from a pipe too; ``by_content`` where its first bytes tell it; ``unavailable``: why."""

    name: str
    title: str
    suffixes: tuple[str, ...]
    reads: bool
    writes: bool
    streams: bool
    by_content: bool
    options: dict[str, str]
    distribution: str
    unavailable: str
    remedy: str


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    made = argparse.ArgumentParser(prog="spikestream formats", description=__doc__)
    made.add_argument("names", nargs="*", metavar="NAME", help="tell of these only, with their options")
    made.add_argument("--json", action="store_true", help="one JSON list")
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Print the formats; return 4 where one that is named is not there or cannot be used."""
    from spikestream.errors import PluginError
    from spikestream.registry import load

    console = Console(options.quiet)
    rows = {row.name: row for row in _rows()}
    for name in options.names:
        if name not in rows:
            load("formats", name)  # says what is near
    shown = [rows[name] for name in options.names] if options.names else list(rows.values())
    if options.json:
        console.json([asdict(row) for row in shown])
    else:
        for line in _table(shown):
            console.out(line)
        for row in shown if options.names else ():
            for option, text in row.options.items():
                console.out(f"  {row.name}  {option}: {text}")
    return PluginError.exit_code if options.names and any(row.unavailable for row in shown) else 0


def _rows() -> Iterator[Row]:
    from spikestream.registry import found

    known: dict[str, Found] = {}
    for entry in found("formats"):
        known.setdefault(entry.name, entry)
    for name, entry in known.items():
        yield _row(name, f"{entry.distribution} {entry.version}")


def _row(name: str, distribution: str) -> Row:
    from spikestream.errors import PluginError
    from spikestream.formats.base import Format, no_magic
    from spikestream.registry import load

    try:
        format = load("formats", name)
        if not isinstance(format, Format):
            raise PluginError(f"'{name}' of {distribution} registers a {type(format).__name__}, which is no Format")
        reads = format.reads is not None
    except PluginError as error:
        return Row(name, "", (), False, False, False, False, {}, distribution, error.what, error.remedy)
    why = f"not installed: {', '.join(format.missing)}" if format.missing else ""
    return Row(
        name,
        format.title,
        format.suffixes,
        reads and not why,
        format.writes is not None and not why,
        format.decoder is not None and not why,
        format.sniff is not no_magic,
        format.options,
        distribution,
        why,
        format.install if why else "",
    )


def _table(rows: list[Row]) -> Iterator[str]:
    cells = [["name", "read", "write", "pipe", "by", "suffixes", "format"]]
    cells += [
        [
            row.name,
            *("yes" if can else "-" for can in (row.reads, row.writes, row.streams)),
            "content" if row.by_content else "suffix" if row.suffixes else "--format",
            " ".join(row.suffixes) or "-",
            row.title or f"of {row.distribution}",
        ]
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    for row, line in zip([None, *rows], cells, strict=True):
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        if row and row.unavailable:
            yield f"  {row.name}: {row.unavailable}" + (f"; try: {row.remedy}" if row.remedy else "")
