"""Bytes come in any pieces and go out in exact lengths; only what spans two pieces is copied."""

from __future__ import annotations


class Inlet:
    """A queue of at most one piece and the beginning that an earlier piece left of what is being waited for."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        """Of the next byte to go out, from the start of the file."""
        self._kept = bytearray()
        self._piece = memoryview(b"")
        self._at = 0

    def __len__(self) -> int:
        return len(self._kept) + len(self._piece) - self._at

    @property
    def begun(self) -> bool:
        """Return whether an earlier piece left the beginning of what is being waited for."""
        return bool(self._kept)

    @property
    def rest(self) -> memoryview:
        """Return what is left of the piece, nothing where an earlier one left the beginning."""
        return self._piece[len(self._piece) if self._kept else self._at :]

    def add(self, piece: memoryview) -> None:
        """Take the next piece; what is left of the one before must have been asked for."""
        self._piece, self._at = memoryview(piece).cast("B"), 0

    def take(self, size: int) -> memoryview | None:
        """Return the next ``size`` bytes, None while they are not all there: then ask again for the same number."""
        end = self._at + size - len(self._kept)
        taken, self._at = self._piece[self._at : end], min(end, len(self._piece))
        if self._kept or len(taken) < size:
            self._kept += taken
            if len(self._kept) < size:
                return None
            taken, self._kept = memoryview(self._kept), bytearray()
        self.offset += size
        return taken

    def skip(self, size: int) -> int:
        """Drop up to ``size`` bytes and return how many are still to be dropped."""
        dropped = min(size, len(self._piece) - self._at)
        self._at += dropped
        self.offset += dropped
        return size - dropped
