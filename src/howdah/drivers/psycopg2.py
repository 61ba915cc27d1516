"""psycopg2, which knows no UUIDs of its own accord."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg2.extensions import cursor as plain_cursor
from psycopg2.extensions import new_array_type, new_type, register_type

from howdah.call import Row
from howdah.drivers import Driver
from howdah.drivers.plain import plain

_UUID = new_type((2950,), "UUID", lambda text, _: None if text is None else UUID(text))
_UUIDS = new_array_type((2951,), "UUID[]", _UUID)


def _run(connection: Any, text: str, values: Sequence[Any]) -> Sequence[Row]:
    with connection.cursor(cursor_factory=plain_cursor) as cursor:
        register_type(_UUID, cursor)  # for this cursor, not for the rest of the program
        register_type(_UUIDS, cursor)
        cursor.execute(text, plain(values))
        rows: Sequence[Row] = cursor.fetchall()
        return rows


DRIVER = Driver(is_async=False, run=_run, placeholder=lambda _: "%s")
