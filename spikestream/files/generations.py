"""A file of which the last few versions are kept: ``NAME`` is the newest, ``NAME.1`` the one before, and so on.

At every moment ``NAME`` is whole: a new version is written beside it, brought to the disk, and then takes its name.
What a process that died left half written is told from what a living one writes by a lock.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

BAD = ".bad"
"""What the name of a version ends with that was found damaged and has been set aside."""


def replace(path: Path, write: Callable[[IO[bytes]], None], keep: int = 1) -> None:
    """Make what ``write`` writes the newest version of ``path``, of which ``keep`` stay; raises `OSError`.

    Whatever happens, the version before is there, whole.
    """
    # A name of its own: an earlier write to the same place may still be under way.
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(temporary, "wb") as file:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if keep > 1:
                _shift(path, keep)
            os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):  # there only if it has not become the newest
            temporary.unlink()


def versions(path: Path) -> list[Path]:
    """Return the versions there are of ``path``, the newest first, itself if it is there; raises `OSError`."""
    pattern = re.compile(re.escape(path.name) + r"\.([1-9][0-9]{0,5})")
    older = [(int(found[1]), one) for one in _beside(path) if (found := pattern.fullmatch(one.name))]
    return [*([path] if os.path.lexists(path) else []), *(one for _, one in sorted(older))]


def set_aside(path: Path) -> Path:
    """Give a damaged version the name ``NAME.bad``, in place of an older one; raises `OSError`."""
    aside = path.with_name(f"{path.name}{BAD}")
    os.replace(path, aside)
    return aside


def clean(path: Path) -> int:
    """Delete what processes that have died left half written of ``path``, and return how many; raises `OSError`."""
    pattern = re.compile(re.escape(f".{path.name}.tmp-") + r"[0-9]+-[0-9a-f]{8}")
    left = [one for one in _beside(path) if pattern.fullmatch(one.name) and _is_nobodys(one)]
    for one in left:
        with suppress(OSError):
            one.unlink()
    return len(left)


def sync_folder(folder: Path) -> None:
    """Make names given in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _beside(path: Path) -> list[Path]:
    """Return what stands beside a file, nothing where there is no folder; raises `OSError` for one kept from us."""
    try:
        return list(path.parent.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _shift(path: Path, keep: int) -> None:
    """Number the versions anew, one older each, the oldest no more; ``path`` itself stays where it is.

    A number beyond ``keep`` may be anybody's: it is left alone.
    """
    if not path.is_file():
        return
    for number in range(keep - 2, 0, -1):
        with suppress(FileNotFoundError):
            os.replace(f"{path}.{number}", f"{path}.{number + 1}")
    with suppress(FileNotFoundError):
        os.unlink(f"{path}.1")
    try:
        os.link(path, f"{path}.1")
    except OSError:  # a file system without links: for a moment the newest has the older name only
        os.replace(path, f"{path}.1")


def _is_nobodys(temporary: Path) -> bool:
    """Return whether no process writes this file any more: a lock ends with the process that holds it."""
    try:
        handle = os.open(temporary, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
