"""Bodies as they arrive: unpacked bit by bit, and never more of them than may be kept."""

from __future__ import annotations

import zlib
from typing import Any

from howdah.errors import HowdahError

SLICE = 262_144  # bytes that are unpacked at once
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})


class BodyTooLarge(HowdahError):
    """More than the job wants to have."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"body too large: more than {limit} bytes", hint="Ask for more with max_response."
        )


class Broken(HowdahError):
    """What came cannot be unpacked."""


class Body:
    """Collects a body. `feed` what arrives; raises BodyTooLarge as soon as it is."""

    def __init__(self, limit: int, encoding: str) -> None:
        self._limit, self._encoding = limit, encoding.strip().lower()
        self._kept = bytearray()
        self._unpack: Any = None
        self._has_more = False
        if self._encoding in _PACKED:
            self._unpack = zlib.decompressobj(47)  # of gzip, or of zlib
            self._is_fresh, self._head = True, b""

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        if self._unpack is None:
            self._keep(data)
            return
        self._has_more = bool(data)
        while data or self._has_more:
            data = self._fed(data)

    def done(self) -> bytes:
        """The whole body; raises Broken where the packed stream was cut off."""
        if self._unpack is not None and self._head and not self._unpack.eof:
            raise Broken(f"the {self._encoding} body ends too early")
        return bytes(self._kept)

    def _fed(self, data: bytes) -> bytes:
        room = min(SLICE, self._limit - len(self._kept) + 1)  # one more tells that there is more
        try:
            unpacked = self._unpack.decompress(data, room)
        except zlib.error as error:
            if not self._is_fresh or self._encoding != "deflate":
                raise Broken(f"the body is no {self._encoding}: {error}") from error
            self._unpack = zlib.decompressobj(-15)  # deflate without the wrapping, as some send it
            whole = self._head + data
            self._is_fresh, self._head = False, whole[:2]
            return whole
        self._keep(unpacked)
        if self._is_fresh:
            self._head += data[:2]
            self._is_fresh = len(self._head) < 2  # so many tell how it is wrapped
        # All may have been taken in, and not all of it given out.
        self._has_more = len(unpacked) == room and not self._unpack.eof
        rest: bytes = self._unpack.unused_data.lstrip(b"\x00")
        if self._unpack.eof and rest:  # gzip members may follow each other
            self._unpack = zlib.decompressobj(47)
            return rest
        tail: bytes = self._unpack.unconsumed_tail
        return tail

    def _keep(self, data: bytes) -> None:
        if len(self._kept) + len(data) > self._limit:
            self._kept.clear()
            raise BodyTooLarge(self._limit)
        self._kept += data
