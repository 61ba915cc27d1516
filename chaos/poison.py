"""Faults that are jobs: some take their process with them, some hold the interpreter."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from typing import Any
from uuid import UUID

from chaos.world import Injected, World, between

KEYS = 8_000_000_000  # of all jobs that faults enqueue
ENQUEUE = "select howdah.enqueue($1, $2::jsonb, priority => 5)"  # not behind a backlog
DEATHS = """
select count(*) from howdah.attempts
where job_id = any ($1::uuid[]) and outcome in ('lost', 'crashed')
"""
STARTED = "select count(*) from howdah.jobs where id = any ($1::uuid[]) and attempt > 0"


async def _enqueued(world: World, task: str, many: list[dict[str, Any]]) -> list[UUID]:
    return [
        await world.server.one(
            ENQUEUE, task, json.dumps({"key": KEYS + world.random.randrange(10**9), **args})
        )
        for args in many
    ]


async def _counted(world: World, statement: str, jobs: list[UUID], within: float, n: int) -> int:
    """What the statement counts, once that is enough or the time is over."""
    found, until = 0, time.monotonic() + within
    while found < n and time.monotonic() < until:
        await asyncio.sleep(0.1)
        with suppress(Exception):  # another fault has the server
            found = await world.server.one(statement, jobs)
    return found


class PoisonJob:
    """Jobs that kill the process that runs them, each time, until they are given up."""

    name, longest, alone = "poison-job", 12.0, False

    async def inject(self, world: World, dose: float) -> Injected:
        began, n = time.monotonic(), round(between(1, 3, dose))
        hows = [{"how": world.random.choice(["exit", "segfault"])} for _ in range(n)]
        jobs = await _enqueued(world, "die", hows)
        deaths = await _counted(world, DEATHS, jobs, 8.0, n)
        return Injected(
            name=self.name, began=began, healed=time.monotonic(), observed={"deaths": deaths}
        )


class HogJob:
    """A coroutine that lets nothing else run, for up to twice as long as a worker may be silent."""

    name, longest, alone = "hog-job", 16.0, False

    async def inject(self, world: World, dose: float) -> Injected:
        began, length = time.monotonic(), between(0.2, 2.0, dose) * world.workers.lost_after
        jobs = await _enqueued(world, "hog", [{"seconds": round(length, 2)}])
        started = await _counted(world, STARTED, jobs, 5.0, 1)
        if started:
            await asyncio.sleep(length)
        return Injected(
            name=self.name, began=began, healed=time.monotonic(), observed={"started": started}
        )
