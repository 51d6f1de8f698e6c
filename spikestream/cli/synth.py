"""``spikestream synth``: a labelled recording that a seed makes up, as an event camera would have seen it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from spikestream.cli.base import Console, add_quiet, check_new, ended_by
from spikestream.errors import ConfigError
from spikestream.units import duration_us

if TYPE_CHECKING:
    from spikestream.batch import Batch

WHAT = {
    "bars": "a bar that crosses the field, every 300 ms, in one of four directions",
    "digits": "a digit drawn by a round pen, every 320 ms, looked at in three saccades as N-MNIST was recorded",
    "spinner": "a hand that turns one way or the other, for 500 ms each",
    "gestures": "one hand or two that move in one of six ways, for a second each",
}


def parser() -> argparse.ArgumentParser:
    """Return the options of the verb."""
    kinds = "; ".join(f"{kind}: {what}" for kind, what in WHAT.items())
    made = argparse.ArgumentParser(prog="spikestream synth", description=__doc__, epilog=f"{kinds}.")
    add = made.add_argument
    add("kind", metavar="KIND", help=", ".join(WHAT))
    add("target", metavar="OUT", help="its suffix says the format")
    add("--for", dest="for_", default="10s", metavar="TIME", help="so much stream time, in whole samples (default 10s)")
    add("--size", default="34x34", metavar="WxH", help="pixels of the camera, 16 to 512 a side (default 34x34)")
    add("--seed", type=int, default=0, metavar="N", help="the same one gives the same file (default 0)")
    add("--noise", type=float, default=0.5, metavar="HZ", help="events a pixel makes up (default 0.5)")
    add("--labels", metavar="FILE", help="where the labels go (default: OUT with the suffix .csv)")
    add(
        "--as",
        dest="as_",
        metavar="FORMAT",
        help="format of OUT, where its suffix does not tell, and its options: aedat4:compression=zstd",
    )
    add("-f", "--force", action="store_true", help="put new files in the place of those that are there")
    add_quiet(made)
    return made


def run(options: argparse.Namespace) -> int:
    """Write recording, labels and sidecar, and tell what is in them; return the exit code."""
    from spikestream.cli.base.filed import file, keeper
    from spikestream.files.labels import write_labels
    from spikestream.sensors.datasets.synthetic import Synthetic
    from spikestream.service.filing import Filing

    console = Console(options.quiet)
    check_new(options.target, options.force)
    labels, sidecar = _beside(options)
    for path in (labels, sidecar):
        check_new(str(path), options.force)
        _check_folder(path)
    settings = {"seconds": duration_us(options.for_) / 1e6, "size": options.size}
    settings |= {"seed": options.seed, "noise_hz": options.noise}
    sensor = Synthetic(options.kind, **settings)
    filing = Filing(sensor, options.kind)
    keep, stop = keeper(sensor, options.target, options.as_, zero=False), 0

    def keep_and_note(batches: Iterator[Batch]) -> int:
        def noted() -> Iterator[Batch]:
            nonlocal stop
            for batch in batches:
                stop = batch.stop
                yield batch

        return keep(noted())

    written, signalled = file(console, filing, keep_and_note)
    if filing.error is not None:
        raise filing.error
    if signalled is not None and stop:
        settings["seconds"] = stop / 1e6  # whole samples: what a sensor of so many seconds gives
        sensor = Synthetic(options.kind, **settings)
    rows = [row for row in sensor.rows if row.stop <= stop]
    write_labels(labels, rows)
    _tell(sidecar, options, settings, labels, written or 0, rows)
    console.out(f"{options.target}: {written or 0:,} events, {len(rows):,} labels in {labels}")
    return ended_by(signalled)


def _beside(options: argparse.Namespace) -> tuple[Path, Path]:
    """Return where the labels and the sidecar go."""
    target = Path(options.target)
    labels = Path(options.labels) if options.labels else target.with_suffix(".csv")
    sidecar = target.with_name(f"{target.name}.json")
    for other, what in ((target, "recording"), (sidecar, f"sidecar {sidecar}")):
        if labels.resolve() == other.resolve():
            text = f"{what} and labels cannot be one file"
            raise ConfigError(text, key="--labels", value=str(labels), remedy="--labels FILE")
    return labels, sidecar


def _check_folder(path: Path) -> None:
    """Raise `RecordingError` where there is no folder to write a file into, before the recording takes its place."""
    from spikestream.files.regular import unwritable

    try:
        os.scandir(path.parent).close()
    except OSError as error:
        raise unwritable(path, error) from error


def _tell(
    path: Path, options: argparse.Namespace, settings: dict[str, Any], labels: Path, events: int, rows: Sequence[Any]
) -> None:
    """Write what the recording is, as the recordings that ship have it beside them."""
    import hashlib
    import json
    from collections import Counter

    from spikestream import __version__
    from spikestream.files.atomic import replacing

    with open(options.target, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    told = {
        "what": WHAT[options.kind],
        "origin": f"simulated by spikestream {__version__}: synth://{options.kind}?{urlencode(settings)}",
        "licence": "CC0-1.0",
        "sha256": digest,
        "events": events,
        "labels": labels.name,
        "samples": dict(sorted(Counter(row.label for row in rows).items())),
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(told, indent=2) + "\n")
