"""psycopg 3, sync and async, in whatever transaction the connection is in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncCursor, Cursor
from psycopg.rows import tuple_row

from howdah import commits
from howdah.call import Row
from howdah.drivers import Driver


def _run(connection: Any, text: str, values: Sequence[Any]) -> Sequence[Row]:
    # A cursor of our own, whatever those of the connection are like.
    with commits.watched(connection), Cursor(connection, row_factory=tuple_row) as cursor:
        rows: Sequence[Row] = cursor.execute(text, values).fetchall()
        return rows


async def _arun(connection: Any, text: str, values: Sequence[Any]) -> Sequence[Row]:
    with commits.watched(connection):
        async with AsyncCursor(connection, row_factory=tuple_row) as cursor:
            await cursor.execute(text, values)
            rows: Sequence[Row] = await cursor.fetchall()
            return rows


SYNC = Driver(is_async=False, run=_run, placeholder=lambda _: "%s")
ASYNC = Driver(is_async=True, run=_arun, placeholder=lambda _: "%s")
