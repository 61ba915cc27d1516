"""Version 7 UUIDs (RFC 9562) made by the client: 48 bits of milliseconds, then random bits."""

from __future__ import annotations

import os
import time
from uuid import UUID

_VARIANT = 0x2 << 62
_VERSION = 0x7 << 76


def new_ids(count: int) -> list[UUID]:
    """So many new ids of this moment."""
    head = (time.time_ns() // 1_000_000) << 80
    noise = os.urandom(10 * count)
    return [
        UUID(int=head | _VERSION | (bits >> 4 << 64 & 0xFFF << 64) | _VARIANT | bits >> 18)
        for bits in (int.from_bytes(noise[n : n + 10], "big") for n in range(0, 10 * count, 10))
    ]


def new_id() -> UUID:
    """A new id of this moment."""
    return new_ids(1)[0]
