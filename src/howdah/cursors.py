"""What can be asked about serial keys: their cursors, which each job hands on to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from howdah.call import Call, first_of, function, one_int, rows_of, scalar


class Cursor(msgspec.Struct, frozen=True):
    """A serial key as it stands. `cursor` is JSON text; `version` counts its changes.

    `holder` is the job whose turn it is; `waiting` counts those behind it, up to 1,000.
    """

    key: str
    cursor: str
    version: int
    updated_at: datetime | None
    updated_by: UUID | None
    holder: UUID | None
    waiting: int


COLUMNS = "key, cursor::text, version, updated_at, updated_by, holder, waiting"


def get(key: str) -> Call[Cursor | None]:
    """One serial key; None if no job of it ever ran."""
    text = f"select {COLUMNS} from {{schema}}.cursors where key = $1"
    return Call(text, (key,), first_of(Cursor))


def list(n: int = 1000) -> Call[Sequence[Cursor]]:  # noqa: A001 - cursors.list reads as it should
    """Serial keys, by name, at most so many."""
    return Call(
        f"select {COLUMNS} from {{schema}}.cursors order by key limit cast($1 as int)",
        (n,),
        rows_of(Cursor),
    )


def value(key: str) -> Call[str]:
    """A key's cursor as JSON text; `{}` for a key that has none yet."""
    return function("cursor", "cursor::text", scalar, key=("text", key))


def put(key: str, cursor: Mapping[str, Any], *, expected_version: int | None = None) -> Call[int]:
    """Set a cursor by hand; gives the new version. Raises Conflict if it is another than expected.

    A job that runs now has the old one, and replaces this if it succeeds with one of its own.
    """
    return function(
        "set_cursor",
        "set_cursor",
        one_int,
        key=("text", key),
        cursor=("jsonb", msgspec.json.encode(cursor).decode()),
        expected_version=("bigint", expected_version),
    )
