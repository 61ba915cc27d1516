"""How long it takes from the call that enqueues to the job's first line, on an idle worker."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

from howdah.bench.figures import Found, Round, figures, percentile
from howdah.bench.floor import Floor
from howdah.bench.rig import Rig, repeated, rig
from howdah.bench.tasks import QUEUE, late
from howdah.errors import HowdahError
from howdah.queues import resume
from howdah.settings import Settings

WARM_UP = 50  # jobs
PATIENCE = 10.0  # seconds for the last jobs to end


async def latency(settings: Settings, *, jobs: int, gap: float, rounds: int) -> Found:
    """Enqueue one job at a time, `gap` seconds apart, on one idle worker process."""
    async with rig(settings) as r, r.staff(1), Floor(r) as floor:
        await r.ask(resume(QUEUE))
        warm_up = min(WARM_UP, jobs)
        await _round(r, floor, warm_up, gap)
        found = await repeated(rounds, lambda: _round(r, floor, jobs, gap))
    return Found(
        mode="latency",
        parameters={"jobs": jobs, "gap": gap, "rounds": rounds},
        warm_up=f"{warm_up} jobs",
        figures=figures(found),
        notes=[
            "from before the call of enqueue to the job's first line, in another process",
            "floor: a bare row is inserted with a notification, in turns with the jobs; another",
            "process hears it, updates that row and commits: no queue here starts a job sooner",
        ],
    )


async def _round(r: Rig, floor: Floor, jobs: int, gap: float) -> Round:
    ids, calls, floors = [], [], []
    for _ in range(jobs):
        sent_at = time.monotonic_ns()
        ids.append(await r.app.enqueue(late.job(sent_at=sent_at)))
        calls.append((time.monotonic_ns() - sent_at) / 1e6)
        await asyncio.sleep(max(0.0, gap - calls[-1] / 1000))
        await floor.one()
        floors.append(await floor.answer())
        await asyncio.sleep(max(0.0, gap - floors[-1] / 1000))
    starts = await _results(r, ids)
    return {
        "start p50": (percentile(starts, 0.50), "ms"),
        "start p95": (percentile(starts, 0.95), "ms"),
        "start p99": (percentile(starts, 0.99), "ms"),
        "start max": (max(starts), "ms"),
        "enqueue call p50": (percentile(calls, 0.50), "ms"),
        "floor p50": (percentile(floors, 0.50), "ms"),
        "floor p99": (percentile(floors, 0.99), "ms"),
        "start p50 / floor p50": (percentile(starts, 0.50) / percentile(floors, 0.50), "ratio"),
    }


async def _results(r: Rig, ids: list[UUID]) -> list[float]:
    """Milliseconds, as the jobs returned them."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        rows = await r.connection.fetch(
            f"select result::text::bigint from {r.store}.finished where id = any ($1)", ids
        )
        if len(rows) == len(ids):
            return [row[0] / 1e6 for row in rows]
        await asyncio.sleep(0.02)
    raise HowdahError(f"not all of {len(ids)} jobs ended within {PATIENCE:.0f} s")
