"""What keys cost: jobs per second through workers, and into the store, beside plain jobs.

    python benchmarks/keyed.py [--jobs 20000] [--processes 2] [--rounds 3]

Works in a scratch schema of the configured database, or of the project's embedded one; a line of
Markdown for each kind: the median of the rounds, which take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from howdah import limits, queues
from howdah.bench.rig import Rig, rig
from howdah.bench.staff import Staff
from howdah.bench.tasks import QUEUE, noop
from howdah.cli.database import found
from howdah.job import Job
from howdah.settings import Settings

BATCH = 500  # jobs in a call
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


async def keyed(settings: Settings, jobs: int, processes: int, rounds: int) -> None:
    """Print the rates."""
    into, through = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    async with rig(settings) as r:
        await r.ask(limits.put("l:*", 3))
        await r.ask(limits.put("one", 100))
        for number in range(rounds):
            for name, kind in ENQUEUED.items():
                into[name].append(await _enqueue(r, kind, jobs, number))
                await r.connection.execute(f"truncate {r.store}.job, {r.store}.pending")
        async with r.staff(processes) as staff:
            for _ in range(rounds):
                for name, kind in DRAINED.items():
                    count = jobs // SERIAL_SHARE if name == "one serial key" else jobs
                    through[name].append(await _drain(r, staff, kind, count))
    for title, rates in (("enqueued", into), ("run", through)):
        print(f"\n| {title} | jobs/s | beside plain |\n|---|---:|---:|")
        for name, found_rates in rates.items():
            ratio = median(
                own / plain for own, plain in zip(found_rates, rates["plain"], strict=True)
            )
            print(f"| {name} | {median(found_rates):,.0f} | {ratio:.2f} |")


async def _enqueue(r: Rig, kind: Kind, count: int, number: int) -> float:
    made = [kind(number * count + n) for n in range(count)]
    began = time.perf_counter()
    async with r.app:
        for done in range(0, count, BATCH):
            await r.app.enqueue_many(made[done : done + BATCH])
    return count / (time.perf_counter() - began)


async def _drain(r: Rig, staff: Staff, kind: Kind, count: int) -> float:
    await _enqueue(r, kind, count, 0)
    await r.connection.execute(f"vacuum analyze {r.store}.job")
    began: Any = await r.meter.ask("select clock_timestamp()")
    await r.ask(queues.resume(QUEUE))
    left = f"select exists (select from {r.store}.job)"
    while await r.meter.ask(left):  # noqa: ASYNC110 - the store has no Event
        await asyncio.sleep(LOOK_EVERY)
    took: float = await r.meter.ask(
        "select extract(epoch from max(finished_at) - min(started_at))::float8"
        f" from {r.store}.finished where finished_at >= $1",
        began,
    )
    await r.hold()
    return count / took


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    asyncio.run(keyed(found(make=True), given.jobs, given.processes, given.rounds))


if __name__ == "__main__":
    main()
