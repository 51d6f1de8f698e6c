"""Subscribers over a Unix socket, which only its owner may open."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from spikestream.errors import ClientError, ConfigError
from spikestream.outputs.base.listener import BACKLOG, HANDSHAKE_S, MAX_CONNECTIONS, QUEUE_BYTES, Listener

MODE = 0o600
PROBE_S = 1.0
LOCK_TRIES, LOCK_PAUSE_S = 40, 0.025


class Unix(Listener):
    """Listens at a path, mode 0600; a socket nobody listens on any more is replaced, and ours is removed at the end."""

    def __init__(
        self,
        location: str,
        *,
        queue_bytes: int = QUEUE_BYTES,
        max_connections: int = MAX_CONNECTIONS,
        handshake_s: float = HANDSHAKE_S,
    ) -> None:
        super().__init__(queue_bytes=queue_bytes, max_connections=max_connections, handshake_s=handshake_s)
        if not location:
            raise ConfigError("a Unix socket needs a path", value=location, allowed="unix:///run/user/1000/spikes.sock")
        self._path = Path(location)
        self._inode = -1
        self.url = f"unix://{location}"

    async def listen(self) -> Sequence[socket.socket]:
        """Bind and listen; raises `ClientError` where somebody listens there already or the path cannot be had."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            async with _alone_in(self._path.parent):
                _clear(self._path)
                with suppress(OSError):  # Linux makes the file with the mode of the socket: no umask, no moment between
                    os.fchmod(sock.fileno(), MODE)
                sock.bind(os.fspath(self._path))
                if stat.S_IMODE(self._path.lstat().st_mode) != MODE:
                    self._path.chmod(MODE)  # elsewhere: nobody can connect before `listen`
                self._inode = self._path.lstat().st_ino
                sock.listen(BACKLOG)
                sock.setblocking(False)
        except OSError as error:
            sock.close()
            raise ClientError(f"cannot listen at {self._path}: {error}") from error
        except BaseException:
            sock.close()
            raise
        return [sock]

    def beat(self) -> None:
        """Look after every connection, and whether the path still leads here."""
        super().beat()
        try:
            if self._path.lstat().st_ino != self._inode:
                self._broke(FileExistsError(errno.EEXIST, "something else is at its path"))
        except OSError as error:
            self._broke(error)

    async def aclose(self) -> None:
        """Tell every subscriber what it will not get, say bye, stop listening and remove the socket file."""
        await super().aclose()
        with suppress(FileNotFoundError):
            if self._path.lstat().st_ino == self._inode:
                self._path.unlink()


@asynccontextmanager
async def _alone_in(folder: Path) -> AsyncIterator[None]:
    """Hold the folder's lock meanwhile: of two that find a socket left behind one must not remove the other's new one.

    The lock is a courtesy among ourselves: where it cannot be had in a second, we go on without it.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        for _ in range(LOCK_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                await asyncio.sleep(LOCK_PAUSE_S)
        yield
    finally:
        os.close(descriptor)


def _clear(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ClientError(f"{path} is there, and is no socket", remedy="give another path, or move the file away")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(PROBE_S)
            probe.connect(os.fspath(path))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
        return
    except (TimeoutError, BlockingIOError):
        pass  # somebody does, and has more visitors than it can greet
    except OSError as error:
        raise ClientError(f"cannot look at {path}: {error.strerror}") from error
    raise ClientError(f"somebody listens at {path} already", remedy="subscribe to it, or give another path")
