"""psycopg's connections, for plain functions and for coroutine functions; kept while idle."""

from __future__ import annotations

from collections import deque
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row

from howdah.connect import database_url
from howdah.settings import Settings, plain_url
from howdah.worker.connections import (
    RESET,
    AwaitedTransaction,
    Kind,
    PlainTransaction,
    Transaction,
)

# A server that is cut off must not hold a thread for ever, and no client can time out a commit.
PATIENCE = {"connect_timeout": 10, "tcp_user_timeout": 30_000}


def how_to_connect(settings: Settings, name: str) -> dict[str, Any]:
    """What psycopg's connect takes, by the settings."""
    said = conninfo_to_dict(plain_url(database_url(settings)))
    prepare = {} if settings.prepare else {"prepare_threshold": None}
    return {**PATIENCE, **said, **prepare, "application_name": name}


class _Psycopg(Kind):
    def __init__(self, settings: Settings, size: int) -> None:
        super().__init__(settings, size)
        self._idle: deque[Any] = deque()

    def _used(self) -> Any:
        """One that is idle; None when there is none."""
        try:
            return self._idle.pop()
        except IndexError:
            return None


class Plain(_Psycopg):
    """For plain functions."""

    async def open(self) -> Transaction:
        """The one that was used last, or a new one."""
        connection = self._used()
        if connection is None:
            connection = psycopg.connect(**how_to_connect(self.settings, self.name))
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return _Plain(self._idle, connection, self.settings.schema)

    async def close(self) -> None:
        """Close those that are idle."""
        while (connection := self._used()) is not None:
            connection.close()


class Awaited(_Psycopg):
    """For coroutine functions."""

    async def open(self) -> Transaction:
        """The one that was used last, or a new one."""
        connection = self._used()
        if connection is None:
            how = how_to_connect(self.settings, self.name)
            connection = await psycopg.AsyncConnection.connect(**how)
            await connection.set_isolation_level(psycopg.IsolationLevel.READ_COMMITTED)
        return _Awaited(self._idle, connection, self.settings.schema)

    async def close(self) -> None:
        """Close those that are idle."""
        while (connection := self._used()) is not None:
            await connection.close()


class _Of(Transaction):
    def __init__(self, idle: deque[Any], connection: Any, schema: str) -> None:
        super().__init__(connection, schema)
        self._idle = idle

    @property
    def is_lost(self) -> bool:
        return bool(self.connection.closed)


class _Plain(_Of, PlainTransaction):
    async def give_back(self) -> None:
        _as_new(self.connection, psycopg.Cursor)
        self.connection.autocommit = True
        self.connection.execute(RESET)
        self.connection.autocommit = False
        self._idle.append(self.connection)

    async def drop(self) -> None:
        self.connection.close()


class _Awaited(_Of, AwaitedTransaction):
    async def give_back(self) -> None:
        _as_new(self.connection, psycopg.AsyncCursor)
        await self.connection.set_autocommit(True)
        await self.connection.execute(RESET)
        await self.connection.set_autocommit(False)
        self._idle.append(self.connection)

    async def drop(self) -> None:
        await self.connection.close()


def _as_new(connection: Any, cursor: type) -> None:
    """Rows and cursors are as usual, whatever a job wanted."""
    connection.row_factory, connection.cursor_factory = tuple_row, cursor
