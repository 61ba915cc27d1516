"""Small adapters: run this statement with these values on somebody's connection, give rows.

A connection is recognised by the full name of its type, so no framework is imported before its
user has done so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from howdah.call import Row
from howdah.errors import BadInput


class SyncRun(Protocol):
    """Runs a rendered statement and returns its rows."""

    def __call__(self, connection: Any, text: str, values: Sequence[Any], /) -> Sequence[Row]:
        """The rows."""
        ...


class AsyncRun(Protocol):
    """Runs a rendered statement; awaited, it gives the rows."""

    def __call__(
        self, connection: Any, text: str, values: Sequence[Any], /
    ) -> Awaitable[Sequence[Row]]:
        """The rows, awaited."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """How to run statements on one kind of connection.

    Attributes:
        is_async: whether `run` must be awaited.
        run: runs the statement.
        placeholder: how the driver writes the n-th value; None for PostgreSQL's own $n.
        script: runs several statements without values; None where nobody asks for that.
        transaction: a context manager: a transaction, or a savepoint in the one that is open.
    """

    is_async: bool
    run: SyncRun | AsyncRun
    placeholder: Callable[[int], str] | None = None
    script: Callable[[Any, str], None] | None = None
    transaction: Callable[[Any], AbstractContextManager[Any]] | None = None


_WHERE = {
    "asyncpg.connection.Connection": "asyncpg:DRIVER",
    "asyncpg.pool.PoolConnectionProxy": "asyncpg:DRIVER",
    "psycopg.Connection": "psycopg:SYNC",
    "psycopg.connection.Connection": "psycopg:SYNC",
    "psycopg.AsyncConnection": "psycopg:ASYNC",
    "psycopg.connection_async.AsyncConnection": "psycopg:ASYNC",
    "psycopg2.extensions.connection": "psycopg2:DRIVER",
    "sqlalchemy.orm.session.Session": "sqlalchemy:SYNC",
    "sqlalchemy.orm.scoping.scoped_session": "sqlalchemy:SYNC",
    "sqlalchemy.engine.base.Connection": "sqlalchemy:SYNC",
    "sqlalchemy.ext.asyncio.session.AsyncSession": "sqlalchemy:ASYNC",
    "sqlalchemy.ext.asyncio.scoping.async_scoped_session": "sqlalchemy:ASYNC",
    "sqlalchemy.ext.asyncio.engine.AsyncConnection": "sqlalchemy:ASYNC",
    "django.db.backends.base.base.BaseDatabaseWrapper": "django:DRIVER",
    "django.utils.connection.ConnectionProxy": "django:DRIVER",
}


def driver_of(connection: object) -> Driver:
    """The driver for a connection, by its type; BadInput for a type that is not known."""
    for kind in type(connection).__mro__:
        where = _WHERE.get(f"{kind.__module__}.{kind.__qualname__}")
        if where is not None:
            module, name = where.split(":")
            driver: Driver = getattr(import_module(f"howdah.drivers.{module}"), name)
            return driver
    raise BadInput(
        f"cannot enqueue on a {type(connection).__module__}.{type(connection).__qualname__}",
        hint="Give a connection of asyncpg, psycopg, psycopg2 or Django, or a connection or "
        "session of SQLAlchemy.",
    )
