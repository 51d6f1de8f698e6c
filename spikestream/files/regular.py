"""Files that are files: a reader expects an end, and a writer puts a new file in the place of an old one."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

from spikestream.errors import RecordingError


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading; raises `OSError` for a folder, a pipe or a device, and for a name with a NUL.

    A named pipe would be waited for until somebody writes into it, and a device may never end.
    """
    name = os.fspath(path)
    if "\0" in name:
        raise OSError(errno.EINVAL, "the name holds a NUL", name)
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, "it is a folder", name)
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is not a regular file", name)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def unwritable(path: str | os.PathLike[str], error: OSError) -> RecordingError:
    """Return what to raise where a file cannot be written."""
    name = os.fspath(path)
    folder = os.path.dirname(name)
    missing = error.errno == errno.ENOENT and bool(folder) and not os.path.exists(folder)
    what = f"there is no folder {folder}" if missing else error.strerror
    return RecordingError(f"cannot be written: {what}", file=name, remedy=f"mkdir -p {folder}" if missing else "")


def check_place(path: str | os.PathLike[str]) -> None:
    """Raise `OSError` where a finished file of this name would take the place of a folder, a pipe or a device."""
    name = os.fspath(path)
    place = os.path.abspath(name)
    if name == "-" or (place.startswith(("/dev/", "/proc/")) and not place.startswith("/dev/shm/")):
        # /dev/stdout, say, is a link that all programs need.
        raise OSError(errno.EINVAL, "it is no file: what is written appears whole at the end, beside its name", name)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "it is a folder", os.fspath(path))
    if not stat.S_ISREG(mode):  # /dev/null, say
        raise OSError(errno.EINVAL, "it is no regular file", os.fspath(path))
