"""Subscribers over a Unix socket, which only its owner may open."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

from spikestream.errors import ClientError, ConfigError
from spikestream.outputs.base.listener import HANDSHAKE_S, MAX_CONNECTIONS, QUEUE_BYTES, Listener

MODE = 0o600


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

    async def listen(self, protocol: Callable[[], asyncio.Protocol]) -> asyncio.Server:
        """Bind and listen; raises `ClientError` where somebody listens there already or the path cannot be had."""
        _clear(self._path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.bind(os.fspath(self._path))
            # Nobody can connect before `listen`, so there is no moment at which the mode is wider.
            self._path.chmod(MODE)
            self._inode = self._path.stat().st_ino
            return await asyncio.get_running_loop().create_unix_server(protocol, sock=sock)
        except OSError as error:
            sock.close()
            raise ClientError(f"cannot listen at {self._path}: {error}") from error

    async def aclose(self) -> None:
        """Tell every subscriber what it will not get, say bye, stop listening and remove the socket file."""
        await super().aclose()
        if self._path.exists() and self._path.stat().st_ino == self._inode:
            self._path.unlink()


def _clear(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ClientError(f"{path} is there, and is no socket", remedy="give another path, or move the file away")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(os.fspath(path))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
        return
    except OSError as error:
        raise ClientError(f"cannot look at {path}: {error.strerror}") from error
    raise ClientError(f"somebody listens at {path} already", remedy="subscribe to it, or give another path")
