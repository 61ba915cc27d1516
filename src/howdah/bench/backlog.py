"""Whether a great backlog slows claims and enqueues down, and how long it takes to look at it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from howdah import jobs, queues
from howdah.bench.figures import Figure, Found, Round, figures
from howdah.bench.rig import Rig, repeated, rig
from howdah.bench.staff import Staff
from howdah.bench.tasks import QUEUE, noop
from howdah.call import Call
from howdah.settings import Settings

SINGLES = 200  # jobs that are enqueued one by one, in each round
LOOKS = 5  # times that each look is taken


async def backlog(settings: Settings, *, backlog: int, small: int, rounds: int) -> Found:
    """Drain half the small backlog's jobs from it, and as many from the great one, in turns.

    Half, so that both have more to claim all the time; then they are filled up again.
    """
    share = max(1, small // 2)
    async with AsyncExitStack() as stack:
        sides = await asyncio.gather(
            *(stack.enter_async_context(_side(settings, count)) for count in (small, backlog))
        )
        for side in sides:
            await side.round(share)

        async def turn() -> Round:
            return _compared(*[await side.round(share) for side in sides])

        found = await repeated(rounds, turn)
        looks = await _looks(sides[1].rig)
    return Found(
        mode="backlog",
        parameters={"backlog": backlog, "small": small, "rounds": rounds},
        warm_up="one round of each",
        figures=[*figures(found), *looks],
        notes=[
            f"claims: until {share:,} jobs have ended, of {small:,} and of {backlog:,}",
            "each backlog has a scratch schema and a worker process; they take turns",
            f"lists have their usual length; each look was taken {LOOKS} times",
        ],
    )


class _Side:
    """A backlog and its worker."""

    def __init__(self, r: Rig, staff: Staff, count: int) -> None:
        self.rig, self._staff, self._count = r, staff, count

    async def round(self, jobs: int) -> dict[str, float]:
        """Rates of a drain, and of filling up what was taken."""
        r = self.rig
        drained = await r.drain(self._staff, jobs)
        async with r.app:
            started = time.perf_counter()
            for n in range(min(SINGLES, jobs)):
                await r.app.enqueue(noop.job(n=n))
            singles = min(SINGLES, jobs) / (time.perf_counter() - started)
        waiting = await r.meter.ask(
            f"select count(*) from (select from {r.store}.job limit $1) waiting", self._count
        )
        missing = max(1, self._count - waiting)
        bulk = missing / await r.fill(missing)
        return {"claim to finish": drained.rate, "enqueue one by one": singles, "bulk": bulk}


@asynccontextmanager
async def _side(settings: Settings, count: int) -> AsyncIterator[_Side]:
    async with rig(settings) as r:
        await r.fill(count)
        async with r.staff(1) as staff:
            yield _Side(r, staff, count)


def _compared(small: dict[str, float], great: dict[str, float]) -> Round:
    found: dict[str, tuple[float | None, str]] = {}
    for name, rate in small.items():
        found[f"{name}, small backlog"] = (rate, "jobs/s")
        found[f"{name}, great backlog"] = (great[name], "jobs/s")
        found[f"{name}, great / small"] = (great[name] / rate, "ratio")
    return found


async def _looks(r: Rig) -> list[Figure]:
    """How long it takes to look at it."""
    [newest] = await r.ask(jobs.list(limit=1))
    looks: dict[str, Call[object]] = {
        "list_jobs": jobs.list(),
        "list_jobs, ready ones of the queue": jobs.list(state="ready", queue=QUEUE),
        "list_jobs, failed ones": jobs.list(state="failed"),
        "queues": queues.list(),
        "why": jobs.why(newest.id),
        "backlog": jobs.backlog(QUEUE),
    }
    return [Figure(name, "ms", await _times(r, call)) for name, call in looks.items()]


async def _times(r: Rig, call: Call[object]) -> tuple[float, ...]:
    times = []
    for _ in range(LOOKS):
        started = time.perf_counter()
        await r.ask(call)
        times.append((time.perf_counter() - started) * 1000)
    return tuple(times)
