"""The verbs on a connection of the caller's, in its transaction: `on(connection).enqueue(job)`."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Iterable
from typing import Any, Protocol, TypeVar, overload
from uuid import UUID

from howdah import jobs
from howdah.call import Call
from howdah.drivers import Driver, driver_of
from howdah.job import Job, Startable
from howdah.refusals import instead_of
from howdah.settings import default_schema
from howdah.stream import BATCH, Progress, stream, stream_sync

T = TypeVar("T")


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
            if (better := instead_of(error)) is None:
                raise  # as it is: its own cause is for whoever knows the driver
            raise better from error
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
            if (better := instead_of(error)) is None:
                raise  # as it is: its own cause is for whoever knows the driver
            raise better from error
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
