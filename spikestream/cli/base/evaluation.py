"""What ``eval --report DIR`` writes: the same bytes for the same model on the same data."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikestream import __version__
from spikestream.errors import ConfigError
from spikestream.files.atomic import replacing

if TYPE_CHECKING:
    from spikestream.service.tally import Tally

FILES = ("confusion.png", "classes.csv", "manifest.json", "report.json")


def make_folder(path: str) -> Path:
    """Make the folder of a report, unless it is there; raises `ConfigError` where nothing can be written into it."""
    from spikestream.plots import need_matplotlib

    need_matplotlib()
    try:
        os.makedirs(path, exist_ok=True)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot make the folder {path!r}: {why}", key="--report", value=path) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(f"cannot write into the folder {path!r}", key="--report", value=path)
    return Path(path)


def write_report(folder: Path, figures: Mapping[str, Any], tally: Tally, manifest: Mapping[str, Any]) -> None:
    """Write the figures, the table of classes, the confusion matrix and the manifest; raises `RecordingError`.

    ``report.json`` comes last: where it is, the others belong to it.
    """
    from spikestream import plots
    from spikestream.cli.base.drawing import write_figure

    names, matrix = tally.matrix()
    axes = plots.confusion(names, matrix)
    axes.set_title(f"{tally.held_out.windows:,} windows")
    write_figure(str(folder / "confusion.png"), axes.figure)
    _write(folder / "classes.csv", _classes(tally))
    _write(folder / "manifest.json", _json(manifest))
    _write(folder / "report.json", _json({**figures, "classes": names, "confusion": matrix}))


def versions() -> dict[str, str]:
    """Return the versions of what the figures depend on."""
    found = {"spikestream": __version__, "python": platform.python_version()}
    for name in ("numpy", "numba", "scikit-learn"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _classes(tally: Tally) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("label", "count", "predicted", "right", "precision", "recall"))
    for row in tally.classes():
        shares = ("" if share is None else f"{share:.6f}" for share in (row.precision, row.recall))
        rows.writerow((row.label, row.count, row.predicted, row.right, *shares))
    return text.getvalue()


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
