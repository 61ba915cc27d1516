"""asyncpg's connections, from a pool of its own: a proxy, so that none is used after the job."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg

from howdah.call import Call
from howdah.connect import open_connection
from howdah.settings import Settings
from howdah.worker.connections import Kind, Transaction

T = TypeVar("T")


class Lent(asyncpg.Connection):  # type: ignore[misc]
    """A connection that goes from job to job.

    Attributes:
        has_codecs: whether a job has changed how values come and go: that cannot be undone.
    """

    has_codecs = False

    def get_reset_query(self) -> str:
        """As asyncpg has it, and without what else is left in the session."""
        return f"{super().get_reset_query()}\ndiscard temp;"

    async def set_type_codec(self, *args: Any, **options: Any) -> None:
        """Note it."""
        self.has_codecs = True
        await super().set_type_codec(*args, **options)

    async def set_builtin_type_codec(self, *args: Any, **options: Any) -> None:
        """Note it."""
        self.has_codecs = True
        await super().set_builtin_type_codec(*args, **options)


class Awaited(Kind):
    """For coroutine functions."""

    def __init__(self, settings: Settings, size: int) -> None:
        super().__init__(settings, size)
        self._pool: Any = None
        self._opening = asyncio.Lock()

    async def open(self) -> Transaction:
        """From the pool, which the first asks for."""
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    min_size=0, max_size=self.size, connect=self._connect
                )
        return _Transaction(self._pool, await self._pool.acquire(), self.settings.schema)

    async def close(self) -> None:
        """Politely, if that is possible."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), 2)
            except (Exception, asyncio.CancelledError):
                pool.terminate()

    async def _connect(self, *_: Any, **__: Any) -> Any:
        return await open_connection(self.settings, name=self.name, answer_within=None, kind=Lent)


class _Transaction(Transaction):
    def __init__(self, pool: Any, connection: Any, schema: str) -> None:
        super().__init__(connection, schema)
        self._pool = pool

    @property
    def is_lost(self) -> bool:
        try:
            return bool(self.connection.is_closed())
        except asyncpg.InterfaceError:  # the pool took it back because it was closed
            return True

    async def begin(self) -> None:
        self._transaction = self.connection.transaction(isolation="read_committed")
        await self._transaction.start()

    async def run(self, call: Call[T]) -> T:
        result: T = await self.door.run(call)
        return result

    async def commit(self) -> None:
        await self._transaction.commit()

    async def rollback(self) -> None:
        await self._transaction.rollback()

    async def give_back(self) -> None:
        if self.connection.has_codecs:
            await self.connection.close(timeout=5)  # and the pool has room for another
        await self._pool.release(self.connection)  # which resets it

    async def drop(self) -> None:
        with suppress(asyncpg.InterfaceError):  # gone already
            self.connection.terminate()  # the pool opens another when it needs one
