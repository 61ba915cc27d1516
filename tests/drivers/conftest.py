"""Each kind of connection that users have, as one shape: run a call on it, commit, roll back."""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
import django
import psycopg
import psycopg2
import pytest
from django.conf import settings as django_settings
from django.db import transaction
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

from howdah import on
from howdah.call import Call

T = TypeVar("T")


class Kind:
    """A connection of the caller's, with a transaction open as its own library opens it."""

    def __init__(
        self,
        connection: Any,
        *,
        commit: Callable[[], Any],
        rollback: Callable[[], Any],
        schema: str = "howdah",
    ) -> None:
        self.connection = connection
        self._commit, self._rollback = commit, rollback
        self.door = on(connection, schema=schema)

    async def run(self, call: Call[T]) -> T:
        return await settled(self.door.run(call))

    async def commit(self) -> None:
        await settled(self._commit())

    async def rollback(self) -> None:
        await settled(self._rollback())


async def settled(answer: Any) -> Any:
    """The answer of a door or a connection of either colour."""
    return await answer if inspect.isawaitable(answer) else answer


def sqlalchemy_url(dsn: str, driver: str) -> str:
    return dsn.replace("postgresql://", f"postgresql+{driver}://")


async def _asyncpg(dsn: str, stack: AsyncExitStack) -> Kind:
    connection = await asyncpg.connect(dsn)
    stack.push_async_callback(connection.close)
    transaction = connection.transaction()
    await transaction.start()
    return Kind(connection, commit=transaction.commit, rollback=transaction.rollback)


async def _asyncpg_pool(dsn: str, stack: AsyncExitStack) -> Kind:
    pool = await stack.enter_async_context(asyncpg.create_pool(dsn, min_size=1, max_size=1))
    connection = await stack.enter_async_context(pool.acquire())
    transaction = connection.transaction()
    await transaction.start()
    return Kind(connection, commit=transaction.commit, rollback=transaction.rollback)


async def _asyncpg_with_codecs(dsn: str, stack: AsyncExitStack) -> Kind:
    """As many projects set it up: JSON goes in and comes out as Python values."""
    import json

    kind = await _asyncpg(dsn, stack)
    for name in ("json", "jsonb"):
        await kind.connection.set_type_codec(
            name, encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
        )
    return kind


async def _psycopg(dsn: str, stack: AsyncExitStack) -> Kind:
    connection = psycopg.connect(dsn)
    stack.callback(connection.close)
    return Kind(connection, commit=connection.commit, rollback=connection.rollback)


async def _psycopg_dict_rows(dsn: str, stack: AsyncExitStack) -> Kind:
    connection = psycopg.connect(dsn, row_factory=psycopg.rows.dict_row)
    stack.callback(connection.close)
    return Kind(connection, commit=connection.commit, rollback=connection.rollback)


async def _psycopg_async(dsn: str, stack: AsyncExitStack) -> Kind:
    connection = await psycopg.AsyncConnection.connect(dsn)
    stack.push_async_callback(connection.close)
    return Kind(connection, commit=connection.commit, rollback=connection.rollback)


async def _psycopg2(dsn: str, stack: AsyncExitStack) -> Kind:
    connection = psycopg2.connect(dsn)
    stack.callback(connection.close)
    return Kind(connection, commit=connection.commit, rollback=connection.rollback)


async def _psycopg2_dict_rows(dsn: str, stack: AsyncExitStack) -> Kind:
    from psycopg2.extras import RealDictConnection

    connection = psycopg2.connect(dsn, connection_factory=RealDictConnection)
    stack.callback(connection.close)
    return Kind(connection, commit=connection.commit, rollback=connection.rollback)


