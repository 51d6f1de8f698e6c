"""A lease: of all who want a thing, one has it at a time, and another gets it some seconds after that one has died.

It is an entry of a JetStream key-value bucket, which changes only for who knows its revision. The holder renews it; who
sees one revision for as long as the entry says may take it over. So nobody's clock is compared with another's: the
holder counts from before it wrote, the others from after they have read.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from spikestream.broker import cancelled, trouble, why
from spikestream.errors import DeviceError

if TYPE_CHECKING:
    from nats.js import JetStreamContext
    from nats.js.kv import KeyValue

log = logging.getLogger(__name__)

BUCKET = "spikestream"
RENEWALS = 4
"""So often the holder renews within the time it has, and others look."""
SAFE = 0.75
"""The part of that time after which a holder that could not renew no longer takes itself for one."""


class Lease:
    """The lease ``key``, good for ``lease_s`` seconds at a time; ``replicas`` is for a bucket that has to be made."""

    def __init__(self, stored: JetStreamContext, key: str, lease_s: float, replicas: int) -> None:
        self._stored, self._key, self._lease_s, self._replicas = stored, key, lease_s, replicas
        self._me = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._bucket: KeyValue | None = None
        self._revision = 0
        self._until = 0.0
        self._renewing: asyncio.Task[None] | None = None

    @property
    def held(self) -> bool:
        """Return whether it is ours, for sure."""
        return self._revision > 0 and monotonic() < self._until

    def check(self) -> None:
        """Raise `DeviceError` unless it is ours."""
        if not self.held:
            raise DeviceError(f"the lease of {self._key} is lost: the broker was away for long, or this process stood")

    async def acquire(self, standby_s: float = 0.0) -> None:
        """Return when it is ours; one that is free is left to others for ``standby_s`` seconds."""
        seen, since, told = -1, 0.0, False
        while True:
            began = monotonic()
            try:
                holder, revision, lease_s = await self._read()
                if revision != seen:
                    seen, since = revision, monotonic()
                left_s = 0.0 if holder == self._me else standby_s + lease_s * bool(holder)
                if monotonic() - since >= left_s and await self._write(revision, began):
                    self._renewing = asyncio.get_running_loop().create_task(self._renew())
                    return
                if holder and not told:
                    log.info("%s is held by %s: waiting for it", self._key, holder)
                    told = True
            except trouble() as error:
                log.debug("lease %s: %s", self._key, why(error))
            await asyncio.sleep(self._lease_s / RENEWALS)

    async def release(self) -> None:
        """Give it back, if it is ours and the broker hears it."""
        if self._renewing is not None:
            await cancelled(self._renewing)
        if self.held and self._bucket is not None:
            with suppress(*trouble()):
                await self._bucket.delete(self._key, last=self._revision)
        self._revision = 0

    async def _renew(self) -> None:
        """Renew it for as long as it is ours."""
        while self.held:
            await asyncio.sleep(self._lease_s / RENEWALS)
            try:
                began = monotonic()
                if not await self._write(self._revision, began):
                    holder, revision, _ = await self._read()  # an answer may have been lost, and not what it was about
                    if holder != self._me or not await self._write(revision, began):
                        self._revision = 0
            except trouble() as error:
                log.debug("lease %s: %s", self._key, why(error))

    async def _read(self) -> tuple[str, int, float]:
        """Return who holds it, "" for nobody, the revision to be replaced, and for how long it is good, s."""
        from nats.js.errors import KeyDeletedError, KeyNotFoundError, NotFoundError

        if self._bucket is None:
            from nats.js.api import KeyValueConfig

            try:
                self._bucket = await self._stored.key_value(BUCKET)
            except NotFoundError:
                made = KeyValueConfig(bucket=BUCKET, history=1, replicas=self._replicas)
                self._bucket = await self._stored.create_key_value(made)
        try:
            entry = await self._bucket.get(self._key)
        except KeyDeletedError as error:
            return "", error.entry.revision or 0, 0.0
        except KeyNotFoundError as error:
            return "", (error.entry.revision or 0) if error.entry is not None else 0, 0.0
        try:
            told = json.loads(entry.value or b"")
            return str(told["holder"]), entry.revision or 0, min(3_600.0, float(told["lease_s"]))
        except (ValueError, TypeError, KeyError):  # nobody's
            return "", entry.revision or 0, 0.0

    async def _write(self, revision: int, began: float) -> bool:
        """Return whether it is ours now: that nobody has written since ``revision``."""
        from nats.js.errors import KeyWrongLastSequenceError

        assert self._bucket is not None, "it was read before"
        value = json.dumps({"holder": self._me, "lease_s": self._lease_s}).encode()
        try:
            self._revision = await self._bucket.update(self._key, value, last=revision)
        except KeyWrongLastSequenceError:
            return False
        self._until = began + SAFE * self._lease_s
        return True
