"""SQLAlchemy's Connection and AsyncConnection, from an engine with a pool of its own."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import uuid4

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from howdah.connect import open_connection
from howdah.settings import Settings
from howdah.worker.connections import (
    RESET,
    AwaitedTransaction,
    Kind,
    PlainTransaction,
    Transaction,
)
from howdah.worker.connections.asyncpg import Lent
from howdah.worker.connections.psycopg import how_to_connect


class Plain(Kind):
    """For plain functions: psycopg below."""

    def __init__(self, settings: Settings, size: int) -> None:
        super().__init__(settings, size)
        self._engine = create_engine(
            "postgresql+psycopg://", creator=self._connect, **_engine_options(size)
        )

    async def open(self) -> Transaction:
        """From the engine's pool."""
        return _Plain(self._engine.connect(), self.settings.schema)

    async def close(self) -> None:
        """Close those that are idle."""
        self._engine.dispose()

    def _connect(self) -> Any:
        return psycopg.connect(**how_to_connect(self.settings, self.name))


class Awaited(Kind):
    """For coroutine functions: asyncpg below."""

    def __init__(self, settings: Settings, size: int) -> None:
        super().__init__(settings, size)
        said: dict[str, Any] = {"async_creator_fn": self._connect}
        if not settings.prepare:  # SQLAlchemy prepares all the same: then under names of their own
            said["prepared_statement_cache_size"] = 0
            said["prepared_statement_name_func"] = lambda: f"__howdah_{uuid4()}__"
        self._engine = create_async_engine(
            "postgresql+asyncpg://", connect_args=said, **_engine_options(size)
        )

    async def open(self) -> Transaction:
        """From the engine's pool."""
        return _Awaited(await self._engine.connect(), self.settings.schema)

    async def close(self) -> None:
        """Close those that are idle."""
        await self._engine.dispose()

    async def _connect(self, *_: Any, **__: Any) -> Any:
        return await open_connection(self.settings, name=self.name, answer_within=None, kind=Lent)


def _engine_options(size: int) -> dict[str, Any]:
    return {"pool_size": size, "max_overflow": 0, "isolation_level": "READ COMMITTED"}


class _Of(Transaction):
    @property
    def is_lost(self) -> bool:
        return bool(self.connection.invalidated)


class _Plain(_Of, PlainTransaction):
    async def give_back(self) -> None:
        driver = self.connection.connection.driver_connection
        self.connection.rollback()
        driver.autocommit = True
        driver.execute(RESET)
        driver.autocommit = False
        self.connection.close()

    async def drop(self) -> None:
        with suppress(Exception):
            self.connection.invalidate()
        with suppress(Exception):
            self.connection.close()


class _Awaited(_Of, AwaitedTransaction):
    async def give_back(self) -> None:
        driver: Any = (await self.connection.get_raw_connection()).driver_connection
        await self.connection.rollback()
        await driver.reset()
        await self.connection.close()

    async def drop(self) -> None:
        with suppress(Exception):
            await self.connection.invalidate()
        with suppress(Exception):
            await self.connection.close()
