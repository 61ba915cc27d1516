"""SQLAlchemy sessions and connections, sync and async: jobs commit, or roll back, with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text as statement

from howdah.call import Row
from howdah.drivers import Driver


def _run(connection: Any, text: str, values: Sequence[Any]) -> Sequence[Row]:
    rows: Sequence[Row] = connection.execute(statement(text), _named(values)).all()
    return rows


async def _arun(connection: Any, text: str, values: Sequence[Any]) -> Sequence[Row]:
    rows: Sequence[Row] = (await connection.execute(statement(text), _named(values))).all()
    return rows


def _named(values: Sequence[Any]) -> dict[str, Any]:
    return {f"v{n}": value for n, value in enumerate(values, 1)}


SYNC = Driver(is_async=False, run=_run, placeholder=lambda n: f":v{n}")
ASYNC = Driver(is_async=True, run=_arun, placeholder=lambda n: f":v{n}")
