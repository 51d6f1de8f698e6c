"""Files that appear whole, in place of an older one, or not at all."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spikestream.files.regular import check_place, unwritable

log = logging.getLogger(__name__)

SHOWN = 40
"""Characters of a file's name that the one beside it shows: names end at 255 bytes."""


@contextmanager
def replacing(path: str | os.PathLike[str], keep: bool = False) -> Iterator[Path]:
    """Give a temporary file beside ``path`` to write, which becomes ``path`` at the end, unless there was an error.

    After an error it is deleted, or with ``keep`` becomes ``path.part``: what cannot be had again. Raises
    `RecordingError` where it cannot be written.
    """
    target = Path(os.path.realpath(path))  # what a link leads to: the link stays
    temporary = beside(target)
    try:
        check_place(path)
        check_place(target)
        yield temporary
        _sync(temporary)
        os.replace(temporary, target)
        _sync(target.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    except BaseException:
        if keep:
            keep_part(temporary, target)
        raise
    finally:
        with suppress(OSError):  # there only if it has not become the file
            temporary.unlink()


def beside(target: Path) -> Path:
    """Return the name of a hidden file in the same folder, to become ``target``, which may have the longest name."""
    return target.parent / f".{target.name[:SHOWN]}.tmp-{os.getpid()}-{secrets.token_hex(4)}"


def keep_part(temporary: Path, target: Path) -> None:
    """Give an unfinished file the name ``target.part``."""
    part = target.with_name(f"{target.name}.part")
    with suppress(OSError):  # there is none
        os.replace(temporary, part)
        log.warning("what was written before is kept as %s", part)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
