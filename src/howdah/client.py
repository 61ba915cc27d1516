"""Clients run Calls: AsyncClient on a loop, Client without, on(connection) in a transaction."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Sequence,
)
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from copy import copy
from typing import Any, Protocol, Self, TypeVar, overload
from uuid import UUID

import asyncpg

from howdah import commits, jobs
from howdah.call import Call
from howdah.connect import check_version, database_url, open_connection
from howdah.drivers import Driver, driver_of
from howdah.errors import HowdahError, NoDatabase, ReadOnly
from howdah.job import Job, Startable
from howdah.loops import PerLoop
from howdah.refusals import is_connection_loss, translated
from howdah.settings import Settings, default_schema, load
from howdah.stream import BATCH, Progress, stream, stream_sync

T = TypeVar("T")
ANSWER_WITHIN = 20.0  # seconds: no caller waits longer for one call
GIVE_UP_AFTER = 3 * ANSWER_WITHIN  # longer than opening and one call take: the thread is stuck
SPARE_FOR = 1.0  # seconds after its use for which a connection is kept out of the pool
GOODBYE_WITHIN = 2.0  # seconds for what is under way when a client is closed
MOVE_ON_EVERY = 0.5  # seconds: connections are not thrown away more often than that
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
        self._pools = PerLoop(lambda: _Pool(self._new_pool))

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
            ours = _lost(error) or _ours(error)
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


class _Pool:
    """One event loop's pool: the first who asks opens it, and all others wait for that.

    Whoever asks again and again is spared the way through the pool, a third of what a call costs
    here: one connection is kept at hand for a moment after its use, unless somebody waits for it.
    """

    def __init__(self, new_pool: Callable[[], Awaitable[Any]]) -> None:
        self._new_pool = new_pool
        self._opening = asyncio.Lock()
        self._refusals = 0
        self._refusal: Exception | None = None  # the last
        self._pool: Any = None
        self._keeper: AsyncGenerator[None, None] | None = None
        self._moved = -MOVE_ON_EVERY
        self._spare: Any = None
        self._used_at = 0.0  # when it was last put aside
        self._sweep: asyncio.TimerHandle | None = None
        self._putting_back: asyncio.Task[None] | None = None
        self._waiting = 0  # for a connection

    async def opened(self) -> Any:
        if self._pool is None:
            before = self._refusals
            async with self._opening:
                if self._pool is None:
                    if self._refusal is not None and self._refusals != before:
                        raise copy(self._refusal) from self._refusal.__cause__
                    await self._open()
        return self._pool

    async def _open(self) -> None:
        """Whoever waits meanwhile is refused with it, instead of trying all over again."""
        try:
            pool = await self._new_pool()
        except Exception as error:
            self._refusals, self._refusal = self._refusals + 1, error
            raise
        self._refusal = None
        self._keeper = self._open_until_the_loop_ends(pool)
        await anext(self._keeper)
        self._pool = pool

    async def fetch(self, text: str, values: Sequence[Any]) -> Any:
        """Rows, within ANSWER_WITHIN from now, a free connection included."""
        pool = await self.opened()
        until = time.monotonic() + ANSWER_WITHIN
        connection = await self._taken(pool)
        try:
            left = max(0.1, until - time.monotonic())
            rows = await commits.fetch(connection, text, values, timeout=left)
        except BaseException:
            await _put_back(pool, connection)
            raise
        if self._spare is not None or self._waiting or pool is not self._pool:
            await _put_back(pool, connection)
        else:
            self._spare, self._used_at = connection, time.monotonic()
            if self._sweep is None:
                self._sweep_in(SPARE_FOR, pool)
        return rows

    async def _taken(self, pool: Any) -> Any:
        connection, self._spare = self._spare, None
        if connection is not None:
            with suppress(asyncpg.InterfaceError):  # the pool has taken it back: it was cut
                if not connection.is_closed():
                    return connection
            await _put_back(pool, connection)
        self._waiting += 1
        try:
            return await pool.acquire(timeout=ANSWER_WITHIN)
        finally:
            self._waiting -= 1

    def _sweep_in(self, seconds: float, pool: Any) -> None:
        self._sweep = asyncio.get_running_loop().call_later(seconds, self._swept, pool)

    def _swept(self, pool: Any) -> None:
        """Put the spare connection back, if nobody has used it for a moment."""
        left = self._used_at + SPARE_FOR - time.monotonic()
        if left > 0:
            self._sweep_in(left, pool)
        else:
            self._sweep = None
            self._putting_back = asyncio.create_task(self._put_spare_back(pool))

    async def _put_spare_back(self, pool: Any) -> None:
        connection, self._spare = self._spare, None
        if connection is not None:
            await _put_back(pool, connection)

    async def move_on(self) -> None:
        """This server takes no writes: the next calls look for one that does, all over again."""
        now = time.monotonic()
        if self._pool is not None and now > self._moved + MOVE_ON_EVERY:
            self._moved = now
            await self._pool.expire_connections()
            await self._put_spare_back(self._pool)

    async def close(self) -> None:
        keeper, self._keeper, self._pool = self._keeper, None, None
        if keeper is not None:
            await keeper.aclose()

    async def _open_until_the_loop_ends(self, pool: Any) -> AsyncGenerator[None, None]:
        """Closes the pool when closed itself, which asyncio.run does to all open generators."""
        try:
            yield
        finally:
            if self._sweep is not None:
                self._sweep.cancel()
                self._sweep = None
            try:
                await self._put_spare_back(pool)
                await asyncio.wait_for(pool.close(), GOODBYE_WITHIN)
            except TimeoutError:
                pool.terminate()


async def _put_back(pool: Any, connection: Any) -> None:
    with suppress(TimeoutError):  # what was cancelled gets a moment to end, or is cut
        await pool.release(connection, timeout=2)


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
            if (
                self._portal is None or self._portal.pid != os.getpid()
            ):  # forked: threads stay behind
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


class SyncDoor:
    """Verbs inside the caller's own transaction, on a connection that does not await."""

    def __init__(self, connection: object, driver: Driver, schema: str) -> None:
        self._connection, self._driver, self._schema = connection, driver, schema

    def run(self, call: Call[T]) -> T:
        """Run any call on the connection; nothing is committed or rolled back here."""
        text = call.render(self._schema, self._driver.placeholder)
        try:
            rows: Any = self._driver.run(self._connection, text, call.values)
        except Exception as error:
            if (ours := _ours(error)) is None:
                raise  # as it is: its own cause is for whoever knows the driver
            raise ours from error
        return call.read(rows)

    def enqueue(self, job: Job | Startable) -> UUID:
        """Store a job, or a workflow; it is there when, and only when, the caller commits."""
        return self.run(jobs.enqueue(job))

    def enqueue_many(self, many: Iterable[Job]) -> list[UUID]:
        """Store up to 10,000 jobs, all or none; gives their ids in order."""
        return self.run(jobs.enqueue_many(many))

    def enqueue_stream(
        self, many: Iterable[Job], *, batch: int = BATCH, progress: Progress | None = None
    ) -> int:
        """Store any number of jobs in bounded memory; gives how many. See App.enqueue_stream."""
        return stream_sync(self.run, many, batch=batch, progress=progress)


