"""Whether a week of history slows anything down, and what it costs to let a day of it go.

    python benchmarks/history.py [--days 7] [--a-day 1000000] [--rounds 5] [--jobs 20000]

Two scratch schemas with a worker process each, one of them with so many succeeded jobs of so many
days in its history, drain in turns. Then the workers leave, and the three oldest days are dropped,
one after the other, while jobs are claimed and finished one by one beside it. Prints a table in
Markdown: medians over rounds, with the lowest and highest. Uses the configured database, or the
project's embedded one; a million jobs take some 300 MB there.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median
from typing import Any

import uvloop

from howdah import jobs, queues, store
from howdah.bench.rig import Rig, rig
from howdah.bench.tasks import QUEUE, noop
from howdah.cli.database import found
from howdah.client import on
from howdah.connect import closed, open_connection
from howdah.settings import Settings

DROPS = 3  # days
BESIDE = 1.0  # seconds of claims and finishes before a drop, for comparison, and behind it
CLOCK = (
    "create or replace function {store}.clock() returns timestamptz language sql volatile "
    "parallel safe return pg_catalog.clock_timestamp() - make_interval(days => {days})"
)
FILL = """
    insert into {store}.finished
        (created_at, started_at, finished_at, priority, attempt, crashes, id, lease, state,
         queue, task, args, result)
    select at, at, at, 0, 1, 0, {store}.new_id(), gen_random_uuid(), 'S',
           $1, $2, '{{"n": 1}}', 'null'
    from (select date_trunc('day', now() at time zone 'UTC') at time zone 'UTC'
                 - make_interval(days => $3) + make_interval(secs => 86400.0 * n / $4::int) as at
          from generate_series(0, $4::int - 1) n) made
"""
Times = list[float]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--a-day", type=int, default=1_000_000, help="jobs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=20_000, help="in a drain")
    given = parser.parse_args()
    if given.days < DROPS:
        parser.error(f"{DROPS} days are dropped: give at least so many")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(_measured(found(), given))
    print("| | median | least | most |\n|---|---:|---:|---:|")
    for name, values in figures.items():
        low, high = min(values), max(values)
        print(f"| {name} | {_text(median(values))} | {_text(low)} | {_text(high)} |")


def _text(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


async def _measured(settings: Settings, given: argparse.Namespace) -> dict[str, Times]:
    async with rig(settings) as young, rig(settings) as old:
        for day in range(given.days, 0, -1):
            await _fill(old, day, given.a_day)
        figures = await _drains(young, old, given.rounds, given.jobs)
        async with AsyncExitStack() as stack:
            connections = [await stack.enter_async_context(_connection(old)) for _ in range(2)]
            for day in range(given.days, given.days - DROPS, -1):
                for name, value in (await _drop(old, day, *connections)).items():
                    figures.setdefault(name, []).append(value)
        return figures


async def _fill(r: Rig, day: int, count: int) -> None:
    """Succeeded jobs, spread over the day that many days ago."""
    await r.connection.execute(CLOCK.format(store=r.store, days=day))
    await r.connection.execute(f"select {r.store}.make_partitions()")
    await r.connection.execute(CLOCK.format(store=r.store, days=0))
    await r.connection.execute(FILL.format(store=r.store), QUEUE, noop.name, day, count)


async def _drains(young: Rig, old: Rig, rounds: int, count: int) -> dict[str, Times]:
    rates: dict[str, Times] = {"none": [], "history": []}
    async with young.staff(1) as of_young, old.staff(1) as of_old:
        for number in range(rounds + 1):
            for name, r, staff in (("none", young, of_young), ("history", old, of_old)):
                await r.fill(count)
                rate = (await r.drain(staff, count)).rate
                if number:  # the first is to warm up
                    rates[name].append(rate)
    return {
        "claim to finish without history, jobs/s": rates["none"],
        "with it": rates["history"],
        "with / without": [b / a for a, b in zip(rates["none"], rates["history"], strict=True)],
    }


async def _drop(r: Rig, day: int, pruning: Any, working: Any) -> dict[str, float]:
    """Let the day that many days ago go; milliseconds."""
    part = f"{r.store}.finished_succeeded_" + await r.connection.fetchval(
        "select to_char(now() at time zone 'UTC' - make_interval(days => $1), 'YYYYMMDD')", day
    )
    taken: dict[str, Times] = {"claim": [], "finish": []}
    over = asyncio.Event()
    work = asyncio.create_task(_work(r, working, taken, over))
    await asyncio.sleep(BESIDE)
    before = {name: max(times) for name, times in taken.items()}
    began = time.perf_counter()
    async with pruning.transaction():  # so that nobody else sees the day pass
        await pruning.execute(
            f"update {r.store}.setting set retention = make_interval(days => $1)", day - 1
        )
        await on(pruning, schema=r.settings.schema).run(store.chores("prune"))
    took = (time.perf_counter() - began) * 1000
    await asyncio.sleep(BESIDE)
    over.set()
    await work
    if await r.connection.fetchval("select to_regclass($1)", part) is not None:
        raise SystemExit(f"{part} is still there")
    longest = {name: max(times) for name, times in taken.items()}
    return {
        "a day is dropped, ms": took,
        "longest claim before it, ms": before["claim"],
        "longest claim, with it, ms": longest["claim"],
        "longest finish before it, ms": before["finish"],
        "longest finish, with it, ms": longest["finish"],
    }


async def _work(r: Rig, connection: Any, taken: dict[str, Times], over: asyncio.Event) -> None:
    """Claim and finish one job after the other."""
    door = on(connection, schema=r.settings.schema)
    await door.run(queues.resume(QUEUE))
    while not over.is_set():
        await door.run(jobs.enqueue(noop.job(n=1)))
        began = time.perf_counter()
        [job] = await door.run(jobs.claim([QUEUE], 1))
        claimed = time.perf_counter()
        await door.run(jobs.ack(job.id, job.lease))
        taken["claim"].append((claimed - began) * 1000)
        taken["finish"].append((time.perf_counter() - claimed) * 1000)


@asynccontextmanager
async def _connection(r: Rig) -> AsyncIterator[Any]:
    connection = await open_connection(r.settings, name="howdah bench history")
    try:
        yield connection
    finally:
        await closed(connection)


if __name__ == "__main__":
    main()
