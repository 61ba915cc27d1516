"""What all modes stand on: a scratch schema, a connection, a meter, jobs filled in and drained."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from howdah import jobs, queues
from howdah.app import App
from howdah.bench.meter import Meter, Spent
from howdah.bench.scratch import scratch
from howdah.bench.staff import Staff
from howdah.bench.tasks import QUEUE, noop
from howdah.call import Call
from howdah.client import on
from howdah.connect import closed, open_connection
from howdah.errors import HowdahError
from howdah.settings import Settings

BATCH = 1_000  # jobs in a call
POLL_EVERY = 0.005  # seconds
STUCK_AFTER = 60.0  # seconds without an end: something is wrong
T = TypeVar("T")
log = logging.getLogger("howdah.bench")


class Drained(msgspec.Struct, frozen=True, kw_only=True):
    """How jobs were drained. Rates count from the first claim to the last stored finish.

    Attributes:
        jobs: how many.
        seconds: from the first claim to the last finish, by the server's clock.
        skew: seconds from the first worker's first claim to the last worker's first claim.
        workers: how many had a part in it.
        before, after: what server and workers had spent; what came in late is not in `after`.
    """

    jobs: int
    seconds: float
    skew: float
    workers: int
    before: Spent
    after: Spent

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return self.jobs / self.seconds


class Rig:
    """A scratch schema and what is needed to measure in it: `async with rig(settings) as r`."""

    def __init__(self, settings: Settings, connection: Any, app: App) -> None:
        self.settings, self.connection, self.app = settings, connection, app
        self.meter = Meter(connection, settings.schema)
        self.store = f"_{settings.schema}"
        self._door = on(connection, schema=settings.schema)

    async def ask(self, call: Call[T]) -> T:
        """Run a call on the rig's own connection."""
        answer: T = await self._door.run(call)
        return answer

    def staff(self, count: int, *, slots: int | None = None) -> Staff:
        """Idle worker processes: `async with rig.staff(2) as staff`."""
        return Staff(self.connection, self.settings, count, slots=slots)

    async def fill(self, count: int) -> float:
        """Enqueue no-op jobs, a thousand a call; gives the seconds it took."""
        batch = [noop.job(n=n) for n in range(min(BATCH, count))]
        async with self.app:  # its counts of transactions come in when it is closed
            started = time.perf_counter()
            for done in range(0, count, BATCH):
                await self.app.enqueue_many(batch[: count - done])
            return time.perf_counter() - started

    async def hold(self) -> None:
        """Pause the queue, and wait until nobody holds a job of it."""
        await self.ask(queues.pause(QUEUE))
        await self._until_false(f"select exists (select from {self.store}.lease)")

    async def drain(self, staff: Staff, count: int) -> Drained:
        """Let the workers have the held queue until its first `count` jobs have ended."""
        last = await self._job_at(count - 1)
        before = await self.meter.counted(await self.meter.read(staff.pids))
        began: datetime = await self.meter.ask("select clock_timestamp()")
        await self.ask(queues.resume(QUEUE))
        await self.until_gone(last)
        await self._until_false(  # others may end after the last one
            f"select count(*) < $2 from {self.store}.finished where finished_at >= $1", began, count
        )
        after = await self.meter.read(staff.pids)
        await self.hold()
        return await self._drained(count, began, before, after)

    async def until_gone(self, job_id: UUID) -> None:
        """Wait until a job has ended: a look at one row, whatever else lies there."""
        deadline = time.monotonic() + STUCK_AFTER
        ends = 0
        while await self.meter.ask(
            f"select exists (select from {self.store}.job where id = $1)", job_id
        ):
            if time.monotonic() > deadline:
                now = await self.meter.ask(f"select count(*) from {self.store}.finished")
                if now == ends:
                    raise HowdahError(
                        f"no job has ended for {STUCK_AFTER:.0f} s",
                        hint=await self.ask(jobs.why(job_id)),
                    )
                ends, deadline = now, time.monotonic() + STUCK_AFTER
            await asyncio.sleep(POLL_EVERY)

    async def _job_at(self, place: int) -> UUID:
        """The job that is claimed after so many others."""
        return UUID(
            str(
                await self.meter.ask(
                    f"select id from {self.store}.job where queue = $1 and state = 'r' "
                    "order by priority desc, seq offset $2 limit 1",
                    QUEUE,
                    place,
                )
            )
        )

    async def _until_false(self, question: str, *values: object) -> None:
        while await self.meter.ask(question, *values):  # noqa: ASYNC110 - the store has no Event
            await asyncio.sleep(POLL_EVERY)

    async def _drained(self, count: int, began: datetime, before: Spent, after: Spent) -> Drained:
        """Of the first `count` that ended: more may have, until the queue was held again."""
        row = await self.connection.fetchrow(
            f"""
            with ended as (
                select worker, started_at, finished_at from {self.store}.finished
                where finished_at >= $1 order by finished_at limit $2),
            by_worker as (select min(started_at) as first from ended group by worker)
            select (select extract(epoch from max(finished_at) - min(started_at)) from ended)
                       ::float8,
                   extract(epoch from max(first) - min(first))::float8, count(*)
            from by_worker""",
            began,
            count,
        )
        return Drained(
            jobs=count,
            seconds=row[0],
            skew=row[1],
            workers=row[2],
            before=before,
            after=after,
        )


async def repeated(rounds: int, one: Callable[[], Awaitable[T]]) -> list[T]:
    """One round after the other; each is said."""
    found = []
    for number in range(1, rounds + 1):
        log.info("round %d of %d", number, rounds)
        found.append(await one())
    return found


@asynccontextmanager
async def rig(settings: Settings) -> AsyncIterator[Rig]:
    """A rig in a scratch schema, which is gone after the block; the queue is held at first."""
    async with scratch(settings) as own:
        connection = await open_connection(own, name="howdah bench")
        bench = App(own.database_url, schema=own.schema)
        bench.use(own)
        try:
            made = Rig(own, connection, bench)
            await made.meter.prepare()
            await made.ask(queues.pause(QUEUE))
            yield made
        finally:
            await bench.close()
            await closed(connection)
