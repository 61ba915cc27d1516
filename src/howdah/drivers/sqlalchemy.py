"""SQLAlchemy sessions and connections, sync and async: jobs commit, or roll back, with them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection
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


def _bare(connection: Any) -> Connection:
    """The Connection, also of a session."""
    return connection if isinstance(connection, Connection) else connection.connection()


def _script(connection: Any, text: str) -> None:
    """On the driver's own connection: SQLAlchemy would take it for one statement, with values."""
    bare = _bare(connection)
    bare.execute(statement("select 1"))  # the transaction begins, if none has begun
    below: Any = bare.connection.dbapi_connection
    if hasattr(below, "run_async"):  # inside run_sync of an AsyncConnection
        below.run_async(lambda driver: driver.execute(text))
    else:
        with below.cursor() as cursor:
            cursor.execute(text)


def _transaction(connection: Any) -> AbstractContextManager[Any]:
    bare = _bare(connection)
    return bare.begin_nested() if bare.in_transaction() else bare.begin()


SYNC = Driver(
    is_async=False,
    run=_run,
    placeholder=lambda n: f":v{n}",
    script=_script,
    transaction=_transaction,
)
ASYNC = Driver(is_async=True, run=_arun, placeholder=lambda n: f":v{n}")
