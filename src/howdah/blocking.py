"""Migrates on a connection of the caller's that blocks: Django's, or SQLAlchemy's."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from howdah import migrate
from howdah.call import Call, Row
from howdah.drivers import driver_of
from howdah.errors import BadInput

T = TypeVar("T")
# What a migration sets for its transaction; the caller's may go on after it.
_SET = ("search_path", "check_function_bodies", "client_min_messages", "lock_timeout")
_VERSION = "select cast(current_setting('server_version_num') as int) / 10000"


def upgrade(connection: Any, schema: str) -> list[str]:
    """Bring the schema to this version; gives the names of the migrations it applied."""
    return finished(migrate.migrate(Blocking(connection), schema))


def remove(connection: Any, schema: str) -> None:
    """Drop the schema with all jobs and their history."""
    finished(migrate.remove(Blocking(connection), schema))


def status(connection: Any, schema: str) -> migrate.Status:
    """What is installed under this schema name; reads only."""
    return finished(migrate.status(Blocking(connection), schema))


def finished(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits: all that it awaits has blocked instead."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise AssertionError("something waited for an event loop that is not there")


@dataclass(frozen=True, slots=True)
class _Server:
    major: int


class Blocking:
    """As much of asyncpg's connection as a migration asks for, on one that blocks."""

    def __init__(self, connection: Any) -> None:
        self._connection, self._driver = connection, driver_of(connection)
        if self._driver.is_async or self._driver.script is None:
            kind = type(connection)
            raise BadInput(
                f"cannot migrate on a {kind.__module__}.{kind.__qualname__}",
                hint="Give Django's connection, or SQLAlchemy's Connection (of an AsyncConnection: "
                "await connection.run_sync(…)).",
            )

    def get_server_version(self) -> _Server:
        """The server's major version."""
        return _Server(self._rows(_VERSION)[0][0])

    async def pause(self, length: float) -> None:
        """Wait, without a loop."""
        time.sleep(length)  # noqa: ASYNC251 - blocking is what it is for

    async def execute(self, text: str, *values: Any) -> None:
        """Run a statement, or without values a whole script."""
        if values:
            self._rows(text, *values)
        else:
            self._script(text)

    async def fetch(self, text: str, *values: Any) -> Sequence[Row]:
        """Rows."""
        return self._rows(text, *values)

    async def fetchval(self, text: str, *values: Any) -> Any:
        """The first column of the first row."""
        return self._rows(text, *values)[0][0]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """A transaction, or a savepoint in the caller's, which finds its settings as they were."""
        assert self._driver.transaction is not None
        within: AbstractContextManager[Any] = self._driver.transaction(self._connection)
        with within:
            before = self._rows(_asked("current_setting('{0}')"))[0]
            yield
            self._rows(_asked("set_config('{0}', ${1}, true)"), *before)

    def _rows(self, text: str, *values: Any) -> Sequence[Row]:
        rendered = Call(text, values, list).render("", self._driver.placeholder)
        rows: Any = self._driver.run(self._connection, rendered, values)
        found: Sequence[Row] = rows
        return found

    def _script(self, text: str) -> None:
        assert self._driver.script is not None
        self._driver.script(self._connection, text)


def _asked(each: str) -> str:
    """A statement that says so of every setting; ${1} becomes $1, $2 …"""
    named = (each.format(name, n) for n, name in enumerate(_SET, 1))
    return "select " + ", ".join(f"pg_catalog.{part}" for part in named)