def _sync(
    driver: str, make: Callable[[Any], Any]
) -> Callable[[str, AsyncExitStack], Awaitable[Kind]]:
    async def made(dsn: str, stack: AsyncExitStack) -> Kind:
        engine = create_engine(sqlalchemy_url(dsn, driver), poolclass=NullPool)
        stack.callback(engine.dispose)
        connection = make(engine)
        stack.callback(connection.close)
        return Kind(connection, commit=connection.commit, rollback=connection.rollback)

    return made


def _async(
    driver: str, make: Callable[[Any], Any]
) -> Callable[[str, AsyncExitStack], Awaitable[Kind]]:
    async def made(dsn: str, stack: AsyncExitStack) -> Kind:
        engine = create_async_engine(sqlalchemy_url(dsn, driver), poolclass=NullPool)
        stack.push_async_callback(engine.dispose)
        connection = await settled(make(engine))
        stack.push_async_callback(connection.close)
        return Kind(connection, commit=connection.commit, rollback=connection.rollback)

    return made


async def _connected(engine: Any) -> Any:
    return await engine.connect()


async def _django(dsn: str, stack: AsyncExitStack) -> Kind:
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"  # the test's loop is not Django's
    stack.callback(os.environ.pop, "DJANGO_ALLOW_ASYNC_UNSAFE", None)
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    if not django_settings.configured:
        django_settings.configure(
            DATABASES={
                "default": {
                    "ENGINE": "django.db.backends.postgresql",
                    "NAME": unquote(parts.path[1:]),
                    "USER": parts.username,
                    "HOST": query["host"][0],
                    "PORT": query["port"][0],
                }
            },
            USE_TZ=True,
        )
        django.setup()
    from django.db import connection

    stack.callback(connection.close)
    atomic = transaction.atomic()
    atomic.__enter__()

    def commit() -> None:
        atomic.__exit__(None, None, None)

    def rollback() -> None:
        atomic.__exit__(RuntimeError, RuntimeError(), None)

    return Kind(connection, commit=commit, rollback=rollback)


async def _django_wrapper(dsn: str, stack: AsyncExitStack) -> Kind:
    """What `connections["default"]` gives."""
    kind = await _django(dsn, stack)
    from django.db import connections

    kind.connection = connections["default"]
    kind.door = on(kind.connection, schema="howdah")
    return kind


KINDS: dict[str, Callable[[str, AsyncExitStack], Awaitable[Kind]]] = {
    "asyncpg": _asyncpg,
    "asyncpg pool": _asyncpg_pool,
    "asyncpg with JSON codecs": _asyncpg_with_codecs,
    "psycopg": _psycopg,
    "psycopg with dict rows": _psycopg_dict_rows,
    "psycopg async": _psycopg_async,
    "psycopg2": _psycopg2,
    "psycopg2 with dict rows": _psycopg2_dict_rows,
    "Session psycopg": _sync("psycopg", Session),
    "Session psycopg2": _sync("psycopg2", Session),
    "scoped_session psycopg": _sync("psycopg", lambda e: scoped_session(sessionmaker(e))),
    "scoped_session psycopg2": _sync("psycopg2", lambda e: scoped_session(sessionmaker(e))),
    "Connection psycopg": _sync("psycopg", lambda e: e.connect()),
    "Connection psycopg2": _sync("psycopg2", lambda e: e.connect()),
    "AsyncSession asyncpg": _async("asyncpg", AsyncSession),
    "AsyncSession psycopg": _async("psycopg", AsyncSession),
    "async_scoped_session asyncpg": _async(
        "asyncpg", lambda e: async_scoped_session(lambda: AsyncSession(e), scopefunc=lambda: 1)
    ),
    "AsyncConnection asyncpg": _async("asyncpg", _connected),
    "AsyncConnection psycopg": _async("psycopg", _connected),
    "Django connection": _django,
    "Django connections[…]": _django_wrapper,
}


@pytest.fixture(params=KINDS)
async def kind(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[Kind]:
    """A connection of each kind, inside a transaction."""
    async with AsyncExitStack() as stack:
        yield await KINDS[request.param](dsn, stack)
