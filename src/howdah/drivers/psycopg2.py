"""psycopg2, which knows no UUIDs of its own accord."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg2.extensions import cursor as plain_cursor

from howdah.call import Row
from howdah.drivers import Driver
from howdah.drivers.plain import plain


def _run(connection: Any, text: str, values: Sequence[Any]) -> Sequence[Row]:
    with connection.cursor(cursor_factory=plain_cursor) as cursor:
        cursor.execute(text, plain(values))
        rows: Sequence[Row] = cursor.fetchall()
        return rows


DRIVER = Driver(is_async=False, run=_run, placeholder=lambda _: "%s")
