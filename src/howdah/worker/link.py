"""One connection of the worker's, opened again after any loss; and the patience to wait for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg

from howdah import commits
from howdah.call import Call
from howdah.connect import check_version, closed, open_connection
from howdah.errors import CommitUncertain, DatabaseError, HowdahError, WorkerUnknown
from howdah.events import DatabaseBack, DatabaseLost, Events
from howdah.refusals import is_connection_loss, is_read_only, translated
from howdah.settings import Settings

T = TypeVar("T")
LONGEST_WAIT = 2.0  # seconds between two tries to reach the database
CONNECT_WITHIN = 5.0
ANSWER_WITHIN = 8.0  # with the above and a wait: after a dead path is back, going on in 15 s


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

    async def run(self, call: Call[T], *, timeout: float = ANSWER_WITHIN) -> T:
        """Run a call; raises our errors, or the driver's when the connection was lost.

        After CommitUncertain, too, the connection is opened anew, so that `on_open` puts right
        what a lost answer leaves behind.
        """
        async with self._turn:
            await self._ready()
            return await self._run(call, timeout)

    async def close(self, within: float = 2.0) -> None:
        """Close the connection, if there is one; politely, if that is possible in time."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await closed(connection, within)

    async def _ready(self) -> None:
        if self._connection is not None and not self._connection.is_closed():
            return
        connection = await open_connection(
            self._settings, name=self._name, timeout=CONNECT_WITHIN, answer_within=ANSWER_WITHIN
        )
        try:
            await check_version(connection, self._settings.schema, ANSWER_WITHIN)
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
        return await self._run(call, ANSWER_WITHIN)

    async def _run(self, call: Call[T], timeout: float) -> T:
        try:
            rows = await commits.fetch(
                self._connection, call.render(self._settings.schema), call.values, timeout=timeout
            )
        except CommitUncertain:
            await self.close()
            raise
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
    """Does something again until the database lets it; reports when it goes and when it is back.

    What `waits_for` denies is raised; `told` is called with each wait, after all others.
    """

    def __init__(
        self,
        loop: str,
        events: Events,
        longest: float = LONGEST_WAIT,
        *,
        waits_for: Callable[[BaseException], bool] = lambda _: True,
        told: Callable[[DatabaseLost], None] = lambda _: None,
    ) -> None:
        self._loop, self._events, self._longest = loop, events, longest
        self._waits_for, self._told = waits_for, told

    async def until_done(self, do: Callable[[], Awaitable[T]]) -> T:
        """The result of `do`, however long the database is away.

        Goes on after anything the database says, but for WorkerUnknown, which is the worker's to
        solve; a mistake of ours (TypeError and the like) is raised. What is only perhaps done
        (CommitUncertain, or no answer) is done again: the store knows what it has done.
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
        if not self._waits_for(error):
            raise error
        longest = self._longest
        if is_read_only(error):  # a failover takes its time, and all our loops run into it
            tries, longest = tries + 3, 1.5 * longest
        again_in = min(longest, 0.1 * 2 ** min(tries, 10)) * random.uniform(0.5, 1.0)
        lost = DatabaseLost(loop=self._loop, error=error, again_in=again_in)
        self._events.emit(lost)
        self._told(lost)
        await asyncio.sleep(again_in)