class AsyncDoor:
    """Verbs inside the caller's own transaction, on a connection that awaits."""

    def __init__(self, connection: object, driver: Driver, schema: str) -> None:
        self._connection, self._driver, self._schema = connection, driver, schema

    async def run(self, call: Call[T]) -> T:
        """Run any call on the connection; nothing is committed or rolled back here."""
        text = call.render(self._schema, self._driver.placeholder)
        run: Any = self._driver.run
        try:
            rows = await run(self._connection, text, call.values)
        except Exception as error:
            if (ours := _ours(error)) is None:
                raise  # as it is: its own cause is for whoever knows the driver
            raise ours from error
        return call.read(rows)

    async def enqueue(self, job: Job | Startable) -> UUID:
        """Store a job, or a workflow; it is there when, and only when, the caller commits."""
        return await self.run(jobs.enqueue(job))

    async def enqueue_many(self, many: Iterable[Job]) -> list[UUID]:
        """Store up to 10,000 jobs, all or none; gives their ids in order."""
        return await self.run(jobs.enqueue_many(many))

    async def enqueue_stream(
        self,
        many: Iterable[Job] | AsyncIterable[Job],
        *,
        batch: int = BATCH,
        progress: Progress | None = None,
    ) -> int:
        """Store any number of jobs in bounded memory; gives how many. See App.enqueue_stream."""
        return await stream(self.run, many, batch=batch, progress=progress, in_own_task=False)


class Commits(Protocol):
    """A connection or session that does not await."""

    def commit(self) -> None:
        """End the transaction."""


class AwaitsCommit(Protocol):
    """A connection or session that awaits."""

    def commit(self) -> Awaitable[None]:
        """End the transaction."""


class Fetches(Protocol):
    """A connection of asyncpg, which has no commit."""

    def fetch(self, query: str, /, *args: Any) -> Awaitable[Any]:
        """Run a statement."""


@overload
def on(connection: Commits, *, schema: str | None = None) -> SyncDoor: ...
@overload
def on(connection: AwaitsCommit | Fetches, *, schema: str | None = None) -> AsyncDoor: ...
def on(connection: Any, *, schema: str | None = None) -> Any:
    """The verbs on a connection of the caller's, in whatever transaction it is in.

    Takes asyncpg, psycopg 2 and 3, SQLAlchemy (Session, Connection and their async kin) and Django
    connections; the type decides whether the verbs are awaited. `schema` defaults to the settings'.

    The commit is the caller's, and so is the server's warning that its wait for a synchronous
    standby was cancelled: after that warning the commit may be lost in a failover, and nothing
    here can see it. CommitUncertain is raised only where the verb itself commits: outside a
    transaction, on a connection of asyncpg, or on one of psycopg 3 with autocommit.
    """
    driver = driver_of(connection)
    door = AsyncDoor if driver.is_async else SyncDoor
    return door(connection, driver, schema or default_schema())


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


def _ours(error: BaseException) -> HowdahError | None:
    """Our error for a driver's; None where it is ours already, or is to go on as it is."""
    return None if isinstance(error, HowdahError) else translated(error)
