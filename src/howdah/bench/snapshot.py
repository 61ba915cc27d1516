"""Whether drains slow down while another session holds an old snapshot, or an open transaction."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from statistics import median
from typing import Any, Self
from uuid import UUID

from howdah.bench.figures import Figure, Found
from howdah.bench.rig import Rig, repeated, rig
from howdah.bench.staff import Staff
from howdah.bench.tasks import QUEUE, noop
from howdah.client import on
from howdah.connect import closed, open_connection
from howdah.queues import resume
from howdah.settings import Settings

HOLDS = ("reading", "writing")
NONE = "none"  # held by nobody: what the rounds come to by themselves
THIRDS_FROM = 6  # rounds


async def snapshot(
    settings: Settings, *, jobs: int, processes: int, rounds: int, holds: tuple[str, ...] = HOLDS
) -> Found:
    """Rounds of fill and drain with the same workers, while a transaction is held."""
    found: list[Figure] = []
    for hold in holds:
        async with rig(settings) as r, r.staff(processes) as staff:
            found += await _HELD[hold](r, staff, jobs, rounds)
    return Found(
        mode="snapshot",
        parameters={"jobs": jobs, "processes": processes, "rounds": rounds, "holds": [*holds]},
        warm_up="one round before the transaction begins, shown as `before`",
        figures=found,
        notes=[
            "reading: a session holds a REPEATABLE READ snapshot",
            "writing: one has enqueued a job in a transaction that it leaves open",
            "none: nobody holds any, for comparison",
            "each kind has a new scratch schema, and the same workers in all its rounds",
        ],
    )


async def _under_none(r: Rig, staff: Staff, jobs: int, rounds: int) -> list[Figure]:
    before = await _round(r, staff, jobs)
    return _series(NONE, before, await repeated(rounds, lambda: _round(r, staff, jobs)))


async def _under_reading(r: Rig, staff: Staff, jobs: int, rounds: int) -> list[Figure]:
    before = await _round(r, staff, jobs)
    async with _Session(r.settings) as session, session.transaction("repeatable_read"):
        await session.connection.fetchval(f"select count(*) from {r.store}.queue")
        rates = await repeated(rounds, lambda: _round(r, staff, jobs))
    return _series("reading", before, rates)


async def _under_writing(r: Rig, staff: Staff, jobs: int, rounds: int) -> list[Figure]:
    before = await _round(r, staff, jobs)
    async with _Session(r.settings) as session:
        async with session.transaction("read_committed"):
            own = await on(session.connection, schema=r.settings.schema).enqueue(noop.job(n=0))
            rates = await repeated(rounds, lambda: _round(r, staff, jobs))
            await r.ask(resume(QUEUE))
            committing: datetime = await session.connection.fetchval("select clock_timestamp()")
        late = await _started_after(r, own, committing)
    return [
        *_series("writing", before, rates),
        Figure("writing: from the commit to its job's start", "ms", (late * 1000,)),
    ]


_HELD = {"reading": _under_reading, "writing": _under_writing, NONE: _under_none}


async def _round(r: Rig, staff: Staff, jobs: int) -> float:
    await r.fill(jobs)
    return (await r.drain(staff, jobs)).rate


def _series(kind: str, before: float, rates: list[float]) -> list[Figure]:
    return [
        Figure(f"{kind}: before", "jobs/s", (before,)),
        *(
            Figure(f"{kind}: round {number}", "jobs/s", (rate,))
            for number, rate in enumerate(rates, 1)
        ),
        Figure(f"{kind}: round {len(rates)} / round 1", "ratio", (rates[-1] / rates[0],)),
        *_thirds(kind, rates),
    ]


def _thirds(kind: str, rates: list[float]) -> list[Figure]:
    """Of many rounds, since single ones vary: the median of the last third by the first one's."""
    third = len(rates) // 3
    if len(rates) < THIRDS_FROM:
        return []
    ratio = median(rates[-third:]) / median(rates[:third])
    return [Figure(f"{kind}: last {third} rounds / first {third}", "ratio", (ratio,))]


async def _started_after(r: Rig, job_id: UUID, committing: datetime) -> float:
    """Seconds from just before the commit to the job's start."""
    await r.until_gone(job_id)
    started: datetime = await r.meter.ask(
        f"select started_at from {r.store}.finished where id = $1", job_id
    )
    return (started - committing).total_seconds()


class _Session:
    """A session of somebody else."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.connection: Any = None

    async def __aenter__(self) -> Self:
        self.connection = await open_connection(self._settings, name="howdah bench snapshot")
        await self.connection.execute("set idle_in_transaction_session_timeout = 0")
        return self

    async def __aexit__(self, *_: object) -> None:
        await closed(self.connection)

    def transaction(self, isolation: str) -> AbstractAsyncContextManager[Any]:
        """A transaction that is held as long as the block."""
        held: AbstractAsyncContextManager[Any] = self.connection.transaction(isolation=isolation)
        return held
