"""What keys cost: jobs per second through workers, and into the store, beside plain jobs.

    python benchmarks/keyed.py [--jobs 20000] [--processes 2] [--rounds 3] [--waiting 100000]

Works in a scratch schema of the configured database, or of the project's embedded one; a line of
Markdown for each kind: the median of the rounds, which take turns. Last, whether each rate that was
asked of keyed work is reached; exits with 1 if one is not.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any
from uuid import UUID

from howdah import limits, queues
from howdah.bench.rig import Rig, rig
from howdah.bench.staff import Staff
from howdah.bench.tasks import QUEUE, noop
from howdah.cli.database import found
from howdah.job import Job
from howdah.settings import Settings

BATCH = 500  # jobs in a call
SINGLES_SHARE = 20  # of jobs that are enqueued one by one there are so many times fewer
SERIAL_SHARE = 10  # of one serial key there are so many times fewer jobs
LOOK_EVERY = 0.02  # seconds

Kind = Callable[[int], Job]
DRAINED: Mapping[str, Kind] = {
    "plain": lambda n: noop.job(n=n),
    "one serial key": lambda n: noop.options(serial_key="only").job(n=n),
    "1,000 serial keys": lambda n: noop.options(serial_key=f"key:{n % 1000}").job(n=n),
    "limit 3 of each of 200 keys": lambda n: noop.options(limit_keys=[f"l:{n % 200}"]).job(n=n),
    "one limit of 100": lambda n: noop.options(limit_keys=["one"]).job(n=n),
}
ENQUEUED: Mapping[str, Kind] = {
    "plain": DRAINED["plain"],
    "unique key": lambda n: noop.options(unique_key=f"u:{n}").job(n=n),
    "serial key": DRAINED["1,000 serial keys"],
    "limit": DRAINED["limit 3 of each of 200 keys"],
}
Rates = defaultdict[str, list[float]]


async def keyed(
    settings: Settings, jobs: int, processes: int, rounds: int, waiting: int
) -> dict[str, bool]:
    """Print the rates; whether each that was asked for is reached."""
    into, singly, through, behind = (Rates(list) for _ in range(4))
    async with rig(settings) as r:
        await r.ask(limits.put("l:*", 3))
        await r.ask(limits.put("one", 100))
        for number in range(rounds):
            for name, kind in ENQUEUED.items():
                into[name].append(await _enqueue(r, kind, jobs, number))
                await _emptied(r)
            for name, kind in ENQUEUED.items():
                count = jobs // SINGLES_SHARE
                singly[name].append(await _enqueue_singly(r, kind, count, number))
                await _emptied(r)
        async with r.staff(processes) as staff:
            for _ in range(rounds):
                for name, kind in DRAINED.items():
                    count = jobs // SERIAL_SHARE if name == "one serial key" else jobs
                    through[name].append(await _drain(r, staff, kind, count))
            others = DRAINED["1,000 serial keys"]
            for _ in range(rounds):
                behind[FREE].append(await _drain(r, staff, others, jobs))
                await _block(r, waiting)
                behind[CROWDED].append(await _drain(r, staff, others, jobs))
                await _emptied(r)
    tables = (("enqueued", into), ("enqueued one by one", singly), ("run", through))
    for title, rates in tables:
        _print(title, rates, beside="plain")
    _print(f"run, {waiting:,} jobs of a blocked key in front", behind, beside=FREE)
    return {
        "one serial key: 300 jobs/s": median(through["one serial key"]) >= 300,
        "1,000 serial keys: 8,000 jobs/s": median(through["1,000 serial keys"]) >= 8000,
        "200 limits of 3: 8,000 jobs/s": median(through["limit 3 of each of 200 keys"]) >= 8000,
        "one limit of 100: 8,000 jobs/s": median(through["one limit of 100"]) >= 8000,
        "unique enqueue, one by one: 0.7 of plain": _ratio(singly, "unique key", "plain") >= 0.7,
        "unique enqueue, in bulk: 0.7 of plain": _ratio(into, "unique key", "plain") >= 0.7,
        "others behind a blocked key: 0.8 of without": _ratio(behind, CROWDED, FREE) >= 0.8,
    }


FREE, CROWDED = "without", "with"


def _ratio(rates: Rates, name: str, beside: str) -> float:
    return median(own / other for own, other in zip(rates[name], rates[beside], strict=True))


def _print(title: str, rates: Rates, *, beside: str) -> None:
    print(f"\n| {title} | jobs/s | beside {beside} |\n|---|---:|---:|")
    for name in rates:
        print(f"| {name} | {median(rates[name]):,.0f} | {_ratio(rates, name, beside):.2f} |")


async def _emptied(r: Rig) -> None:
    await r.connection.execute(f"truncate {r.store}.job, {r.store}.pending")


async def _enqueue(r: Rig, kind: Kind, count: int, number: int) -> float:
    made = [kind(number * count + n) for n in range(count)]
    began = time.perf_counter()
    async with r.app:
        for done in range(0, count, BATCH):
            await r.app.enqueue_many(made[done : done + BATCH])
    return count / (time.perf_counter() - began)


async def _enqueue_singly(r: Rig, kind: Kind, count: int, number: int) -> float:
    made = [kind(-1 - number * count - n) for n in range(count)]
    began = time.perf_counter()
    async with r.app:
        for job in made:
            await r.app.enqueue(job)
    return count / (time.perf_counter() - began)


async def _block(r: Rig, waiting: int) -> None:
    """Somebody holds a job of a key, of a task that no worker knows, and many wait for it."""
    schema = r.settings.schema
    await r.connection.execute(
        f"select {schema}.enqueue('held', queue => 'held', serial_key => 'blocked',"
        " no_timeout => true)"
    )
    assert await r.meter.ask(f"select count(*) from {schema}.claim('{{held}}')") == 1
    await _enqueue(r, lambda n: noop.options(serial_key="blocked").job(n=n), waiting, 0)


async def _drain(r: Rig, staff: Staff, kind: Kind, count: int) -> float:
    last = await r.meter.ask(f"select id from {r.store}.job order by id desc limit 1")
    await _enqueue(r, kind, count, 0)
    await r.connection.execute(f"vacuum analyze {r.store}.job")
    began: Any = await r.meter.ask("select clock_timestamp()")
    await r.ask(queues.resume(QUEUE))
    left = f"select exists (select from {r.store}.job where id > $1)"
    while await r.meter.ask(left, last or UUID(int=0)):  # noqa: ASYNC110 - the store has no Event
        await asyncio.sleep(LOOK_EVERY)
    took: float = await r.meter.ask(
        "select extract(epoch from max(finished_at) - min(started_at))::float8"
        f" from {r.store}.finished where finished_at >= $1",
        began,
    )
    await r.hold()
    return count / took


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--waiting", type=int, default=100_000, help="jobs of the blocked key")
    given = parser.parse_args()
    reached = asyncio.run(
        keyed(found(make=True), given.jobs, given.processes, given.rounds, given.waiting)
    )
    print("\n| asked | reached |\n|---|---|")
    for asked, is_reached in reached.items():
        print(f"| {asked} | {'yes' if is_reached else 'NO'} |")
    return 0 if all(reached.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
