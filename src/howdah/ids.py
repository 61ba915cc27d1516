"""Version 7 UUIDs (RFC 9562) made by the client: 48 bits of milliseconds, then random bits."""

from __future__ import annotations

import os
import time
from uuid import UUID

from asyncpg.pgproto import pgproto

_VERSION = bytes(n & 0x0F | 0x70 for n in range(256))
_VARIANT = bytes(n & 0x3F | 0x80 for n in range(256))


def new_ids(count: int) -> list[UUID]:
    """So many new ids of this moment, in ascending order, so that they go into the index together.

    The random bits are sorted: by themselves they are in no order, and any order of them is as
    random as another.
    """
    head = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    noise = bytearray(os.urandom(10 * count))
    noise[0::10] = noise[0::10].translate(_VERSION)
    noise[2::10] = noise[2::10].translate(_VARIANT)
    tails = bytes(noise)
    parts = sorted([tails[n : n + 10] for n in range(0, 10 * count, 10)])
    make = pgproto.UUID  # a uuid.UUID made in C, in a tenth of the time
    return [make(head + part) for part in parts]


def new_id() -> UUID:
    """A new id of this moment."""
    return new_ids(1)[0]
