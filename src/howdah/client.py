"""Clients run Calls on connections of their own: AsyncClient on a loop, Client without."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import CancelledError, Future
from typing import Any, Self, TypeVar

import asyncpg

from howdah.call import Call
from howdah.connect import check_version, database_url, open_connection
from howdah.doors import AsyncDoor as AsyncDoor
from howdah.doors import SyncDoor as SyncDoor
from howdah.doors import on as on
from howdah.errors import NoDatabase, ReadOnly
from howdah.loops import PerLoop
from howdah.pool import GOODBYE_WITHIN, Pool
from howdah.refusals import instead_of, is_connection_loss
from howdah.settings import Settings, load

T = TypeVar("T")
ANSWER_WITHIN = 20.0  # seconds: no caller waits longer for one call
GIVE_UP_AFTER = 3 * ANSWER_WITHIN  # longer than opening and one call take: the thread is stuck
UNKNOWN = "Try again. Whether a call that was under way has been taken is not known."


def _settings(given: Settings | str | None) -> Settings:
    if isinstance(given, Settings):
        return given
    return load({"database_url": given}).settings


class AsyncClient:
    """Runs Calls on a pool of its own, which it opens at the first use, or `async with`.

    It takes settings or, like an App, the database's URL; with neither it looks for both.

    The pool belongs to the event loop that opened it; each other loop gets one of its own.
    """

    def __init__(self, settings: Settings | str | None = None, *, size: int = 10) -> None:
        self.settings = _settings(settings)
        self._size = size
        self._pools = PerLoop(lambda: Pool(self._new_pool, answer_within=ANSWER_WITHIN))

    async def __aenter__(self) -> Self:
        await self._pools.here().opened()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def run(self, call: Call[T]) -> T:
        """Run a call on a connection of the pool; raises our errors for what the store refuses."""
        pool = self._pools.here()
        try:
            rows = await pool.fetch(call.render(self.settings.schema), call.values)
        except (OSError, asyncpg.PostgresError, *_CLIENT_ERRORS) as error:
            ours = _lost(error) or instead_of(error)
            if isinstance(error if ours is None else ours, ReadOnly):
                await pool.move_on()
            if ours is None:
                raise
            raise ours from error
        return call.read(rows)

    async def close(self) -> None:
        """Close this loop's pool, the next use opens it again; others close with their loops."""
        await self._pools.here().close()

    async def _new_pool(self) -> Any:
        database_url(self.settings)

        async def connect(*_: object, **__: object) -> Any:
            return await open_connection(
                self.settings, name="howdah client", answer_within=ANSWER_WITHIN
            )

        # None is kept for later: the pool would try to have it by itself, and log its failures.
        pool = await asyncpg.create_pool(
            connect=connect, min_size=0, max_size=self._size, reset=_no_reset
        )
        try:
            async with pool.acquire() as connection:
                await check_version(connection, self.settings.schema)
        except BaseException:
            pool.terminate()
            raise
        return pool


async def _no_reset(_: Any) -> None:
    """Nobody else touches these connections, so there is nothing to undo between two uses."""


class Client:
    """Runs Calls where there is no event loop: on one in a thread, made at the first use."""

    def __init__(self, settings: Settings | str | None = None) -> None:
        self.settings = _settings(settings)
        self._portal: _Portal | None = None
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, call: Call[T]) -> T:
        """Run a call; raises our errors for what the store refuses."""
        while (begun := self._ready_portal().begin(call)) is None:
            pass  # it was closed just now, and another takes its place
        try:
            return _answer(begun)
        except CancelledError:
            raise NoDatabase("the client was closed meanwhile", hint=UNKNOWN) from None

    def close(self) -> None:
        """Close connection and thread; the next use makes them again. What other threads have under
        way gets a moment to end.
        """
        with self._guard:
            portal, self._portal = self._portal, None
        if portal is not None and portal.pid == os.getpid():
            portal.stop()

    def _ready_portal(self) -> _Portal:
        with self._guard:
            # After a fork there is a new one: threads stay behind.
            if self._portal is None or self._portal.pid != os.getpid():
                self._portal = _Portal(self.settings)
            return self._portal


def _answer(begun: Future[T]) -> T:
    """What the loop's thread gives; raises NoDatabase where that has stopped giving anything."""
    try:
        return begun.result(GIVE_UP_AFTER)
    except TimeoutError:
        if not begun.cancel():  # it has ended after all, or with this
            return begun.result()
        why = f"the client's own thread has not answered within {GIVE_UP_AFTER:g} s"
        raise NoDatabase(why, hint=UNKNOWN) from None


class _Portal:
    """An event loop in a daemon thread, and an AsyncClient on it."""

    def __init__(self, settings: Settings) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.client = AsyncClient(settings)
        self._thread = threading.Thread(
            target=self.loop.run_forever, name="howdah client", daemon=True
        )
        self._thread.start()
        self._guard = threading.Lock()
        self._ends = False

    def begin(self, call: Call[T]) -> Future[T] | None:
        """The call under way; None once this is to stop."""
        with self._guard:
            if self._ends:
                return None
            return asyncio.run_coroutine_threadsafe(self.client.run(call), self.loop)

    def stop(self) -> None:
        with self._guard:
            self._ends = True
        ending = asyncio.run_coroutine_threadsafe(self._end(), self.loop)
        ending.add_done_callback(lambda _: self.loop.call_soon_threadsafe(self.loop.stop))
        self._thread.join(ANSWER_WITHIN)
        if not self._thread.is_alive():  # else it is stuck, and ends so when it goes on
            self.loop.close()
        if ending.done():
            ending.result()

    async def _end(self) -> None:
        """Nobody may be left waiting for an answer of a loop that has stopped."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=GOODBYE_WITHIN)
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.client.close()


_CLIENT_ERRORS = (asyncpg.InterfaceError, asyncpg.InternalClientError)


def _lost(error: BaseException) -> NoDatabase | None:
    """For a connection that ended, or a deadline that passed, without a word of the server's."""
    if isinstance(error, TimeoutError):
        why = f"no answer within {ANSWER_WITHIN:g} s"
    elif isinstance(error, OSError | asyncpg.InternalClientError) or (
        isinstance(error, asyncpg.InterfaceError) and is_connection_loss(error)
    ):
        why = str(error) or type(error).__name__
    else:
        return None
    return NoDatabase(f"the connection was lost: {why}", hint=UNKNOWN)
