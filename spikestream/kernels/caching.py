"""Where compiled kernels are kept, on machines that do not make it easy.

A daemon may run as a user without a home, on a full or read-only disk, or after a crash that cut a cache file short.
None of that is a reason not to run: what cannot be kept is compiled again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
from numba.core import caching, dispatcher

log = logging.getLogger(__name__)


def sources_digest(folder: Path) -> str:
    """Return a short hash of all kernel sources and of Numba's version.

    Numba's cache checks only the source file of the function it compiled: an edited callee leaves a stale caller.
    """
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(folder.rglob("*.py")):
        digest.update(source.relative_to(folder).as_posix().encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder(digest: str) -> Path | None:
    """Return the first folder that can be written, None where there is none; says so where it is not the usual one."""
    first = True
    for root in _roots():
        folder = root / "kernels" / digest
        if _is_ours(root, private=not first) and _is_writable(folder):
            if not first:
                log.warning("compiled kernels go to %s: the usual place cannot be written", folder)
            return folder
        first = False
    log.warning("compiled kernels are not kept: no folder can be written, not even %s", tempfile.gettempdir())
    return None


def verify(folder: Path) -> None:
    """Remove what does not fit its checksum: a page missing in machine code would crash every run."""
    for code in folder.rglob("*.nbc"):
        try:
            if int(_sum_of(code).read_text()) == zlib.crc32(code.read_bytes()):
                continue
        except (OSError, ValueError):
            pass
        with suppress(OSError):
            code.unlink()


def _vouch(folder: Path) -> None:
    """Write the checksums of code that has none yet, or was compiled since."""
    for code in folder.glob("*.nbc"):
        with suppress(OSError):
            beside = _sum_of(code)
            if not beside.exists() or beside.stat().st_mtime_ns < code.stat().st_mtime_ns:
                beside.write_text(str(zlib.crc32(code.read_bytes())))


def _sum_of(code: Path) -> Path:
    return code.with_suffix(".crc32")


def forgive() -> None:
    """Make Numba compile again what it cannot load, and go on where it cannot save."""
    caching.Cache.load_overload = _forgiving(caching.Cache.load_overload)  # type: ignore[method-assign]
    caching.Cache.save_overload = _forgiving(caching.Cache.save_overload)  # type: ignore[method-assign]


def keep_nothing() -> None:
    """Make Numba's ``cache=True`` mean nothing."""
    dispatcher.Dispatcher.enable_caching = lambda self: None  # type: ignore[method-assign]


def _roots() -> Iterator[Path]:
    wanted = os.environ.get("SPIKESTREAM_CACHE") or os.environ.get("XDG_CACHE_HOME")
    try:
        yield Path(wanted or Path.home() / ".cache") / "spikestream"
    except RuntimeError:  # a user without a home
        yield Path("/nonexistent")
    for temporary in (tempfile.gettempdir(), "/dev/shm"):
        yield Path(temporary) / f"spikestream-{os.getuid()}"


def _is_ours(root: Path, private: bool) -> bool:
    """Make the folder if need be; return False for one that somebody else may have planted where all may write."""
    try:
        root.mkdir(mode=0o700, parents=not private, exist_ok=True)
        found = root.lstat()
    except OSError:
        return False
    safe = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return safe or (not private and root.is_dir())


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
    except OSError:
        return False
    return True


def _forgiving(method: Callable[..., Any]) -> Callable[..., Any]:
    def forgiving(self: Any, *args: Any) -> Any:
        try:
            result = method(self, *args)
            if method.__name__ == "save_overload":
                _vouch(Path(self.cache_path))
            return result
        except Exception as error:  # a cut file ends in whatever pickle or LLVM makes of it
            log.debug("the kernel cache: %s", error)
            try:
                self.flush()
            except OSError:
                self.disable()
            return None

    return forgiving
