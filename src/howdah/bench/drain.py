"""How fast workers drain a backlog of no-op jobs, history kept, and what that costs."""

from __future__ import annotations

import asyncio

from howdah.bench.figures import Found, Round, figures
from howdah.bench.meter import STATISTICS_AFTER, Spent
from howdah.bench.rig import Rig, repeated, rig
from howdah.settings import Settings

WARM_UP = 1_000  # jobs


async def drain(
    settings: Settings, *, jobs: int, processes: int, slots: int | None, rounds: int
) -> Found:
    """Fill the queue, start the workers, let them go; again in each round."""
    async with rig(settings) as r:
        warm_up = min(WARM_UP, jobs)
        await _round(r, warm_up, processes, slots)
        found = await repeated(rounds, lambda: _round(r, jobs, processes, slots))
    return Found(
        mode="drain",
        parameters={"jobs": jobs, "processes": processes, "slots": slots, "rounds": rounds},
        warm_up=f"a round of {warm_up:,} jobs; workers are up and idle before each round",
        figures=figures(found),
        notes=[
            "from the first claim to the last stored finish, by the server's clock",
            "history is kept: every job that was counted is in it",
            "transactions and dead rows include the workers' coming and going",
        ],
    )


async def _round(r: Rig, jobs: int, processes: int, slots: int | None) -> Round:
    before_fill = await r.meter.read()
    took = await r.fill(jobs)
    filled = await r.meter.read()
    async with r.staff(processes, slots=slots) as staff:
        drained = await r.drain(staff, jobs)
    await asyncio.sleep(STATISTICS_AFTER)
    after = await r.meter.counted(drained.after)
    spent, enqueued = after.since(drained.before), filled.since(before_fill)
    return {
        "drain": (drained.rate, "jobs/s"),
        "workers at work": (drained.workers, "processes"),
        "between their first claims": (drained.skew * 1000, "ms"),
        "cores at work, server's and workers'": (spent.cores, "cores"),
        "enqueue, a thousand a call": (jobs / took, "jobs/s"),
        **{f"{name}, claim to finish": value for name, value in spent.per_job(jobs).items()},
        **_of_enqueue(enqueued, jobs),
    }


def _of_enqueue(spent: Spent, jobs: int) -> Round:
    cost = spent.per_job(jobs)
    return {f"{name}, enqueue": cost[name] for name in ("WAL", "server's CPU")}
