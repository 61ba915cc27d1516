"""One connection of the worker's, opened again after any loss; and the patience to wait for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg

from howdah.call import Call
from howdah.connect import check_version, closed, open_connection
from howdah.errors import DatabaseError, HowdahError, WorkerUnknown
from howdah.events import DatabaseBack, DatabaseLost, Events
from howdah.refusals import is_connection_loss, translated
from howdah.settings import Settings

T = TypeVar("T")
LONGEST_WAIT = 2.0  # seconds between two tries to reach the database


class Link:
    """Runs calls one at a time on a connection of its own.

    `on_open` is awaited with each new connection before it is used.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        on_open: Callable[[Link], Awaitable[None]] | None = None,
    ) -> None:
        self._settings, self._name, self._on_open = settings, name, on_open
        self._connection: Any = None
        self._turn = asyncio.Lock()

    async def run(self, call: Call[T], *, timeout: float = 30.0) -> T:
        """Run a call; raises our errors, or the driver's when the connection was lost."""
        async with self._turn:
            await self._ready()
            return await self._run(call, timeout)

    async def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await closed(connection)

    async def _ready(self) -> None:
        if self._connection is not None and not self._connection.is_closed():
            return
        connection = await open_connection(self._settings, name=self._name)
        try:
            await check_version(connection, self._settings.schema)
        except BaseException:
            await closed(connection)
            raise
        self._connection = connection
        if self._on_open is not None:
            try:
                await self._on_open(self)
            except BaseException:  # or it would pass for opened at the next try
                await self.close()
                raise

    async def run_now(self, call: Call[T]) -> T:
        """For `on_open` only: run a call while the link is being opened."""
        return await self._run(call, 30.0)

    async def _run(self, call: Call[T], timeout: float) -> T:
        try:
            rows = await self._connection.fetch(
                call.render(self._settings.schema), *call.values, timeout=timeout
            )
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            if is_connection_loss(error):
                await self.close()
                raise
            raise translated(error) or error from error
        except asyncpg.InternalClientError as error:  # the server has said goodbye, not yet hung up
            await self.close()
            raise ConnectionResetError(str(error)) from error
        return call.read(rows)


class Patience:
    """Does something again until the database lets it; reports when it goes and when it is back."""

    def __init__(self, loop: str, events: Events, longest: float = LONGEST_WAIT) -> None:
        self._loop, self._events, self._longest = loop, events, longest

    async def until_done(self, do: Callable[[], Awaitable[T]]) -> T:
        """The result of `do`, however long the database is away.

        Goes on after anything the database says, but for WorkerUnknown, which is the worker's to
        solve; a mistake of ours (TypeError and the like) is raised.
        """
        tries = 0
        while True:
            try:
                result = await do()
            except WorkerUnknown:
                raise
            except (
                DatabaseError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,  # from a connection that is just being opened
                OSError,
            ) as error:
                await self._wait(tries, error)
                tries += 1
            except HowdahError as error:
                await self._wait(tries + 3, error)
                tries += 1
            else:
                if tries:
                    self._events.emit(DatabaseBack(loop=self._loop))
                return result

    async def _wait(self, tries: int, error: BaseException) -> None:
        again_in = min(self._longest, 0.1 * 2 ** min(tries, 10)) * random.uniform(0.5, 1.0)
        self._events.emit(DatabaseLost(loop=self._loop, error=error, again_in=again_in))
        await asyncio.sleep(again_in)
